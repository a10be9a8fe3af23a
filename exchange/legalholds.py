"""Legal holds: what is under one is not aged out and not erased, until who set it lifts it.

A member's counsel holds its own things, the forum's counsel anybody's. A hold stops every clock and
every erasure; nobody's recall, for that ends harm and destroys nothing.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from django.db import connection, transaction

from exchange import ledger
from exchange.models import LegalHold
from exchange.proof.refused import Forbidden, NotFound, Refused
from indicators import store
from indicators.models import Contribution, ForumObject
from members.auth import Principal
from members.models import Member
from members.roles import FORUM_COUNSEL
from members.scope import acting
from members.seals import Seal, for_forum, for_member

KINDS = tuple(LegalHold.Kind.values)
PAGE = 100
_OF_OBJECTS = ("object", "campaign")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be held: a kind, a name in it, and from when to when."""

    kind: str
    about: str = ""
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One legal hold; its reason for the side that set it."""

    id: UUID
    kind: str
    member: str
    about: str
    since: datetime | None
    until: datetime | None
    of_forum: bool
    by: str
    at: datetime
    reason: str
    lifted_at: datetime | None
    lifted_by: str
    lift_reason: str
    may_lift: bool


@dataclass(frozen=True, slots=True)
class _Target:
    """What a name leads to."""

    member_id: UUID | None
    contribution_id: UUID | None = None
    objects: tuple[UUID, ...] = ()


@transaction.atomic
def place(principal: Principal, wanted: Wanted, *, reason: str, now: datetime) -> UUID:
    """Set a hold. It holds from the commit on, for what is there and for what comes under it."""
    if not principal.may("set-legal-hold") or principal.user_id is None:
        raise Forbidden("A legal hold is set by a member's counsel or the forum's.")
    if len(reason.strip()) < 8:
        raise Refused("reason.missing", "Write down the reason, in a few words at least.", "reason")
    if wanted.kind not in KINDS:
        raise Refused("hold.kind", f"A legal hold is about one of {', '.join(KINDS)}.", "kind")
    if wanted.since and wanted.until and wanted.since > wanted.until:
        raise Refused("hold.period", "The period ends before it begins.", "until")
    if wanted.kind == "period" and not (wanted.since or wanted.until):
        raise Refused("hold.period", "Say from when, or until when.", "since")
    with acting(principal.acting()):
        target = _find(principal, wanted)
        made = LegalHold(
            id=uuid4(),
            kind=wanted.kind,
            member_id=target.member_id,
            contribution_id=target.contribution_id,
            objects_held=list(target.objects),
            since=wanted.since,
            until=wanted.until,
            of_forum=principal.member_id is None,
            user_id=principal.user_id,
            at=now,
        )
        made.sealed_reason = _seal(made).seal(reason.strip().encode(), aad=_aad(made.id))
        made.save(force_insert=True)
        _record(made, "legal-hold", principal, now=now)
    return made.id


@transaction.atomic
def lift(principal: Principal, hold_id: UUID, *, reason: str, now: datetime) -> None:
    """Lift a hold that one's own side has set, with a written reason."""
    if not principal.may("set-legal-hold") or principal.user_id is None:
        raise Forbidden("A legal hold is lifted by the counsel who may set it.")
    if len(reason.strip()) < 8:
        raise Refused("reason.missing", "Write down the reason, in a few words at least.", "reason")
    with acting(principal.acting()):
        row = LegalHold.objects.filter(pk=hold_id, lifted_at__isnull=True).first()
        if row is None or not _is_ours(principal, row):
            raise NotFound
        sealed = _seal(row).seal(reason.strip().encode(), aad=_aad(row.id))
        moved = LegalHold.objects.filter(pk=hold_id, lifted_at__isnull=True).update(
            lifted_at=now, lifted_by_id=principal.user_id, sealed_lift=sealed
        )
        if moved:
            _record(row, "legal-hold-lifted", principal, now=now)


def listed(principal: Principal) -> tuple[Row, ...]:
    """Those that stand, then those that were lifted, newest first."""
    if not principal.may("read-legal-holds"):
        raise NotFound
    with acting(principal.acting()):
        rows = LegalHold.objects.select_related("member", "user", "lifted_by").order_by("-at")
        if principal.member_id is not None:
            rows = rows.filter(member_id=principal.member_id)
        found = [_row(principal, row) for row in rows[:PAGE]]
    return tuple(sorted(found, key=lambda row: row.lifted_at is not None))


def stops(object_id: UUID, *, is_clock: bool = False) -> tuple[UUID, datetime, bool] | None:
    """The hold that stops the erasure of this object: which, since when, is it the forum's."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM weir_held_legally(%s, %s)", [object_id, is_clock])
        found: tuple[UUID, datetime, bool] | None = cursor.fetchone()
    return found


def demand_free(object_id: UUID) -> None:
    """Refuse, and name the hold, where one stops the erasure of this object."""
    found = stops(object_id)
    if found is not None:
        hold_id, at, of_forum = found
        whose = "the forum's counsel" if of_forum else "the member's counsel"
        raise Refused(
            "hold.legal",
            f"The legal hold {str(hold_id)[:8]} of {at:%Y-%m-%d}, set by {whose}, stops every "
            "erasure of it. Ask who set it; a recall without erasing is not stopped.",
            "erases",
        )


def refresh() -> int:
    """What a campaign's hold covers grows with what is contributed: look again."""
    rows = LegalHold.objects.filter(kind="campaign", lifted_at__isnull=True)
    for row in rows:
        covered = _campaign(row.objects_held[0], own_only=not row.of_forum)
        # What was covered stays covered, whatever was taken out of the forum meanwhile.
        both = [row.objects_held[0], *sorted({*row.objects_held[1:], *covered}, key=str)]
        LegalHold.objects.filter(pk=row.pk).update(objects_held=list(dict.fromkeys(both)))
    return len(rows)


def _find(principal: Principal, wanted: Wanted) -> _Target:
    """Where the name leads, within what this counsel may hold; NotFound for all else."""
    own = principal.member_id
    if wanted.kind == "period":
        return _Target(own)
    if wanted.kind == "member":
        if own is not None:
            return _Target(own)
        member = Member.objects.filter(slug=wanted.about).first()
        if member is None:
            raise NotFound
        return _Target(member.id)
    if wanted.kind == "contribution":
        row = _contribution(principal, wanted.about)
        return _Target(row.member_id, contribution_id=row.id)
    obj = _object(principal, wanted.about)
    if wanted.kind == "campaign":
        if obj.stix_type != "campaign":
            raise NotFound
        covered = _campaign(obj.id, own_only=own is not None)
        others = sorted({*covered} - {obj.id}, key=str)
        # Others' things are held with it, so it is about no one member of the forum's counsel's.
        return _Target(own, objects=(obj.id, *others))
    return _Target(obj.member_id, objects=(obj.id,))


def _contribution(principal: Principal, name: str) -> Contribution:
    rows = Contribution.objects.all()
    if principal.member_id is not None:
        rows = rows.filter(member_id=principal.member_id)
    try:
        found = rows.filter(pk=UUID(name)).first()
    except ValueError:
        found = None
    if found is None:
        raise NotFound
    return found


def _object(principal: Principal, name: str) -> ForumObject:
    rows = ForumObject.objects.all()
    own = principal.member_id
    if own is not None:
        rows = rows.filter(member_id=own)
        mine = rows.filter(id_digest=store.name_digest(own, name)) if name.isprintable() else ()
        for row in mine:
            return row
    kind, _, pk = name.partition("--")
    try:
        found = rows.filter(pk=UUID(pk), stix_type=kind).first()
    except ValueError:
        found = None
    if found is None:
        raise NotFound
    return found


def _campaign(object_id: UUID, *, own_only: bool) -> list[UUID]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT weir_campaign_objects(%s, %s)", [object_id, own_only])
        found: list[UUID] = cursor.fetchone()[0]
    return found


def _record(row: LegalHold, decision: str, principal: Principal, *, now: datetime) -> None:
    """A `decision` of the ledger: the member concerned sees that it stands, not why."""
    fields = {"decision": decision, "hold": str(row.id), "about": row.kind}
    role = "forum-counsel" if row.of_forum else "counsel"
    audit = {**fields, "role": role, "user": str(principal.user_id)}
    slots = (
        {"audit": audit, "from": {**fields, "role": role}} if row.member_id else {"audit": audit}
    )
    ledger.record("decision", by=row.member_id, slots=slots, now=now)


def _row(principal: Principal, row: LegalHold) -> Row:
    is_ours = _is_ours(principal, row)
    return Row(
        id=row.id,
        kind=row.kind,
        member=row.member.name if row.member else "",
        about=_about(row),
        since=row.since,
        until=row.until,
        of_forum=row.of_forum,
        by=row.user.name if is_ours else "",
        at=row.at,
        reason=_open(row, row.sealed_reason) if is_ours else "",
        lifted_at=row.lifted_at,
        lifted_by=row.lifted_by.name if row.lifted_by and is_ours else "",
        lift_reason=_open(row, row.sealed_lift) if is_ours and row.sealed_lift else "",
        may_lift=is_ours and row.lifted_at is None and principal.may("set-legal-hold"),
    )


def _about(row: LegalHold) -> str:
    if row.contribution_id is not None:
        return str(row.contribution_id)
    if row.kind in _OF_OBJECTS and row.objects_held:
        more = len(row.objects_held) - 1
        return f"{row.objects_held[0]}" + (f" and {more} with it" if more else "")
    return ""


def _is_ours(principal: Principal, row: LegalHold) -> bool:
    if row.of_forum:
        return FORUM_COUNSEL in principal.roles or "forum-officer" in principal.roles
    return principal.member_id is not None and row.member_id == principal.member_id


def _seal(row: LegalHold) -> Seal:
    if row.of_forum or row.member_id is None:
        return for_forum()
    return for_member(row.member_id)


def _open(row: LegalHold, sealed: bytes | memoryview) -> str:
    return _seal(row).open(bytes(sealed), aad=_aad(row.id)).decode()


def _aad(hold_id: UUID) -> bytes:
    return b"legal-hold:" + hold_id.bytes
