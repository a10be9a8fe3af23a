"""One small interface to DuckDB, ClickHouse (chDB) and Spark: load tables, keep stages, run.

An expression is Ibis over tables known by name; each engine gets it as SQL of its own dialect. What
an engine gives back is typed by the expression and ordered by all its columns, so that the same
tables give the same bytes on each of them.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import ibis

from exchange.proof.refused import Refused
from indicators.detection.arrow import Arrow, Table, Types, compiled, in_order

MEMORY = 1 << 30
THREADS = 2
# Engine: the extra that brings it.
EXTRAS = {"duckdb": "pool", "clickhouse": "clickhouse", "spark": "spark"}


@dataclass(frozen=True, slots=True)
class Limits:
    """What an engine may use. Without a folder DuckDB reads no file and writes none."""

    memory: int = MEMORY  # octets
    threads: int = THREADS
    folder: Path | None = None  # for stages, and for what does not fit into memory


class Engine(Protocol):
    """Tables by name, and expressions over them."""

    name: str

    def load(self, name: str, rows: Arrow, types: Types) -> Table:
        """Take an Arrow table under this name, its columns cast to these types."""

    def read(self, name: str, place: Path, types: Types) -> Table:
        """Read a Parquet file, or all those of a folder, under this name, where they lie."""

    def keep(self, name: str, expression: Table) -> Table:
        """Compute a stage once and keep it as a table, in the place of an earlier one."""

    def table(self, name: str) -> Table:
        """The table of this name, for expressions."""

    def run(self, expression: Table, *order: str) -> Arrow:
        """Compute, and give the rows ordered by these columns and then by all others."""


@contextmanager
def connect(name: str = "duckdb", limits: Limits | None = None) -> Iterator[Engine]:
    """An engine by its name, closed at the end together with all that it wrote."""
    given = limits or Limits()
    starter = _starter(name)
    with starter(memory=given.memory, threads=given.threads, folder=given.folder) as engine:
        yield engine


def ready(name: str) -> None:
    """Load what an engine's first query loads: so processes that are forked find it there."""
    _starter(name)
    asked = ibis.table({"unit": "int64"}, name="asked")
    compiled(in_order(asked.filter(asked.unit > 0), ["unit"]), name)


def number(engine: Engine, expression: Any) -> int:  # noqa: ANN401 - a scalar of Ibis
    """The one whole number that an expression comes to; 0 where there is none."""
    (value,) = engine.run(expression.name("value").as_table()).column("value").to_pylist()
    return int(value or 0)


def _starter(name: str) -> Callable[..., AbstractContextManager[Engine]]:
    """Loaded by who asks for it: each is a hundred megabytes, and an extra."""
    if name not in EXTRAS:
        raise Refused("engine.unknown", f"An engine is one of {', '.join(EXTRAS)}.", "engine")
    try:
        if name == "clickhouse":
            from indicators.detection import clickhouse  # noqa: PLC0415 - as said above

            return clickhouse.running
        if name == "spark":
            from indicators.detection import spark  # noqa: PLC0415 - as said above

            return spark.running
        from indicators.detection import duck  # noqa: PLC0415 - as said above
    except ModuleNotFoundError:
        sentence = (
            f"The engine {name} is not installed: install the extra {EXTRAS[name]!r} of weir."
        )
        raise Refused("engine.missing", sentence, "engine") from None
    return duck.running
