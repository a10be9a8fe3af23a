"""The compliance officer's questions, each one function: who got what, when, under which rule.

Whoever asks gets answers about its own member's contributions and entries only.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from django.db import connection
from django.db.models import Count, Exists, OuterRef, Q

from exchange import audiences, departures, ledger, lens, written
from exchange.departures import Departure
from exchange.models import (
    FloorPolicy,
    Hold,
    HoldAct,
    LedgerCheckpoint,
    LedgerEntry,
    LedgerEvent,
    LedgerHead,
    OriginalRead,
    Outcome,
    Release,
    ReleaseItem,
    ReleaseRecipient,
)
from exchange.policy import explain, prose, windows
from exchange.proof.refused import NotFound
from indicators import store
from indicators.models import Contribution, Item, Version
from members.auth import Principal
from members.models import Circle, CircleMember, User
from members.seals import for_member

PAGE = 25
THE_CIRCLE = "the circle"


@dataclass(frozen=True, slots=True)
class ContributionRow:
    """One contribution in the list of one's own."""

    id: UUID
    received_at: datetime
    circle: str
    source: str
    state: str
    total: int
    failures: int
    # What has not left, by outcome.
    waiting: tuple[tuple[str, int], ...]
    left: int
    by: str


@dataclass(frozen=True, slots=True)
class Became:
    """What became of one object of a contribution, and why."""

    position: int
    stix_id: str
    stix_type: str
    outcome: str
    sentence: str
    version_id: int | None = None
    departure: Departure | None = None
    receivers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ContributionView:
    """A contribution with every object accounted for; the counts add up to the total."""

    row: ContributionRow
    default_basis: tuple[str, ...]
    counts: tuple[tuple[str, int], ...]
    items: tuple[Became, ...]
    is_pending: bool
    # Whether the page has a reason to ask again.
    is_moving: bool
    more: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """One act on an object that its contributor is told of: a hold's act, or a read."""

    at: datetime
    sentence: str
    reason: str


@dataclass(frozen=True, slots=True)
class OwnObject:
    """One's own object beside what each audience got, or would get, of it."""

    version_id: int
    stix_id: str
    stix_type: str
    original: Mapping[str, Any]
    contribution_id: UUID
    circle: str
    outcome: str
    sensitivity: str
    departure: Departure
    holds: tuple[tuple[str, str, str, str], ...]
    told: tuple[Told, ...]
    views: tuple[lens.AudienceView, ...]


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


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows, and where the next ones start."""

    rows: tuple[Any, ...]
    next: str = ""


@dataclass(frozen=True, slots=True)
class CircleCard:
    """A circle with its members and their people, as the directory has them."""

    id: UUID
    name: str
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who acts for a member or for the forum."""

    name: str
    email: str
    roles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Policies:
    """The floor in force, when its windows open next, and the legal bases of the day."""

    floor_version: str
    floor_since: datetime
    floor_digest: str
    words: tuple[explain.Section, ...]
    windows: tuple[tuple[str, datetime], ...] = field(default=())
    # The basis that a release names now, empty where none is in force.
    basis: str = ""
    bases: tuple[prose.Basis, ...] = ()
    lapsed: tuple[prose.Basis, ...] = ()


def contributions(principal: Principal, *, before: datetime | None = None) -> Page:
    """The member's own contributions, newest first."""
    rows = Contribution.objects.filter(member_id=_member(principal))
    if before is not None:
        rows = rows.filter(received_at__lt=before)
    page = list(rows.select_related("circle", "user").order_by("-received_at")[: PAGE + 1])
    shown = page[:PAGE]
    counts = _outcome_counts([row.id for row in shown])
    cut = shown[-1].received_at.isoformat() if len(page) > PAGE else ""
    return Page(tuple(_contribution_row(row, counts[row.id]) for row in shown), cut)


def contribution(
    principal: Principal,
    contribution_id: UUID,
    *,
    after: int = -1,
    limit: int = 200,
    now: datetime,
) -> ContributionView:
    """What became of each object of one's own contribution, and who received it."""
    row = (
        Contribution.objects.filter(pk=contribution_id, member_id=_member(principal))
        .select_related("circle", "user")
        .first()
    )
    if row is None:
        raise NotFound
    counts = _outcome_counts([row.id])[row.id]
    is_pending = row.state == Contribution.State.PENDING
    items = Item.objects.filter(contribution=row, position__gt=after).select_related(
        "version__object"
    )
    page = list(items.order_by("position")[: limit + 1])
    shown = page[:limit]
    became = tuple(_became(shown, row, now=now)) if not is_pending else ()
    return ContributionView(
        row=_contribution_row(row, counts),
        default_basis=tuple(row.default_basis),
        counts=_sums(row, counts),
        items=became,
        is_pending=is_pending,
        is_moving=is_pending or counts[Outcome.Kind.ACCEPTED] > 0,
        more=len(page) > limit,
    )


def own_object(principal: Principal, version_id: int, *, now: datetime) -> OwnObject:
    """One's own object as contributed, as each audience sees it, and every act on it."""
    member_id = _member(principal)
    version = (
        Version.objects.filter(pk=version_id, member_id=member_id).select_related("object").first()
    )
    if version is None:
        raise NotFound
    original = store.originals(member_id, [version_id]).get(version_id)
    outcome = Outcome.objects.filter(version=version).select_related("circle").order_by("id").last()
    if original is None or outcome is None:
        raise NotFound
    holds = tuple(Hold.objects.filter(outcome__version=version).order_by("opened_at", "rule"))
    return OwnObject(
        version_id=version_id,
        stix_id=str(original["id"]),
        stix_type=str(original["type"]),
        original=original,
        contribution_id=version.contribution_id,
        circle=outcome.circle.name,
        outcome=outcome.outcome,
        sensitivity=outcome.sensitivity,
        departure=departures.of(
            outcome,
            [hold for hold in holds if hold.outcome_id == outcome.id],
            audiences.in_force(member_id),
            waits=departures.waiting([outcome]),
            now=now,
        ),
        holds=tuple((h.field_class, h.rule, h.reason, h.state) for h in holds),
        told=_told(version, holds),
        views=lens.views(principal, version_id, now=now),
    )


def received(principal: Principal, version_id: int, *, at: datetime) -> tuple[lens.Received, ...]:
    """What each recipient had received of one's own object by a moment."""
    _member(principal)
    return lens.received(principal, version_id, at=at)


def outflow(principal: Principal, *, since: datetime) -> tuple[Outflow, ...]:
    """What left the member since then: one row for each release and recipient."""
    rows = (
        ReleaseRecipient.objects.filter(
            member_id=_member(principal),
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
    member_id = _member(principal)
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


def circles(principal: Principal) -> tuple[CircleCard, ...]:
    """The circles that the caller's member is in; for the forum's people, all."""
    rows = Circle.objects.order_by("name")
    if principal.member_id is not None:
        mine = CircleMember.objects.filter(member_id=principal.member_id, left_at__isnull=True)
        rows = rows.filter(id__in=mine.values("circle_id"))
    names: dict[UUID, list[str]] = defaultdict(list)
    inside = CircleMember.objects.filter(circle__in=rows, left_at__isnull=True)
    for circle_id, name in inside.order_by("member__name").values_list("circle_id", "member__name"):
        names[circle_id].append(name)
    return tuple(CircleCard(row.id, row.name, tuple(names[row.id])) for row in rows)


def people(principal: Principal) -> tuple[Person, ...]:
    """The people of the caller's own member; for the forum's people, the forum's own."""
    everybody = User.objects.filter(is_active=True)
    if principal.member_id is None:
        rows = everybody.filter(member__isnull=True)
    else:
        rows = everybody.filter(member_id=principal.member_id)
    return tuple(
        Person(row.name, row.email, tuple(sorted(one.role for one in row.role_rows.all())))
        for row in rows.order_by("name").prefetch_related("role_rows")
    )


def policies(*, now: datetime) -> Policies:
    """The floor in force, when its windows open next, and the legal bases of the day."""
    floor_id, floor = audiences.floor_in_force()
    row = FloorPolicy.objects.get(pk=floor_id)
    bases = prose.bases(floor.document, on=now.date())
    return Policies(
        floor_version=row.version,
        floor_since=row.effective_at,
        floor_digest=bytes(row.digest).hex(),
        words=explain.floor_in_words(floor),
        windows=tuple((name, windows.opening(floor, name, after=now)) for name in _WINDOWS),
        basis=floor.legal_basis(now.date()) or "",
        bases=tuple(one for one in bases if one.is_in_force),
        lapsed=tuple(one for one in bases if one.has_lapsed),
    )


_WINDOWS = ("S1", "S2", "S3")


def _member(principal: Principal) -> UUID:
    if principal.member_id is None:
        raise NotFound
    return principal.member_id


def _contribution_row(row: Contribution, counts: Counter[str]) -> ContributionRow:
    return ContributionRow(
        id=row.id,
        received_at=row.received_at,
        circle=row.circle.name,
        source=row.source,
        state=row.state,
        total=row.total,
        failures=row.failures,
        waiting=tuple((kind, counts[kind]) for kind in Outcome.Kind.values if counts[kind]),
        left=counts["left"],
        by=row.user.name if row.user else "a credential",
    )


def _outcome_counts(ids: Sequence[UUID]) -> Mapping[UUID, Counter[str]]:
    counts: dict[UUID, Counter[str]] = defaultdict(Counter)
    rows = (
        Outcome.objects.filter(contribution_id__in=ids)
        .values("contribution_id", "outcome")
        .annotate(n=Count("id"), left=Count("id", filter=Q(released_at__isnull=False)))
    )
    for row in rows:
        counts[row["contribution_id"]][row["outcome"]] = row["n"] - row["left"]
        counts[row["contribution_id"]]["left"] += row["left"]
    return counts


def _sums(row: Contribution, counts: Counter[str]) -> tuple[tuple[str, int], ...]:
    """The outcomes with their numbers; what has none here was known, late or a constant."""
    if row.state == Contribution.State.PENDING:
        return ()
    named = [("released", counts["left"]), *((kind, counts[kind]) for kind in Outcome.Kind.values)]
    other = row.successes - sum(n for _, n in named)
    sums = [*named, ("stored", max(other, 0)), ("refused", row.failures)]
    return tuple((name, n) for name, n in sums if n)


def _became(items: Sequence[Item], row: Contribution, *, now: datetime) -> list[Became]:
    versions = [item.version_id for item in items if item.version_id is not None]
    outcomes = {
        outcome.version_id: outcome
        for outcome in Outcome.objects.filter(version_id__in=versions, circle_id=row.circle_id)
    }
    receivers = _receivers([outcome.id for outcome in outcomes.values()], row)
    leaving = _departures(list(outcomes.values()), row.member_id, now=now)
    made = []
    for item in items:
        text = store.item_text(item)
        outcome = outcomes.get(item.version_id) if item.version_id else None
        made.append(
            Became(
                position=item.position,
                stix_id=text["id"],
                stix_type=text["id"].partition("--")[0],
                outcome=_word(item, outcome),
                sentence=text["message"],
                version_id=item.version_id if outcome else None,
                departure=leaving[outcome.id] if outcome else None,
                receivers=receivers.get(outcome.id, ()) if outcome else (),
            )
        )
    return made


def _departures(
    outcomes: Sequence[Outcome], member_id: UUID, *, now: datetime
) -> Mapping[int, Departure]:
    """What can be promised of one's own objects."""
    holds: dict[int, list[Hold]] = defaultdict(list)
    held = [one.id for one in outcomes if one.outcome == Outcome.Kind.HELD]
    for hold in Hold.objects.filter(outcome_id__in=held):
        holds[hold.outcome_id].append(hold)
    force = audiences.in_force(member_id)
    waits = departures.waiting(outcomes)
    return {
        one.id: departures.of(one, holds[one.id], force, waits=waits, now=now) for one in outcomes
    }


def _word(item: Item, outcome: Outcome | None) -> str:
    if not item.success:
        return "refused"
    if outcome is None:
        return "stored"
    return "released" if outcome.released_at else outcome.outcome


def _receivers(outcome_ids: Sequence[int], row: Contribution) -> Mapping[int, tuple[str, ...]]:
    """Names where the contributor may know them; `the circle` where it may not."""
    listed = ReleaseItem.objects.filter(outcome_id__in=outcome_ids).values_list(
        "outcome_id", "release_id"
    )
    releases: dict[UUID, set[int]] = defaultdict(set)
    for outcome_id, release_id in listed:
        if outcome_id is not None:
            releases[release_id].add(outcome_id)
    told = ReleaseRecipient.objects.filter(
        release_id__in=releases, member_id=row.member_id, told_here=True, idx__isnull=False
    ).values_list("release_id", "recipient_id", "recipient__name")
    names: dict[int, set[str]] = defaultdict(set)
    for release_id, recipient_id, name in told:
        if recipient_id == row.member_id:
            continue
        for outcome_id in releases[release_id]:
            names[outcome_id].add(name if recipient_id else f"the circle {row.circle.name}")
    return {key: tuple(sorted(found)) for key, found in names.items()}


def _told(version: Version, holds: Sequence[Hold]) -> tuple[Told, ...]:
    acts = HoldAct.objects.filter(hold__in=[hold.id for hold in holds])
    told = [
        Told(one.at, f"{_WHO.get(one.role, one.role)} {_ACTS.get(one.act, one.act)}", _said(one))
        for one in acts
    ]
    for read in OriginalRead.objects.filter(version=version):
        told.append(Told(read.at, f"{_WHO.get(read.role)} opened the original", _said(read)))
    return tuple(sorted(told, key=lambda one: one.at))


_said = written.said
# People by their role: the reader is told what was done for which reason, not whom to call.
_WHO = {
    "forum-counsel": "The forum's counsel",
    "forum-officer": "The forum's officer",
    "contributor-counsel": "Your counsel",
    "analyst": "Your analyst",
}
_ACTS = {
    "release": "released the hold",
    "refuse": "refused it",
    "ask": "asked you about it",
    "answer": "answered",
}


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


@dataclass(frozen=True, slots=True)
class Needs:
    """What waits for one's own member: something to add, to answer, or to know."""

    sentence: str
    contribution_id: UUID
    count: int
    at: datetime


def needs(principal: Principal) -> tuple[Needs, ...]:
    """Contributions with objects that wait for a threat basis, or about which counsel asked."""
    incomplete = (
        Outcome.objects.filter(
            member_id=_member(principal), outcome=Outcome.Kind.INCOMPLETE, replaced=False
        )
        .values("contribution_id", "contribution__received_at")
        .annotate(n=Count("id"))
    )
    asked = (
        Hold.objects.filter(member_id=_member(principal), state=Hold.State.ASKED)
        .values("outcome__contribution_id", "outcome__contribution__received_at")
        .annotate(n=Count("id"))
    )
    found = [
        Needs(
            "wait for a threat basis", r["contribution_id"], r["n"], r["contribution__received_at"]
        )
        for r in incomplete
    ]
    found += [
        Needs(
            "are held, and counsel asks you about them",
            r["outcome__contribution_id"],
            r["n"],
            r["outcome__contribution__received_at"],
        )
        for r in asked
    ]
    return tuple(sorted(found, key=lambda one: one.at, reverse=True)[:PAGE])


@dataclass(frozen=True, slots=True)
class Waiting:
    """Objects of one contribution that wait alike, and when they leave."""

    contribution_id: UUID
    circle: str
    count: int
    departure: Departure


def waiting(principal: Principal, *, now: datetime) -> tuple[Waiting, ...]:
    """What of one's own member waits, the soonest first; what is incomplete is a task instead."""
    member_id = _member(principal)
    held = Hold.objects.filter(outcome=OuterRef("pk"))
    rows = (
        Outcome.objects.filter(
            member_id=member_id,
            released_at__isnull=True,
            replaced=False,
            outcome__in=[Outcome.Kind.ACCEPTED, Outcome.Kind.HELD],
        )
        .annotate(
            refused=Exists(held.filter(state=Hold.State.REFUSED)),
            asked=Exists(held.filter(state=Hold.State.ASKED)),
            open=Exists(held.filter(state=Hold.State.OPEN)),
        )
        .filter(refused=False)
        .values("contribution_id", "circle__name", *_ALIKE)
        .annotate(n=Count("id"))
        .order_by("due_at", "-contribution__received_at")[:PAGE]
    )
    force = audiences.in_force(member_id)
    return tuple(
        Waiting(
            row["contribution_id"],
            row["circle__name"],
            row["n"],
            departures.of_waiting(
                row["due_at"],
                row["sensitivity"],
                _states(row) if row["outcome"] == Outcome.Kind.HELD else frozenset(),
                force,
                now=now,
            ),
        )
        for row in rows
    )


_ALIKE = ("outcome", "due_at", "sensitivity", "asked", "open", "contribution__received_at")


def _states(row: Mapping[str, Any]) -> frozenset[str]:
    named = (("asked", Hold.State.ASKED), ("open", Hold.State.OPEN))
    return frozenset(str(state) for key, state in named if row[key]) or _ALL_RELEASED


_ALL_RELEASED = frozenset({str(Hold.State.RELEASED)})


def reads(principal: Principal) -> tuple[Told, ...]:
    """Every opening of one's own originals by somebody else, newest first."""
    rows = OriginalRead.objects.filter(member_id=_member(principal))
    return tuple(
        Told(row.at, f"{_WHO.get(row.role)} opened one of your originals", _said(row))
        for row in rows.order_by("-at")[:PAGE]
    )


@dataclass(frozen=True, slots=True)
class Health:
    """Work waiting and done, as numbers; nothing of what it is about."""

    ledger_size: int
    published_size: int
    published_at: datetime | None
    unsequenced: int
    intake_waiting: int
    oldest_intake: datetime | None
    deliveries: tuple[tuple[str, int], ...]
    subscriptions: tuple[tuple[str, int], ...]
    open_holds: int


def health(principal: Principal) -> Health:
    """What the operator watches; the database counts, and answers to nobody else."""
    if not principal.may("operate"):
        raise NotFound
    found: dict[str, list[tuple[str, int, datetime | None]]] = defaultdict(list)
    with connection.cursor() as cursor:
        cursor.execute("SELECT topic, name, n, at FROM weir_health()")
        for topic, name, n, at in cursor.fetchall():
            found[topic].append((name, n, at))
    head = LedgerHead.objects.first()
    checkpoint = LedgerCheckpoint.objects.order_by("-size").first()
    return Health(
        ledger_size=head.size if head else 0,
        published_size=checkpoint.size if checkpoint else 0,
        published_at=checkpoint.at if checkpoint else None,
        unsequenced=sum(n for _, n, _ in found["ledger"]),
        intake_waiting=sum(n for _, n, _ in found["intake"]),
        oldest_intake=next((at for _, _, at in found["intake"]), None),
        deliveries=tuple((name, n) for name, n, _ in found["deliveries"]),
        subscriptions=tuple((name, n) for name, n, _ in found["subscriptions"]),
        open_holds=sum(n for _, n, _ in found["holds"]),
    )
