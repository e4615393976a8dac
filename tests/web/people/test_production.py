"""The settings on the open internet, in a process of their own as a server has them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.checks import run_checks

PRODUCTION = {"PRESSRUN_PRODUCTION": "1", "PRESSRUN_HOSTS": "papers.example.org", "PRESSRUN_BEHIND_PROXY": "1"}


def _python(home: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    own = {k: v for k, v in os.environ.items() if not k.startswith(("PRESSRUN_", "DATABASE_", "DJANGO_"))}
    own |= {"PRESSRUN_HOME": str(home), "DJANGO_SETTINGS_MODULE": "pressrun.web.settings", **environment}
    return subprocess.run([sys.executable, *arguments], env=own, capture_output=True, text=True, timeout=120, check=False)


def test_the_check_for_deployment_does_find_what_is_not_switched_on() -> None:
    found = {message.id for message in run_checks(include_deployment_checks=True)}
    assert found >= {"security.W004", "security.W008", "security.W012", "security.W016"}  # HSTS, https, both cookies


ASK = """
import django, io, json
django.setup()
from django.core.cache import cache
from django.core.management import call_command
from pressrun.web.papers.context import State
checked = io.StringIO()
call_command("check", deploy=True, fail_level="INFO", stdout=checked)
call_command("migrate", "socialaccount", verbosity=0)
cache.set("papers-state", State(0, None, None))
from django.test import Client
plain = Client(headers={"host": "papers.example.org"})
secure = {"host": "papers.example.org", "X-Forwarded-Proto": "https"}
page = Client(headers=secure).get("/account/login/")
cookies = {name: dict(morsel) for name, morsel in page.cookies.items()}
moved = plain.get("/account/login/")
print(json.dumps({"checked": checked.getvalue(), "moved": [moved.status_code, moved["Location"]], "status": page.status_code, "cookies": cookies, "headers": dict(page.headers)}))
"""


def test_djangos_check_is_clean_and_pages_and_cookies_go_over_https_alone(tmp_path: Path) -> None:
    asked = _python(tmp_path, "-c", ASK, **PRODUCTION)
    assert asked.returncode == 0, asked.stderr
    found = json.loads(asked.stdout.splitlines()[-1])
    assert found["checked"] == "System check identified no issues (1 silenced).\n"
    assert found["moved"] == [301, "https://papers.example.org/account/login/"]
    assert found["status"] == 200
    headers = found["headers"]
    assert headers["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    cookie = found["cookies"]["__Host-csrftoken"]
    assert (cookie["secure"], cookie["httponly"], cookie["path"], cookie["domain"]) == (True, True, "/", "")


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("PRESSRUN_SIGNUP", "maybe", "PRESSRUN_SIGNUP must be open, invitation or closed, got 'maybe'."),
        ("PRESSRUN_LIMITS", "vote", "a rate reads like comment=30/1h (s, m, h or d), got 'vote'."),
        ("PRESSRUN_GITHUB", "only-an-id", "PRESSRUN_GITHUB holds 'id secret' with spaces between, got 1 of 2 parts."),
        ("PRESSRUN_OIDC", "http://id.example a b", "PRESSRUN_OIDC needs an https address, got 'http://id.example'."),
    ],
)
def test_a_setting_that_does_not_fit_stops_the_start_with_a_sentence(
    tmp_path: Path, name: str, value: str, sentence: str
) -> None:
    started = _python(tmp_path, "-c", "import pressrun.web.settings", **{name: value})
    assert started.returncode == 1
    assert started.stderr.splitlines()[-1] == f"django.core.exceptions.ImproperlyConfigured: {sentence}"


PROVIDERS = """
import django, json
django.setup()
from django.core.cache import cache
from django.core.management import call_command
from pressrun.web.papers.context import State
call_command("migrate", "socialaccount", verbosity=0)
call_command("migrate", "sessions", verbosity=0)
cache.set("papers-state", State(0, None, None))
from django.test import Client
client = Client(headers={"host": "localhost"})
shown = client.get("/account/login/").content.decode()
sent = client.post("/account/github/login/")
print(json.dumps({"github": "/account/github/login/" in shown, "orcid": "/account/orcid/login/" in shown,
    "oidc": "/account/oidc/oidc/login/" in shown, "name": "Our University" in shown, "sent": sent["Location"]}))
"""


def test_providers_that_are_set_up_stand_on_the_sign_in_page(tmp_path: Path) -> None:
    given = {
        "PRESSRUN_GITHUB": "gh-id gh-secret",
        "PRESSRUN_ORCID": "o-id o-secret",
        "PRESSRUN_OIDC": "https://id.example.org oidc-id oidc-secret",
        "PRESSRUN_OIDC_NAME": "Our University",
    }
    asked = _python(tmp_path, "-c", PROVIDERS, **given)
    assert asked.returncode == 0, asked.stderr
    found = json.loads(asked.stdout.splitlines()[-1])
    assert {key: found[key] for key in ("github", "orcid", "oidc", "name")} == dict.fromkeys(
        ("github", "orcid", "oidc", "name"), True
    )
    assert found["sent"].startswith("https://github.com/login/oauth/authorize?client_id=gh-id&")
    assert "code_challenge=" in found["sent"]
    assert "gh-secret" not in found["sent"]
