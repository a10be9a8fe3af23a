"""Read a preview: how far it is, what it counted, its lines in pages, and the object behind one.

The forum's operator reads counts and classes; lines are for whose policy it is.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet

from exchange import audiences, lens, openings
from exchange.audiences import InForce
from exchange.models import Outcome, Preview, PreviewAudience, PreviewLine
from exchange.openings import Look
from exchange.policy import difference, terms
from exchange.policy.difference import COVERED, VISIBLE
from exchange.proof.refused import NotFound
from exchange.replay import asking
from indicators import store
from members.auth import Principal
from members.models import Circle, Member

PAGE = 50
WAYS = {"visible": VISIBLE, "covered": COVERED, "other": (difference.OTHER,)}


@dataclass(frozen=True, slots=True)
class Audience:
    """Whom a change concerns; without names it is the circle, whoever of it gets something."""

    key: int
    circle: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Count:
    """Objects and fields that change in one way, for one audience, class and rule."""

    way: str
    audience: Audience
    field_class: str
    rule: str
    objects: int
    fields: int


@dataclass(frozen=True, slots=True)
class Asked:
    """One preview: what it is of, how far it has come, and what it found."""

    id: UUID
    kind: str
    state: str
    document: Mapping[str, Any]
    against: Mapping[str, Any]
    is_against_force: bool
    since: datetime
    until: datetime
    created_at: datetime
    finished_at: datetime | None
    expected_seconds: int
    total: int
    done: int
    shown: int
    hidden: int
    counts: tuple[Count, ...]
    audiences: tuple[Audience, ...]
    reads_lines: bool

    @property
    def is_open(self) -> bool:
        """Whether workers are still at it."""
        return self.state in (Preview.State.WAITING, Preview.State.RUNNING)

    @property
    def share(self) -> int:
        """How much of it is done, in percent."""
        return min(100, self.done * 100 // self.total) if self.total else 100


@dataclass(frozen=True, slots=True)
class Filters:
    """Which lines are wanted; empty for all."""

    way: str = "visible"
    audience: int | None = None
    field_class: str = ""
    rule: str = ""
    after: int = 0


@dataclass(frozen=True, slots=True)
class Line:
    """One change of one object: its forum id, its type, the path, and no value."""

    id: int
    object_id: UUID
    stix_type: str
    way: str
    path: str
    field_class: str
    before: str
    after: str
    rule_before: str
    rule_after: str
    audiences: tuple[Audience, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """Some lines, and where the next ones begin."""

    lines: tuple[Line, ...]
    more: int | None


@dataclass(frozen=True, slots=True)
class Opened:
    """The object behind a line: the original, and, of one's own, what each audience would get."""

    line: Line
    changes: tuple[Line, ...]
    original: Mapping[str, Any] | None
    stix_id: str
    version_id: int
    before: tuple[lens.AudienceView, ...]
    after: tuple[lens.AudienceView, ...]
    is_mine: bool


def may_read(principal: Principal) -> bool:
    """Whether there can be previews for somebody at all."""
    of_floor = principal.may("draft-floor") or principal.may("activate-floor")
    return of_floor or (principal.member_id is not None and principal.may("edit-member-policy"))


def recent(principal: Principal, *, limit: int = 20) -> tuple[Asked, ...]:
    """The newest previews that somebody may read, without their counts."""
    rows = list(_visible(principal).order_by("-created_at")[:limit])
    return tuple(_asked(principal, row, (), ()) for row in rows)


def overview(principal: Principal, preview_id: UUID) -> Asked:
    """One preview with its counts."""
    row = _of(principal, preview_id)
    named = {one.key: one for one in _audiences(PreviewAudience.objects.filter(preview=row))}
    counts = tuple(
        Count(way, named[key], field_class, rule, objects, fields)
        for way, key, field_class, rule, objects, fields in row.counts
        if key in named
    )
    return _asked(principal, row, counts, tuple(named.values()))


def lines(principal: Principal, preview_id: UUID, filters: Filters) -> Page:
    """Lines in the order in which they were found, from after the one that was seen last."""
    row = _readable(principal, preview_id)
    found = PreviewLine.objects.filter(
        preview=row, way__in=WAYS.get(filters.way, VISIBLE), id__gt=filters.after
    )
    if filters.audience is not None:
        found = found.filter(audiences__contains=[filters.audience])
    if filters.field_class:
        is_within = Q(classes__contains=[filters.field_class])
        found = found.filter(Q(field_class=filters.field_class) | is_within)
    if filters.rule in (difference.WINDOW, difference.REFERENCE):
        of_time = Q(field_class="timing")
        wanted = of_time if filters.rule == difference.WINDOW else ~of_time
        found = found.filter(wanted, rule_before="", rule_after="")
    elif filters.rule:
        is_new = Q(rule_after=filters.rule)
        found = found.filter(is_new | Q(rule_after="", rule_before=filters.rule))
    chosen = list(found.order_by("id")[: PAGE + 1])
    shown = chosen[:PAGE]
    more = shown[-1].id if len(chosen) > PAGE else None
    return Page(_lines(row, shown), more)


@transaction.atomic
def open_line(
    principal: Principal, preview_id: UUID, line_id: int, *, reason: str = "", now: datetime
) -> Opened:
    """Show the object behind a line.

    One's own is shown in the lens under both policies. The forum's counsel gets the lines alone
    without a written reason; with one, the opening is recorded first, for the contributor to see,
    and the object is judged by itself under both floors.
    """
    row = _readable(principal, preview_id)
    line = (
        PreviewLine.objects.filter(preview=row, pk=line_id)
        .select_related("outcome__version__object", "outcome__contribution")
        .first()
    )
    if line is None:
        raise NotFound
    outcome = line.outcome
    beside = list(PreviewLine.objects.filter(preview=row, outcome=outcome).order_by("id")[:PAGE])
    named = _lines(row, [line, *beside])
    is_mine = outcome.member_id == principal.member_id
    original: Mapping[str, Any] | None = None
    before: tuple[lens.AudienceView, ...] = ()
    after: tuple[lens.AudienceView, ...] = ()
    if is_mine:
        original = _original(outcome)
        before, after = (
            lens.under(outcome, _force(row, outcome, document, now=now), now=now)
            for document in (row.against, row.document)
        )
    elif reason:
        look = Look(principal, openings.FORUM_COUNSEL, reason)
        about = {"preview": str(row.id)}
        openings.record(look, outcome.version_id, outcome.member_id, about=about, now=now)
        original = _original(outcome)
        before, after = (
            lens.alone_under(outcome, original, _floor_alone(document), now=now)
            for document in (row.against, row.document)
        )
    return Opened(
        line=named[0],
        changes=named[1:],
        original=original,
        stix_id=str(original["id"]) if original else f"{line.stix_type}--{line.object_id}",
        version_id=outcome.version_id if is_mine else 0,
        before=before,
        after=after,
        is_mine=is_mine,
    )


def _original(outcome: Outcome) -> Mapping[str, Any]:
    found = store.originals(outcome.member_id, [outcome.version_id])
    if outcome.version_id not in found:  # erased since
        raise NotFound
    return found[outcome.version_id]


def _floor_alone(document: Mapping[str, Any]) -> InForce:
    return InForce(0, terms.Floor.parse(document), None, terms.MemberPolicy.none(), "")


def _force(
    row: Preview, outcome: Outcome, document: Mapping[str, Any], *, now: datetime
) -> InForce:
    force = audiences.in_force(outcome.member_id)
    policy = asking.parse(row.kind, document)
    if isinstance(policy, terms.Floor):
        return InForce(force.floor_id, policy, force.policy_id, force.policy, force.policy_digest)
    return InForce(force.floor_id, force.floor, force.policy_id, policy, force.policy_digest)


def _visible(principal: Principal) -> QuerySet[Preview, Preview]:
    """Previews of the floor for the forum's people, of a member's policy for that member."""
    if principal.may("draft-floor") or principal.may("activate-floor"):
        return Preview.objects.filter(kind=asking.FLOOR)
    if principal.member_id is not None and principal.may("edit-member-policy"):
        return Preview.objects.filter(kind=asking.MEMBER, member_id=principal.member_id)
    return Preview.objects.none()


def _of(principal: Principal, preview_id: UUID) -> Preview:
    row = _visible(principal).filter(pk=preview_id).first()
    if row is None:
        raise NotFound
    return row


def _readable(principal: Principal, preview_id: UUID) -> Preview:
    row = _of(principal, preview_id)
    if not _reads_lines(principal, row):
        raise NotFound
    return row


def _reads_lines(principal: Principal, row: Preview) -> bool:
    if row.kind == asking.FLOOR:
        return principal.may("draft-floor")
    return principal.member_id == row.member_id


def _asked(
    principal: Principal, row: Preview, counts: tuple[Count, ...], named: tuple[Audience, ...]
) -> Asked:
    return Asked(
        id=row.id,
        kind=row.kind,
        state=row.state,
        document=row.document,
        against=row.against,
        is_against_force=row.is_against_force,
        since=row.since,
        until=row.until,
        created_at=row.created_at,
        finished_at=row.finished_at,
        expected_seconds=row.expected_seconds,
        total=row.total,
        done=row.done,
        shown=row.shown,
        hidden=row.hidden,
        counts=counts,
        audiences=named,
        reads_lines=_reads_lines(principal, row),
    )


def _audiences(rows: Iterable[PreviewAudience]) -> list[Audience]:
    chosen = list(rows)
    circles = dict(Circle.objects.values_list("id", "name")) if chosen else {}
    members = dict(Member.objects.values_list("id", "name")) if chosen else {}
    made = [
        Audience(
            row.key,
            circles[row.circle_id],
            tuple(sorted(members[one] for one in row.recipients)),
        )
        for row in chosen
    ]
    return sorted(made, key=lambda one: (one.circle, one.names))


def _lines(row: Preview, chosen: Sequence[PreviewLine]) -> tuple[Line, ...]:
    keys = {key for line in chosen for key in line.audiences}
    rows = PreviewAudience.objects.filter(preview=row, key__in=keys) if keys else ()
    named = {one.key: one for one in _audiences(rows)}
    return tuple(
        Line(
            id=line.id,
            object_id=line.object_id,
            stix_type=line.stix_type,
            way=line.way,
            path=line.path,
            field_class=line.field_class,
            before=line.before,
            after=line.after,
            rule_before=line.rule_before,
            rule_after=line.rule_after,
            audiences=tuple(named[key] for key in line.audiences if key in named),
        )
        for line in chosen
    )
