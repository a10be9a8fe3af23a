"""Go on after a restore: take back the missing end of the log, or open it under a new name."""

from argparse import ArgumentParser
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from exchange.ledger import restore
from exchange.proof.refused import Refused
from exchange.signers import signer_for


class Command(BaseCommand):
    """`manage.py ledger_resume <folder>`: what the sequencer asks for when it refuses to run.

    The folder is an export (`ledger_export`, also on a replica) or a member's mirror. Only where
    that end is nowhere any more: LEDGER_NUMBER=2 for every process, and `--new-origin` with the
    last known checkpoint.
    """

    help = "Take back the entries that a restore lost, or go on under a new name without them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Where the tail is."""
        parser.add_argument("folder", type=Path, help="checkpoint and tile/... of the newest state")
        parser.add_argument(
            "--new-origin",
            action="store_true",
            help="the end is gone: `folder` is the file of the last known checkpoint",
        )

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - Django's signature
        """Check the tail against what we have, and append it."""
        try:
            publics = [signer_for(uri).public for uri in settings.SIGNER_LEDGER.split()]
            if options["new_origin"]:
                known = options["folder"].read_text("utf-8")
                lost = restore.open_anew(known, publics, now=datetime.now(UTC))
                self.stdout.write(f"{lost} entries are lost; the log goes on under a new name.")
                return
            tail = restore.tail_from(options["folder"])
            count = restore.resume(tail, publics, now=datetime.now(UTC))
        except FileNotFoundError as error:
            raise CommandError(f"The export lacks {error.filename}.") from None
        except Refused as refused:
            raise CommandError(refused.sentence) from None
        self.stdout.write(f"{count} entries were taken back; the sequencer may start.")
