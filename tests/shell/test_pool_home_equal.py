"""A member's groups, rows and hits are the same on DuckDB, ClickHouse and Spark."""

from collections.abc import Iterator

import pytest

from indicators.detection import engines, home, hunting
from tests.core.log_material import DAY, Log, ago, bands, token

KEYS = home.Keys(b"a" * 32, "2026Q4")
Found = tuple[home.Clusters, home.Drawn, tuple[hunting.Hit, ...]]


@pytest.fixture(scope="module")
def expected() -> Iterator[Found]:
    """What DuckDB says."""
    with engines.connect() as engine:
        yield worked(engine)


def log() -> Log:
    """Three groups with something of every column, and strangers who hold some of it too."""
    made = Log()
    made.strangers(2_000)
    made.campaign(0)
    made.campaign(100, accounts=30, cards=7, name=2)
    made.campaign(200, cards=2, name=3)
    made.changed({n: (ago(n), n % 2 == 0, True, "firm" if n < 3 else "") for n in range(12)})
    for account in range(100, 130):
        made.used(account, account % 40, flat=account % 9, hours="0123456789" * 2 + "0004",
                  mid=account % 3 == 0, mismatch=account % 4 == 0, moved=account % 5 == 0,
                  client=f"{account % 6:032x}")  # fmt: skip
    made.holds("egress", token(1), (100, 101, *range(10_000, 10_050)))
    made.holds("egress", token(2), (100, 101, *range(10_000, 10_150)))
    made.tagged("method", "rubric-grading", range(100, 120))
    made.tagged("surface", "first-party-api", range(12))
    made.account(900, began=300)
    made.holds("payment", token(7_777), (900,))
    for template in range(6):
        made.asks(template, (100 + template, 101 + template, 102 + template, template))
    return made


def worked(engine: engines.Engine) -> Found:
    """Groups, the extract, and what a look at home finds."""
    source = log().loaded(engine)
    setup = home.Setup()
    found = home.clusters(source, setup, day=DAY, keys=KEYS)
    near = tuple(tuple(bands(n)[:2] + bands(90 + n)[2:]) for n in (0, 1))
    released = hunting.Released(
        "XC-1", frozenset({token(3_000), token(7_777)}), frozenset({token(2_500)}), near
    )
    hits = hunting.hunt(source, [released], home.tied_by(source, setup))
    return found, home.extract(found, setup, keys=KEYS), hits


def test_there_is_something_to_compare(expected: Found) -> None:
    found, drawn, hits = expected
    assert len(found.clusters) >= 2
    assert len(drawn.groups) >= 1
    assert {reason for hit in hits for reason in hit.reasons} == set(hunting.REASONS)


def test_clickhouse_says_what_duckdb_says(clickhouse: engines.Engine, expected: Found) -> None:
    assert worked(clickhouse) == expected


def test_spark_says_what_duckdb_says(spark: engines.Engine, expected: Found) -> None:
    assert worked(spark) == expected
