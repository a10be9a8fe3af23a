"""Many extracts by columns say what their rows one by one say, whoever came first."""

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from indicators.detection import applying, engines, packing, run, scorecard, sent
from indicators.detection.document import Algorithm, Parameter
from indicators.detection.engines import Engine
from indicators.detection.packing import Sent
from indicators.detection.values import Extract, Pooled, TemplateRow
from tests.extracts import TODAY, extract, hexes


def algorithm(number: int, detector: str, **values: int) -> Algorithm:
    """An algorithm in force."""
    return Algorithm(
        id=f"5b1f5c4e-6a41-4c6b-9a59-0f0f4f1b7a{number:02d}",
        version=1,
        title="",
        kind="detector",
        body={"detector": detector},
        detector=detector,
        runs_on="both",
        parameters={name: Parameter(value, -1_000, 1_000) for name, value in values.items()},
        false_positives=(),
        tags={},
        tests=(),
        base_rate_bucket="lt-1e-4",
        valid_until=None,
        valid_days=180,
        licence="Apache-2.0",
        canonical=b"",
        digest="",
    )


ACTIVE = (
    algorithm(1, "shared-token"),
    algorithm(2, "row-pair"),
    algorithm(3, "scorecard", **scorecard.START),
    algorithm(4, "rate-shape"),
    algorithm(5, "near-template"),
)


@pytest.fixture(scope="module")
def duck() -> Iterator[Engine]:
    """One engine for all tests here."""
    with engines.connect() as engine:
        yield engine


def day_of(member: int, days: int) -> tuple[Sent, list[Pooled]]:
    """A member's day: what a campaign left in it, among much else."""
    day = TODAY + timedelta(days=days)
    made = extract(10 * member + days, day=day, rows=60)
    # Only the campaign has the first three templates.
    rows = [
        replace(row, templates=tuple(one for one in row.templates if one > 2))
        for row in made.clusters
    ]
    common, own = random.Random(7), random.Random(member)  # noqa: S311 - test data
    for number in range(5):
        cards = (*hexes(common, 2, 64), *hexes(own, 2, 64), *hexes(random.Random(days), 1, 64))  # noqa: S311 - test data
        rows[number] = replace(
            rows[number],
            cluster=f"{member * 100 + number:016x}",
            payment=tuple(sorted(set(cards))),
            flat=9,
            mid=10,
            fresh=10,
            mismatch=10,
            methods=("rubric-grading", "tool-trace-capture"),
            templates=(0, 1, 2),
        )
    templates: list[TemplateRow] = list(made.templates)
    for number in range(3):
        bands = (*hexes(common, 20, 16), *hexes(own, 12, 16))
        templates[number] = replace(templates[number], bands=bands)
    whole = Extract(made.manifest, tuple(rows), tuple(templates))
    pooled = [
        Pooled(member, day, row, tuple(templates[one] for one in row.templates)) for row in rows
    ]
    return Sent(member, day, packing.pack(whole)), pooled


DAYS = [day_of(member, days) for member in (0, 1, 2) for days in (0, 1)]


def test_by_columns_and_row_by_row_is_the_same(duck: Engine) -> None:
    columns = sent.read(one for one, _ in DAYS)
    found = applying.found_in(columns, columns.tables, ACTIVE, lambda: duck)
    assert found == applying.find([row for _, rows in DAYS for row in rows], ACTIVE, duck)
    together = [one for one in found.findings if len(one.members) > 1]
    assert together
    assert {1, 2, 3} <= {int(name[-2:]) for one in together for name, _ in one.algorithms}


def test_whoever_came_first_changes_nothing(duck: Engine) -> None:
    rows = [row for _, every in DAYS for row in every]
    first = applying.find(rows, ACTIVE, duck)
    assert applying.find(rows[::-1], ACTIVE[::-1], duck) == first
    columns = sent.read(one for one, _ in reversed(DAYS))
    assert applying.found_in(columns, columns.tables, ACTIVE[::-1], lambda: duck) == first


def test_a_lone_token_does_not_reach_an_engine_and_a_shared_one_does(duck: Engine) -> None:
    columns = sent.read(one for one, _ in DAYS)
    held = run.Held.of(row for _, rows in DAYS for row in rows)
    tokens = [token for one in held.rows for token in one.row.payment]
    seen = set(columns.tables["row_token"]["token"].to_pylist())
    for token in tokens:
        assert (token in seen) == (tokens.count(token) > 1)


def test_an_algorithm_that_runs_on_logs_is_not_asked(duck: Engine) -> None:
    on_log = replace(algorithm(9, "template-family"), runs_on="log")
    assert applying.in_order([on_log, *ACTIVE]) == applying.in_order(ACTIVE)


def test_what_one_row_holds_is_counted_where_a_rule_asks_for_it() -> None:
    columns = sent.read(one for one, _ in DAYS)
    whole = columns.whole(("payment", "device", "egress", "bands"))
    held = run.Held.of(row for _, rows in DAYS for row in rows)
    by_row = applying.tables_of(held.rows)
    for name, column in (("row_token", "token"), ("template_band", "value")):
        ours, theirs = whole[name], by_row[name]
        assert len(ours) == len(theirs)
        distinct = [len(set(table[column].to_pylist())) for table in (ours, theirs)]
        assert distinct[0] == distinct[1]


def test_a_pool_in_which_nothing_is_says_nothing(duck: Engine) -> None:
    columns = sent.read([])
    for tables in (columns.tables, columns.whole(("payment", "bands"))):
        found = applying.found_in(columns, tables, ACTIVE, lambda: duck)
        assert (found.rows, found.findings, found.is_stopped) == (0, (), False)


def test_values_that_begin_alike_stay_apart() -> None:
    """A token or a client is all of its digits, on one day of its group and over several."""
    cards, clients = [f"{n:064x}" for n in range(1, 9)], [f"{n:032x}" for n in range(1, 5)]
    sealed, pooled = [], []
    for place, day in enumerate((TODAY - timedelta(days=1), TODAY)):
        made = extract(3, day=day, rows=20)
        payment, client = cards[4 * place : 4 * place + 4], clients[2 * place : 2 * place + 2]
        one = replace(made.clusters[0], payment=tuple(payment), client=tuple(client))
        other = replace(made.clusters[1], payment=tuple(cards[:3]), client=())
        whole = replace(made, clusters=(one, other, *made.clusters[2:]))
        sealed.append(Sent(0, day, packing.pack(whole)))
        pooled += [
            Pooled(0, day, row, tuple(made.templates[n] for n in row.templates))
            for row in whole.clusters
        ]
    columns, held = sent.read(sealed), run.Held.of(pooled)
    assert [columns[number] for number in range(len(held))] == list(held.rows)
    tables = applying.tables_of(held.rows)
    for name, column in (("row_client", "client"), ("row_tag", "tag")):
        ours, theirs = (
            sorted(table[name][column].to_pylist()) for table in (columns.tables, tables)
        )
        assert ours == theirs
    seen = columns.tables["row_token"]["token"].to_pylist()
    assert {card for card in cards if seen.count(card) == 2} == set(cards[:3])
