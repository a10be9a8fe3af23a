"""Write the published log as static files."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from exchange.ledger import export
from exchange.proof.refused import Refused


class Command(BaseCommand):
    """`manage.py ledger_export <folder>`."""

    help = "Write the checkpoint and the tiles as files that any tlog client reads."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Where to."""
        parser.add_argument("folder", type=Path)

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - Django's signature
        """Write it and say how much."""
        try:
            size = export.write(options["folder"])
        except Refused:
            raise CommandError("Nothing is published yet.") from None
        self.stdout.write(f"{size} entries are in {options['folder']}.")
