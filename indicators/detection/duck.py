"""DuckDB in this process: the engine of the pool, and a member's if it wants no other."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import ibis

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

_KINDS = {"int64": "BIGINT", "string": "VARCHAR", "boolean": "BOOLEAN", "date": "DATE"}


@contextmanager
def running(*, memory: int, threads: int, folder: Path | None) -> Iterator["Duck"]:
    """In memory; with a folder its tables lie in a file there, deleted at the end.

    Without a folder it opens no file at all, and nobody can allow it to: the tables are loaded.
    """
    room = tempfile.mkdtemp(prefix="weir-duckdb-", dir=folder) if folder else ""
    config = {
        "memory_limit": f"{memory >> 10}KiB",
        "threads": threads,
        "temp_directory": room,
        "preserve_insertion_order": False,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    connection = duckdb.connect(f"{room}/tables.duckdb" if room else ":memory:", config=config)
    try:
        if not room:
            connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        yield Duck(connection, lends=not room)
    finally:
        connection.close()
        if room:
            shutil.rmtree(room, ignore_errors=True)


class Duck:
    """An engine (`engines.Engine`)."""

    name = "duckdb"

    def __init__(self, connection: Any, *, lends: bool) -> None:  # noqa: ANN401 - of DuckDB
        self._connection = connection
        self._lends = lends
        self._tables: dict[str, Table] = {}

    def load(self, name: str, rows: Arrow, types: Types) -> Table:
        """Take an Arrow table under this name; in memory it is read where it lies."""
        place = quoted(name)  # refused where it is more than a name
        if self._lends:
            self._connection.register(name, typed(rows, types, name))
            return self._known(name, schema_of(types))
        self._connection.register("given", typed(rows, types, name))
        self._execute(f"CREATE OR REPLACE TABLE {place} AS FROM given")
        self._connection.unregister("given")
        return self._known(name, schema_of(types))

    def read(self, name: str, place: Path, types: Types) -> Table:
        """Read Parquet under this name, where it lies."""
        columns = ", ".join(
            f"CAST({quoted(column)} AS {_KINDS[kind]}) AS {quoted(column)}"
            for column, kind in types.items()
        )
        source = f"read_parquet({literal(files(place))})"
        view = f"CREATE OR REPLACE VIEW {quoted(name)} AS"
        self._execute(f"{view} SELECT {columns} FROM {source}")  # noqa: S608 - words of ours
        return self._known(name, schema_of(types))

    def keep(self, name: str, expression: Table) -> Table:
        """Compute a stage once and keep it."""
        sql = compiled(expression, "duckdb")
        self._execute(f"CREATE OR REPLACE TABLE {quoted(name)} AS {sql}")
        return self._known(name, expression.schema())

    def table(self, name: str) -> Table:
        """The table of this name."""
        return self._tables[name]

    def run(self, expression: Table, *order: str) -> Arrow:
        """Compute, in one order."""
        sql = compiled(in_order(expression, order), "duckdb")
        return given_back(self._execute(sql).to_arrow_table(), expression)

    def _execute(self, sql: str) -> Any:  # noqa: ANN401 - of DuckDB
        with plainly("DuckDB", (duckdb.Error,)):
            return self._connection.execute(sql)

    def _known(self, name: str, schema: Any) -> Table:  # noqa: ANN401 - of Ibis
        self._tables[name] = ibis.table(schema, name=name)
        return self._tables[name]
