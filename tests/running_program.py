"""What a test asks of a running exchange's database: a program, with the owner's rights."""

import json
import sys

import django

django.setup()

from django.conf import settings  # noqa: E402 - only after the set-up
from django.utils import timezone  # noqa: E402

from exchange import delivery  # noqa: E402
from exchange.management.demo import cast  # noqa: E402
from exchange.models import (  # noqa: E402
    Delivery,
    LedgerCheckpoint,
    Outcome,
    ReleaseRecipient,
)
from indicators.models import Contribution  # noqa: E402
from members import credentials, onboarding  # noqa: E402
from members.auth import Principal  # noqa: E402

SCOPES = ("taxii-read", "taxii-write", "ledger-read", "tokens", "extracts")
LABS = {"Aurora": "Ana", "Borealis": "Ben", "Cirrus": "Cleo"}
HOOKS = ("Borealis", "Ember")


def found(hooks: str) -> dict[str, str]:
    """The forum of the cast, two webhooks, and a secret for each lab with people."""
    signers = {
        "bundle": settings.SIGNER_BUNDLE,
        "delivery": settings.SIGNER_DELIVERY,
        "ledger": settings.SIGNER_LEDGER,
    }
    now = timezone.now()
    cast.found(now=now, window_seconds=1, signers=signers)
    present = cast.present()
    for lab in HOOKS:
        principal = Principal(
            member_id=present.labs[lab].id,
            user_id=present.people["Pia"].id,
            roles=frozenset({"analyst"}),
        )
        url = f"{hooks}/{lab.lower()}"
        delivery.subscribe(principal, name=lab, url=url, circle_id=None, now=now)
    wanted = credentials.Wanted("test", SCOPES)
    return {
        lab: credentials.mint(present.principal(person), wanted, now=now)[1]
        for lab, person in LABS.items()
    }


def count() -> dict[str, int]:
    """How much is done, and how much is not."""
    newest = LedgerCheckpoint.objects.order_by("-size").values_list("size", flat=True).first() or 0
    parts = ReleaseRecipient.objects.all()
    sent = Delivery.objects.filter(state="delivered", release__isnull=False)
    unrecorded = [
        row.id
        for row in sent
        if not parts.filter(
            release__deliveries=row, recipient_id=row.member_id, idx__lt=newest
        ).exists()
    ]
    return {
        "pending": Contribution.objects.filter(state="pending").count(),
        "unreleased": Outcome.objects.filter(
            outcome="accepted", released_at__isnull=True, replaced=False
        ).count(),
        "unpublished": parts.exclude(idx__lt=newest).count(),
        "undelivered": Delivery.objects.exclude(state="delivered").count(),
        "delivered": sent.count(),
        "unrecorded": len(unrecorded),
    }


def links() -> dict[str, str]:
    """What signs each of the cast in, as often as a test needs it."""
    now = timezone.now()
    return {
        name: onboarding.sign_in_link(person, now=now, uses=10)
        for name, person in cast.present().people.items()
    }


if __name__ == "__main__":
    asked = sys.argv[1]
    answer = found(sys.argv[2]) if asked == "found" else links() if asked == "links" else count()
    sys.stdout.write(json.dumps(answer) + "\n")
