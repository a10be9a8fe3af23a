"""The scorecard: what each fact is, how rows of a group add up, and the same score from tables."""

from dataclasses import replace
from typing import Any

import duckdb
import ibis
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from indicators.detection import schema, scorecard
from indicators.detection.values import ClusterRow
from tests.core.detection_material import CAMPAIGN, SCHOOL, rows

FLAT_ONLY = dict.fromkeys(scorecard.WEIGHTS, 0) | {"flat": 1, "threshold": 4, "own_margin": 2}


def test_there_are_sixteen_facts_twelve_pairs_and_a_range_for_each_weight() -> None:
    assert (len(scorecard.FACTS), len(scorecard.PAIRS)) == (16, 12)
    assert {one for pair in scorecard.PAIRS.values() for one in pair} <= set(scorecard.FACTS)
    assert set(scorecard.RANGES) == {*scorecard.WEIGHTS, "threshold", "own_margin"}
    for name, value in scorecard.START.items():
        low, high = scorecard.RANGES[name]
        assert low <= value <= high, name


def test_relay_accounts_are_found_and_a_school_is_not() -> None:
    campaign, school = (scorecard.score_of(row, scorecard.START) for row in (CAMPAIGN, SCHOOL))
    assert scorecard.is_found(campaign, scorecard.START)
    assert not scorecard.is_evidence(school, scorecard.START)


@pytest.mark.parametrize(
    ("column", "value", "fact"),
    [
        ("size", "3-4", 0),
        ("size", "1k-up", 6),
        ("payers", "10-29", 3),
        ("payers", "lt-3", 0),
        ("devices", "lt-3", 0),
        ("devices", "3-4", 1),
        ("flat", 9, 9),
        ("fresh", 6, 6),
        ("start_days", 1, 0),
        ("start_days", 32, 5),
        ("templates", tuple(range(32)), 8),
        ("egress", ("a", "b"), 2),
        ("methods", ("a", "b"), 10),
        ("methods", (), 0),
    ],
)
def test_each_column_becomes_a_small_number(column: str, value: Any, fact: int) -> None:
    assert scorecard.facts_of(replace(CAMPAIGN, **{column: value}))[column] == fact


def test_two_facts_say_together_what_neither_says_alone() -> None:
    pair = FLAT_ONLY | {"flat": 0, "short_with_mismatch": 3}
    both = replace(CAMPAIGN, short=6, mismatch=10)
    assert scorecard.score_of(both, pair) == 3 * (60 // 8)
    assert scorecard.score_of(replace(both, short=0), pair) == 0
    assert scorecard.score_of(replace(both, mismatch=0), pair) == 0


def test_a_document_that_names_no_pair_gives_it_no_weight() -> None:
    older = {name: one for name, one in scorecard.START.items() if name not in scorecard.PAIRS}
    assert scorecard.score_of(CAMPAIGN, older) == scorecard.score_of(CAMPAIGN, scorecard.START)


@pytest.mark.parametrize(
    ("points", "found_and_evidence"),
    [(4, (True, True)), (3, (False, True)), (2, (False, True)), (1, (False, False))],
)
def test_a_row_may_lie_the_margin_below(points: int, found_and_evidence: tuple[bool, bool]) -> None:
    ruled = (scorecard.is_found(points, FLAT_ONLY), scorecard.is_evidence(points, FLAT_ONLY))
    assert ruled == found_and_evidence


def test_accounts_of_two_rows_add_up_and_paces_are_weighed() -> None:
    large = replace(
        CAMPAIGN, size="100-299", payers="30-99", devices="lt-3", flat=8, templates=(1,)
    )
    small = replace(CAMPAIGN, size="5-9", payers="3-4", devices="10-29", flat=2, templates=(2, 3))
    facts = scorecard.facts_of_group((large, small))
    assert facts["size"] == schema.SIZES.index("100-299")  # 105
    assert facts["payers"] == schema.SIZES.index("30-99") + 1  # 33
    assert facts["devices"] == schema.SIZES.index("10-29") + 1
    assert facts["flat"] == 7  # 810 / 105
    assert facts["templates"] == 2


@given(rows())
def test_a_group_of_one_row_has_the_facts_of_the_row(row: ClusterRow) -> None:
    assert scorecard.facts_of_group((row,)) == scorecard.facts_of(row)


@given(st.lists(rows(), min_size=2, max_size=4))
def test_the_order_of_rows_does_not_matter(found: list[ClusterRow]) -> None:
    assert scorecard.facts_of_group(found) == scorecard.facts_of_group(found[::-1])


# --- on tables -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def engine() -> ibis.BaseBackend:
    """One DuckDB for the tests of this module."""
    return ibis.duckdb.from_connection(duckdb.connect())


@settings(
    max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(found=st.lists(rows(), min_size=1, max_size=20))
def test_the_expression_gives_the_same_score(
    engine: ibis.BaseBackend, found: list[ClusterRow]
) -> None:
    found = [replace(row, row=number) for number, row in enumerate(found)]
    tables = pool(engine, found)
    card = {**scorecard.START, **{name: n - 6 for n, name in enumerate(scorecard.PAIRS)}}
    scores = engine.to_pyarrow(scorecard.scored(tables, card)).to_pylist()
    assert {one["row"]: one["score"] for one in scores} == {
        row.row: scorecard.score_of(row, card) for row in found
    }
    marks = engine.to_pyarrow(scorecard.marked(tables, card)).to_pylist()
    assert {one["unit"] for one in marks} == {
        row.row for row in found if scorecard.is_found(scorecard.score_of(row, card), card)
    }


def pool(engine: ibis.BaseBackend, found: list[ClusterRow]) -> dict[str, object]:
    """The tables of the pool with what the scorecard reads."""
    columns = ("flat", "start_days", *schema.SHARES)
    contents: dict[str, tuple[dict[str, str], list[tuple[object, ...]]]] = {
        "cluster_row": (
            dict.fromkeys(("row", "size", "payers", "devices", *columns), "int64"),
            [
                (
                    row.row,
                    schema.SIZES.index(row.size),
                    schema.SIZES.index(row.payers),
                    -1 if row.devices == schema.FEW else schema.SIZES.index(row.devices),
                    *(getattr(row, name) for name in columns),
                )
                for row in found
            ],
        ),
        "row_template": (
            {"row": "int64", "template": "int64"},
            [(row.row, template) for row in found for template in row.templates],
        ),
        "row_token": (
            {"row": "int64", "kind": "string", "token": "string"},
            [
                (row.row, kind, token)
                for row in found
                for kind in schema.KINDS
                for token in getattr(row, kind)
            ],
        ),
        "row_tag": (
            {"row": "int64", "kind": "string", "tag": "string"},
            [
                (row.row, kind, tag)
                for row in found
                for kind, tags in (("method", row.methods), ("capability", row.capabilities))
                for tag in tags
            ],
        ),
    }
    tables = {}
    for name, (types, records) in contents.items():
        made = [dict(zip(types, record, strict=True)) for record in records]
        memory = ibis.memtable(made, schema=ibis.schema(types))
        tables[name] = engine.create_table(name, memory, overwrite=True)
    return tables
