"""Tables of a log and of a pool from a few rows, for the tests of what detectors find."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import pyarrow as pa

from indicators.detection import engines, tables, ties

Some = list[Any]  # rows, each a tuple in the order of the columns
Rows = dict[str, Some]
START = date(2026, 10, 1)
FLAT = 6
_WHERE = {ties.LOG: tables.LOG, ties.POOL: tables.POOL}
_ARROW = {"int64": pa.int64(), "boolean": pa.bool_(), "date": pa.date32(), "string": pa.string()}


def arrow(types: Mapping[str, str], rows: Sequence[Any]) -> pa.Table:
    """Rows, each in the order of the columns, as a table."""
    columns = zip(*rows, strict=True) if rows else ([] for _ in types)
    return pa.table(
        {
            name: pa.array(list(values), _ARROW[kind])
            for (name, kind), values in zip(types.items(), columns, strict=True)
        }
    )


def loaded(engine: engines.Engine, kind: str, rows: Rows) -> ties.Source:
    """Every table of a log or a pool: with these rows, or empty."""
    for name, types in _WHERE[kind].items():
        engine.load(name, arrow(types, rows.get(name, ())), types)
    return ties.Source(engine, kind)


def found(source: ties.Source, name: str, **given: int) -> dict[str, set[int]]:
    """The units of each key; none stands twice."""
    made: dict[str, set[int]] = {}
    for row in source.engine.run(ties.find(source, name, given)).to_pylist():
        assert row["unit"] not in made.setdefault(row["key"], set())
        made[row["key"]].add(row["unit"])
    return made


def cards(*holders: range, kind: str = "payment") -> Some:
    """One token for each range of accounts or rows that hold it."""
    return [(unit, kind, f"{kind} {n}") for n, units in enumerate(holders) for unit in units]


def accounts(*numbers: int) -> Some:
    """Accounts without anything else."""
    return [(number, START, False, False, "") for number in numbers]


def days(
    account: int,
    *on: date,
    am: int = 0,
    pm: int = 0,
    flat: int = FLAT,
    moved: bool = False,
) -> Some:
    """Days of an account."""
    return [(account, day, 10, flat, am, pm, False, False, moved, "") for day in on]


def rows(*members: int, first: int = 0, **facts: int) -> Some:
    """One row of the pool for each member named, with these facts."""
    plain = {"start_days": 32} | facts
    made: Some = []
    for number, member in enumerate(members, start=first):
        fixed = {
            "row": number,
            "member": member,
            "day": START,
            "cluster": f"{number:016x}",
            "first_day": START,
            "last_day": START,
        }
        made.append(
            tuple(fixed.get(name, plain.get(name, 0)) for name in tables.POOL["cluster_row"])
        )
    return made
