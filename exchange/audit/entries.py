"""What left, and the member's own entries of the ledger."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import orjson

from exchange import ledger
from exchange.audit.page import PAGE, THE_CIRCLE, Page, member_of
from exchange.ledger.intake import event_aad, seal
from exchange.models import LedgerEntry, LedgerEvent, Release, ReleaseRecipient
from exchange.proof.refused import NotFound, Refused
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
        what=_what(part, slot) if part else _said(row, event, slot),
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


# What is recorded beside releases, by its kind; a more exact sentence is chosen below.
_EVENTS = {
    "contribution": "Your contribution was accepted",
    "decision": "Something of yours was decided",
    "read": "Your original was opened by somebody else",
    "policy": "A policy took effect",
    "key": "A key of the exchange changed",
    "statement": "The daily statement",
    "receipt": "You took what was released to you",
    "erase": "Bytes of a recalled object were erased",
}

# By what a decision is about, and its word: the field that names its object tells them apart.
_DECISIONS = {
    ("algorithm", "submit"): "Your algorithm was handed to a second person",
    ("algorithm", "approve"): "Your algorithm was approved by a second person",
    ("algorithm", "send-back"): "Your algorithm was sent back to its author",
    ("algorithm", "discard"): "Your algorithm was put aside",
    ("algorithm", "review"): "The forum's counsel reviewed your algorithm",
    ("algorithm", "activate"): "Your algorithm was put in force",
    ("algorithm", "lift"): "The suspension of your algorithm was lifted",
    ("algorithm", "withdraw"): "Your algorithm was withdrawn",
    ("hold", "open"): "An object of yours was held",
    ("hold", "ask"): "You were asked about an object of yours that is held",
    ("hold", "answer"): "Your answer on a held object was recorded",
    ("hold", "approve"): "One of two approvals for your held object was given",
    ("hold", "legal-hold"): "A legal hold began",
    ("hold", "legal-hold-lifted"): "A legal hold was lifted",
    ("policy", "approved"): "A draft of your policy was approved",
    ("policy", "sent-back"): "A draft of your policy was sent back",
    ("recall", "lift"): "The stop of a recalled object was lifted",
    ("request", "person-asked"): "A person's request was entered",
    ("request", "person-approved"): "A person's request was approved",
    ("request", "person-refused"): "A person's request was refused",
    ("request", "person-done"): "A person's request was carried out",
    ("request", "reading asked for"): "A reading of your original was asked for",
}
# Where the field alone says it.
_ABOUT = {
    "algorithm": "Your algorithm went a step on",
    "policy": "A draft of your policy was decided",
    "extract": "Your extract was taken into the pool",
    "hold": "A hold on your object was decided",
    "holds": "Objects of yours were held",
    "recall": "An object of yours was recalled",
    "attestation": "What you passed on by another way was stated",
    "again": "A range of what you gave is released again",
    "request": "A request to read your original was answered",
    "circle": "Your membership changed",
}
# Of things that are no originals.
_OF_EXTRACTS = {
    "read": "Your extract was shown to one of your people",
    "erase": "Days of your extracts were erased with their keys",
}


def _said(row: LedgerEntry, event: LedgerEvent | None, slot: str) -> str:
    """What an entry beside releases records; its fields choose the sentence, and none is shown."""
    general = _EVENTS.get(row.kind, row.kind)
    if event is None or row.kind not in ("decision", *_OF_EXTRACTS):
        return general
    try:
        slots = orjson.loads(seal().open(bytes(event.slots), aad=event_aad(event.id)))
    except Refused:
        return general  # the bytes are gone, or changed: `opening` says which
    fields = slots.get(slot, {})
    if row.kind != "decision":
        return _OF_EXTRACTS[row.kind] if fields.get("what") == "extract" else general
    word = fields.get("decision", "")
    about = next((name for name in _ABOUT if name in fields), "")
    return _DECISIONS.get((about, word)) or _ABOUT.get(about, general)
