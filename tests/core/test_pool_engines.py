"""An engine takes typed tables, keeps stages, gives rows back in one order, and quotes no row."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from exchange.proof.refused import Refused
from indicators.detection import engines

TYPES = {"account": "int64", "day": "date", "carded": "boolean", "token": "string"}
MARKER = "ana@aurora.example"


def some(**changed: object) -> pa.Table:
    columns: dict[str, object] = {
        "account": pa.array([2, 1, 3], pa.int32()),
        "day": pa.array([20_000, 20_001, 20_002], pa.date32()),
        "carded": [True, False, True],
        "token": ["b", "a", "b"],
    }
    return pa.table(columns | changed)


@pytest.fixture(scope="module")
def engine() -> Iterator[engines.Engine]:
    with engines.connect() as running:
        yield running


def test_rows_come_back_typed_and_in_one_order(engine: engines.Engine) -> None:
    table = engine.load("account", some(spare=[0, 0, 0]), TYPES)
    rows = engine.run(table)
    assert rows.column_names == ["account", "day", "carded", "token"]
    assert [str(kind) for kind in rows.schema.types] == ["int64", "date32[day]", "bool", "string"]
    assert rows.column("account").to_pylist() == [1, 2, 3]
    by_token = engine.run(table.select("account", "token"), "token")
    assert by_token.to_pylist() == [
        {"account": 1, "token": "a"},
        {"account": 2, "token": "b"},
        {"account": 3, "token": "b"},
    ]


def test_a_table_in_pieces_is_loaded_whole_though_one_is_empty(
    engine: engines.Engine, spark: engines.Engine
) -> None:
    pieces = pa.concat_tables([some().slice(0, 1), some().slice(0, 0), some().slice(1)])
    for each in (engine, spark):
        loaded = each.load("in_pieces", pieces, TYPES)
        assert each.run(loaded).column("account").to_pylist() == [1, 2, 3], each.name


def test_a_stage_is_computed_once_and_stands_for_its_rows(engine: engines.Engine) -> None:
    table = engine.load("account", some(), TYPES)
    kept = engine.keep("stage", table.filter(table.carded))
    engine.load("account", some().slice(0, 0), TYPES)
    assert engine.run(kept).column("account").to_pylist() == [2, 3]
    assert engine.run(engine.table("stage")).num_rows == 2
    assert engines.number(engine, kept.count()) == 2
    assert engines.number(engine, engine.table("account").account.max()) == 0


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        (some().drop_columns("day"), "table.column"),
        (some(token=["a", None, "b"]), "table.null"),
        (some(account=[MARKER, "2", "3"]), "table.type"),
    ],
)
def test_other_rows_are_refused_without_their_values(
    engine: engines.Engine, rows: pa.Table, code: str
) -> None:
    with pytest.raises(Refused) as refused:
        engine.load("account", rows, TYPES)
    assert refused.value.code == code
    assert MARKER not in str(refused.value)
    assert refused.value.__cause__ is None


def test_a_failure_names_the_engine_and_no_row(engine: engines.Engine) -> None:
    table = engine.load("account", some(token=[MARKER, "1", "2"]), TYPES)
    with pytest.raises(Refused) as refused:
        engine.run(table.mutate(number=table.token.cast("int64")))
    assert refused.value.code == "engine.failed"
    assert MARKER not in str(refused.value)
    assert "DuckDB" in str(refused.value)


@pytest.mark.parametrize("name", ["nunique", "arbitrary", "first", "last", "approx_nunique"])
def test_what_engines_do_not_agree_on_is_refused(engine: engines.Engine, name: str) -> None:
    table = engine.load("account", some(), TYPES)
    made: Callable[[], Any] = getattr(table.account, name)
    asked = table.group_by("token").agg(found=made())
    with pytest.raises(Refused) as refused:
        engine.run(asked)
    assert refused.value.code == "engine.apart"
    with pytest.raises(Refused) as refused:
        engine.keep("stage", asked)
    assert refused.value.code == "engine.apart"
    agreed = table.group_by("token").agg(found=table.account.min())
    assert engine.run(agreed).column("found").to_pylist() == [1, 2]


def test_an_engine_without_a_folder_opens_no_file(engine: engines.Engine, tmp_path: Path) -> None:
    pq.write_table(some(), tmp_path / "account.parquet")
    with pytest.raises(Refused) as refused:
        engine.read("account", tmp_path / "account.parquet", TYPES)
    assert refused.value.code == "engine.failed"


def test_an_engine_with_a_folder_reads_parquet_and_leaves_nothing(tmp_path: Path) -> None:
    log, room = tmp_path / "log", tmp_path / "room"
    log.mkdir()
    room.mkdir()
    pq.write_table(some(), log / "1.parquet")
    pq.write_table(some(account=[4, 5, 6]), log / "2.parquet")
    with engines.connect(limits=engines.Limits(folder=room)) as engine:
        table = engine.read("account", log, TYPES)
        kept = engine.keep("stage", table)
        assert engine.run(kept).column("account").to_pylist() == [1, 2, 3, 4, 5, 6]
        one = engine.read("account", log / "2.parquet", TYPES)
        assert engine.run(one).num_rows == 3
    assert list(room.iterdir()) == []


def test_an_unknown_engine_is_refused() -> None:
    with pytest.raises(Refused) as refused, engines.connect("excel"):
        pass
    assert refused.value.code == "engine.unknown"


def test_the_name_of_a_table_holds_no_expression(engine: engines.Engine) -> None:
    with pytest.raises(Refused):
        engine.load('x"; DROP TABLE account; --', some(), TYPES)


def test_memory_over_the_limit_is_refused_and_the_process_lives() -> None:
    rows = pa.table({"account": range(2_000_000), "token": [f"{n:064}" for n in range(2_000_000)]})
    limits = engines.Limits(memory=48 << 20, threads=1)
    with engines.connect(limits=limits) as engine:
        table = engine.load("account", rows, {"account": "int64", "token": "string"})
        with pytest.raises(Refused) as refused:
            engine.keep("stage", table.order_by("token"))
    assert refused.value.code == "engine.failed"
    assert duckdb.OutOfMemoryException.__name__ in str(refused.value)
