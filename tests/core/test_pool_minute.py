"""A minute's rows: tied to all whom their cards and devices touch, and to nobody else."""

from collections.abc import Iterator
from datetime import timedelta

import pyarrow as pa
import pytest

from indicators.detection import engines, minute, tables, ties
from tests.core.pool_material import START, Rows, accounts, arrow, cards, days, found, loaded

TODAY = START + timedelta(days=9)


@pytest.fixture(scope="module")
def engine() -> Iterator[engines.Engine]:
    with engines.connect() as running:
        yield running


def batch(**rows: list[object]) -> dict[str, pa.Table]:
    return {name: arrow(tables.LOG[name], given) for name, given in rows.items()}


LOG: Rows = {
    "account": accounts(*range(20)),
    # Two on one card, three on a device, and a pair that has nothing to do with them.
    "account_token": [
        *cards(range(2), range(10, 12)),
        *cards(range(1, 4), kind="device"),
        *cards(range(20), kind="egress"),
    ],
    "account_day": [row for unit in range(20) for row in days(unit, START, TODAY)],
    "account_tag": [(1, "surface", "first-party-api"), (10, "surface", "first-party-api")],
    "account_template": [(1, 5), (10, 6)],
    "template": [(5, 1, 8, "en"), (6, 1, 8, "en")],
    "template_band": [(5, 0, "a"), (6, 0, "b")],
}


def test_a_new_account_is_tied_to_who_holds_its_card(engine: engines.Engine) -> None:
    whole = loaded(engine, ties.LOG, LOG)
    given = batch(
        account=[(30, TODAY, True, False, "")],
        account_token=[(30, "payment", "payment 0")],
        account_day=days(30, TODAY),
    )
    source = minute.narrowed(whole, given)
    assert minute.groups(source).rows.column("unit").to_pylist() == [0, 1, 30]
    assert found(source, "shared-token") == {"payment:payment 0": {0, 1, 30}}
    # What the log says of these three, and of nobody else.
    assert engine.run(source.table("account")).column("account").to_pylist() == [0, 1, 30]
    seen = engine.run(source.table("account_day").select("account", "day"))
    assert [tuple(row.values()) for row in seen.to_pylist()] == [
        (0, START),
        (0, TODAY),
        (1, START),
        (1, TODAY),
        (30, TODAY),
    ]
    tokens = engine.run(source.table("account_token")).column("token").to_pylist()
    assert sorted(tokens) == [
        "device 0",
        "egress 0",
        "egress 0",
        "payment 0",
        "payment 0",
        "payment 0",
    ]
    for name in ("account_tag", "account_template", "template", "template_band"):
        assert engine.run(source.table(name)).num_rows == 1


def test_a_row_of_the_minute_stands_in_the_place_of_an_older_one(engine: engines.Engine) -> None:
    whole = loaded(engine, ties.LOG, LOG)
    given = batch(account_token=[(0, "payment", "payment 0")], account_day=days(0, TODAY, flat=9))
    source = minute.narrowed(whole, given)
    seen = engine.run(source.table("account_day").filter(source.table("account_day").flat == 9))
    assert seen.num_rows == 1
    assert engine.run(source.table("account_day")).num_rows == 4
    assert found(source, "shared-token", min=2) == {"payment:payment 0": {0, 1}}


def test_a_minute_finds_what_the_day_finds_of_its_tokens(engine: engines.Engine) -> None:
    begun = [(unit, START + timedelta(days=5), True, False, "") for unit in range(20)]
    log = LOG | {"account": begun, "account_token": cards(range(6), range(6, 9))}
    whole = loaded(engine, ties.LOG, log)
    of_day = {name: found(whole, name) for name in minute.DETECTORS}
    source = minute.narrowed(whole, batch(account_token=[(3, "payment", "payment 0")]))
    of_minute = {name: found(source, name) for name in minute.DETECTORS}
    assert of_minute["shared-token"] == {"payment:payment 0": set(range(6))}
    assert of_minute == {
        name: {key: units for key, units in groups.items() if 0 in units}
        for name, groups in of_day.items()
    }


def test_a_token_that_everybody_holds_brings_nobody_in(engine: engines.Engine) -> None:
    popular = cards(range(501), kind="device")
    log = LOG | {"account_token": [*popular, *cards(range(3))]}
    whole = loaded(engine, ties.LOG, log)
    touched = minute.narrowed(whole, batch(account_token=[(3, "device", "device 0")]))
    assert engine.run(touched.table("account")).column("account").to_pylist() == [3]
    # Seen from three of its holders the device would look rare.
    source = minute.narrowed(whole, batch(account_token=[(0, "payment", "payment 0")]))
    assert found(source, "shared-token") == {"payment:payment 0": {0, 1, 2}}


def test_a_template_that_many_use_is_popular_from_three_users_too(engine: engines.Engine) -> None:
    def used_by(count: int) -> list[int]:
        users: Rows = {"account_template": [*((n, 7) for n in range(count)), (0, 8), (1, 8)]}
        whole = loaded(engine, ties.LOG, LOG | users)
        source = minute.narrowed(whole, batch(account_token=[(0, "payment", "payment 0")]))
        rows = engine.run(source.table("account_template"))
        return sorted(rows.column("template").to_pylist())

    assert used_by(20) == [7, 7, 8, 8]
    assert used_by(21) == [8, 8]


def test_a_minute_without_rows_is_empty(engine: engines.Engine) -> None:
    source = minute.narrowed(loaded(engine, ties.LOG, LOG), {})
    assert minute.groups(source).sizes == ()
    assert engine.run(source.table("account_day")).num_rows == 0
