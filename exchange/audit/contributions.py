"""One's own contributions: what became of each object, who received it, and what waits."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Count, Exists, OuterRef, Q

from exchange import audiences, departures
from exchange.audit.page import PAGE, Page, member_of
from exchange.departures import Departure
from exchange.models import Hold, Outcome, ReleaseItem, ReleaseRecipient
from exchange.proof.refused import NotFound
from indicators import store
from indicators.models import Contribution, Item
from members.auth import Principal


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


def contributions(principal: Principal, *, before: datetime | None = None) -> Page:
    """The member's own contributions, newest first."""
    rows = Contribution.objects.filter(member_id=member_of(principal))
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
        Contribution.objects.filter(pk=contribution_id, member_id=member_of(principal))
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
            member_id=member_of(principal), outcome=Outcome.Kind.INCOMPLETE, replaced=False
        )
        .values("contribution_id", "contribution__received_at")
        .annotate(n=Count("id"))
    )
    asked = (
        Hold.objects.filter(member_id=member_of(principal), state=Hold.State.ASKED)
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
    member_id = member_of(principal)
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
