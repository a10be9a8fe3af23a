"""Rotate and revoke signing keys; the drill for a stolen one is in deploy/README.md."""

from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from exchange import rotation
from exchange.ledger.keys import PURPOSES
from exchange.models import SigningKey
from exchange.proof.refused import Refused
from exchange.signers import signer_for


class Command(BaseCommand):
    """Run it with the owner's database role."""

    help = "List, announce, switch and revoke the keys with which the exchange signs."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """What is to be done, with which key."""
        acts = parser.add_subparsers(dest="act", required=True)
        acts.add_parser("list", help="all keys, the newest first")
        one = acts.add_parser("announce", help="publish the key that comes next")
        one.add_argument("purpose", choices=PURPOSES)
        one.add_argument("--signer", required=True, help="its URI, as in SIGNER_BUNDLE")
        one = acts.add_parser("switch", help="let the announced key sign from now on")
        one.add_argument("purpose", choices=PURPOSES)
        one = acts.add_parser("revoke", help="take a key's word back, and tell every member")
        one.add_argument("kid")
        one.add_argument("--signer", help="the new key, where none is announced as the next")

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - Django's signature
        """Do it, and say what holds then."""
        now = timezone.now()
        try:
            self.stdout.write(self._done(options, now=now))
        except Refused as refused:
            raise CommandError(refused.sentence) from None

    def _done(self, options: dict[str, Any], *, now: datetime) -> str:
        if options["act"] == "announce":
            row = rotation.announce(options["purpose"], signer_for(options["signer"]), now=now)
            return f"{row.kid} is announced: switch to it from {row.starts_at:%Y-%m-%d %H:%M} UTC."
        if options["act"] == "switch":
            row = rotation.switch(options["purpose"], now=now)
            return f"{row.kid} is the active {row.purpose} key."
        if options["act"] == "revoke":
            successor = signer_for(options["signer"]) if options["signer"] else None
            count = rotation.revoke(options["kid"], successor=successor, now=now)
            return f"{options['kid']} is revoked; {count} subscriptions get a signed notice."
        rows = SigningKey.objects.order_by("-starts_at", "purpose")
        return "\n".join(
            f"{row.purpose:9}{row.status:9}{row.starts_at:%Y-%m-%d} {row.kid}" for row in rows
        )
