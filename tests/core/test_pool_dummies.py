"""Dummies: like any row, and the same group day after day, to all who do not have the secret."""

import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indicators.detection import dummies, marginals, rules, schema, scorecard
from indicators.detection.values import ClusterRow, TemplateRow

DAY = date(2026, 11, 2)
CLIENTS = {"c" * 32: 90, "d" * 32: 9, "e" * 32: 1}
# A table of round numbers; the shipped one is made anew with each world.
TABLE = json.loads((Path(__file__).parent.parent / "data" / "marginals.json").read_text())
SOURCE = dummies.Source(
    secret=b"a" * 32,
    epoch="2026Q4",
    table=TABLE,
    card=scorecard.START,
    carried=dummies.OPTIONAL,
    clients=CLIENTS,
)
MANY = dummies.dummies(SOURCE, schema.ROWS, day=DAY)


def on(day: date, source: dummies.Source = SOURCE) -> dict[str, ClusterRow]:
    """The dummies of a day by their cluster."""
    return {one.row.cluster: one.row for one in dummies.dummies(source, 60, day=day)}


def test_each_is_a_row_that_the_exchange_takes() -> None:
    for one in MANY:
        assert rules.check_row(one.row, day=DAY) == ()
        assert len(one.templates) == len(one.row.templates)


def test_the_shipped_table_makes_such_rows_too() -> None:
    for one in dummies.dummies(replace(SOURCE, table=dummies.shipped()), 100, day=DAY):
        assert rules.check_row(one.row, day=DAY) == ()
        assert not scorecard.is_found(scorecard.score_of(one.row, SOURCE.card), SOURCE.card)


@settings(max_examples=15, deadline=None)
@given(
    day=st.dates(date(2026, 1, 1), date(2028, 12, 31)),
    accounts=st.integers(5, 40),
    payers=st.integers(3, 20),
    flat=st.integers(4, 8),
    carried=st.sets(st.sampled_from(sorted(dummies.OPTIONAL))).map(frozenset),
)
def test_so_they_are_on_any_day_and_under_stricter_limits(
    day: date, accounts: int, payers: int, flat: int, carried: frozenset[str]
) -> None:
    limits = replace(rules.SHIPPED, accounts=accounts, payers=min(payers, accounts), flat=flat)
    source = replace(SOURCE, limits=limits, carried=carried)
    for one in dummies.dummies(source, 10, day=day):
        assert rules.check_row(one.row, day=day, limits=limits) == ()


def test_none_is_found_alone() -> None:
    points = [scorecard.score_of(one.row, scorecard.START) for one in MANY]
    assert not any(scorecard.is_found(one, scorecard.START) for one in points)
    assert any(scorecard.is_evidence(one, scorecard.START) for one in points)


def test_under_a_scorecard_that_finds_everything_they_are_the_lowest_rows() -> None:
    strict = {**scorecard.START, "threshold": 1}
    found = dummies.dummies(replace(SOURCE, card=strict), 20, day=DAY)
    for one in found:
        assert rules.check_row(one.row, day=DAY) == ()
    usual = sum(scorecard.score_of(one.row, strict) for one in MANY[:20])
    assert sum(scorecard.score_of(one.row, strict) for one in found) < usual


def test_no_two_have_a_token_a_band_or_a_name_in_common() -> None:
    tokens = Counter(
        value
        for one in MANY
        for kind in schema.KINDS
        for value in (one.row.cluster, *getattr(one.row, kind))
        if value != one.row.cluster
    )
    bands = [band for one in MANY for template in one.templates for band in template.bands]
    assert max(tokens.values()) == 1
    assert len(set(bands)) == len(bands)
    assert len({one.row.cluster for one in MANY}) == len(MANY)


# --- over days -----------------------------------------------------------------------------------


def test_most_are_those_of_the_day_before() -> None:
    today, before = on(DAY), on(DAY - timedelta(days=1))
    assert len(today.keys() & before.keys()) > 50
    for name in today.keys() & before.keys():
        for kind in (*schema.KINDS, "client", "size", "payers", "hours", "flat", "templates"):
            assert getattr(today[name], kind) == getattr(before[name], kind)


def test_all_have_gone_after_some_weeks_as_groups_do() -> None:
    assert not on(DAY).keys() & on(DAY + timedelta(days=60)).keys()


def test_a_day_of_use_stays_one() -> None:
    days = [DAY + timedelta(days=n) for n in range(12)]
    rows = [on(day) for day in days]
    seen = 0
    for (before, row_of), (day, later_of) in zip(
        zip(days, rows, strict=True), zip(days[1:], rows[1:], strict=True), strict=False
    ):
        for name in row_of.keys() & later_of.keys():
            row, later = row_of[name], later_of[name]
            # What is new of today is today; what has left is what no extract looks back to.
            assert later.last_day in (row.last_day, day)
            left = row.first_day <= before - timedelta(days=schema.DAYS - 1)
            assert later.first_day == row.first_day or (left and later.first_day > row.first_day)
            seen += 1
    assert seen > 400


def test_a_quarter_renews_names_tokens_and_bands_and_nothing_else() -> None:
    later = dummies.dummies(replace(SOURCE, epoch="2027Q1"), 40, day=DAY)
    for one, other in zip(MANY, later, strict=False):
        assert one.row.cluster != other.row.cluster
        assert not set(one.row.payment) & set(other.row.payment)
        plain = {kind: () for kind in schema.KINDS} | {"cluster": ""}
        assert replace(one.row, **plain) == replace(other.row, **plain)  # type: ignore[arg-type]


def test_another_member_has_others() -> None:
    theirs = on(DAY, replace(SOURCE, secret=b"b" * 32))
    assert not theirs.keys() & on(DAY).keys()
    assert [row.hours for row in theirs.values()] != [row.hours for row in on(DAY).values()]


# --- like the member's groups --------------------------------------------------------------------


def test_they_have_no_column_that_the_log_does_not_know() -> None:
    found = dummies.dummies(replace(SOURCE, carried=frozenset({"egress"})), 80, day=DAY)
    for name in dummies.OPTIONAL - {"egress"}:
        assert not any(getattr(one.row, name) for one in found)
    assert any(one.row.egress for one in found)


def test_their_clients_are_the_log_s_the_usual_ones_most() -> None:
    counts = Counter(client for one in MANY for client in one.row.client)
    assert counts["c" * 32] > counts["d" * 32] > counts["e" * 32]


def test_others_have_a_client_of_their_own_that_nobody_else_has() -> None:
    counts = Counter(client for one in MANY for client in one.row.client)
    own = [client for client in counts if client not in CLIENTS]
    assert {counts[client] for client in own} == {1}
    assert len(MANY) / 4 < len(own) < len(MANY) / 2


def test_p05_a_log_of_many_clients_shows_no_more_of_them() -> None:
    """How many different clients a log has goes with its size."""
    seen = []
    for count in (12, 400):
        known = {f"{number:032x}": 1 + 2_000 // (1 + number) ** 2 for number in range(count)}
        made = dummies.dummies(replace(SOURCE, clients=known), schema.ROWS, day=DAY)
        seen.append(len({client for one in made for client in one.row.client}))
    assert abs(seen[0] - seen[1]) <= 2


def test_a_client_that_comes_changes_few() -> None:
    more = replace(SOURCE, clients=CLIENTS | {"f" * 32: 5})
    changed = sum(
        one.row.client != other.row.client and "f" * 32 not in other.row.client
        for one, other in zip(MANY, dummies.dummies(more, len(MANY), day=DAY), strict=True)
    )
    assert changed == 0


def test_every_usual_value_of_each_column_is_seen() -> None:
    for name in ("size", *schema.SHARES, "start_days", "flat"):
        usual = {key for key, weight in SOURCE.table[name].items() if weight >= 150}
        assert usual <= {str(getattr(one.row, name)) for one in MANY}, name


# --- chance --------------------------------------------------------------------------------------


def test_numbers_do_not_tell_the_next() -> None:
    one, again = dummies.Stream(b"seed"), dummies.Stream(b"seed")
    drawn = [one.getrandbits(32) for _ in range(700)]
    assert drawn == [again.getrandbits(32) for _ in range(700)]
    # The library's generator can be set forth from 624 of its numbers; this one has no such state.
    library = random.Random()  # noqa: S311 it is what we are not
    state = (3, (*drawn[:624], 624), None)
    library.setstate(state)
    assert one.getrandbits(32) != library.getrandbits(32)
    assert len(set(drawn)) > 695
    assert 0.4 < sum(bin(value).count("1") for value in drawn) / (32 * 700) < 0.6


@pytest.mark.parametrize("digits", [16, 32, 64])
def test_hex_has_its_length(digits: int) -> None:
    stream = dummies.Stream(b"other")
    assert all(len(stream.hexes(digits)) == digits for _ in range(300))


# --- the table -----------------------------------------------------------------------------------


def test_a_table_of_rows_says_what_they_were_like_and_not_how_many() -> None:
    rows = [one.row for one in MANY]
    templates = [template for one in MANY for template in one.templates]
    table = dummies.table_of([(DAY, rows, templates)], life=SOURCE.table["life"])
    assert set(table) == set(SOURCE.table)
    assert table == dummies.table_of([(DAY, rows, templates)] * 3, life=SOURCE.table["life"])
    assert abs(table["size"]["5-9"] - SOURCE.table["size"]["5-9"]) < 100
    again = dummies.dummies(replace(SOURCE, table=table), 100, day=DAY)
    for one in again:
        assert rules.check_row(one.row, day=DAY) == ()


def many_real(count: int) -> list[dummies.Dummy]:
    """Rows of a member unlike the others: large groups, with templates, all of one kind."""
    form = TemplateRow(0, ("0" * 16,) * 32, "1k-9k-tokens", "1k-9k", "lt-1e-4", ("zh",))
    same: dict[str, Any] = {"size": "100-299", "payers": "10-29", "mismatch": 6, "flat": 8}
    other = replace(SOURCE, secret=b"r" * 32)
    return [
        dummies.Dummy(
            replace(one.row, templates=(0,), methods=("rubric-grading",), **same), (form,)
        )
        for one in dummies.dummies(other, count, day=DAY)
    ]


def means(found: Sequence[dummies.Dummy]) -> list[float]:
    """What an extract is like on the whole, each from 0 to about 1."""
    rows = [one.row for one in found]
    forms = [template for one in found for template in one.templates]
    return [
        sum(row.size == "100-299" for row in rows) / len(rows),
        sum(row.payers == "10-29" for row in rows) / len(rows),
        sum(row.mismatch == 6 for row in rows) / len(rows),
        sum(row.flat == 8 for row in rows) / len(rows),
        sum(len(row.templates) for row in rows) / len(rows) / 5,
        sum(bool(row.methods) for row in rows) / len(rows),
        sum(one.sample_bucket == "1k-9k" for one in forms) / len(forms),
        sum("zh" in one.languages for one in forms) / len(forms),
    ]


def test_an_extract_is_like_any_other_whatever_its_real_rows_are() -> None:
    usual = means(MANY)
    real = many_real(15)
    table = marginals.rest_of(
        SOURCE.table,
        [one.row for one in real],
        [template for one in real for template in one.templates],
        count=schema.ROWS,
    )
    filled = dummies.dummies(replace(SOURCE, table=table), schema.ROWS - 15, day=DAY)
    plain = dummies.dummies(SOURCE, schema.ROWS - 15, day=DAY)
    off, off_plain = (
        [abs(a - b) for a, b in zip(usual, means([*real, *rest]), strict=True)]
        for rest in (filled, plain)
    )
    assert max(off) < 0.06
    assert sum(off) < sum(off_plain) / 2


def found_alone(count: int) -> list[ClusterRow]:
    """Rows of campaigns, of which dummies have each fact but never all at once."""
    other = replace(SOURCE, secret=b"r" * 32)
    return [
        replace(
            one.row,
            mismatch=(2, 4, 6, 8)[number % 4],
            methods=tuple(SOURCE.table["methods"])[number // 4 % 4 :][:1],
        )
        for number, one in enumerate(dummies.dummies(other, count, day=DAY))
    ]


def test_p05_rows_that_no_dummy_is_like_leave_the_whole_as_it_is() -> None:
    """Dummies that would be found alone are drawn again, and what they had is seldom among them.

    So real rows that have it would be on top of the whole, and a mean would tell their number.
    """
    card = {**scorecard.START, "mismatch": 17, "methods": 4}
    source, real = replace(SOURCE, card=card), found_alone(24)
    alone = dummies.dummies(source, schema.ROWS, day=DAY)
    off = []
    for usual in (dummies.usual(source), None):
        table = marginals.rest_of(SOURCE.table, real, [], count=schema.ROWS, usual=usual)
        filled = dummies.dummies(replace(source, table=table), schema.ROWS - len(real), day=DAY)
        whole = [*real, *(one.row for one in filled)]
        off.append([a - b for a, b in zip(told(whole), told([x.row for x in alone]), strict=True)])
    assert max(map(abs, off[0])) < 0.02 < min(off[1])


def told(rows: Sequence[ClusterRow]) -> list[float]:
    """Means that a campaign's rows would raise."""
    return [
        sum(row.mismatch for row in rows) / 10 / len(rows),
        sum(bool(row.methods) for row in rows) / len(rows),
    ]


def test_where_real_rows_fill_a_column_the_table_stays() -> None:
    real = many_real(schema.ROWS)
    table = marginals.rest_of(SOURCE.table, [one.row for one in real], [], count=schema.ROWS)
    assert table["size"]["100-299"] == 0
    assert sum(table["size"].values()) > 0
    full = marginals.rest_of(SOURCE.table, [one.row for one in MANY], [], count=1)
    assert full["size"] == SOURCE.table["size"]


def test_real_rows_that_come_change_few_dummies() -> None:
    real = [one.row for one in many_real(12)]
    before, after = (
        replace(SOURCE, table=marginals.rest_of(SOURCE.table, rows, [], count=schema.ROWS))
        for rows in (real[:10], real)
    )
    pairs = zip(*(dummies.dummies(one, 250, day=DAY) for one in (before, after)), strict=True)
    assert sum(one.row != other.row for one, other in pairs) < 40


def test_a_table_of_rows_without_templates_makes_rows_without() -> None:
    rows = [replace(one.row, templates=()) for one in MANY]
    none: list[TemplateRow] = []
    table = dummies.table_of([(DAY, rows, none)], life={"9": 1})
    assert not any(
        one.templates for one in dummies.dummies(replace(SOURCE, table=table), 30, day=DAY)
    )
