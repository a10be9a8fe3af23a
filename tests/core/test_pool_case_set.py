"""The case set of all that is shipped gives equal rows on DuckDB, ClickHouse and Spark.

Beside it stand correlations of each type, for what is shipped does not use all of them. Most of the
time goes into loading tables: so ClickHouse and Spark have all cases side by side, as one log and
one pool, of which each algorithm is asked once. Case by case they are asked with WEIR_CASES set.
"""

import os
import random
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from indicators.detection import cases, document, engines, finds, shipped
from indicators.detection.document import Algorithm
from indicators.detection.engines import Engine
from indicators.detection.sources import Source
from tests.core.pool_logs import TYPES, drawn_correlation, drawn_log, tables_of_logs

Found = dict[tuple[str, str], frozenset[tuple[int, str]]]


class Loaded:
    """One engine, and what it holds: a table that stays as it was is not loaded again."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.held: dict[str, Any] = {}

    def source(self, kind: str, tables: Mapping[str, Any]) -> Source:
        """These tables as a source."""
        source = Source(self.engine, kind, f"{kind}_")
        for name, columns in cases.columns_of(kind).items():
            key, table = source.prefix + name, tables[name]
            if key not in self.held or not self.held[key].equals(table):
                self.engine.load(key, table, columns)
                self.held[key] = table
        return source


def found_on(engine: Engine) -> Found:
    """What each algorithm finds in each of its cases."""
    loaded = Loaded(engine)
    found: Found = {}
    for tables, kind, asked in by_tables():
        source = loaded.source(kind, tables)
        for name, algorithm in asked:
            found[name, algorithm.digest] = finds.hits(source, algorithm)
    return found


def by_tables() -> Iterator[tuple[Mapping[str, Any], str, list[tuple[str, Algorithm]]]]:
    """All cases, those on one scene beside each other."""
    asked: dict[tuple[str, int, str], list[tuple[str, Algorithm]]] = {}
    for algorithm in shipped.algorithms():
        for case in algorithm.tests:
            if case.scene:
                of_scene = asked.setdefault((case.scene, case.seed, case.runs_on), [])
                of_scene.append((case.name, algorithm))
            else:
                tables = cases.tables_of(case.runs_on, case.rows)
                yield tables, case.runs_on, [(case.name, algorithm)]
    for (scene, seed, kind), pairs in asked.items():
        yield cases.scene_of(scene, seed, kind, path="").tables, kind, pairs
    rng = random.Random("engines")  # noqa: S311 - cases, no secrets
    logs = tables_of_logs([drawn_log(rng, number) for number in range(12)])
    drawn = [drawn_correlation(rng, kind) for kind in TYPES for _ in range(2)]
    yield cases.tables_of("log", logs), "log", [(f"drawn {n}", one) for n, one in enumerate(drawn)]


@pytest.fixture(scope="module")
def on_duckdb() -> Found:
    """The rows that the others must have."""
    with engines.connect("duckdb") as engine:
        return found_on(engine)


def test_the_case_set_says_something(on_duckdb: Found) -> None:
    cases_of_all = sum(len(one.tests) for one in shipped.algorithms())
    assert len(on_duckdb) == cases_of_all + 2 * len(TYPES)
    assert sum(map(bool, on_duckdb.values())) * 3 > len(on_duckdb)
    drawn = [bool(hit) for (name, _), hit in on_duckdb.items() if name.startswith("drawn ")]
    assert sum(drawn) >= len(TYPES)


@pytest.fixture(scope="module")
def side_by_side() -> Found:
    """The rows that the others must have of all cases at once."""
    with engines.connect("duckdb") as engine:
        return found_side_by_side(engine)


def test_the_cases_side_by_side_say_something(side_by_side: Found) -> None:
    assert sum(map(bool, side_by_side.values())) >= len(side_by_side) * 3 // 4


def test_clickhouse_finds_the_same_rows(
    on_duckdb: Found, side_by_side: Found, clickhouse: Engine
) -> None:
    assert found_side_by_side(clickhouse) == side_by_side
    if "WEIR_CASES" in os.environ:
        assert found_on(clickhouse) == on_duckdb


def test_spark_finds_the_same_rows(on_duckdb: Found, side_by_side: Found, spark: Engine) -> None:
    assert found_side_by_side(spark) == side_by_side
    if "WEIR_CASES" in os.environ:
        assert found_on(spark) == on_duckdb


def found_side_by_side(engine: Engine) -> Found:
    """What each algorithm finds in all cases at once."""
    found: Found = {}
    for kind in ("log", "pool"):
        parts: dict[str, list[Any]] = {name: [] for name in cases.columns_of(kind)}
        asked: dict[str, Algorithm] = {}
        for number, (tables, of_kind, pairs) in enumerate(by_tables()):
            if of_kind == kind:
                asked |= {algorithm.digest: algorithm for _, algorithm in pairs}
                for name, table in thinned(tables).items():
                    parts[name].append(apart(table, number))
        source = Source(engine, kind, "all_")
        cases.load(source, {name: pa.concat_tables(some) for name, some in parts.items()})
        for digest, algorithm in asked.items():
            found[kind, digest] = finds.hits(source, algorithm)
    return found


def thinned(tables: Mapping[str, Any]) -> dict[str, Any]:
    """The tables of a scene without its crowd of single people, who are the most of its rows."""
    main, unit = ("account", "account") if "account" in tables else ("cluster_row", "row")
    units = tables[main].column(unit)
    if len(units) > 300:
        # They stand first, before the subject and eight firms.
        kept = pc.filter(units, pc.or_(pc.greater_equal(units, 400), pc.equal(units, 0)))
    else:
        kept = units
    made = {
        name: table.filter(pc.is_in(table.column(unit), kept))
        if unit in table.column_names
        else table
        for name, table in tables.items()
    }
    uses = made["account_template" if main == "account" else "row_template"]
    for name in ("template", "template_row", "template_band"):
        if name in made and len(units) > 300:
            used = pc.is_in(made[name].column("template"), uses.column("template"))
            made[name] = made[name].filter(used)
    return made


def apart(table: Any, number: int) -> Any:
    """The table with units and templates of its own."""
    for column in UNITS & set(table.column_names):
        moved = pc.add(table.column(column), number * 100_000)
        table = table.set_column(table.column_names.index(column), column, moved)
    return table


UNITS = {"account", "row", "template"}


def test_a_document_reads_the_same_before_and_after_the_wire() -> None:
    for one in shipped.algorithms():
        assert document.parse(one.canonical) == one
