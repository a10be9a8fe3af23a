"""What all engines share: types, one order, one form of what they give back, and plain failures."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.operations as ops
import pyarrow as pa

from exchange.proof.refused import Refused

Table = Any  # of Ibis: an expression with columns
Arrow = Any  # a pyarrow Table
Types = Mapping[str, str]  # of columns, as in tables.LOG

_ARROW = {"int64": pa.int64(), "string": pa.string(), "boolean": pa.bool_(), "date": pa.date32()}

# ClickHouse estimates how many are distinct; which row is the first is each engine's own affair, as
# are hashes and the dialect of a pattern.
_APART = (
    ops.ApproxCountDistinct,
    ops.Arbitrary,
    ops.CountDistinct,
    ops.CountDistinctStar,
    ops.First,
    ops.Hash,
    ops.Last,
    ops.RandomScalar,
    ops.RegexSearch,
    ops.Sample,
)


def schema_of(types: Types) -> Any:  # noqa: ANN401 - a schema of Ibis
    """The same columns for Ibis.

    None of them is ever NULL; but a type that says so would not be equal to that of a stage.
    """
    return ibis.schema(dict(types))


def typed(rows: Arrow, types: Types, name: str) -> Arrow:
    """The rows with exactly these columns and types."""
    missing = [column for column in types if column not in rows.column_names]
    if missing:
        raise Refused("table.column", f"The table {name} has no column {missing[0]}.", name)
    schema = pa.schema([(column, _ARROW[kind]) for column, kind in types.items()])
    try:
        made = rows.select(list(types)).cast(schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):  # its text quotes the value
        raise Refused("table.type", f"A column of {name} is of another type.", name) from None
    for column in types:
        if made.column(column).null_count:
            sentence = f"The column {column} of {name} has an empty place: it is text or a number."
            raise Refused("table.null", sentence, f"{name}.{column}")
    return made


def compiled(expression: Table, dialect: str) -> str:
    """The SQL of an expression; Refused where engines would not give the same rows."""
    found = expression.op().find(_APART)
    if found:
        kinds = ", ".join(sorted({type(one).__name__ for one in found}))
        raise Refused("engine.apart", f"Engines do not agree on {kinds}: say it with counts.")
    return str(ibis.to_sql(expression, dialect=dialect))


def in_order(expression: Table, order: Sequence[str]) -> Table:
    """Ordered by these columns and then by all others, so that no two orders are possible."""
    return expression.order_by(
        [*order, *(name for name in expression.columns if name not in order)]
    )


def given_back(rows: Arrow, expression: Table) -> Arrow:
    """As the expression is typed, whatever the engine thinks of integers and booleans."""
    kinds = {
        name: "date" if kind.is_date() else str(kind.copy(nullable=True)).removeprefix("!")
        for name, kind in expression.schema().items()
    }
    schema = pa.schema([(name, _ARROW.get(kind, pa.int64())) for name, kind in kinds.items()])
    return rows.select(list(kinds)).cast(schema).combine_chunks()


def files(place: Path) -> str:
    """A Parquet file, or those of a folder, as engines name them."""
    return str(place / "*.parquet") if place.is_dir() else str(place)


def quoted(name: str) -> str:
    """The name of a table or a column, where no text from outside may stand."""
    if not name.isidentifier():
        raise Refused("table.name", "The name of a table or column is one word of letters.", "name")
    return f'"{name}"'


def literal(text: str) -> str:
    """Text inside quotes."""
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


@contextmanager
def plainly(engine: str, kinds: tuple[type[Exception], ...]) -> Iterator[None]:
    """An engine's failure says which engine and what kind; its own text quotes rows."""
    try:
        yield
    except kinds as fault:
        kind = type(fault).__name__
        raise Refused("engine.failed", f"{engine} could not compute this ({kind}).") from None
