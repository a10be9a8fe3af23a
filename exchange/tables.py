"""Judge again what the statistics lane told: each table by the floor that it was made under."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import sha256

import structlog

from exchange import statistics, telemetry
from exchange.models import JudgedTable, StatisticsBlock, StatisticsTable
from exchange.policy import statistics as rule
from exchange.policy.statistics import TOTAL, Panel, Parts, Rules
from exchange.policy.terms import Floor
from exchange.proof import jcs
from members import onboarding

AGAIN = timedelta(days=1)
AT_ONCE = 50
FAULTS = {
    "digest": "its cells are not those whose digest the ledger holds",
    "figure": "a cell says something else than what it is made of",
    "block": "a cell is told of which nothing is kept",
}
log = structlog.get_logger()


def judge(*, now: datetime) -> int:
    """Judge what was never judged, and again what was judged longest ago; how many tables."""
    old = JudgedTable.objects.filter(at__lt=now - AGAIN).values("table_id")
    fresh = StatisticsTable.objects.filter(judged__isnull=True)
    rows = (fresh | StatisticsTable.objects.filter(pk__in=old)).order_by("period", "measure")
    chosen = list(rows.select_related("floor").prefetch_related("cells", "blocks")[:AT_ONCE])
    for row in chosen:
        fault = fault_of(row)
        JudgedTable.objects.update_or_create(table=row, defaults={"fault": fault, "at": now})
        if fault:
            telemetry.count("lookback.table")
            log.critical("lookback.table", table=row.pk, fault=fault)
    return len(chosen)


def fault_of(row: StatisticsTable) -> str:
    """The first thing in which a table breaks its rules, alone or with what was told before."""
    # 1. the ledger's digest is that of its cells     2. each cell is the rounded sum of its parts
    # 3. each sum that it tells keeps the rules       4. and so does what changed since another
    floor = Floor.parse(row.floor.document)
    figures = {cell.row: cell.figure for cell in row.cells.all()}
    said = {
        "v": 1,
        "measure": row.measure,
        "period": row.period,
        "floor": floor.digest,
        "cells": figures,
    }
    if sha256(jcs.encode(said)).digest() != bytes(row.digest):  # 1
        return FAULTS["digest"]
    behind = {str(member_id): owner for member_id, owner in onboarding.owners_of().items()}
    blocks = {one.name: rule.grouped(one.parts, behind) for one in row.blocks.all()}
    for name, figure in figures.items():  # 2
        if figure is None:
            continue
        if name not in blocks:
            return FAULTS["block"]
        if rule.rounded(sum(blocks[name].values())) != figure:
            return FAULTS["figure"]
    panel = Panel(Rules.parse(floor.document["statistics"]), {}, statistics.readers(behind))
    earlier = _earlier(row, behind)
    for name, parts in sorted(blocks.items(), key=lambda one: (one[0] != TOTAL, one[0])):
        broken = _broken(parts, earlier.get(name, ()), panel)  # 3, 4
        if broken:
            return f"rule {floor.rule_id(f'statistics-{broken}')}"
    return ""


def _broken(parts: Parts, earlier: Sequence[Parts], panel: Panel) -> str:
    alone = rule.fault(parts, panel)
    if alone:
        return alone
    for other in earlier:
        change = rule.less(parts, other)
        if any(change.values()) and rule.fault(change, panel):
            return "subtraction"
    return ""


def _earlier(row: StatisticsTable, behind: Mapping[str, str]) -> Mapping[str, list[Parts]]:
    found: dict[str, list[Parts]] = defaultdict(list)
    blocks = StatisticsBlock.objects.filter(
        table__measure=row.measure, table__period__lt=row.period
    )
    for name, parts in blocks.values_list("name", "parts"):
        found[name].append(rule.grouped(parts, behind))
    return found
