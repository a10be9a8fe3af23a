"""ClickHouse in this process, by chDB: a member's engine where a log is larger than memory.

Ibis has no backend for it, and needs none: an expression becomes SQL of ClickHouse.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import pyarrow.parquet as pq
from chdb import ChdbError
from chdb.session import Session

from indicators.detection.arrow import (
    Arrow,
    Table,
    Types,
    compiled,
    files,
    given_back,
    in_order,
    literal,
    plainly,
    quoted,
    schema_of,
    typed,
)

_KINDS = {"int64": "Int64", "string": "String", "boolean": "Bool", "date": "Date32"}


@contextmanager
def running(*, memory: int, threads: int, folder: Path | None) -> Iterator["ClickHouse"]:
    """Its tables lie in a folder, deleted at the end; one at a time in a process."""
    room = tempfile.mkdtemp(prefix="weir-clickhouse-", dir=folder)
    session = Session(str(Path(room, "tables")))
    try:
        session.query("CREATE DATABASE IF NOT EXISTS weir")
        session.query("USE weir")
        # A left join gives NULL as elsewhere; what does not fit into half the memory goes to disk.
        session.query(
            f"SET join_use_nulls = 1, max_threads = {threads}, max_memory_usage = {memory},"
            f" max_bytes_before_external_group_by = {memory // 2},"
            f" max_bytes_before_external_sort = {memory // 2},"
            " join_algorithm = 'grace_hash,hash'"
        )
        yield ClickHouse(session, Path(room))
    finally:
        session.close()
        shutil.rmtree(room, ignore_errors=True)


class ClickHouse:
    """An engine (`engines.Engine`)."""

    name = "clickhouse"

    def __init__(self, session: Any, room: Path) -> None:  # noqa: ANN401 - of chDB
        self._session = session
        self._room = room
        self._tables: dict[str, Table] = {}

    def load(self, name: str, rows: Arrow, types: Types) -> Table:
        """Take an Arrow table under this name."""
        file = self._room / "given.parquet"
        pq.write_table(typed(rows, types, name), file)
        self._replace(name, "TABLE", f"ENGINE = MergeTree ORDER BY tuple() AS {_of(file, types)}")
        file.unlink()
        return self._known(name, schema_of(types))

    def read(self, name: str, place: Path, types: Types) -> Table:
        """Read Parquet under this name, where it lies."""
        self._replace(name, "VIEW", f"AS {_of(place, types)}")
        return self._known(name, schema_of(types))

    def keep(self, name: str, expression: Table) -> Table:
        """Compute a stage once and keep it."""
        sql = compiled(expression, "clickhouse")
        self._replace(name, "TABLE", f"ENGINE = MergeTree ORDER BY tuple() AS {sql}")
        return self._known(name, expression.schema())

    def table(self, name: str) -> Table:
        """The table of this name."""
        return self._tables[name]

    def run(self, expression: Table, *order: str) -> Arrow:
        """Compute, in one order."""
        sql = compiled(in_order(expression, order), "clickhouse")
        octets = self._execute(sql, "Arrow").bytes()
        with pa.ipc.open_file(pa.BufferReader(octets)) as reader:
            return given_back(reader.read_all(), expression)

    def _replace(self, name: str, kind: str, rest: str) -> None:
        """A view may stand where a table stood, so both are dropped; a stage reads none of them."""
        self._execute(f"DROP TABLE IF EXISTS {quoted(name)} SYNC")
        self._execute(f"CREATE {kind} {quoted(name)} {rest}")

    def _execute(self, sql: str, form: str = "Null") -> Any:  # noqa: ANN401 - of chDB
        with plainly("ClickHouse", (ChdbError, RuntimeError)):
            return self._session.query(sql, form)

    def _known(self, name: str, schema: Any) -> Table:  # noqa: ANN401 - of Ibis
        self._tables[name] = ibis.table(schema, name=name)
        return self._tables[name]


def _of(place: Path, types: Types) -> str:
    columns = ", ".join(
        f"CAST({quoted(column)} AS {_KINDS[kind]}) AS {quoted(column)}"
        for column, kind in types.items()
    )
    return f"SELECT {columns} FROM file({literal(files(place))}, Parquet)"  # noqa: S608 - words of ours
