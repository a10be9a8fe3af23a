"""What each detector ties and marks, and the traps that make one giant group."""

from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa
import pytest

from exchange.proof.refused import Refused
from indicators.detection import engines, tables, ties

Rows = Mapping[str, Sequence[Sequence[object]]]
WHERE = {ties.LOG: tables.LOG, ties.POOL: tables.POOL}


@pytest.fixture(scope="module")
def engine() -> Iterator[engines.Engine]:
    with engines.connect() as running:
        yield running


def loaded(engine: engines.Engine, kind: str, rows: Rows) -> ties.Source:
    """Every table of a log or a pool with these rows, in the order of its columns."""
    for name, types in WHERE[kind].items():
        given = rows.get(name, ())
        columns = {column: [row[n] for row in given] for n, column in enumerate(types)}
        schema = {"int64": pa.int64(), "boolean": pa.bool_(), "date": pa.date32()}
        made = {
            column: pa.array(values, schema.get(types[column], pa.string()))
            for column, values in columns.items()
        }
        engine.load(name, pa.table(made), types)
    return ties.Source(engine, kind)


def found(source: ties.Source, name: str, **given: int) -> dict[str, set[int]]:
    """The units of each key."""
    made: dict[str, set[int]] = {}
    for row in source.engine.run(ties.find(source, name, given)).to_pylist():
        assert row["unit"] not in made.setdefault(row["key"], set())
        made[row["key"]].add(row["unit"])
    return made


def cards(*holders: range, kind: str = "payment") -> list[tuple[int, str, str]]:
    """One token for each range of accounts or rows that hold it."""
    return [(unit, kind, f"{kind} {n}") for n, units in enumerate(holders) for unit in units]


def test_accounts_on_one_card_or_device_are_tied(engine: engines.Engine) -> None:
    tokens = cards(range(3), range(10, 12)) + cards(range(5, 9), kind="device")
    source = loaded(engine, ties.LOG, {"account_token": tokens})
    assert found(source, "shared-token") == {
        "payment:payment 0": {0, 1, 2},
        "device:device 0": {5, 6, 7, 8},
    }
    assert len(found(source, "shared-token", min=2)) == 3
    assert found(source, "shared-token", min=4).keys() == {"device:device 0"}


def test_a_shared_egress_ties_nobody(engine: engines.Engine) -> None:
    source = loaded(engine, ties.LOG, {"account_token": cards(range(4), kind="egress")})
    assert found(source, "shared-token") == {}


def test_a_card_of_more_accounts_than_the_cap_ties_nobody(engine: engines.Engine) -> None:
    source = loaded(engine, ties.LOG, {"account_token": cards(range(500), range(1000, 1501))})
    assert found(source, "shared-token").keys() == {"payment:payment 0"}
    assert len(found(source, "shared-token", cap=501)) == 2


def test_two_rows_of_the_pool_on_one_card_are_tied(engine: engines.Engine) -> None:
    source = loaded(engine, ties.POOL, {"row_token": cards(range(2), range(5, 6))})
    assert found(source, "shared-token") == {"payment:payment 0": {0, 1}}
    assert found(source, "shared-token", rows=3) == {}


def test_groups_are_made_of_all_ties(engine: engines.Engine) -> None:
    tokens = cards(range(3), range(7, 10)) + cards(range(2, 5), kind="device")
    source = loaded(engine, ties.LOG, {"account_token": tokens})
    groups = ties.tied(source, {"shared-token": {}})
    assert groups.sizes == (5, 3)
    assert groups.rows.column("unit").to_pylist() == [0, 1, 2, 3, 4, 7, 8, 9]


@pytest.mark.parametrize(
    ("name", "given", "code", "path"),
    [
        ("shared-token", {"min": 1}, "detector.range", "parameters.min"),
        ("shared-token", {"cap": 2_001}, "detector.range", "parameters.cap"),
        ("shared-token", {"min": True}, "detector.range", "parameters.min"),
        ("shared-token", {"lift": 20}, "detector.parameter", "parameters.lift"),
        ("shared-tokens", {}, "detector.unknown", "detector"),
    ],
)
def test_what_no_detector_takes_is_refused(
    engine: engines.Engine, name: str, given: dict[str, int], code: str, path: str
) -> None:
    source = loaded(engine, ties.LOG, {})
    with pytest.raises(Refused) as refused:
        ties.find(source, name, given)
    assert (refused.value.code, refused.value.path) == (code, path)
