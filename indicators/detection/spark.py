"""Spark on this machine: a member's engine where its log lies there. It needs Java 17."""

import logging
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ibis
from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from exchange.proof.refused import Refused
from indicators.detection.arrow import (
    Arrow,
    Table,
    Types,
    compiled,
    given_back,
    in_order,
    plainly,
    schema_of,
    typed,
)

LEAST = 640 << 20  # octets; with less than 450 MB Spark does not start
_KINDS = {"int64": "bigint", "string": "string", "boolean": "boolean", "date": "date"}
_FAULTS = (PySparkException, Py4JError)


@contextmanager
def running(*, memory: int, threads: int, folder: Path | None) -> Iterator["Spark"]:
    """A session of its own, with its files in a folder that is deleted at the end."""
    room = tempfile.mkdtemp(prefix="weir-spark-", dir=folder)
    # They write what is sent, and failed queries with the value that broke them.
    logging.getLogger("SQLQueryContextLogger").disabled = True
    logging.getLogger("py4j").setLevel(logging.CRITICAL)
    session = _started(room, memory=memory, threads=threads)
    try:
        session.sparkContext.setLogLevel("OFF")
        yield Spark(session)
    finally:
        session.stop()
        shutil.rmtree(room, ignore_errors=True)


def _started(room: str, *, memory: int, threads: int) -> Any:  # noqa: ANN401 - of Spark
    options = {
        "spark.driver.memory": f"{max(memory, LEAST) >> 20}m",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.local.dir": room,
        "spark.sql.warehouse.dir": f"{room}/tables",
        "spark.sql.catalogImplementation": "in-memory",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": str(threads),
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }
    builder = SparkSession.builder.master(f"local[{threads}]").appName("weir")
    for name, value in options.items():
        builder = builder.config(name, value)
    try:
        return builder.getOrCreate()
    except (*_FAULTS, OSError):
        raise Refused("engine.start", "Spark did not start: is Java 17 installed?") from None


@contextmanager
def _plainly() -> Iterator[None]:
    """Spark's failures; its sockets for results are closed by the garbage collector alone."""
    with warnings.catch_warnings(), plainly("Spark", _FAULTS):
        warnings.simplefilter("ignore", ResourceWarning)
        yield


class Spark:
    """An engine (`engines.Engine`)."""

    name = "spark"

    def __init__(self, session: Any) -> None:  # noqa: ANN401 - of Spark
        self._session = session
        self._tables: dict[str, Table] = {}

    def load(self, name: str, rows: Arrow, types: Types) -> Table:
        """Take an Arrow table under this name."""
        # In one piece: Spark ends at the first piece that has no rows, and says nothing of it.
        made = typed(rows, types, name).combine_chunks()
        with _plainly():
            frame = self._session.createDataFrame(made)
            frame.localCheckpoint().createOrReplaceTempView(name)
        return self._known(name, schema_of(types))

    def read(self, name: str, place: Path, types: Types) -> Table:
        """Read Parquet under this name, where it lies."""
        columns = [
            f"CAST(`{column}` AS {_KINDS[kind]}) AS `{column}`" for column, kind in types.items()
        ]
        with _plainly():
            frame = self._session.read.parquet(str(place))
            frame.selectExpr(*columns).createOrReplaceTempView(name)
        return self._known(name, schema_of(types))

    def keep(self, name: str, expression: Table) -> Table:
        """Compute a stage once and keep it, in memory and on the disk behind it."""
        sql = compiled(expression, "pyspark")
        with _plainly():
            self._session.sql(sql).localCheckpoint().createOrReplaceTempView(name)
        return self._known(name, expression.schema())

    def table(self, name: str) -> Table:
        """The table of this name."""
        return self._tables[name]

    def run(self, expression: Table, *order: str) -> Arrow:
        """Compute, in one order."""
        sql = compiled(in_order(expression, order), "pyspark")
        with _plainly():
            return given_back(self._session.sql(sql).toArrow(), expression)

    def _known(self, name: str, schema: Any) -> Table:  # noqa: ANN401 - of Ibis
        self._tables[name] = ibis.table(schema, name=name)
        return self._tables[name]
