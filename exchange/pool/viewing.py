"""A member sees in words what one of its extracts gave away: made by who alone can open it.

1. a person of the member asks; the read is in the ledger before anything is opened
2. the worker of the pool has a child open the extract and put it in words, sealed for the member
3. who asked reads it for an hour, then the words are gone
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from secrets import token_bytes
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db import transaction

from exchange import children, ledger
from exchange.celery import nudge
from exchange.models.pool import Extract, ExtractKey, ExtractView, SealedExtract
from exchange.pool import kept
from exchange.pool.sending import Sent, as_sent
from exchange.proof.refused import Forbidden, NotFound, Refused
from indicators.detection import sealing, taking
from members.auth import Principal
from members.seals import for_member

LASTS = timedelta(hours=1)
AT_ONCE = 5  # open views of one person
MEMORY = 200 << 20
SECONDS = 30
_AGAIN = 10
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Shown:
    """One's own extract in words; none while they are being made."""

    extract: Sent
    state: str
    until: datetime | None
    words: Mapping[str, Any] | None


@transaction.atomic
def ask(principal: Principal, extract_id: UUID, *, now: datetime) -> UUID:
    """Have one's own extract put in words; the id of what is asked for."""
    member_id, user_id = _reader(principal)
    row = Extract.objects.filter(pk=extract_id, member_id=member_id).first()
    if row is None or row.state != Extract.State.TAKEN or row.day is None:
        raise NotFound
    mine = ExtractView.objects.filter(user_id=user_id, asked_at__gt=now - LASTS)
    if (
        same := mine.filter(extract=row).exclude(state=ExtractView.State.FAILED).first()
    ) is not None:
        return same.id
    if mine.count() >= AT_ONCE:
        said = f"You look at {AT_ONCE} extracts already: each for an hour."
        raise Refused("extract.views", said)
    view = ExtractView(extract=row, member_id=member_id, user_id=user_id, asked_at=now)
    view.save(force_insert=True)
    about = {"what": "extract", "extract": str(row.id), "day": row.day.isoformat()}
    audit = {**about, "user": str(user_id)}
    ledger.record("read", by=member_id, slots={"from": about, "audit": audit}, now=now)  # 1
    transaction.on_commit(lambda: nudge("exchange.tasks.show_extracts", queue="pool"))
    return view.id


def show(principal: Principal, view_id: UUID, *, now: datetime) -> Shown:
    """What was asked for, for who asked; gone after an hour."""
    member_id, user_id = _reader(principal)
    rows = ExtractView.objects.select_related("extract")
    view = rows.filter(pk=view_id, member_id=member_id, user_id=user_id).first()
    if view is None or view.asked_at + LASTS <= now:
        raise NotFound
    sent = as_sent(view.extract)
    if view.state != ExtractView.State.MADE or not view.sealed:
        return Shown(sent, view.state, None, None)
    key = for_member(member_id).open(bytes(view.key), aad=_aad(view.id))
    words = sealing.open_seal(key, bytes(view.sealed), aad=_aad(view.id))  # 3
    return Shown(sent, view.state, view.asked_at + LASTS, json.loads(words))


def waiting() -> bool:
    """Whether anybody waits for words."""
    return ExtractView.objects.filter(state=ExtractView.State.ASKED).exists()


def make(*, now: datetime) -> int:
    """Put in words what is asked for; how many were made. For the worker that holds POOL_KEY."""
    made = 0
    for _ in range(_AGAIN):
        with transaction.atomic():
            rows = ExtractView.objects.select_for_update(skip_locked=True, of=("self",))
            view = rows.filter(state=ExtractView.State.ASKED).order_by("asked_at").first()
            if view is None:
                break
            made += _made(view, now=now)
    return made


def clear(*, now: datetime) -> int:
    """Words that were shown for an hour go; so does what was never made."""
    old = ExtractView.objects.filter(asked_at__lte=now - LASTS)
    old.filter(state=ExtractView.State.ASKED).update(state=ExtractView.State.FAILED, made_at=now)
    return old.exclude(sealed=b"").update(sealed=b"", key=b"")


def _made(view: ExtractView, *, now: datetime) -> bool:
    try:
        sealed, key = _words(view)  # 2
    except Refused as refused:
        log.warning("extract.not-shown", view=str(view.id), code=refused.code)
        ExtractView.objects.filter(pk=view.pk).update(state=ExtractView.State.FAILED, made_at=now)
        return False
    ExtractView.objects.filter(pk=view.pk).update(
        state=ExtractView.State.MADE, made_at=now, sealed=sealed, key=key
    )
    return True


def _words(view: ExtractView) -> tuple[bytes, bytes]:
    """The words, sealed by the child that made them, and the key to them under the member's own."""
    body = SealedExtract.objects.filter(extract_id=view.extract_id).first()
    if body is None:
        raise Refused("extract.gone", "This day is no longer in the pool.")
    wrapped = ExtractKey.objects.filter(member_id=body.member_id, day=body.day).first()
    if wrapped is None or not settings.POOL_KEY:
        raise Refused("extract.gone", "This day is no longer in the pool.")
    place = kept.aad(body.member_id, body.day, body.extract_id)
    own = token_bytes(sealing.KEY)
    feed = taking.framed(
        (
            sealing.unwrap(settings.POOL_KEY, bytes(wrapped.wrapped), aad=place),
            place,
            bytes(body.sealed),
            own,
            token_bytes(sealing.NONCE),
            _aad(view.id),
        )
    )
    made = children.run("indicators.detection.showing", feed, memory=MEMORY, seconds=SECONDS)
    return made, for_member(view.member_id).seal(own, aad=_aad(view.id))


def _reader(principal: Principal) -> tuple[UUID, UUID]:
    if principal.member_id is None or not principal.may("read-own-extracts"):
        raise NotFound
    if principal.user_id is None:
        raise Forbidden("A person looks at an extract, not a machine.")
    return principal.member_id, principal.user_id


def _aad(view_id: UUID) -> bytes:
    return b"extract-view:" + view_id.bytes
