"""`manage.py agreement_publish`: what a member accepts before anything is sent to it."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from members import onboarding
from members.models import Agreement


class Command(BaseCommand):
    """Run it with the owner's database role."""

    help = "Publish a version of the agreement; the purpose of all sharing is fixed in it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Its version, its text, its purpose."""
        parser.add_argument("version")
        parser.add_argument("text", type=Path, help="a file")
        parser.add_argument("purpose")

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - Django's
        """Once for each version."""
        if Agreement.objects.filter(version=options["version"]).exists():
            raise CommandError("This version is published already.")
        text = options["text"].read_text(encoding="utf-8")
        onboarding.publish_agreement(
            options["version"], text, purpose=options["purpose"], now=timezone.now()
        )
        self.stdout.write(f"Version {options['version']} is published.")
