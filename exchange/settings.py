"""Every setting, read from the environment once; a missing or bad one stops the start by name.

`deploy/env.example` lists them all with what they mean.
"""

import base64
import binascii
import os
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent
ROLES = ("web", "worker", "sequencer", "owner")


def text(name: str, *, default: str | None = None) -> str:
    """A setting as it stands; without a default it has to be there."""
    value = os.environ.get(name, "").strip() or default
    if value is None:
        raise ImproperlyConfigured(f"{name} is not set: see deploy/env.example")
    return value


def flag(name: str, *, default: bool) -> bool:
    """True or false, and no other word for it."""
    value = os.environ.get(name, "").strip().lower() or str(default).lower()
    if value not in ("true", "false"):
        raise ImproperlyConfigured(f"{name}={value!r}: say true or false")
    return value == "true"


def number(name: str, *, default: int) -> int:
    """A whole number, not negative."""
    value = os.environ.get(name, "").strip() or str(default)
    if not (value.isascii() and value.isdigit()):
        raise ImproperlyConfigured(f"{name}={value!r}: say a whole number")
    return int(value)


def secret(name: str, *, default: str | None = None) -> str:
    """A text that may also stand in the file that <NAME>_FILE names; never shown in an error."""
    path = os.environ.get(f"{name}_FILE", "").strip()
    if not path:
        return text(name, default=default)
    try:
        return Path(path).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ImproperlyConfigured(f"{name}_FILE={path!r}: {type(error).__name__}") from error


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise ImproperlyConfigured(f"{name}={value!r}: say one of {', '.join(allowed)}")
    return value


def _key(name: str, value: str) -> bytes:
    try:
        key = base64.b64decode(value, validate=True)
    except binascii.Error:
        key = b""
    if len(key) != 32:
        raise ImproperlyConfigured(f"{name}: not the base64 of 32 bytes")
    return key


def _key_if_any(name: str, value: str) -> bytes:
    return _key(name, value) if value else b""


def _base_url(value: str) -> str:
    parts = urlsplit(value)
    is_bare = not (parts.path.strip("/") or parts.query or parts.fragment or parts.username)
    if parts.scheme not in ("http", "https") or not parts.hostname or not is_bare:
        raise ImproperlyConfigured(f"WEIR_BASE_URL={value!r}: say https://name without a path")
    return value.rstrip("/")


def _database(url: str, role: str) -> dict[str, Any]:
    parts = urlsplit(url)
    if parts.scheme not in ("postgresql", "postgres") or not parts.path.strip("/"):
        raise ImproperlyConfigured("DATABASE_URL: say postgresql://user@host/name")
    options = dict(parse_qsl(parts.query))
    host = options.pop("host", parts.hostname or "")
    server = options.pop("options", "")
    if role != "owner":  # the connection itself has the role, so no query can run without it
        server = f"{server} -c role=weir_{role}".strip()
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.strip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": host,
        "PORT": str(parts.port or ""),
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
        # Only what asks for it is prepared: `members.scope.fetch`.
        "OPTIONS": options
        | {"prepare_threshold": 1_000_000}
        | ({"options": server} if server else {}),
    }


def _exempt(value: str) -> dict[str, str]:
    exempt = {}
    for item in value.split():
        endpoint, _, ca_file = item.partition("=")
        host, _, port = endpoint.rpartition(":")
        if not (host and port.isdigit() and ca_file):
            raise ImproperlyConfigured(f"OUTBOUND_EXEMPT={item!r}: say host:port=/ca/file.pem")
        exempt[endpoint] = ca_file
    return exempt


def _mail_server(value: str) -> SplitResult:
    parts = urlsplit(value)
    if value and (parts.scheme not in ("smtp", "smtps", "smtp+plain") or not parts.hostname):
        raise ImproperlyConfigured("MAIL_URL: say smtp://user:password@host:port, or smtps://")
    return parts


def _hours(name: str, value: str) -> tuple[int, ...]:
    words = value.split()
    hours = tuple(int(word) for word in words if word.isascii() and word.isdigit())
    if len(hours) < len(words) or not hours or list(hours) != sorted({*hours}) or hours[0] < 1:
        raise ImproperlyConfigured(f"{name}={value!r}: say rising hours, like 24 72 168")
    return hours


def _days(name: str, value: str) -> dict[str, int]:
    found = {}
    for word in value.split():
        what, _, days = word.partition("=")
        if not (what and days.isascii() and days.isdigit()):
            raise ImproperlyConfigured(f"{name}={word!r}: say a class and days, like notes=400")
        found[what] = int(days)
    return found


# Who and where
DEBUG = False
SECRET_KEY = secret("SECRET_KEY")
WEIR_BASE_URL = _base_url(text("WEIR_BASE_URL"))
_HOST = urlsplit(WEIR_BASE_URL).hostname or ""
ALLOWED_HOSTS = text("ALLOWED_HOSTS", default=_HOST).split()
CSRF_TRUSTED_ORIGINS = [WEIR_BASE_URL]
LOG_LEVEL = _one_of(
    "LOG_LEVEL", text("LOG_LEVEL", default="INFO"), ("DEBUG", "INFO", "WARNING", "ERROR")
)

# PostgreSQL is the truth, the broker carries hints
DATABASE_ROLE = _one_of("DATABASE_ROLE", text("DATABASE_ROLE"), ROLES)
DATABASES = {"default": _database(secret("DATABASE_URL"), DATABASE_ROLE)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
REDIS_URL = secret("REDIS_URL")
CACHES = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}

# Keys. The sequencer sees digests only: it starts without the keys that open contents.
_CONTENT_KEY = base64.b64encode(bytes(32)).decode() if DATABASE_ROLE == "sequencer" else None
WRAPPING_KEY = _key("WRAPPING_KEY", secret("WRAPPING_KEY", default=_CONTENT_KEY))
INDEX_KEY = _key("INDEX_KEY", secret("INDEX_KEY", default=_CONTENT_KEY))
TOKEN_KEY = _key("TOKEN_KEY", secret("TOKEN_KEY", default=_CONTENT_KEY))
LEDGER_SLOT_KEY = _key("LEDGER_SLOT_KEY", secret("LEDGER_SLOT_KEY"))
# The pool's: what is sealed with the public one is opened by the worker of the queue `pool` alone.
POOL_KEY = _key_if_any("POOL_KEY", secret("POOL_KEY", default=""))
POOL_PUBLIC_KEY = _key_if_any("POOL_PUBLIC_KEY", text("POOL_PUBLIC_KEY", default=""))
SIGNER_BUNDLE = text("SIGNER_BUNDLE", default="")
SIGNER_DELIVERY = text("SIGNER_DELIVERY", default="")
SIGNER_LEDGER = text("SIGNER_LEDGER", default="")
LEDGER_DIR = Path(text("LEDGER_DIR"))
# What may be seen: what is published, or only what enough members' witnesses have cosigned.
LEDGER_GATE = _one_of(
    "LEDGER_GATE", text("LEDGER_GATE", default="published"), ("published", "cosigned")
)
LEDGER_QUORUM = number("LEDGER_QUORUM", default=0)
LEDGER_HEARTBEAT = number("LEDGER_HEARTBEAT", default=0)
LEDGER_WITNESSES = text("LEDGER_WITNESSES", default="").split()
LEDGER_NUMBER = number("LEDGER_NUMBER", default=1)
# Never less than twice the day for which members may keep their copy of the key set.
KEY_NOTICE_DAYS = max(2, number("KEY_NOTICE_DAYS", default=7))
ARCHIVE_DAYS = number("ARCHIVE_DAYS", default=7)
# Sealed pages: made on first read, dropped at any time. Where a proxy serves them itself, the name
# of its internal location for this folder.
SEALED_DIR = Path(text("SEALED_DIR"))
SEALED_LOCATION = text("SEALED_LOCATION", default="")

# In and out
MAX_CONTENT_LENGTH = number("MAX_CONTENT_LENGTH", default=33_554_432)
DATA_UPLOAD_MAX_MEMORY_SIZE = MAX_CONTENT_LENGTH
# An upload stays in memory: a temporary file would hold an original in the clear.
FILE_UPLOAD_MAX_MEMORY_SIZE = MAX_CONTENT_LENGTH
FILE_UPLOAD_HANDLERS = [
    "exchange.web.sealing.SealingHandler",
    "django.core.files.uploadhandler.MemoryFileUploadHandler",
]
# A file larger than a body is sealed while it comes in, and taken in parts.
FILES_DIR = Path(text("FILES_DIR"))
MAX_FILE_LENGTH = number("MAX_FILE_LENGTH", default=1_073_741_824)
MAX_FILE_OBJECTS = number("MAX_FILE_OBJECTS", default=1_000_000)
OUTBOUND_EXEMPT = _exempt(text("OUTBOUND_EXEMPT", default=""))

# Mails, which only say that somebody should sign in; none are written where there is no server
MAIL_URL = secret("MAIL_URL", default="")
_MAIL = _mail_server(MAIL_URL)
EMAIL_HOST, EMAIL_PORT = _MAIL.hostname or "localhost", _MAIL.port or 587
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = unquote(_MAIL.username or ""), unquote(_MAIL.password or "")
EMAIL_USE_TLS, EMAIL_USE_SSL = _MAIL.scheme == "smtp", _MAIL.scheme == "smtps"
EMAIL_TIMEOUT = 15
MAIL_FROM = text("MAIL_FROM", default=f"weir@{_HOST}")
# When a recipient that has not acknowledged a recall is reminded, in hours from when it was told
RECALL_REMINDERS = _hours("RECALL_REMINDERS", text("RECALL_REMINDERS", default="24 72 168"))

# Days for which classes of data are kept where the forum wants others than the shipped table
RETENTION = _days("RETENTION", text("RETENTION", default=""))

# Blind evaluation: a new member's small quota for a day, then the full one
TOKEN_QUOTA = number("TOKEN_QUOTA", default=20_000)
TOKEN_QUOTA_NEW = number("TOKEN_QUOTA_NEW", default=2_000)
TOKEN_NEW_DAYS = number("TOKEN_NEW_DAYS", default=30)
# The same for a credential that sends extracts too, counted apart; of new members in proportion
EXTRACT_TOKEN_QUOTA = number("EXTRACT_TOKEN_QUOTA", default=200_000)

# How many new algorithms a member may write on one day
ALGORITHM_QUOTA = number("ALGORITHM_QUOTA", default=200)

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "axes",
    "csp",
    "django_htmx",
    "rest_framework",
    "members",
    "indicators",
    "exchange",
]
MIDDLEWARE = [
    "members.auth.AddressMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "members.machines.MachineMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "members.auth.ScopeMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "csp.middleware.CSPMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "axes.middleware.AxesMiddleware",
]
# Where machines alone ask, and where they do with a credential and people with a session.
DOORS_OF_MACHINES = ("/taxii2",)
DOORS_OF_BOTH = ("/api/", "/ledger/")
ROOT_URLCONF = "exchange.urls"
WSGI_APPLICATION = "exchange.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "exchange" / "web" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "libraries": {
                "pool": "exchange.web.templatetags.pool",
                "weir": "exchange.web.templatetags.weir",
            },
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# Who signs in
AUTH_USER_MODEL = "members.User"
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "/sign-in/"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/sign-in/"
SESSION_COOKIE_AGE = 12 * 60 * 60
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = 0.25  # hours
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_VERBOSE = False
AXES_LOCKOUT_TEMPLATE = "web/account/locked.html"

# TLS is on unless said otherwise, one by one
SECURE_SSL_REDIRECT = flag("SECURE_SSL_REDIRECT", default=True)
SECURE_REDIRECT_EXEMPT = [r"^healthz$"]
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = flag("SECURE_COOKIES", default=True)
SECURE_HSTS_SECONDS = number("SECURE_HSTS_SECONDS", default=31_536_000)
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = SECURE_HSTS_SECONDS > 0
SECURE_PROXY_SSL_HEADER = (
    ("HTTP_X_FORWARDED_PROTO", "https") if flag("SECURE_BEHIND_PROXY", default=False) else None
)
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'"],
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
        "base-uri": ["'none'"],
    }
}

# Pages
LANGUAGE_CODE = "en"
USE_I18N = False
USE_TZ = True
TIME_ZONE = "UTC"
STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "exchange" / "web" / "static"]
# Straight from the packages' folders: a start needs no collectstatic first.
WHITENOISE_USE_FINDERS = True
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"

REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    # A view that forgets to name its authentication lets nobody in.
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "UNAUTHENTICATED_USER": None,
    "DEFAULT_SCHEMA_CLASS": None,
}

# Celery carries ids only; what it loses is found again in PostgreSQL
CELERY_BROKER_URL = REDIS_URL
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 300,
    "unacked_restore_interval": 10,
    "unacked_restore_throttle": 1,
    "socket_connect_timeout": 1,
    "socket_timeout": 5,
    "max_retries": 1,  # of a nudge in a request; workers come back by their own rule below
    "interval_start": 0.1,
    "interval_step": 0.1,
    "interval_max": 0.2,
}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_TASK_ACKS_LATE = False
CELERY_TASK_REJECT_ON_WORKER_LOST = False
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_STORE_ERRORS_EVEN_IF_IGNORED = False
CELERY_RESULT_BACKEND = None
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_SOFT_TIME_LIMIT = 50
CELERY_TASK_TIME_LIMIT = 70
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_CREATE_MISSING_QUEUES = False
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_REDIRECT_STDOUTS = False
CELERY_TIMEZONE = "UTC"
CELERY_IMPORTS = ["exchange.tasks"]

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"ids": {"()": "exchange.telemetry.formatter"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "ids"}},
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
    "loggers": {
        "django": {"handlers": [], "level": LOG_LEVEL, "propagate": True},
        "django.server": {"handlers": [], "propagate": True},
        "axes": {"level": "ERROR"},  # its warnings hold what was typed as a name
        "httpx": {"level": "WARNING"},
    },
}
