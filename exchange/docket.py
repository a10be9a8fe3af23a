"""The queue of holds as a reader sees it: class and reason, contributors by turns, never a text.

To the forum's counsel no row says whose it is, and nothing in an address or an order does.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from django.db.models import Case, Count, Q, QuerySet, When

from exchange.models import Hold
from exchange.proof.refused import NotFound
from members.auth import Principal

FORUM_COUNSEL = "forum-counsel"
CONTRIBUTOR_COUNSEL = "contributor-counsel"
PAGE = 50
_OPEN = (Hold.State.OPEN, Hold.State.ASKED)
WAITING, MINE, OPEN, ASKED, DECIDED = "", "mine", "open", "asked", "decided"


@dataclass(frozen=True, slots=True)
class Chosen:
    """What part of the queue is looked at; empty is all of it."""

    state: str = WAITING
    field_class: str = ""
    reason: str = ""
    stix_type: str = ""


@dataclass(frozen=True, slots=True)
class Facet:
    """One value by which the queue can be narrowed, and how many there are under the others."""

    value: str
    title: str
    count: int
    is_chosen: bool


@dataclass(frozen=True, slots=True)
class HoldRow:
    """One line of the queue: class and reason, never text of the object."""

    id: UUID
    field_class: str
    name: str
    rule: str
    reason: str
    basis: str
    places: tuple[str, ...]
    stix_type: str
    circle: str
    contributor_is_mine: bool
    approvers: tuple[str, ...]
    approved: tuple[str, ...]
    state: str
    opened_at: datetime
    contribution_id: UUID | None
    version_id: int | None
    may_act: bool
    may_answer: bool
    is_replaced: bool = False

    @property
    def missing(self) -> tuple[str, ...]:
        """The approvers who have not said yes."""
        return tuple(role for role in self.approvers if role not in self.approved)


@dataclass(frozen=True, slots=True)
class Queue:
    """A page of the queue, where the next one starts, and what it can be narrowed by."""

    rows: tuple[HoldRow, ...]
    next: UUID | None
    total: int
    facets: Mapping[str, tuple[Facet, ...]] = field(default_factory=dict)
    # How many of what is chosen wait for the reader's own word.
    mine: int = 0


def queue(
    principal: Principal, chosen: Chosen = Chosen(), *, after: UUID | None = None, limit: int = PAGE
) -> Queue:
    """What waits, contributors by turns: the forum's counsel sees all, a member its own."""
    if chosen.state == DECIDED:
        return _decided(principal, chosen, after=after, limit=limit)
    rows = narrowed(principal, waiting(principal), chosen)
    page = list(_after(rows, after).select_related("circle", "outcome")[: limit + 1])
    tally = _tally(principal)
    facets = {name: _facet(tally, chosen, name) for name in _FACETS}
    shown = page[:limit]
    return Queue(
        rows=tuple(seen(principal, row) for row in shown),
        next=shown[-1].id if len(page) > limit else None,
        total=sum(n for one, n in tally.items() if one.fits(chosen)),
        facets=facets,
        mine=sum(n for one, n in tally.items() if one.fits(replace(chosen, state=MINE))),
    )


def waiting(principal: Principal) -> QuerySet[Hold]:
    return visible(principal).filter(state__in=_OPEN, outcome__replaced=False)


def narrowed(principal: Principal, rows: QuerySet[Hold], chosen: Chosen) -> QuerySet[Hold]:
    if chosen.state in (OPEN, ASKED):
        rows = rows.filter(state=chosen.state)
    elif chosen.state == MINE:
        rows = rows.filter(_waits_for(principal))
    if chosen.field_class:
        rows = rows.filter(field_class=chosen.field_class)
    if chosen.reason:
        rows = rows.filter(rule__endswith=f"/hold/{chosen.reason}")
    if chosen.stix_type:
        rows = rows.filter(stix_type=chosen.stix_type)
    return rows


def _waits_for(principal: Principal) -> Q:
    """Open, and this reader is an approver who has not said yes."""
    role = own_role(principal)
    if not role:
        return Q(pk__in=[])
    waits = Q(state=Hold.State.OPEN, approvers__contains=[role]) & ~Q(approved__contains=[role])
    if role == FORUM_COUNSEL:
        return waits
    own = Q(outcome__contribution__user_id=principal.user_id)
    made = Q(outcome__contribution__credential__created_by_id=principal.user_id)
    return waits & ~own & ~made


def _after(rows: QuerySet[Hold], after: UUID | None) -> QuerySet[Hold]:
    """The page behind a hold, by its turn; an address says no turn, for turns would count."""
    ordered = rows.order_by("turn", "id")
    if after is None:
        return ordered
    last = Hold.objects.filter(pk=after).values_list("turn", flat=True).first()
    if last is None:
        raise NotFound
    return ordered.filter(turn__gte=last).filter(Q(turn__gt=last) | Q(id__gt=after))


def _decided(principal: Principal, chosen: Chosen, *, after: UUID | None, limit: int) -> Queue:
    """What was released or refused, newest first."""
    rows = visible(principal).filter(state__in=[Hold.State.RELEASED, Hold.State.REFUSED])
    rows = narrowed(principal, rows, chosen).order_by("-decided_at", "-id")
    if after is not None:
        last = Hold.objects.filter(pk=after).values_list("decided_at", flat=True).first()
        if last is None:
            raise NotFound
        earlier = Q(decided_at__lt=last) | Q(decided_at=last, id__lt=after)
        rows = rows.filter(earlier)
    page = list(rows.select_related("circle", "outcome")[: limit + 1])
    shown = page[:limit]
    tally = _tally(principal)
    return Queue(
        rows=tuple(seen(principal, row) for row in shown),
        next=shown[-1].id if len(page) > limit else None,
        total=len(shown),
        facets={"state": _facet(tally, chosen, "state")},
    )


@dataclass(frozen=True, slots=True)
class _Kind:
    """Holds that are alike in all that the queue can be narrowed by."""

    field_class: str
    reason: str
    title: str
    stix_type: str
    state: str
    is_mine: bool

    def fits(self, chosen: Chosen) -> bool:
        fits_state = chosen.state in (WAITING, DECIDED, self.state) or (
            chosen.state == MINE and self.is_mine
        )
        return fits_state and all(
            not wanted or wanted == has
            for wanted, has in (
                (chosen.field_class, self.field_class),
                (chosen.reason, self.reason),
                (chosen.stix_type, self.stix_type),
            )
        )


_FACETS = ("state", "field_class", "reason", "stix_type")
_STATES = ((WAITING, "waiting"), (MINE, "waits for you"), (OPEN, "open"), (ASKED, "asked back"))


def _tally(principal: Principal) -> Counter[_Kind]:
    """All that waits, counted once by all that it can be narrowed by."""
    rows = (
        waiting(principal)
        .annotate(is_mine=Case(When(_waits_for(principal), then=1), default=0))
        .values("field_class", "rule", "reason", "stix_type", "state", "is_mine")
        .annotate(n=Count("id"))
        .order_by()
    )
    tally: Counter[_Kind] = Counter()
    for row in rows:
        name = _name(row["rule"])
        kind = (row["field_class"], name, row["reason"], row["stix_type"])
        tally[_Kind(*kind, row["state"], row["is_mine"] == 1)] += row["n"]
    return tally


def _facet(tally: Counter[_Kind], chosen: Chosen, name: str) -> tuple[Facet, ...]:
    """The values of one facet with their counts under what else is chosen."""
    current = getattr(chosen, name)
    if name == "state":
        states = (
            Facet(
                value,
                title,
                sum(n for one, n in tally.items() if one.fits(replace(chosen, state=value))),
                value == current,
            )
            for value, title in _STATES
        )
        return (*states, Facet(DECIDED, "decided", 0, current == DECIDED))
    rest = replace(chosen, **{name: ""})
    counts: Counter[str] = Counter()
    titles: dict[str, str] = {}
    for one, n in tally.items():
        value = getattr(one, name)
        titles[value] = one.title if name == "reason" else value
        if one.fits(rest):
            counts[value] += n
    values = sorted(counts, key=lambda value: (-counts[value], value))
    return tuple(Facet(v, titles[v], counts[v], v == current) for v in values)


def visible(principal: Principal) -> QuerySet[Hold]:
    if FORUM_COUNSEL in principal.roles:
        return Hold.objects.all()
    if principal.member_id is None or not principal.may("read-holds"):
        return Hold.objects.none()
    return Hold.objects.filter(member_id=principal.member_id)


def own_role(principal: Principal) -> str:
    if FORUM_COUNSEL in principal.roles:
        return FORUM_COUNSEL
    return CONTRIBUTOR_COUNSEL if "counsel" in principal.roles else ""


def role_on(principal: Principal, row: Hold) -> str:
    role = own_role(principal)
    if role == CONTRIBUTOR_COUNSEL and row.member_id != principal.member_id:
        return ""
    return role


def answering(principal: Principal) -> str:
    if "counsel" in principal.roles:
        return CONTRIBUTOR_COUNSEL
    return "analyst" if "analyst" in principal.roles else ""


def seen(principal: Principal, row: Hold) -> HoldRow:
    is_mine = row.member_id == principal.member_id
    role = role_on(principal, row)
    is_replaced = row.outcome.replaced
    waits = role in row.approvers and role not in row.approved and not is_replaced
    is_asked = row.state == Hold.State.ASKED and not is_replaced
    return HoldRow(
        id=row.id,
        field_class=row.field_class,
        name=_name(row.rule),
        rule=row.rule,
        reason=row.reason,
        basis=row.basis,
        places=tuple(row.places),
        stix_type=row.stix_type,
        circle=row.circle.name,
        contributor_is_mine=is_mine,
        approvers=tuple(row.approvers),
        approved=tuple(row.approved),
        state=row.state,
        opened_at=row.opened_at,
        contribution_id=row.outcome.contribution_id if is_mine else None,
        version_id=row.outcome.version_id if is_mine else None,
        may_act=row.state in _OPEN and waits and principal.may("decide-hold"),
        may_answer=is_asked and is_mine and bool(answering(principal)),
        is_replaced=is_replaced,
    )


def _name(rule: str) -> str:
    """A reason without the floor's version: what the queue is narrowed by."""
    return rule.partition("/hold/")[2] or rule
