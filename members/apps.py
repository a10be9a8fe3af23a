"""Who they are: members, their people and credentials."""

from django.apps import AppConfig


class MembersConfig(AppConfig):
    """The application's name; it does nothing at start."""

    name = "members"
