"""The site's settings over a data directory that the tests throw away."""

import os
import tempfile

os.environ["PRESSRUN_HOME"] = tempfile.mkdtemp(prefix="pressrun-tests-")

from pressrun.web.settings import *  # noqa: F403

# Tests look at a page before and after; those of kept pages say so.
PAGE_SECONDS = 0
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

# A kept connection would hold the test database open when it is to be dropped.
DATABASES["default"]["CONN_MAX_AGE"] = 0  # noqa: F405
DATABASES["default"].get("OPTIONS", {}).pop("pool", None)  # noqa: F405  nor a pool's
