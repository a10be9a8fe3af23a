"""Go on after a restore: take back the missing tail from an export of the log."""

from argparse import ArgumentParser
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from exchange.ledger import check
from exchange.proof.refused import Refused
from exchange.signers import signer_for


class Command(BaseCommand):
    """`manage.py ledger_resume <folder>`: what the sequencer asks for when it refuses to run."""

    help = "Take back the entries that a restore lost, from an export or a member's mirror."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Where the tail is."""
        parser.add_argument("folder", type=Path, help="checkpoint and tile/... of the newest state")

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - Django's signature
        """Check the tail against what we have, and append it."""
        try:
            public = signer_for(settings.SIGNER_LEDGER).public
            tail = check.tail_from(options["folder"])
            count = check.resume(tail, public, now=datetime.now(UTC))
        except FileNotFoundError as error:
            raise CommandError(f"The export lacks {error.filename}.") from None
        except Refused as refused:
            raise CommandError(refused.sentence) from None
        self.stdout.write(f"{count} entries were taken back; the sequencer may start.")
