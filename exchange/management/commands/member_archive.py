"""`manage.py member_archive`: the archive of a member that has left, for its own key alone."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from exchange import archive, keyring
from exchange.proof.refused import Refused
from members.models import Member


class Command(BaseCommand):
    """Run it with the owner's database role and the bundle signer."""

    help = "Write a left member's openings and bundles, enveloped for its certificate (CMS)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Who left, its certificate, and where to."""
        parser.add_argument("member", help="its short name")
        parser.add_argument("certificate", type=Path, help="PEM, RSA, from the member itself")
        parser.add_argument("folder", type=Path)

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - Django's
        """Say how many files there are and how the member opens one."""
        row = Member.objects.filter(slug=options["member"]).first()
        if row is None:
            raise CommandError("There is no such member.")
        now, folder = timezone.now(), options["folder"]
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            signer = keyring.signer("bundle")
            made = archive.write_enveloped(
                row, options["certificate"].read_bytes(), folder, signer=signer, now=now
            )
        except (Refused, ValueError, TypeError) as error:
            sentence = getattr(error, "sentence", "That is no RSA certificate.")
            raise CommandError(sentence) from None
        self.stdout.write(
            f"{made} files. The member opens one with: openssl cms -decrypt -binary -inform DER "
            "-in FILE -inkey KEY -out FILE.zip"
        )
