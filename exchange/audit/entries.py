"""What left, and the member's own entries of the ledger."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import orjson

from exchange import ledger
from exchange.audit.page import PAGE, THE_CIRCLE, Page, member_of
from exchange.models import LedgerEntry, LedgerEvent, Release, ReleaseRecipient
from exchange.proof.refused import NotFound
from members.auth import Principal
from members.seals import for_member


@dataclass(frozen=True, slots=True)
class Outflow:
    """One release of one's own objects to one recipient."""

    at: datetime
    recipient: str
    circle: str
    objects: int
    index: int
    contribution_id: UUID | None
    floor: str


@dataclass(frozen=True, slots=True)
class EntryRow:
    """One ledger entry of one's own member."""

    index: int
    kind: str
    slot: str
    seq: int
    what: str
    at: datetime | None
    release_id: UUID | None


def outflow(principal: Principal, *, since: datetime) -> tuple[Outflow, ...]:
    """What left the member since then: one row for each release and recipient."""
    rows = (
        ReleaseRecipient.objects.filter(
            member_id=member_of(principal),
            told_here=True,
            idx__isnull=False,
            release__committed_at__gte=since,
        )
        .exclude(recipient_id=principal.member_id)
        .select_related("release__circle", "release__floor", "recipient")
        .order_by("-idx")[:PAGE]
    )
    return tuple(
        Outflow(
            at=row.release.committed_at,
            recipient=row.recipient.name if row.recipient else THE_CIRCLE,
            circle=row.release.circle.name if row.release.circle else "",
            objects=_told_of(row.release),
            index=row.idx or 0,
            contribution_id=row.release.contribution_id,
            floor=row.release.floor.version,
        )
        for row in rows
    )


def entries(principal: Principal, *, slot: str, before: int | None = None) -> Page:
    """The member's own entries of the ledger in one slot, newest first."""
    member_id = member_of(principal)
    owner = {"to": "to_member_id", "from": "from_member_id"}.get(slot)
    if owner is None:
        raise NotFound
    rows = LedgerEntry.objects.filter(**{owner: member_id}, idx__lt=ledger.published_size())
    if before is not None:
        rows = rows.filter(idx__lt=before)
    page = list(rows.order_by("-idx")[: PAGE + 1])
    shown = page[:PAGE]
    refs = [row.ref for row in shown if row.ref is not None]
    parts = {
        part.id: part
        for part in ReleaseRecipient.objects.filter(id__in=refs).select_related(
            "release__circle", "recipient"
        )
    }
    events = {event.id: event for event in LedgerEvent.objects.filter(id__in=refs)}
    made = tuple(_entry(row, slot, parts, events) for row in shown)
    return Page(made, str(shown[-1].idx) if len(page) > PAGE else "")


def _entry(
    row: LedgerEntry,
    slot: str,
    parts: Mapping[int, ReleaseRecipient],
    events: Mapping[int, LedgerEvent],
) -> EntryRow:
    seq = row.to_seq if slot == "to" else row.from_seq
    part = parts.get(row.ref or 0) if row.kind in ("release", "recall") else None
    event = events.get(row.ref or 0) if part is None else None
    return EntryRow(
        index=row.idx,
        kind=row.kind,
        slot=slot,
        seq=seq or 0,
        what=_what(part, slot) if part else _EVENTS.get(row.kind, row.kind),
        at=part.release.committed_at if part else event.at if event else None,
        release_id=part.release_id if part else None,
    )


def _told_of(release: Release) -> int:
    """How many objects its contributor is told of: who had equal bytes before got fewer."""
    if not release.told or release.member_id is None:
        return release.count
    seal = for_member(release.member_id)
    return len(orjson.loads(seal.open(bytes(release.told), aad=b"told:" + release.id.bytes)))


def _what(part: ReleaseRecipient, slot: str) -> str:
    count = part.release.count if slot == "to" else _told_of(part.release)
    objects = "1 object" if count == 1 else f"{count} objects"
    circle = part.release.circle.name if part.release.circle else ""
    if part.release.kind == Release.Kind.RECALL:
        whom = part.recipient.name if part.recipient else THE_CIRCLE
        return f"Taken back from {'you' if slot == 'to' else whom}: {objects}"
    if slot == "to":
        return f"You received {objects}" + (f" in {circle}" if circle else ", public constants")
    return f"{objects} to {part.recipient.name if part.recipient else THE_CIRCLE} in {circle}"


_EVENTS = {
    "contribution": "Your contribution was accepted",
    "decision": "A hold on your object was decided",
    "read": "Your original was opened by somebody else",
    "policy": "A policy took effect",
    "key": "A key of the exchange changed",
    "statement": "The daily statement",
    "receipt": "You took what was released to you",
    "erase": "Bytes of a recalled object were erased",
}
