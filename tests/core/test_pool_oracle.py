"""Our correlations against pySigma's SQLite backend: five hundred logs, event by event.

The oracle is asked about columns of one value alone: it has no lists, no buckets and no words of
ours, so those are tried by hand. Known differences, none of which a table of ours can show: it
folds the case of group keys (our tables hold one case), and it knows moments where we know days (a
window of n days holds both its ends in both).
"""

import json
import random
import sqlite3
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest
from sigma.backends.sqlite import sqliteBackend
from sigma.backends.sqlite.runtime import execute_plan
from sigma.collection import SigmaCollection

from indicators.detection import document, engines, sigma, windows
from indicators.detection.engines import Engine
from indicators.detection.sources import Source
from tests.core.pool_logs import FIRST, correlation, drawn_correlation, drawn_log, tables_of_logs
from tests.core.pool_tables import load

LOGS = 20


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with engines.connect("duckdb") as opened:
        yield opened


def _by_the_oracle(made: document.Algorithm, log: list[dict[str, Any]]) -> set[tuple[Any, ...]]:
    """Account, day and group of each event that is evidence of an alert."""
    columns = [name for name in log[0] if name != "day"]
    connection = sqlite3.connect(":memory:")
    connection.execute(f"CREATE TABLE logs (timestamp INTEGER, {', '.join(columns)})")
    for row in log:
        values = [int(v) if isinstance(v, bool) else v for v in (row[c] for c in columns)]
        values = [
            v.isoformat() if isinstance(v, date) else (None if v == "" else v) for v in values
        ]
        at = (row["day"] - date(1970, 1, 1)).days * 86_400
        marks = ", ".join("?" for _ in (at, *values))
        connection.execute(f"INSERT INTO logs VALUES ({marks})", [at, *values])  # noqa: S608
    rules = [{"title": "r", "status": "test", **one} for one in made.body["rules"]]
    asked = {"title": "c", "status": "test", "correlation": made.body["correlation"]}
    backend = sqliteBackend(timestamp_format="unix", collate_nocase=True)
    told = json.loads(backend.convert(SigmaCollection.from_dicts([*rules, asked]), "zircolite"))
    (plan,) = (one["correlation_plan"] for one in told if "correlation_plan" in one)
    alerts, _ = execute_plan(connection, plan)
    connection.close()
    return {
        (
            event["event"]["account"],
            event["event"]["timestamp"] // 86_400,
            "|".join(
                str(alert["group_keys"][name]) for name in made.body["correlation"]["group-by"]
            ),
        )
        for alert in alerts
        for event in alert["evidence"]
    }


def _by_us(engine: Engine, made: document.Algorithm, logs: list[Any]) -> set[tuple[Any, ...]]:
    source = load(Source(engine, "log"), tables_of_logs(logs))
    rules, asked = sigma.read(made)
    found = windows.hits(source, windows.Asked("oracle", asked, tuple(rules)))
    return {tuple(row[name] for name in ("unit", "at", "key"))
            for row in engine.run(found, "unit").to_pylist()}  # fmt: skip


@pytest.mark.parametrize("seed", range(25))
def test_a_correlation_agrees_with_pysigmas_own_backend_row_by_row(
    engine: Engine, seed: int
) -> None:
    """Twenty logs for each of twenty-five correlations: five hundred."""
    rng = random.Random(f"correlation {seed}")  # noqa: S311 - cases, no secrets
    made = drawn_correlation(rng)
    logs = [drawn_log(rng, number) for number in range(LOGS)]
    oracle = set().union(*(_by_the_oracle(made, log) for log in logs))
    assert _by_us(engine, made, logs) == oracle
    evidence.append(len(oracle))


evidence: list[int] = []


def test_most_correlations_of_the_oracle_find_something() -> None:
    assert len(evidence) != 25 or sum(map(bool, evidence)) >= 15, evidence


@pytest.mark.parametrize("kind", ["event_count", "temporal", "temporal_ordered"])
@pytest.mark.parametrize(("apart", "is_found"), [(1, True), (3, True), (4, False)])
def test_a_window_holds_both_its_ends_and_not_a_day_more(
    engine: Engine, kind: str, apart: int, *, is_found: bool
) -> None:
    first = {"a": {"flat|gte": 5}, "condition": "a"}
    then = {"a": {"flat|lt": 5}, "condition": "a"}
    condition = {"gte": 2} if kind == "event_count" else ...
    made = correlation(first, then, type=kind, timespan="3d", condition=condition)
    plain = {"first_day": FIRST, "carded": False, "events": 0, "mid": False, "mismatch": False}
    plain |= {"moved": False, "am": 0, "pm": 0, "client": "log0-a"}
    log = [
        {"account": 1, "day": FIRST, "flat": 7, **plain},
        {"account": 1, "day": FIRST + timedelta(days=apart), "flat": 2, **plain},
    ]
    found = _by_us(engine, made, [log])
    assert found == _by_the_oracle(made, log)
    assert bool(found) == is_found
    backwards = [{**log[0], "flat": 2}, {**log[1], "flat": 7}]
    found = _by_us(engine, made, [backwards])
    assert found == _by_the_oracle(made, backwards)
    assert bool(found) == (is_found and kind != "temporal_ordered")
