"""What is shared: contributions and immutable versions of STIX objects."""

from django.apps import AppConfig


class IndicatorsConfig(AppConfig):
    """The application's name; it does nothing at start."""

    name = "indicators"
