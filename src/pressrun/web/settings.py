"""Settings of the site. Everything an owner may want to change is an environment variable, listed in docs/guide.md."""

from __future__ import annotations

import os
from email.utils import formataddr
from typing import Any

import dj_database_url
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from pressrun.web.alerts.mailserver import parse_sender, parse_server, parse_site
from pressrun.web.home import home, secret_key
from pressrun.web.models.address import parse_address
from pressrun.web.people.providers import providers
from pressrun.web.people.rates import parse_rates

HOME = home()
SECRET_KEY = secret_key()
DEBUG = False

# Loopback only, unless the owner names the hosts that the site is reached by.
_HOSTS = [host for host in os.environ.get("PRESSRUN_HOSTS", "").split(",") if host]
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]", *_HOSTS]
CSRF_TRUSTED_ORIGINS = [f"https://{host}" for host in _HOSTS]
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if os.environ.get("PRESSRUN_BEHIND_PROXY") == "1" else None


def _count(name: str, usual: int) -> int:
    text = os.environ.get(name, "") or str(usual)
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise ImproperlyConfigured(f"{name} must be a whole number from 1, got {text[:40]!r}.")
    return int(text)


# How many runs work at the same time, and how many may wait and work together.
RUNS_AT_ONCE = _count("PRESSRUN_RUNS_AT_ONCE", 1)
RUNS_WAITING = _count("PRESSRUN_RUNS_WAITING", 20)


def _days(name: str, usual: int, unit: str = "days") -> int:
    text = os.environ.get(name, "") or str(usual)
    if not (text.isascii() and text.isdigit() and int(text) < 100_000):
        raise ImproperlyConfigured(f"{name} must be a number of {unit}, 0 for never, got {text[:40]!r}.")
    return int(text)


# Upkeep: which addresses are read every day, which runs are done again, what is kept for how long, and where backups go.
HARVEST = os.environ.get("PRESSRUN_HARVEST", "").split()
RERUN_DAYS = _days("PRESSRUN_RERUN_DAYS", 0)
KEEP_WORK_DAYS = _days("PRESSRUN_KEEP_WORK_DAYS", 30)
KEEP_IMPORTS_DAYS = _days("PRESSRUN_KEEP_IMPORTS_DAYS", 365)
KEEP_RUNS_DAYS = _days("PRESSRUN_KEEP_RUNS_DAYS", 0)
BACKUPS = os.environ.get("PRESSRUN_BACKUPS", "")
KEEP_BACKUPS = _count("PRESSRUN_KEEP_BACKUPS", 7)
METRICS = os.environ.get("PRESSRUN_METRICS") or "owner"
if METRICS not in {"owner", "loopback", "off"}:
    raise ImproperlyConfigured(f"PRESSRUN_METRICS must be owner, loopback or off, got {METRICS[:40]!r}.")

# Whether what people submit is listed at once (open), after a curator has looked (queue), or not at all (closed).
SUBMISSIONS = os.environ.get("PRESSRUN_SUBMISSIONS") or "queue"
if SUBMISSIONS not in {"open", "queue", "closed"}:
    raise ImproperlyConfigured(f"PRESSRUN_SUBMISSIONS must be open, queue or closed, got {SUBMISSIONS[:40]!r}.")

# Where the language model of the page /models/ is served, and its key; without an address the usual port of this machine is tried.
MODEL_SERVER = parse_address(os.environ.get("PRESSRUN_MODEL_SERVER", ""))
MODEL_KEY = os.environ.get("PRESSRUN_MODEL_KEY", "")

SITE_NAME = os.environ.get("PRESSRUN_NAME", "pressrun")

# Who signs people in beside us: PRESSRUN_GITHUB and PRESSRUN_ORCID as "id secret", PRESSRUN_OIDC as "address id secret".
SOCIALACCOUNT_PROVIDERS = providers(os.environ)
SIGN_IN_PROVIDERS = [f"allauth.socialaccount.providers.{name}" for name in SOCIALACCOUNT_PROVIDERS]

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.sitemaps",
    "django.contrib.humanize",
    "csp",
    "pressrun.web.papers",
    "pressrun.web.runs",
    "pressrun.web.api",
    "pressrun.web.people",
    "pressrun.web.community",
    "pressrun.web.alerts",
    "pressrun.web.models",
    "django_tasks",
    "django_tasks_db",
    "pressrun.web.ops",
    # After ours, whose templates go before its.
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "allauth.socialaccount",
    *SIGN_IN_PROVIDERS,
]

MIDDLEWARE = [
    "pressrun.web.ops.measuring.Measured",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "pressrun.web.people.middleware.LocalOwner",
    "pressrun.web.people.middleware.Tokens",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "allauth.usersessions.middleware.UserSessionsMiddleware",
    "pressrun.web.errors.SentencesInErrors",
]

ROOT_URLCONF = "pressrun.web.urls"
ASGI_APPLICATION = "pressrun.web.asgi.application"
APPEND_SLASH = False

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "pressrun.web.papers.context.site",
            ]
        },
    }
]


def _database() -> dict[str, Any]:
    if url := os.environ.get("DATABASE_URL"):
        found: dict[str, Any] = dict(dj_database_url.parse(url, conn_health_checks=True))
        # Requests are answered in threads that come and go, each with a connection: without a pool, many readers at once would take
        # more than a server gives.
        pool = {"min_size": 0, "max_size": 20, "timeout": 20}
        return found | {"OPTIONS": {**found.get("OPTIONS", {}), "pool": pool}}
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": HOME / "pressrun.sqlite3",
        "OPTIONS": {
            # Readers never wait for the writer; a writer that finds another one waits instead of failing half-way.
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-16384; PRAGMA foreign_keys=ON;",
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
        },
    }


DATABASES = {"default": _database()}
# Work behind the pages waits in the same database; each kind of work is a queue of its own, so any name of a queue will do.
TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend", "QUEUES": []}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

LANGUAGE_CODE = "en-gb"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False

STATIC_URL = "static/"
WHITENOISE_USE_FINDERS = True
WHITENOISE_MAX_AGE = 3600

# Nothing comes from another host, nothing runs inline.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}
# On the open internet, behind a proxy that ends TLS: cookies and pages over https alone.
PRODUCTION = os.environ.get("PRESSRUN_PRODUCTION") == "1"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = PRODUCTION
SECURE_REDIRECT_EXEMPT = [r"^health$", r"^metrics$"]  # asked for by programs beside the proxy
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if PRODUCTION else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = PRODUCTION
# The list that browsers ship takes whole domains, and for good. Whether a domain goes there is not for one of its sites to say.
SILENCED_SYSTEM_CHECKS = ["security.W021"]
if PRODUCTION:
    # With this prefix a browser takes the cookie from this very host over https, and from nobody else.
    SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "__Host-sessionid", "__Host-csrftoken"
CSRF_COOKIE_HTTPONLY = True
CSRF_FAILURE_VIEW = "pressrun.web.people.views.csrf_failure"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"

# Accounts. allauth does the work; what an owner may change are environment variables and the page /people.
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator",
        "OPTIONS": {"user_attributes": ("username", "email")},
    },
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "pressrun.web.people.passwords.NotTooLong"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = LOGOUT_REDIRECT_URL = ACCOUNT_LOGOUT_REDIRECT_URL = "home"
SIGNUP = os.environ.get("PRESSRUN_SIGNUP") or "invitation"
if SIGNUP not in {"open", "invitation", "closed"}:
    raise ImproperlyConfigured(f"PRESSRUN_SIGNUP must be open, invitation or closed, got {SIGNUP[:40]!r}.")
ACCOUNT_ADAPTER = "pressrun.web.people.adapters.Accounts"
SOCIALACCOUNT_ADAPTER = "pressrun.web.people.adapters.SocialAccounts"
MFA_ADAPTER = "pressrun.web.people.adapters.SecondFactor"
ACCOUNT_LOGIN_METHODS = {"username", "email"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "email*", "password1*"]
ACCOUNT_USERNAME_VALIDATORS = "pressrun.web.people.names.VALIDATORS"
ACCOUNT_PRESERVE_USERNAME_CASING = False
ACCOUNT_EMAIL_VERIFICATION = SOCIALACCOUNT_EMAIL_VERIFICATION = "mandatory"
ACCOUNT_EMAIL_NOTIFICATIONS = True
ACCOUNT_EMAIL_SUBJECT_PREFIX = f"[{SITE_NAME}] "
ACCOUNT_MAX_EMAIL_ADDRESSES = 5
ACCOUNT_REAUTHENTICATION_REQUIRED = True  # the password once more before grave steps, unless it was given just before
ACCOUNT_REAUTHENTICATION_TIMEOUT = 600
ACCOUNT_LOGOUT_ON_PASSWORD_CHANGE = False
ACCOUNT_DEFAULT_HTTP_PROTOCOL = "https" if PRODUCTION else "http"
ACCOUNT_RATE_LIMITS = {"reset_password": "20/m/ip,3/h/key"}
ALLAUTH_TRUSTED_PROXY_COUNT = 0
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = not PRODUCTION
MFA_TOTP_ISSUER = SITE_NAME
MFA_TOTP_TOLERANCE = 1
USERSESSIONS_TRACK_ACTIVITY = False
PASSWORD_RESET_TIMEOUT = 3600

# Mail. All of it goes through the outbox; where no server is named, mails become files in the data directory, shown at /mail/.
EMAIL_BACKEND = "pressrun.web.alerts.backends.Outbox"
MAIL_SERVER = parse_server(os.environ.get("PRESSRUN_SMTP", ""))
MAIL_TIMEOUT = 20.0
MAIL_SENDER = parse_sender(os.environ.get("PRESSRUN_MAIL_FROM") or f"pressrun@{_HOSTS[0] if _HOSTS else 'localhost'}")
DEFAULT_FROM_EMAIL = formataddr((" ".join(SITE_NAME.split()), MAIL_SENDER))
# Where the links in mails and webhooks lead: there is no request to tell.
SITE_URL = parse_site(os.environ.get("PRESSRUN_URL") or (f"https://{_HOSTS[0]}" if _HOSTS else "http://localhost:8017"))
# Webhooks may lead to private addresses, such as a chat server in the same network.
WEBHOOKS_PRIVATE = os.environ.get("PRESSRUN_WEBHOOKS_PRIVATE") == "1"

CACHES = {
    # Counters of limits and a few numbers. A full one throws away at random, so it must hold those of many addresses.
    "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "OPTIONS": {"MAX_ENTRIES": 100_000}},
    "pages": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "pages", "OPTIONS": {"MAX_ENTRIES": 300}},
}
# How long a page is kept for those whom nothing tells apart: readers without a cookie or a token.
PAGE_SECONDS = _days("PRESSRUN_PAGE_SECONDS", 5, "seconds")

# How often an account may do something; an address may do it ADDRESS_FACTOR times as often.
LIMITS = parse_rates(
    "sign-in=10/15m sign-up=5/1h mail=5/1h invite=30/1d token=20/1d export=10/1h comment=30/1h vote=300/1h submit=20/1h "
    "report=20/1h write=300/1h search=120/1m api=600/1m"
) | parse_rates(os.environ.get("PRESSRUN_LIMITS", ""))
ADDRESS_FACTOR = 5

LOG_FORMAT = os.environ.get("PRESSRUN_LOG_FORMAT") or "line"
if LOG_FORMAT not in {"line", "json"}:
    raise ImproperlyConfigured(f"PRESSRUN_LOG_FORMAT must be line or json, got {LOG_FORMAT[:40]!r}.")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"impersonal": {"()": "pressrun.web.ops.logs.Impersonal"}},
    "formatters": {
        "line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"},
        "json": {
            "()": "pythonjsonlogger.json.JsonFormatter",
            "format": "{asctime}{levelname}{name}{message}",
            "style": "{",
            "rename_fields": {"asctime": "time", "levelname": "level", "name": "logger"},
        },
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": LOG_FORMAT, "filters": ["impersonal"]}},
    # A worker that is told to end is no warning.
    "loggers": {"django_tasks_db": {"level": "ERROR"}},
    "root": {"handlers": ["console"], "level": os.environ.get("PRESSRUN_LOG", "WARNING").upper()},
}
