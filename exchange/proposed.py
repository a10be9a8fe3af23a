"""What would become of a body: judged and decided under today's policies, nothing stored."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from exchange import audiences, departures, judged, lens
from exchange.departures import Departure
from exchange.policy import explain
from indicators import store
from indicators.models import Contribution
from indicators.stix import parse, references
from members.auth import Principal
from members.models import Circle, CircleMember, Member

PREVIEWED = 50  # objects of a body that are shown at once; all are judged and counted
_ORDER = ("accepted", "held", "incomplete", "withheld", "refused")


@dataclass(frozen=True, slots=True)
class PreviewAudience:
    """What recipients who see it alike would get of one object."""

    members: tuple[str, ...]
    lines: tuple[explain.Line, ...]
    body: bytes | None


@dataclass(frozen=True, slots=True)
class PreviewItem:
    """What would become of one object."""

    position: int
    stix_id: str
    stix_type: str
    outcome: str
    sentence: str
    departure: Departure
    audiences: tuple[PreviewAudience, ...]
    cells: tuple["PreviewCell", ...]  # one for each circle; none where it is refused


@dataclass(frozen=True, slots=True)
class PreviewCell:
    """What one circle would get of one object."""

    circle: str
    gets: int  # recipients beside the contributor
    of: int
    # Of those who see most: how many fields of each class are removed.
    removed: tuple[tuple[str, int], ...]
    why_not: str | None


@dataclass(frozen=True, slots=True)
class Preview:
    """What would become of a contribution: some objects in full, all of them counted."""

    items: tuple[PreviewItem, ...]
    total: int
    counts: tuple[tuple[str, int], ...]
    circles: tuple[tuple[str, bool], ...]  # the names, and whether it is the one that was chosen
    after: int  # how many objects come before these

    @property
    def first(self) -> int:
        """The number of the first object that is shown."""
        return self.after + 1

    @property
    def last(self) -> int:
        """The number of the last object that is shown."""
        return self.after + len(self.items)

    @property
    def before(self) -> int:
        """Where the objects before these begin."""
        return max(0, self.after - PREVIEWED)

    @property
    def more(self) -> int | None:
        """Where the next objects begin; none after the last ones."""
        return self.last if self.last < self.total else None


def preview(  # noqa: PLR0913 - what is sent, where to, and which part of it is shown
    principal: Principal,
    body: bytes,
    *,
    circle_id: UUID,
    default_basis: Sequence[str] = (),
    attributed: bool = False,
    after: int = 0,
    limit: int = PREVIEWED,
    now: datetime,
) -> Preview:
    """What today's policies would make of a body, for each of one's circles; nothing is stored.

    Every object is judged and counted, `limit` of them are shown: from the place `after`, in the
    order of the body, each field by field for the circle that was chosen.
    """
    member_id = judged.may_contribute(principal, circle_id)
    draft = Contribution(
        member_id=member_id,
        circle_id=circle_id,
        default_basis=list(default_basis),
        received_at=now,
    )
    candidates = judged.candidates_of(member_id, parse.items(body, judged.limits()))
    kept = [one for one in candidates if one.problem is None]
    force = audiences.in_force(member_id)
    standings = audiences.standings(draft, [one.obj for one in kept], force, now=now)
    counts = Counter(standing.outcome for standing in standings)
    counts["refused"] += len(candidates) - len(kept)
    shown = {one.position for one in candidates[after : after + limit]}
    places = {n: one.position for n, one in enumerate(kept) if one.position in shown}
    near = _referred(kept, places)
    leaving = lens.prospective(
        draft, [kept[n].obj for n in near], [standings[n] for n in near], places=near
    )
    circles: list[tuple[str, bool]] = []
    cells: dict[int, list[PreviewCell]] = {n: [] for n in places}
    chosen = lens.Foreseen({})
    own = Member.objects.values_list("name", flat=True).get(pk=member_id)
    for circle, seats in _circles(member_id):
        addressed = Contribution(
            member_id=member_id,
            circle_id=circle.id,
            default_basis=list(default_basis),
            attributed=attributed,
            received_at=now,
        )
        seen = lens.foresee(addressed, leaving, force, now=now)
        if circle.id == circle_id:
            chosen = seen
        circles.append((circle.name, circle.id == circle_id))
        for n, found in cells.items():
            found.append(_cell(circle.name, seen.by_position[n], own, others=seats - 1))
    items = [_refused_item(one) for one in candidates if one.problem and one.position in shown]
    for n in places:
        one, standing = kept[n], standings[n]
        items.append(
            PreviewItem(
                position=one.position,
                stix_id=str(one.obj["id"]),
                stix_type=str(one.obj["type"]),
                outcome=standing.outcome,
                sentence=standing.sentence,
                departure=departures.of_standing(
                    standing.outcome, standing.sensitivity, force, now=now
                ),
                audiences=tuple(
                    PreviewAudience(view.names, view.lines, view.body)
                    for view in chosen.by_position[n]
                ),
                cells=tuple(cells[n]),
            )
        )
    return Preview(
        items=tuple(sorted(items, key=lambda item: item.position)),
        total=len(candidates),
        counts=tuple((name, counts[name]) for name in _ORDER if counts[name]),
        circles=tuple(circles),
        after=after,
    )


def _referred(kept: Sequence[store.Candidate], places: Iterable[int]) -> list[int]:
    """The places of some objects and of all that they refer to, directly or not.

    Whether an object leaves hangs on what it refers to, never on what refers to it.
    """
    by_id: dict[str, list[int]] = {}
    for n, one in enumerate(kept):
        by_id.setdefault(str(one.obj["id"]), []).append(n)
    found = dict.fromkeys(places)
    queue = list(found)
    while queue:
        for _, target in references.of(kept[queue.pop()].obj):
            for n in by_id.get(target, ()):
                if n not in found:
                    found[n] = None
                    queue.append(n)
    return sorted(found)


def _circles(member_id: UUID) -> list[tuple[Circle, int]]:
    """The circles to which a member may contribute today, with their seats, the largest first."""
    seats = Counter(
        CircleMember.objects.filter(left_at__isnull=True).values_list("circle_id", flat=True)
    )
    mine = CircleMember.objects.filter(member_id=member_id, left_at__isnull=True)
    rows = Circle.objects.filter(pk__in=mine.values("circle_id")).order_by("name")
    found = [(row, seats[row.id]) for row in rows if seats[row.id] >= judged.SMALLEST_CIRCLE]
    return sorted(found, key=lambda pair: -pair[1])


def _cell(circle: str, views: Iterable[lens.AudienceView], own: str, *, others: int) -> PreviewCell:
    """One object in one circle: how many get it, and what those who see most do not see."""
    told = [view for view in views if set(view.names) - {own}]
    going = [view for view in told if view.body is not None]
    widest = max(going, key=lambda view: len(view.names), default=None)
    gets = sum(len(set(view.names) - {own}) for view in going)
    if widest is not None and widest.names == (lens.THE_CIRCLE,):
        gets = others
    removed = Counter(
        line.field_class
        for line in (widest.lines if widest else ())
        if line.treatment == "drop" and line.sent is None
    )
    why_not = None if going else next((view.withheld for view in told), None)
    return PreviewCell(circle, gets, others, tuple(sorted(removed.items())), why_not)


def _refused_item(one: store.Candidate) -> PreviewItem:
    sentence = one.problem.sentence if one.problem else ""
    return PreviewItem(
        position=one.position,
        stix_id=str(one.obj.get("id", "")),
        stix_type=str(one.obj.get("type", "")),
        outcome="refused",
        sentence=sentence,
        departure=Departure(departures.REFUSED_BY_FORM),
        audiences=(),
        cells=(),
    )
