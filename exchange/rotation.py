"""Rotate the exchange's signing keys, and take back the word of one that was stolen."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction

from exchange import delivery, mail
from exchange.ledger import keys
from exchange.models import SigningKey
from exchange.proof.keys import Signer, verify
from exchange.proof.refused import Refused
from members.models import Member

_TOLD = ("officer", "counsel", "administrator", "analyst")
_FORUM = ("officer", "counsel", "operator")


def announce(purpose: str, signer: Signer, *, now: datetime) -> SigningKey:
    """Publish the next key, whose owner has shown that it signs."""
    _check(signer)
    starts_at = now + timedelta(days=settings.KEY_NOTICE_DAYS)
    return keys.announce_next(purpose, signer.public, starts_at=starts_at, now=now)


def switch(purpose: str, *, now: datetime) -> SigningKey:
    """Let the announced key sign from now on."""
    return keys.switch(purpose, now=now)


@transaction.atomic
def revoke(kid: str, *, successor: Signer | None, now: datetime) -> int:
    """Take a key's word back, let its successor sign, and tell every member; how many notices.

    1. the key and its successor, in the key set and in the ledger
    2. a signed notice for every subscription, under a key that is not revoked
    3. a mail for everybody of every member
    """
    if successor is not None:
        _check(successor)
    row = keys.revoke(kid, successor=successor.public if successor else None, now=now)  # 1
    count = delivery.notify(row.kid, now=now)  # 2
    for member_id in Member.objects.exclude(state=Member.State.LEFT).values_list("id", flat=True):
        mail.write("key", member_id=member_id, roles=_TOLD, now=now)  # 3
    mail.write("key", member_id=None, roles=_FORUM, now=now)
    return count


def _check(signer: Signer) -> None:
    message = b"weir: this key signs"
    try:
        verify(signer.public, signer.sign(message), message)
    except Refused:
        raise Refused("keys.faulty", "The key does not sign what its public half checks.") from None
