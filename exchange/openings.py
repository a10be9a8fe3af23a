"""Openings of originals by people outside their contributor: recorded before anything is shown.

The forum's counsel opens what is held, alone and for one look. The forum's officer opens what was
released, together with the contributor's officer: one asks, the other consents, both in writing.
The operator has no way here.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from django.db import connection, transaction

from exchange import audiences, ledger, written
from exchange.models import OriginalRead, OriginalRequest, OriginalWord
from exchange.policy import detectors, facts, holds
from exchange.proof.refused import Forbidden, NotFound, Refused
from indicators import store
from indicators.models import Version
from members.auth import Principal
from members.models import Member

FORUM_OFFICER, OFFICER, FORUM_COUNSEL = "forum-officer", "officer", "forum-counsel"
# How long the forum's officer may read once both have said yes; the database counts the same.
OPEN_FOR = timedelta(hours=24)
TOGETHER = "all texts together"
_SHOWN = 50
_FORMAL = frozenset({"type", "id", "spec_version", "created", "modified"})
_OTHER = {FORUM_OFFICER: OFFICER, OFFICER: FORUM_OFFICER}


@dataclass(frozen=True, slots=True)
class Found:
    """A text that set detectors off: where it stands, what it says, which detectors."""

    path: str
    text: str
    detectors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Look:
    """Who looks, as what, why, and at which wish of both officers where there is one."""

    principal: Principal
    role: str
    reason: str
    request_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Word:
    """One officer's word on a wish."""

    role: str
    is_yes: bool
    text: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Request:
    """A wish to read an original together, as one of the two officers sees it."""

    id: UUID
    stix_id: str
    # The contributor's own page of it; empty for the forum's officer.
    version_id: int | None
    asked_at: datetime
    state: str  # waits, open, over, declined
    words: tuple[Word, ...]
    until: datetime | None
    may_answer: bool
    may_read: bool
    reads: tuple[datetime, ...] = ()


def record(
    look: Look, version_id: int, member_id: UUID, *, about: Mapping[str, str], now: datetime
) -> None:
    """Write down that an original is opened, for its contributor and in the ledger: each time.

    None of the exchange's own is: what a run found is read as all receive it, and no further.
    """
    demand_of_a_member(member_id)
    reason = written.demand(look.reason)
    OriginalRead.objects.create(
        version_id=version_id,
        member_id=member_id,
        user_id=person(look.principal),
        role=look.role,
        request_id=look.request_id,
        sealed=written.of_read(version_id, member_id, reason),
        at=now,
    )
    ledger.record(
        "read",
        by=member_id,
        slots={
            "to": {},
            "from": {**about, "role": look.role, "reason": reason},
            "audit": {**about, "role": look.role, "user": str(look.principal.user_id)},
        },
        now=now,
    )


def person(principal: Principal) -> UUID:
    """Who writes: acts on what others contributed are people's, never a machine's."""
    if principal.user_id is None:
        raise Forbidden("A person writes this, not a machine.")
    return principal.user_id


def is_of_pool(member_id: UUID) -> bool:
    """Whether the exchange itself contributed it, as what its runs find."""
    return Member.everyone.filter(pk=member_id, is_exchange=True).exists()


def demand_of_a_member(member_id: UUID) -> None:
    """Refused for what the exchange contributes: there is nobody whose word would open it."""
    if is_of_pool(member_id):
        said = "The pool found this: nobody opens its originals, and nobody answers for them."
        raise Refused("original.of-pool", said)


def found_in(obj: Mapping[str, Any]) -> tuple[Found, ...]:
    """What the detectors find in an object, text by text; for a page that shows the text anyway."""
    _, floor = audiences.floor_in_force()
    watch = frozenset(Member.objects.values_list("name", flat=True))
    watch = watch.union(floor.document["watched_names"])
    subject = facts.read(obj)
    found = list(_found(subject, watch))
    alone = {name for one in found for name in one.detectors}
    joined = detectors.findings_in((text for _, text in holds.texts_of(subject)), watch=watch)
    rest = tuple(f"{one.id}: {one.title}" for one in joined)
    rest = tuple(name for name in rest if name not in alone)
    return (*found, *([Found(TOGETHER, "", rest)] if rest else ()))


def _found(subject: facts.Facts, watch: frozenset[str]) -> Iterator[Found]:
    for leaf in subject.leaves:
        if leaf.parts[0] in _FORMAL or not isinstance(leaf.value, str):
            continue
        names = detectors.findings(leaf.value, watch=watch)
        if names:
            titled = tuple(f"{name}: {detectors.DETECTORS[name].title}" for name in names)
            yield Found(leaf.path, leaf.value, titled)


@transaction.atomic
def ask(principal: Principal, stix_id: str, *, reason: str, now: datetime) -> UUID:
    """The forum's officer asks to read what became of this; its contributor's officer is told."""
    if FORUM_OFFICER not in principal.roles:
        raise Forbidden("Only the forum's officer asks to read an original.")
    with connection.cursor() as cursor:
        cursor.execute("SELECT version_id, member_id FROM weir_released_as(%s)", [stix_id])
        row = cursor.fetchone()
    if row is None:
        raise Refused("original.unknown", "Nothing was released under this id.", "stix_id")
    demand_of_a_member(row[1])
    return _wish(principal, FORUM_OFFICER, row, stix_id, reason=reason, now=now)


@transaction.atomic
def offer(principal: Principal, version_id: int, *, reason: str, now: datetime) -> UUID:
    """The contributor's officer asks that the forum's officer reads one of its originals."""
    member_id = principal.member_id
    if member_id is None or OFFICER not in principal.roles:
        raise Forbidden("Only your officer asks the forum's officer to read an original.")
    row = Version.objects.filter(pk=version_id, member_id=member_id).select_related("object")
    version = row.first()
    if version is None:
        raise NotFound
    name = f"{version.object.stix_type}--{version.object_id}"
    return _wish(principal, OFFICER, (version_id, member_id), name, reason=reason, now=now)


@transaction.atomic
def answer(
    principal: Principal, request_id: UUID, *, is_yes: bool, reason: str, now: datetime
) -> None:
    """The other officer's word; only with both does the original open, and only for a day."""
    row = _visible(principal).filter(pk=request_id).first()
    if row is None:
        raise NotFound
    role = _role(principal)
    said = {one.role for one in row.words.all()}
    if not role or role in said:
        raise Forbidden("The other officer's word is waited for, not yours.")
    _say(principal, role, row, is_yes=is_yes, reason=reason, now=now)
    word = "consented" if is_yes else "declined"
    _tell(row, f"reading {word}", role, principal, reason=reason, now=now)


@transaction.atomic
def open_together(
    principal: Principal, request_id: UUID, *, reason: str, now: datetime
) -> Mapping[str, Any]:
    """The forum's officer reads the original, within the day that both have opened it for."""
    row = _visible(principal).filter(pk=request_id).first()
    if row is None:
        raise NotFound
    if FORUM_OFFICER not in principal.roles:
        raise Forbidden("The original is opened for the forum's officer.")
    if not _request(principal, row, (), now=now).may_read:
        raise Refused("original.closed", "It is not open now: it needs both officers, for a day.")
    look = Look(principal, FORUM_OFFICER, reason, row.id)
    record(look, row.version_id, row.member_id, about={"request": str(row.id)}, now=now)
    found = store.originals(row.member_id, [row.version_id])
    if row.version_id not in found:
        raise NotFound
    return found[row.version_id]


def requests(principal: Principal, *, now: datetime) -> tuple[Request, ...]:
    """The wishes that concern this reader, newest first."""
    rows = list(_visible(principal).order_by("-asked_at")[:_SHOWN])
    reads = _reads(rows)
    return tuple(_request(principal, row, reads.get(row.id, ()), now=now) for row in rows)


def request(principal: Principal, request_id: UUID, *, now: datetime) -> Request:
    """One wish with both words."""
    row = _visible(principal).filter(pk=request_id).first()
    if row is None:
        raise NotFound
    return _request(principal, row, _reads([row]).get(row.id, ()), now=now)


def tasks(principal: Principal, *, now: datetime) -> tuple[Request, ...]:
    """The wishes that wait for this officer: his word, or his reading."""
    return tuple(one for one in requests(principal, now=now) if one.may_answer or one.may_read)


def _wish(
    principal: Principal,
    role: str,
    whose: tuple[int, UUID],
    stix_id: str,
    *,
    reason: str,
    now: datetime,
) -> UUID:
    version_id, member_id = whose
    row = OriginalRequest(
        id=uuid4(), version_id=version_id, member_id=member_id, stix_id=stix_id, asked_at=now
    )
    row.save(force_insert=True)
    _say(principal, role, row, is_yes=True, reason=reason, now=now)
    _tell(row, "reading asked for", role, principal, reason=reason, now=now)
    return row.id


def _say(
    principal: Principal,
    role: str,
    row: OriginalRequest,
    *,
    is_yes: bool,
    reason: str,
    now: datetime,
) -> None:
    text = written.demand(reason)
    OriginalWord.objects.create(
        request=row,
        member_id=row.member_id,
        user_id=person(principal),
        role=role,
        is_yes=is_yes,
        sealed=written.of_word(row.id, row.member_id, text),
        at=now,
    )


def _tell(
    row: OriginalRequest,
    decision: str,
    role: str,
    principal: Principal,
    *,
    reason: str,
    now: datetime,
) -> None:
    fields = {"request": str(row.id), "decision": decision, "role": role}
    ledger.record(
        "decision",
        by=row.member_id,
        slots={
            "to": {},
            "from": {**fields, "reason": reason.strip()},
            "audit": {**fields, "user": str(principal.user_id)},
        },
        now=now,
    )


def _visible(principal: Principal) -> Any:  # noqa: ANN401 - a queryset of requests
    rows = OriginalRequest.objects.prefetch_related("words")
    if FORUM_OFFICER in principal.roles:
        return rows.all()
    if principal.member_id is None or not principal.may("read-disclosures"):
        return rows.none()
    return rows.filter(member_id=principal.member_id)


def _role(principal: Principal) -> str:
    if FORUM_OFFICER in principal.roles:
        return FORUM_OFFICER
    is_own = OFFICER in principal.roles and principal.member_id is not None
    return OFFICER if is_own else ""


def _reads(rows: Sequence[OriginalRequest]) -> Mapping[UUID, tuple[datetime, ...]]:
    found: dict[UUID, tuple[datetime, ...]] = {}
    reads = OriginalRead.objects.filter(request__in=[row.id for row in rows]).order_by("at")
    for request_id, at in reads.values_list("request_id", "at"):
        if request_id is not None:
            found[request_id] = (*found.get(request_id, ()), at)
    return found


def _request(
    principal: Principal, row: OriginalRequest, reads: tuple[datetime, ...], *, now: datetime
) -> Request:
    words = sorted(row.words.all(), key=lambda one: one.at)
    said = {one.role: one for one in words}
    role = _role(principal)
    until = None
    state = "waits"
    if any(not one.is_yes for one in words):
        state = "declined"
    elif _OTHER.keys() <= said.keys():
        until = max(one.at for one in words) + OPEN_FOR
        state = "open" if now < until else "over"
    return Request(
        id=row.id,
        stix_id=row.stix_id,
        version_id=row.version_id if principal.member_id is not None else None,
        asked_at=row.asked_at,
        state=state,
        words=tuple(Word(one.role, one.is_yes, written.said(one), one.at) for one in words),
        until=until,
        may_answer=state == "waits" and bool(role) and role not in said,
        may_read=(
            state == "open" and role == FORUM_OFFICER and said[role].user_id == principal.user_id
        ),
        reads=reads,
    )
