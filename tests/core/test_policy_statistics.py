"""The rules of the statistics lane, one by one and against whoever adds and subtracts."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import combinations, product
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.policy import statistics, terms
from exchange.policy.statistics import TOTAL, Own, Panel, Parts, Period, Rules
from exchange.proof.refused import Refused

RULES = Rules(contributors=5, share_percent=25, age_months=3)
NAMES = tuple("abcdefghijklmnop")


def panel(
    rules: Rules = RULES, asks: Mapping[str, Own] | None = None, readers: Sequence[str] = NAMES
) -> Panel:
    """Everybody reads, nobody asks for more, unless a test says so."""
    return Panel(rules, asks or {}, frozenset(readers))


def alike(n: int, size: int = 10) -> Parts:
    """So many owners with equal parts."""
    return dict.fromkeys(NAMES[:n], size)


def cells(
    rows: Mapping[str, Parts], earlier: Mapping[str, Sequence[Parts]] | None = None
) -> object:
    return statistics.table(rows, earlier or {}, panel()).cells


def test_the_shipped_floor_has_the_numbers_of_the_rules() -> None:
    assert Rules.parse(terms.shipped_floor()["statistics"]) == RULES


@pytest.mark.parametrize(
    ("parts", "broken"),
    [
        (alike(4), "contributors"),
        ({}, "contributors"),
        ({**alike(4), "e": 0}, "contributors"),
        ({**alike(6), "a": 40}, "share"),
        (alike(5), "without-one"),
        ({**alike(6), "a": 16}, "without-one"),
        (alike(6), ""),
    ],
)
def test_a_figure_needs_enough_owners_none_too_large_nor_once_one_is_taken_away(
    parts: Parts, broken: str
) -> None:
    assert statistics.fault(parts, panel()) == broken


def test_who_does_not_read_cannot_take_its_part_away() -> None:
    assert statistics.fault(alike(5), panel(readers=())) == ""
    assert statistics.fault(alike(5), panel(readers=("a",))) == "without-one"


def test_a_quarter_of_the_sum_is_not_above_a_quarter() -> None:
    exact = {**alike(6), "a": 20, "b": 20}  # 20 of 80
    assert statistics.fault(exact, panel(readers=())) == ""
    assert statistics.fault({**exact, "a": 21}, panel(readers=())) == "share"


def test_an_affiliate_adds_nothing_to_the_count_of_owners() -> None:
    owners, six = {"f": "a"}, {**alike(5), "f": 1}
    assert statistics.fault(six, panel()) == ""
    assert statistics.fault(statistics.grouped(six, owners), panel()) == "without-one"
    assert statistics.grouped({"a": 3, "f": 4}, owners) == {"a": 7}


def test_what_a_member_asks_counts_for_the_figures_that_it_is_in() -> None:
    more, less = {"a": Own(contributors=8)}, {"a": Own(share_percent=15)}
    looser = {"a": Own(contributors=1, share_percent=90)}
    assert statistics.fault(alike(6), panel(asks=more)) == "contributors"
    assert statistics.fault(alike(6), panel(asks=less)) == "share"
    assert statistics.fault(alike(6), panel(asks=looser)) == ""
    assert statistics.fault(alike(4), panel(asks=looser)) == "contributors"
    absent = {"p": Own(contributors=8)}
    assert statistics.fault(alike(6), panel(asks=absent)) == ""


def test_who_opts_out_or_waits_longer_is_left_out_of_the_table() -> None:
    assert Own(opt_out=True).leaves_out(RULES)
    assert Own(age_months=6).leaves_out(RULES)
    assert not Own(age_months=2).leaves_out(RULES)


@pytest.mark.parametrize(
    ("value", "said"), [(7, 7), (14, 10), (15, 20), (96, 100), (349, 300), (350, 400), (1049, 1000)]
)
def test_one_significant_digit_is_told(value: int, said: int) -> None:
    assert statistics.rounded(value) == said


def test_a_total_that_would_tell_a_suppressed_row_is_suppressed_too() -> None:
    rows = {"indicator": alike(8), "campaign": {"a": 7}}
    assert cells(rows) == {TOTAL: None, "indicator": 80, "campaign": None}


def test_a_total_over_rows_that_hide_enough_together_is_told() -> None:
    rows = {"one": alike(8), "two": alike(4), "three": dict.fromkeys("efgh", 10)}
    assert cells(rows) == {TOTAL: 200, "one": 80, "two": None, "three": None}


def test_a_change_that_one_member_makes_is_not_told() -> None:
    before = alike(8)
    after = {**before, "a": 12}
    made = statistics.table({"one": after}, {"one": [before], TOTAL: [before]}, panel())
    assert made.cells == {TOTAL: None, "one": None}
    assert made.blocks == {}


def test_a_change_hidden_in_one_row_is_not_told_by_the_total_either() -> None:
    before = alike(8)
    made = statistics.table({"one": {**before, "a": 12}, "two": {}}, {"one": [before]}, panel())
    assert made.cells == {TOTAL: None, "one": None, "two": None}


def test_a_change_that_all_make_is_told_and_no_change_tells_nothing() -> None:
    before = alike(8)
    grown = {owner: n + 5 for owner, n in before.items()}
    assert cells({"one": grown}, {"one": [before], TOTAL: [before]}) == {TOTAL: 100, "one": 100}
    assert cells({"one": before}, {"one": [before], TOTAL: [before]}) == {TOTAL: 80, "one": 80}


def test_a_quarter_is_due_when_all_of_it_is_old_enough() -> None:
    third = Period(2026, 3)
    assert (third.name, third.start.month, third.end.month) == ("2026-Q3", 7, 10)
    assert third.due(RULES) == datetime(2027, 1, 1, tzinfo=UTC)
    assert Period(2026, 4).end == datetime(2027, 1, 1, tzinfo=UTC)
    since = datetime(2026, 2, 14, tzinfo=UTC)
    early, late = (datetime(2026, 6, 30, 23, 59, tzinfo=UTC), datetime(2026, 7, 1, tzinfo=UTC))
    assert statistics.periods(since, rules=RULES, now=early) == ()
    assert statistics.periods(since, rules=RULES, now=late) == (Period(2026, 1),)


@pytest.mark.parametrize(
    "section",
    [
        {},
        {"contributors": 2, "share_percent": 25, "age_months": 3},
        {"contributors": 5, "share_percent": 60, "age_months": 3},
        {"contributors": 5, "share_percent": 25, "age_months": 0},
        {"contributors": True, "share_percent": 25, "age_months": 3},
        {"contributors": 5, "share_percent": 25, "age_months": 3, "by_region": 1},
    ],
)
def test_a_floor_that_would_switch_a_rule_off_is_refused(section: dict[str, int]) -> None:
    with pytest.raises(Refused) as refused:
        terms.Floor.parse({**terms.shipped_floor(), "statistics": section})
    assert refused.value.path.startswith("statistics")


def test_a_member_policy_may_ask_for_more_and_says_it_in_known_words() -> None:
    policy = terms.MemberPolicy.parse({"statistics": {"contributors": 9, "opt_out": True}})
    assert policy.statistics == Own(contributors=9, opt_out=True)
    for section in ({"everything": 1}, {"opt_out": 1}, {"contributors": -1}, ["opt_out"]):
        with pytest.raises(Refused):
            terms.MemberPolicy.parse({"statistics": section})


# The figures of the published simulation: rules (i) and (ii), then with (iv).
PUBLISHED = {
    5: ((6.2, 0), (0.5, 0), (0.1, 0)),
    6: ((28.2, 1.5), (3.4, 0.1), (0.7, 0)),
    8: ((69.8, 33.5), (14.5, 2.5), (3.5, 0.3)),
    10: ((88.9, 70.1), (29.1, 9.9), (7.9, 1.4)),
    15: ((99.0, 97.1), (58.0, 37.3), (21.5, 8.7)),
}


def test_the_simulation_says_what_was_published_and_what_the_page_shows() -> None:
    for members, by_sigma in PUBLISHED.items():
        for place, sigma in enumerate(statistics.SIGMAS):
            dice = Random(members)  # noqa: S311 - draws, no secrets
            found = statistics.simulated(members, sigma, rules=RULES, draws=4000, random=dice)
            assert found == pytest.approx(by_sigma[place], abs=2.5)
            assert statistics.SIMULATED[members][place] == pytest.approx(by_sigma[place], abs=1)


# --- whoever adds and subtracts ------------------------------------------------------------------

ROWS = ("one", "two", "three")


@st.composite
def histories(draw: st.DrawFn) -> list[dict[str, Parts]]:
    """Quarters of a forum of up to fourteen owners: rows of like sizes, of few, and of any."""
    owners = NAMES[: draw(st.integers(6, 14))]

    def row(size: st.SearchStrategy[int]) -> st.SearchStrategy[Parts]:
        parts: st.SearchStrategy[Parts] = st.fixed_dictionaries(dict.fromkeys(owners, size))
        return parts

    like = st.integers(20, 30).flatmap(lambda n: row(st.integers(n, n + 2)))
    few = row(st.sampled_from((0, 0, 0, 0, 1, 4)))
    quarter = st.fixed_dictionaries(dict.fromkeys(ROWS, like | few | row(st.integers(0, 60))))
    return draw(st.lists(quarter, min_size=1, max_size=4))


def released(history: Sequence[Mapping[str, Parts]]) -> list[dict[str, Parts]]:
    """What a forum would tell quarter by quarter: the exact sums behind the released cells."""
    earlier: dict[str, list[Parts]] = {}
    told = []
    for rows in history:
        made = statistics.table(rows, earlier, panel())
        for name, parts in made.blocks.items():
            earlier.setdefault(name, []).append(parts)
        sums = {**rows, TOTAL: statistics.added(rows.values())}
        told.append({row: sums[row] for row, figure in made.cells.items() if figure is not None})
    return told


def combined(sums: Sequence[Parts], factors: Sequence[int]) -> Parts:
    return statistics.added(
        {owner: factor * n for owner, n in one.items()}
        for one, factor in zip(sums, factors, strict=True)
    )


@settings(max_examples=150, deadline=None)
@given(histories())
def test_no_sum_or_difference_of_a_quarters_figures_shows_few_or_one(
    history: list[dict[str, Parts]],
) -> None:
    for sums, rows in zip(released(history), history, strict=True):
        shown = list(sums)
        for factors in product((-1, 0, 1), repeat=len(shown)):
            weights = {
                row: sum(f for f, name in zip(factors, shown, strict=True) if name in (row, TOTAL))
                for row in rows
            }
            if set(weights.values()) <= {0, 1} and any(weights.values()):
                told = combined([sums[name] for name in shown], factors)
                if any(told.values()):
                    assert statistics.fault(told, panel()) == ""


@settings(max_examples=150, deadline=None)
@given(histories())
def test_no_difference_of_two_quarters_shows_few_or_one(history: list[dict[str, Parts]]) -> None:
    told = released(history)
    for one, other in combinations(told, 2):
        for row in one.keys() & other.keys():
            change = statistics.less(one[row], other[row])
            if any(change.values()):
                assert statistics.fault(change, panel()) == ""


@settings(max_examples=100, deadline=None)
@given(histories(), st.sampled_from(NAMES[:5]))
def test_stricter_rules_never_tell_more(history: list[dict[str, Parts]], owner: str) -> None:
    asking = panel(asks={owner: Own(contributors=7, share_percent=20)})
    for rows in history:
        floor = statistics.table(rows, {}, panel()).cells
        stricter = statistics.table(rows, {}, asking).cells
        told = {row for row, figure in stricter.items() if figure is not None}
        assert told - {TOTAL} <= {row for row, figure in floor.items() if figure is not None}


def test_something_is_released_in_such_histories() -> None:
    even = [{row: alike(10, n) for n, row in enumerate(ROWS, start=5)}] * 2
    assert [set(one) for one in released(even)] == [{TOTAL, *ROWS}] * 2
