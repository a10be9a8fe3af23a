"""The statistics lane: figures on a fixed schedule, suppressed unless every rule holds.

The tables are a closed list, made once for each quarter and read by everybody alike. They count
what the exchange itself recorded of contributions, without opening an original, and nothing of
what a recipient did. Rows never change afterwards; what they say is in the ledger by its digest.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Count

from exchange import audiences, ledger
from exchange.models import (
    Forum,
    Hold,
    MemberPolicyVersion,
    Outcome,
    StatisticsBlock,
    StatisticsCell,
    StatisticsTable,
)
from exchange.policy import catalogue, statistics
from exchange.policy.statistics import TOTAL, Own, Panel, Parts, Period, Rules
from exchange.policy.terms import Floor, MemberPolicy
from exchange.proof import jcs
from exchange.proof.refused import NotFound
from members import onboarding
from members.auth import Principal
from members.models import Member

SHOWN = 4  # quarters on a page: a year
_LOCK = 0x57455351  # one worker at a time makes the tables of a quarter
_OTHER = "other"
_OBJECTS = {
    "campaign": "Campaigns",
    "indicator": "Indicators",
    "infrastructure": "Infrastructure",
    "observable": "Observables",
    "relationship": "Relationships",
    "sighting": "Sightings",
    _OTHER: "Others",
}

Counted = Mapping[str, dict[str, int]]  # row -> member id -> how many


@dataclass(frozen=True, slots=True)
class Measure:
    """One thing that is counted, always in the same rows, each with its words."""

    title: str
    rows: Callable[[Floor], Mapping[str, str]]
    count: Callable[[Period], Iterable[tuple[str, UUID, int]]]


@dataclass(frozen=True, slots=True)
class TableView:
    """A table as everybody reads it: figures by row, nothing where one is suppressed."""

    measure: str
    title: str
    quarters: tuple["Quarter", ...]
    rows: tuple["Row", ...]


@dataclass(frozen=True, slots=True)
class Quarter:
    """The head of one quarter's column: when it was made, and the digest that the ledger has."""

    period: str
    due_at: datetime
    digest: str


@dataclass(frozen=True, slots=True)
class Row:
    """One row, its figures quarter by quarter."""

    name: str
    label: str
    figures: tuple[tuple[str, int | None], ...]


@dataclass(frozen=True, slots=True)
class RuleView:
    """A rule of the lane as the floor states it."""

    id: str
    reason: str
    basis: str
    number: str


@dataclass(frozen=True, slots=True)
class Lane:
    """What the page shows: the tables, the rules, and who counts as one contributor."""

    tables: tuple[TableView, ...]
    rules: tuple[RuleView, ...]
    affiliates: tuple[tuple[str, ...], ...]
    next_due: datetime
    earlier: str


def _accepted(period: Period) -> Iterable[tuple[str, UUID, int]]:
    """Objects of members that were accepted, each once for each type and quarter."""
    rows = (
        Outcome.objects.filter(
            outcome=Outcome.Kind.ACCEPTED,
            contribution__received_at__gte=period.start,
            contribution__received_at__lt=period.end,
            member__is_exchange=False,
        )
        .values_list("version__object__stix_type", "member_id")
        .annotate(n=Count("version__object_id", distinct=True))
    )
    for stix_type, member_id, n in rows:
        yield _object_row(stix_type), member_id, n


def _object_row(stix_type: str) -> str:
    if catalogue.is_observable(stix_type):
        return "observable"
    return stix_type if stix_type in _OBJECTS else _OTHER


def _held(period: Period) -> Iterable[tuple[str, UUID, int]]:
    """Holds that were opened, by the class of what a person had to judge."""
    rows = (
        Hold.objects.filter(
            opened_at__gte=period.start, opened_at__lt=period.end, member__is_exchange=False
        )
        .values_list("field_class", "member_id")
        .annotate(n=Count("id"))
    )
    yield from rows


def _classes(floor: Floor) -> Mapping[str, str]:
    named = sorted(floor.document["hold_classes"].items())
    return {**dict(named), _OTHER: "Others"}


MEASURES: Mapping[str, Measure] = {
    "accepted": Measure("Objects accepted", lambda _: _OBJECTS, _accepted),
    "held": Measure("Holds opened, by class", _classes, _held),
}


@transaction.atomic
def make_due(*, now: datetime) -> int:
    """Make the tables that are due and not yet made; how many."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
    forum = Forum.objects.first()
    if forum is None:
        return 0
    floor_id, floor = audiences.floor_in_force()
    rules = Rules.parse(floor.document["statistics"])
    made = set(StatisticsTable.objects.values_list("measure", "period"))
    written = 0
    for period in statistics.periods(forum.created_at, rules=rules, now=now):
        for measure in MEASURES:
            if (measure, period.name) not in made:
                _make(measure, period, floor_id, floor, now=now)
                written += 1
    return written


def _make(measure: str, period: Period, floor_id: int, floor: Floor, *, now: datetime) -> None:
    """Count, judge, and write down what may be told; what may not is not kept."""
    rules = Rules.parse(floor.document["statistics"])
    behind = {str(member_id): owner for member_id, owner in onboarding.owners_of().items()}
    asks = _asks()
    rows = _counted(MEASURES[measure], period, floor)
    kept = {
        row: {m: n for m, n in parts.items() if not asks.get(m, Own()).leaves_out(rules)}
        for row, parts in rows.items()
    }
    panel = Panel(rules, _asks_of_owners(asks, behind), readers(behind))
    table = statistics.table(
        {row: statistics.grouped(parts, behind) for row, parts in kept.items()},
        _earlier(measure, behind),
        panel,
    )
    due_at = period.due(rules)
    said = {
        "v": 1,
        "measure": measure,
        "period": period.name,
        "floor": floor.digest,
        "cells": table.cells,
    }
    digest = sha256(jcs.encode(said)).digest()
    made = StatisticsTable.objects.create(
        measure=measure, period=period.name, floor_id=floor_id, due_at=due_at, digest=digest
    )
    StatisticsCell.objects.bulk_create(
        StatisticsCell(table=made, row=row, figure=figure) for row, figure in table.cells.items()
    )
    StatisticsBlock.objects.bulk_create(
        StatisticsBlock(table=made, name=name, parts=_parts_of(name, kept)) for name in table.blocks
    )
    fields = {"statistics": measure, "period": period.name, "sha256": digest.hex()}
    ledger.record("decision", slots={"audit": {**fields, "floor": floor.digest}}, now=now)


def _counted(measure: Measure, period: Period, floor: Floor) -> Counted:
    """Every row of the measure, with each member's part; an unknown row is among the others."""
    rows: Counted = {row: defaultdict(int) for row in measure.rows(floor)}
    for row, member_id, n in measure.count(period):
        rows[row if row in rows else _OTHER][str(member_id)] += n
    return rows


def _parts_of(name: str, kept: Mapping[str, Parts]) -> Parts:
    """A block's parts member by member, so that a later change of owners is judged rightly."""
    rows = kept.keys() if name == TOTAL else name.split("+")
    return statistics.added(kept[row] for row in rows)


def _earlier(measure: str, behind: Mapping[str, str]) -> Mapping[str, list[Parts]]:
    blocks: dict[str, list[Parts]] = defaultdict(list)
    rows = StatisticsBlock.objects.filter(table__measure=measure).values_list("name", "parts")
    for name, parts in rows:
        blocks[name].append(statistics.grouped(parts, behind))
    return blocks


def _asks() -> Mapping[str, Own]:
    """What each member's own policy in force asks of the lane."""
    newest = MemberPolicyVersion.objects.order_by("member_id", "-id").distinct("member_id")
    return {
        str(member_id): MemberPolicy.parse(document).statistics
        for member_id, document in newest.values_list("member_id", "document")
    }


def _asks_of_owners(asks: Mapping[str, Own], behind: Mapping[str, str]) -> Mapping[str, Own]:
    groups: dict[str, list[Own]] = defaultdict(list)
    for member_id, own in asks.items():
        if not own.opt_out:
            groups[behind[member_id]].append(own)
    return {owner: statistics.strictest(every) for owner, every in groups.items()}


def readers(behind: Mapping[str, str]) -> frozenset[str]:
    """The owners that read the tables: each knows its own part of every figure."""
    here = Member.objects.exclude(state=Member.State.LEFT).values_list("id", flat=True)
    return frozenset(behind[str(member_id)] for member_id in here)


def lane(principal: Principal, *, before: str = "", now: datetime) -> Lane:
    """The newest tables, or those before a quarter, with their rules; the same for everybody."""
    if not principal.is_authenticated:
        raise NotFound
    _, floor = audiences.floor_in_force()
    rules = Rules.parse(floor.document["statistics"])
    made = StatisticsTable.objects.prefetch_related("cells").order_by("-period")
    every = made.filter(period__lt=before) if before else made
    tables = list(every[: (SHOWN + 1) * len(MEASURES)])
    periods = sorted({table.period for table in tables}, reverse=True)
    groups: dict[str, list[str]] = defaultdict(list)
    behind = onboarding.owners_of()
    for member_id, name in Member.objects.order_by("name").values_list("id", "name"):
        groups[behind[member_id]].append(name)
    return Lane(
        tables=tuple(
            _view(name, floor, [t for t in tables if t.period in periods[:SHOWN]])
            for name in MEASURES
        ),
        rules=tuple(_rule_view(floor, name, number) for name, number in _numbers(rules)),
        affiliates=tuple(tuple(names) for names in groups.values() if len(names) > 1),
        next_due=_next_due(rules, now=now),
        earlier=periods[SHOWN - 1] if len(periods) > SHOWN else "",
    )


def _view(measure: str, floor: Floor, tables: Iterable[StatisticsTable]) -> TableView:
    mine = [table for table in tables if table.measure == measure]
    figures = [(t.period, {cell.row: cell.figure for cell in t.cells.all()}) for t in mine]
    labels = {TOTAL: "All", **MEASURES[measure].rows(floor)}
    return TableView(
        measure=measure,
        title=MEASURES[measure].title,
        quarters=tuple(Quarter(t.period, t.due_at, bytes(t.digest).hex()) for t in mine),
        rows=tuple(
            Row(row, label, tuple((period, told.get(row)) for period, told in figures))
            for row, label in labels.items()
        ),
    )


def _numbers(rules: Rules) -> tuple[tuple[str, str], ...]:
    return (
        ("contributors", str(rules.contributors)),
        ("share", f"{rules.share_percent} %"),
        ("age", f"{rules.age_months} months"),
        ("without-one", ""),
        ("subtraction", ""),
        ("rounding", ""),
        ("schedule", ""),
    )


def _rule_view(floor: Floor, name: str, number: str) -> RuleView:
    rule: Mapping[str, Any] = floor.document["rules"][f"statistics-{name}"]
    return RuleView(floor.rule_id(f"statistics-{name}"), rule["reason"], rule["basis"], number)


def _next_due(rules: Rules, *, now: datetime) -> datetime:
    """When the next tables are made: the calendar knows, whatever is in them."""
    long_ago = now - timedelta(days=366 * 12)
    return statistics.periods(long_ago, rules=rules, now=now)[-1].next().due(rules)
