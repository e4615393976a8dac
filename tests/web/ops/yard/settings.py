"""The site's own settings, as a user has them, and the app of the yard. A writer's patience is short, so that some run out of it."""

from pressrun.web.settings import *  # noqa: F403

INSTALLED_APPS = [*INSTALLED_APPS, "tests.web.ops.yard"]  # noqa: F405
ROOT_URLCONF = "tests.web.ops.yard.urls"
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":  # noqa: F405
    DATABASES["default"]["OPTIONS"]["timeout"] = 0.3  # noqa: F405
