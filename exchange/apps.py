"""The act of sharing."""

from django.apps import AppConfig
from django.core.checks import Tags, register

from exchange import checks


class ExchangeConfig(AppConfig):
    """Registers what `manage.py check` asks of the settings."""

    name = "exchange"

    def ready(self) -> None:
        """Register the checks; nothing else happens at start."""
        register(checks.keys_differ, Tags.security)
        register(checks.retention_known)
        register(checks.safe_to_serve, Tags.security, deploy=True)
