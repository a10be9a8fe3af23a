"""What five detectors cost over a member's whole log, and one minute against all of it.

The log is drawn on the disk by DuckDB: accounts with cards, devices and addresses of their own,
households, firms, carriers, usual templates, and campaigns of forty accounts; thousands of each.
"""

import resource
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import duckdb

from exchange.management.bench.report import Report, timed
from indicators.detection import engines, graph, minute, schema, tables, ties

ACCOUNT_DAYS = 100_000_000
ACTIVE_DAYS = 20  # of each account, among the 45
MEMORY = 3 << 30
BATCH = 1_500  # accounts seen in a minute, a tenth of them for the first time
MINUTES = 3
# Absolute, as the project promises them for two cores.
MOST_SECONDS = 90.0
MOST_SECONDS_OF_A_MINUTE = 5.0
TIES = ("shared-token", "template-family")
MARKS = ("synchronised-start", "rate-shape", "pivot")

# `draw` is a number below another, by chance and always the same; `accounts`, `day` are variables.
_MACROS = (
    "CREATE MACRO draw(number, salt, below) AS (hash(number, salt) % (below))::BIGINT",
    # As the extractor makes it of a digest.
    "CREATE MACRO number(n) AS (hash(n, 0) >> 4)::BIGINT",
    "CREATE MACRO accounts() AS getvariable('accounts')",
    "CREATE MACRO today() AS DATE '2026-10-01' + getvariable('day')",
    # Each hundredth account, in groups of forty.
    "CREATE MACRO is_campaign(n) AS n >= accounts() * 99 // 100",
)
_TABLES = {
    "account": """
        SELECT number(n) AS account,
            DATE '2026-10-01' + (CASE WHEN is_campaign(n) THEN 5 + n // 40 % 20
                ELSE draw(n, 1, 700) - 655 END)::INTEGER AS first_day,
            true AS carded, true AS deviced, '' AS entity
        FROM range(accounts()) AS of(n)""",
    "account_token": """
        SELECT number(n) AS account, kind, sha256(kind || CASE
            WHEN kind = 'egress' THEN CASE WHEN draw(n, nth, 10) = 0
                THEN 'carrier' || draw(n, 3, 200)
                ELSE 'line' || draw(n, nth, accounts() * 2) END
            WHEN is_campaign(n) THEN 'campaign' || n // (4 + nth)
            WHEN draw(n // 30, 4, 50) = 0 THEN 'firm' || n // 30
            WHEN draw(n // 2, 5, 5) = 0 THEN 'household' || n // 2
            ELSE 'own' || n END) AS token
        FROM range(accounts()) AS numbered(n)
        CROSS JOIN (VALUES ('payment', 0), ('device', 1), ('egress', 2), ('egress', 3))
            AS of(kind, nth)
        WHERE nth < 2 OR draw(n, nth, 2) = 0""",
    "account_tag": """
        SELECT number(n) AS account, 'surface' AS kind, 'first-party-api' AS tag
        FROM range(accounts()) AS of(n) WHERE draw(n, 6, 3) = 0""",
    # A fifth uses templates; a few are everybody's, most are of some dozen accounts.
    "account_template": """
        SELECT DISTINCT number(n) AS account, CASE WHEN is_campaign(n)
            THEN accounts() + n // 40 * 3 + nth
            ELSE (power(draw(n, 10 + nth, 1000000) / 1e6, 3) * accounts() / 20)::BIGINT
            END AS template
        FROM range(accounts()) AS numbered(n) CROSS JOIN range(5) AS of(nth)
        WHERE CASE WHEN is_campaign(n) THEN nth < 3
            ELSE draw(n, 7, 5) = 0 AND nth <= draw(n, 8, 5) END""",
    "template": """
        SELECT template, 2 AS length, 100 AS samples, 'en' AS languages
        FROM range(accounts() // 20) AS of(template)""",
    "template_band": """
        SELECT template, band, printf('%016x', hash(template, band)) AS value
        FROM range(accounts() // 20) AS numbered(template) CROSS JOIN range(32) AS of(band)""",
}
# A file for each day: a twentieth of all days is paced by a machine, and every one of campaigns.
_ACCOUNT_DAY = """
    SELECT number(n) AS account, today() AS day,
        1 + draw(n, 20 + getvariable('day'), 200) AS events,
        CASE WHEN is_campaign(n) THEN 7
            WHEN draw(n, 100 + getvariable('day'), 20) = 0 THEN 5
            ELSE draw(n, 100 + getvariable('day'), 4) END AS flat,
        CASE WHEN is_campaign(n) THEN 777777777777
            ELSE draw(n, 200 + getvariable('day'), 1000000000000) END AS am,
        CASE WHEN is_campaign(n) THEN 555555555555
            ELSE draw(n, 300 + getvariable('day'), 1000000000000) END AS pm,
        draw(n, 400 + getvariable('day'), 2) = 0 AS mid,
        draw(n, 21, 40) = 0 AS mismatch,
        getvariable('day') % 15 = 7
            AND draw(n, 22, 10) < CASE WHEN is_campaign(n) THEN 8 ELSE 1 END AS moved,
        printf('%032x', draw(n, 23, 500)) AS client
    FROM range(accounts()) AS of(n)
    WHERE draw(n, 500 + getvariable('day'), getvariable('days')) < getvariable('active')"""
# What a minute brings: accounts all over the log, and new ones on the cards of campaigns.
_SEEN = """
    CREATE TABLE seen AS SELECT number(n) AS account FROM range(accounts()) AS of(n)
    WHERE draw(n, getvariable('minute'), accounts()) < getvariable('old')"""
_FRESH = """
    CREATE TABLE fresh AS SELECT number(n) AS account FROM range(accounts()) AS of(n)
    WHERE is_campaign(n)
        AND draw(n, getvariable('minute'), accounts() // 100) < getvariable('new')"""
_OF_MINUTE = {
    "account": "SELECT * FROM given",
    "account_token": "SELECT * FROM given",
    "account_day": "SELECT DISTINCT ON (account) * REPLACE (today() AS day) FROM given",
}


def run(sizes: Sequence[int], report: Report) -> None:
    """Both measurements, for logs of so many account-days."""
    for size in sizes or (ACCOUNT_DAYS,):
        room = Path(tempfile.mkdtemp(prefix="weir-log-"))
        try:
            _measure(size, room, report)
        finally:
            shutil.rmtree(room, ignore_errors=True)


def _measure(size: int, room: Path, report: Report) -> None:
    accounts = max(size // ACTIVE_DAYS, 1_000)
    drawn = timed(partial(_draw, room, accounts))
    report.title(f"Detectors over {size:,} account-days of {accounts:,} accounts, 3 GB for DuckDB")
    report.time("drawing the log", drawn, beside=f"{_octets(room) / 1e9:,.1f} GB of Parquet")
    limits = engines.Limits(memory=MEMORY, folder=room)
    with engines.connect(limits=limits) as engine:
        source = _opened(engine, room)
        seconds, found = _detectors(source, report)
        report.time(
            "five detectors, with their groups",
            seconds,
            beside=f"{found:,} accounts tied, {_peak() / 1e9:,.1f} GB at most in this process",
            at_most=MOST_SECONDS,
        )
    with engines.connect(limits=limits) as engine:
        source = _opened(engine, room)
        batches = [_batch(room, accounts, number) for number in range(MINUTES)]
        once = timed(partial(_minute, source, batches[0]))
        report.time("one minute, from the files", once, beside="which are decoded whole")
        began = time.perf_counter()
        source = minute.standing(source)
        kept = time.perf_counter() - began
        report.time("keeping the log for its minutes, once a day", kept, beside="in one file")
        each = [timed(partial(_minute, source, batch)) for batch in batches]
    report.time(
        f"one minute of {BATCH:,} rows, the slowest of {MINUTES}",
        max(each),
        beside=", ".join(f"{seconds * 1000:,.0f} ms" for seconds in each),
        at_most=MOST_SECONDS_OF_A_MINUTE,
    )


def _opened(engine: engines.Engine, room: Path) -> ties.Source:
    for name, types in tables.LOG.items():
        engine.read(name, room / name, types)
    return ties.Source(engine, ties.LOG)


def _detectors(source: ties.Source, report: Report) -> tuple[float, int]:
    """The seconds of all five, and how many accounts they tie."""
    began = time.perf_counter()
    tied = [_found(source, name, report) for name in TIES]
    groups = graph.components(tied)
    table = ties.grouped(source, groups)
    for name in MARKS:
        _found(source, name, report, groups=table)
    return time.perf_counter() - began, groups.rows.num_rows


def _found(source: ties.Source, name: str, report: Report, *, groups: Any = None) -> Any:  # noqa: ANN401 - Arrow
    began = time.perf_counter()
    rows = source.engine.run(ties.find(source, name, groups=groups))
    report.time(f"  {name}", time.perf_counter() - began, beside=f"{rows.num_rows:,} rows")
    return rows


def _minute(source: ties.Source, batch: dict[str, Any]) -> None:
    narrowed = minute.narrowed(source, batch)
    table = ties.grouped(narrowed, minute.groups(narrowed))
    for name in minute.DETECTORS:
        narrowed.engine.run(ties.find(narrowed, name, groups=table))


def _draw(room: Path, accounts: int) -> None:
    """All tables of a log as Parquet; the days in a file for each, as the extractor keeps them."""
    with _drawing(room, accounts) as connection:
        for name, query in _TABLES.items():
            _copy(connection, query, room / name / "all.parquet")
        for day in range(schema.DAYS):
            connection.execute(f"SET VARIABLE day = {day}")
            _copy(connection, _ACCOUNT_DAY, room / "account_day" / f"{day}.parquet")


def _batch(room: Path, accounts: int, minutes: int) -> dict[str, Any]:
    """A minute's rows as the extractor would fold them."""
    with _drawing(room, accounts) as connection:
        connection.execute(f"SET VARIABLE minute = {1_000 + minutes}")
        connection.execute(_SEEN)
        connection.execute(_FRESH)
        found = {}
        for name, query in _OF_MINUTE.items():
            given = connection.read_parquet(f"{room / name}/*.parquet")
            theirs = given.filter("account IN (FROM seen) OR account IN (FROM fresh)")
            rows = theirs.query("given", query)
            # Seen today for the first time: the same cards, another account.
            number = "account + (account IN (FROM fresh))::BIGINT"
            found[name] = rows.project(f"* REPLACE ({number} AS account)").to_arrow_table()
    return found


@contextmanager
def _drawing(room: Path, accounts: int) -> Iterator[Any]:
    config = {"memory_limit": f"{MEMORY >> 10}KiB", "threads": 2, "temp_directory": str(room)}
    variables = {
        "accounts": accounts,
        "active": ACTIVE_DAYS,
        "day": schema.DAYS - 1,
        "days": schema.DAYS,
        "new": BATCH // 10,
        "old": BATCH - BATCH // 10,
    }
    with duckdb.connect(config=config) as connection:
        for name, value in variables.items():
            connection.execute(f"SET VARIABLE {name} = {value}")
        for macro in _MACROS:
            connection.execute(macro)
        yield connection


def _copy(connection: Any, query: str, file: Path) -> None:  # noqa: ANN401 - of DuckDB
    file.parent.mkdir(exist_ok=True)
    connection.sql(query).write_parquet(str(file), compression="zstd")


def _octets(room: Path) -> int:
    return sum(file.stat().st_size for file in room.rglob("*.parquet"))


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
