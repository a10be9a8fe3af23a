"""What `manage.py check` asks of the settings; with --deploy, what a real exchange needs."""

from collections.abc import Sequence

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning

from exchange.policy import clocks

KEYS = ("WRAPPING_KEY", "INDEX_KEY", "TOKEN_KEY", "LEDGER_SLOT_KEY", "POOL_KEY")


def keys_differ(app_configs: Sequence[AppConfig] | None, **_: object) -> list[CheckMessage]:
    """No two purposes share a key: what opens one must not open another."""
    held = {name: getattr(settings, name) for name in KEYS if any(getattr(settings, name))}
    same = [name for name, key in held.items() if list(held.values()).count(key) > 1]
    if not same:
        return []
    return [Error(f"{', '.join(same)} are the same key.", id="weir.E001")]


def retention_known(app_configs: Sequence[AppConfig] | None, **_: object) -> list[CheckMessage]:
    """RETENTION names classes that there are, and keeps none shorter than its least."""
    try:
        clocks.stated(settings.RETENTION)
    except ValueError as error:
        return [Error(f"RETENTION: {error}.", id="weir.E002")]
    return []


def safe_to_serve(app_configs: Sequence[AppConfig] | None, **_: object) -> list[CheckMessage]:
    """TLS outside, and no endpoint that escapes the rules for outgoing calls unnoticed."""
    found: list[CheckMessage] = []
    if not settings.WEIR_BASE_URL.startswith("https://"):
        found.append(Warning("WEIR_BASE_URL is not https.", id="weir.W001"))
    if settings.OUTBOUND_EXEMPT:
        named = ", ".join(sorted(settings.OUTBOUND_EXEMPT))
        hint = "Empty OUTBOUND_EXEMPT unless these are receivers of your own."
        text = f"Not bound by the rules for outgoing calls: {named}."
        found.append(Warning(text, hint=hint, id="weir.W002"))
    if settings.DATABASE_ROLE == "web" and (settings.SIGNER_LEDGER or settings.SIGNER_BUNDLE):
        hint = "Give SIGNER_LEDGER to the sequencer and SIGNER_BUNDLE to the workers only."
        found.append(Warning("The web server holds signing keys.", hint=hint, id="weir.W003"))
    if settings.DATABASE_ROLE == "web" and settings.POOL_KEY:
        hint = "Give POOL_KEY to the worker of the queue `pool` only."
        text = "The web server could open what members send to the pool."
        found.append(Warning(text, hint=hint, id="weir.W004"))
    return found
