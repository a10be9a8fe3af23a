"""Every detector finds the same on DuckDB, ClickHouse and Spark, row by row."""

import random
from collections.abc import Iterator
from datetime import timedelta

import ibis
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from exchange.proof.refused import Refused
from indicators.detection import engines, scorecard, tables, ties
from tests.core.pool_material import START, Rows, arrow, loaded

MARKER = "ana@aurora.example"


def log_of(seed: int) -> Rows:
    """A log with a few of everything, most of it by chance."""
    draw = random.Random(seed)  # noqa: S311 - the same log each time
    tokens = {
        (draw.randrange(400), kind, f"{kind} {draw.randrange(90)}")
        for kind in ("payment", "device", "egress")
        for _ in range(300)
    }
    # Campaigns: accounts on a few cards that use the same templates, begin and move together.
    campaigns = [range(500 + n * 20, 512 + n * 20) for n in range(6)]
    tokens |= {(unit, "payment", f"card {unit // 4}") for group in campaigns for unit in group}
    uses = {(draw.randrange(400), draw.randrange(60)) for _ in range(350)}
    uses |= {(unit, 100 + group.start + n) for group in campaigns for unit in group for n in (0, 1)}
    return {
        "account": [
            (
                unit,
                START + timedelta(days=draw.choice((0, 0, 1, 2)) if unit < 500 else 1),
                draw.random() < 0.5,
                draw.random() < 0.5,
                "",
            )
            for unit in range(620)
        ],
        "account_day": [
            (
                unit,
                START + timedelta(days=day),
                draw.randrange(1, 500),
                draw.randrange(10) if unit < 500 else 7,
                draw.randrange(10**12) if unit < 500 else 777_777_777_777 + draw.randrange(3),
                draw.randrange(10**12) if unit < 500 else 555_555_555_555,
                draw.random() < 0.5,
                draw.random() < 0.5,
                draw.random() < (0.2 if unit < 500 else 0.8),
                "",
            )
            for unit in range(620)
            for day in range(3)
            if draw.random() < 0.8
        ],
        "account_token": sorted(tokens),
        "account_template": sorted(uses),
        "template_band": [
            (template, band, f"{draw.randrange(9)}") for template in range(60) for band in range(4)
        ],
    }


def pool_of(seed: int) -> Rows:
    """Extracts of four members, with cards, templates and hours in common."""
    draw = random.Random(seed)  # noqa: S311 - the same pool each time
    rows = []
    for row in range(240):
        facts = {
            "row": row,
            "member": row % 4,
            "day": START + timedelta(days=draw.randrange(2)),
            "cluster": f"{row:016x}",
            "first_day": START,
            "last_day": START,
            "flat": draw.randrange(10),
            "am": 777_777_777_777 + draw.randrange(2),
            "pm": 10 ** draw.randrange(12),
            "pivot": draw.choice((0, 2, 4, 8)),
            "start_days": draw.choice((1, 2, 4, 8)),
            "start_peak": draw.choice((2, 4, 6, 10)),
        }
        rows.append(tuple(facts.get(name, 0) for name in tables.POOL["cluster_row"]))
    return {
        "cluster_row": rows,
        "row_token": sorted(
            {
                (row, draw.choice(("payment", "device")), f"{draw.randrange(200)}")
                for row in range(240)
            }
        ),
        "row_template": [(row, row * 3 + n) for row in range(240) for n in range(3)],
        "template_band": [
            (template, band, f"{draw.randrange(120)}")
            for template in range(720)
            for band in range(6)
        ],
    }


Found = dict[str, pa.Table]
MATERIAL = {ties.LOG: log_of, ties.POOL: pool_of}
# Where chance alone finds nothing with the starts.
GIVEN = {"template-family": {"together": 2, "lift": 5}}


def everything(engine: engines.Engine, kind: str, seed: int) -> Found:
    """What each detector finds, and the groups that the ties make."""
    source = loaded(engine, kind, MATERIAL[kind](seed))
    groups = ties.tied(source, {"shared-token": {}})
    table = ties.grouped(source, groups)
    found: Found = {"groups": groups.rows}
    for name, detector in ties.DETECTORS.items():
        if kind in detector.runs_on:
            expression = ties.find(source, name, GIVEN.get(name), groups=table)
            found[name] = engine.run(expression, "unit")
    if kind == ties.POOL:
        named = {name: source.table(name) for name in tables.POOL}
        low = {**scorecard.START, "threshold": 20}
        found["scorecard"] = engine.run(scorecard.marked(named, low), "unit")
    return found


@pytest.fixture(scope="module")
def duckdb() -> Iterator[engines.Engine]:
    with engines.connect() as engine:
        yield engine


@pytest.mark.parametrize("kind", [ties.LOG, ties.POOL])
@pytest.mark.parametrize("seed", range(3))
def test_clickhouse_finds_what_duckdb_finds(
    duckdb: engines.Engine, clickhouse: engines.Engine, kind: str, seed: int
) -> None:
    compare(everything(duckdb, kind, seed), everything(clickhouse, kind, seed))


@pytest.mark.parametrize("kind", [ties.LOG, ties.POOL])
def test_spark_finds_what_duckdb_finds(
    duckdb: engines.Engine, spark: engines.Engine, kind: str
) -> None:
    compare(everything(duckdb, kind, 0), everything(spark, kind, 0))


def compare(first: Found, second: Found) -> None:
    """The same rows of the same types in the same order, and some of each detector."""
    assert first.keys() == second.keys()
    for name, rows in first.items():
        assert rows.num_rows, name
        assert second[name].equals(rows), name


@pytest.mark.parametrize("name", ["clickhouse", "spark"])
def test_another_engine_refuses_without_quoting_a_row(
    name: str, request: pytest.FixtureRequest, capfd: pytest.CaptureFixture[str]
) -> None:
    engine: engines.Engine = request.getfixturevalue(name)
    types = {"account": "int64", "token": "string"}
    engine.load("odd", arrow(types, [(1, MARKER)]), types)
    gone = ibis.table({**types, "spare": "int64"}, name="odd")
    for broken in (gone.filter(gone.token == MARKER), gone.filter(gone.token.cast("int64") > 0)):
        with pytest.raises(Refused) as refused:
            engine.run(broken)
        assert refused.value.code == "engine.failed"
        assert MARKER not in "".join(capfd.readouterr()) + str(refused.value)


def test_spark_quotes_no_value_that_it_cannot_read(
    spark: engines.Engine, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    types = {"account": "int64", "token": "string"}
    table = spark.load("odd", arrow(types, [(1, MARKER)]), types)
    with caplog.at_level(0), pytest.raises(Refused) as refused:
        spark.run(table.mutate(number=table.token.cast("int64")))
    assert refused.value.code == "engine.failed"
    assert MARKER not in "".join(capfd.readouterr()) + caplog.text + str(refused.value)


@pytest.mark.parametrize("name", ["clickhouse", "spark"])
def test_another_engine_reads_a_folder_of_parquet_and_keeps_stages(
    name: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> None:
    engine: engines.Engine = request.getfixturevalue(name)
    folder = tmp_path_factory.mktemp("log")
    types = {"account": "int64", "day": "date", "carded": "boolean", "token": "string"}
    for n in range(2):
        rows = [(2 * n + one, START, bool(one), f"card {n}") for one in range(2)]
        pq.write_table(arrow(types, rows), folder / f"{n}.parquet")
    table = engine.read("several", folder, types)
    kept = engine.keep("stage", table.filter(table.carded))
    assert engine.run(kept).to_pylist() == [
        {"account": 1, "day": START, "carded": True, "token": "card 0"},
        {"account": 3, "day": START, "carded": True, "token": "card 1"},
    ]
    one = engine.read("several", folder / "1.parquet", types)
    assert engine.run(one, "account").column("account").to_pylist() == [2, 3]
    assert engine.run(engine.table("stage")).num_rows == 2
    assert engines.number(engine, kept.count()) == 2
