"""Enter a member's witness key, or end it: `manage.py witness <member> [<vkey>]`."""

from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from exchange.ledger import witnesses
from exchange.proof.refused import Refused
from members.models import Member


class Command(BaseCommand):
    """Run it with the owner's database role; the key came from the member, on another way."""

    help = "Enter the key by which a member's witness cosigns; without a key, end the one it has."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Whose, and which."""
        parser.add_argument("member", help="the member's short name")
        parser.add_argument("vkey", nargs="?", help="name+hex+base64, a key of type 4")

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - Django's signature
        """What is entered or ended here is recorded, and shown to every member."""
        member = Member.objects.filter(slug=options["member"]).first()
        if member is None:
            raise CommandError("There is no such member.")
        now = datetime.now(UTC)
        if options["vkey"] is None:
            if not witnesses.end(member, now=now):
                raise CommandError(f"{member.name} has no witness.")
            self.stdout.write(f"The witness of {member.name} counts no longer.")
            return
        try:
            witnesses.add(member, options["vkey"], now=now)
        except Refused as refused:
            raise CommandError(refused.sentence) from None
        self.stdout.write(f"{member.name} has a witness; {witnesses.quorum()} must cosign.")
