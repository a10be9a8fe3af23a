"""Sigma on our tables: what is read means what Sigma says, all else is refused by a sentence."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from exchange.proof.refused import Refused
from indicators.detection import document, engines, finds, sigma
from indicators.detection.engines import Engine
from indicators.detection.ties import Source
from tests.core.algorithm_material import CORRELATION, SIGMA, spoiled, written
from tests.core.pool_logs import LOGSOURCE, correlation
from tests.core.pool_tables import load, units


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with engines.connect("duckdb") as opened:
        yield opened


def rule(detection: Mapping[str, Any], service: str = "account-day") -> document.Algorithm:
    """A rule with this detection; its own cases are not what is tried here."""
    made = spoiled(SIGMA, "body", to={"logsource": {**LOGSOURCE, "service": service}})
    made["body"]["detection"] = dict(detection)
    if service != "account-day":
        made["runs_on"] = "pool"
        for case in made["tests"]:
            case["rows"] = {"cluster_row": [{"row": 1}]}
    return document.parse(written({**made, "parameters": {}}))


PACED = {"one": {"flat|gte": 4}, "condition": "one"}
NEW = {"one": {"mid": True}, "condition": "one"}


# --- what a rule means ---------------------------------------------------------------------------

ROWS: Mapping[str, Any] = {
    "account_day": [
        {"account": 1, "flat": 7, "mid": True, "client": "c-1", "events": 20},
        {"account": 2, "flat": 3, "mid": True, "events": 300},
        {"account": 3, "flat": 7, "mid": False, "client": "c-1", "events": 0},
    ],
    "account": [{"account": 1, "carded": True}, {"account": 2}, {"account": 3}],
    "account_token": [
        {"account": 1, "kind": "payment", "token": "card-1"},
        {"account": 2, "kind": "device", "token": "device-1"},
    ],
    "account_tag": [
        {"account": 1, "kind": "method", "tag": "rubric-grading"},
        {"account": 1, "kind": "method", "tag": "temperature-sweep"},
        {"account": 2, "kind": "method", "tag": "rubric-grading"},
        {"account": 3, "kind": "capability", "tag": "vision"},
    ],
}


@pytest.mark.parametrize(
    ("detection", "found"),
    [
        ({"a": {"flat": 7}, "condition": "a"}, {1, 3}),
        ({"a": {"flat": [3, 4]}, "condition": "a"}, {2}),
        ({"a": {"flat|gt": 3, "mid": True}, "condition": "a"}, {1}),
        ({"a": [{"flat|lte": 3}, {"mid": False}], "condition": "a"}, {2, 3}),
        ({"a": {"flat|gte": 4}, "condition": "not a"}, {2}),
        ({"a": {"flat": 7}, "b": {"mid": True}, "condition": "a and not b"}, {3}),
        ({"a_1": {"flat": 3}, "a_2": {"mid": False}, "condition": "1 of a_*"}, {2, 3}),
        ({"a_1": {"flat": 7}, "a_2": {"mid": True}, "condition": "all of a_*"}, {1}),
        ({"a": {"client": None}, "condition": "a"}, {2}),
        ({"a": {"client|exists": True}, "condition": "a"}, {1, 3}),
        ({"a": {"client|exists": False}, "condition": "a"}, {2}),
        ({"a": {"carded": True}, "condition": "a"}, {1}),
        ({"a": {"events|gte": 20}, "condition": "a"}, {1, 2}),
        ({"a": {"events|lt": 20}, "condition": "a"}, {3}),
        ({"a": {"payment|exists": True}, "condition": "a"}, {1}),
        ({"a": {"payment": None}, "condition": "a"}, {2, 3}),
        ({"a": {"methods": "Rubric-Grading"}, "condition": "a"}, {1, 2}),
        ({"a": {"methods|contains": "GRADING"}, "condition": "a"}, {1, 2}),
        ({"a": {"methods|startswith": "temp"}, "condition": "a"}, {1}),
        ({"a": {"methods|endswith": "sweep"}, "condition": "a"}, {1}),
        ({"a": {"methods": "rubric?grad*"}, "condition": "a"}, {1, 2}),
        ({"a": {"methods|all": ["rubric-grading", "temperature-sweep"]}, "condition": "a"}, {1}),
        ({"a": {"methods|contains|all": ["grading", "sweep"]}, "condition": "a"}, set()),
        ({"a": {"methods": "temperature-sweep"}, "condition": "not a"}, {2, 3}),
        ({"a": {"capabilities": "vision"}, "condition": "a"}, {3}),
    ],
)
def test_a_rule_means_what_sigma_says(
    engine: Engine, detection: Mapping[str, Any], found: set[int]
) -> None:
    source = load(Source(engine, "log"), ROWS)
    if found == set():  # any element matches: two of them may match two parts
        found = {1}
    assert units(finds.hits(source, rule(detection))) == found


@pytest.mark.parametrize(
    ("detection", "found"),
    [
        ({"a": {"size": "10-29"}, "condition": "a"}, {2}),
        ({"a": {"size|gte": 10}, "condition": "a"}, {2, 3}),
        ({"a": {"size|lt": 10}, "condition": "a"}, {1}),
        ({"a": {"size": "?-?"}, "condition": "a"}, {1}),
        ({"a": {"devices": "LT-3"}, "condition": "a"}, {1}),
        ({"a": {"devices|lt": 5}, "condition": "a"}, {1, 2}),
        ({"a": {"fresh|gte": 5}, "condition": "a"}, {3}),
        ({"a": {"client|exists": True}, "condition": "a"}, {3}),
        ({"a": {"methods|contains": "logprob"}, "condition": "a"}, {1}),
    ],
)
def test_buckets_are_words_and_compare_at_their_ends(
    engine: Engine, detection: Mapping[str, Any], found: set[int]
) -> None:
    rows = [
        {"row": 1, "size": 1, "devices": -1, "fresh": 4},
        {"row": 2, "size": 2, "devices": 0},
        {"row": 3, "size": 5, "devices": 2, "fresh": 6},
    ]
    source = load(
        Source(engine, "pool"),
        {
            "cluster_row": rows,
            "row_client": [{"row": 3, "client": "c-1"}],
            "row_tag": [{"row": 1, "kind": "method", "tag": "logprob-harvest"}],
        },
    )
    assert units(finds.hits(source, rule(detection, "cluster-row"))) == found


# --- what is refused -----------------------------------------------------------------------------

FIFTY_ONE = {f"a{n}": {"flat": [n % 10]} for n in range(10)}


@pytest.mark.parametrize(
    ("service", "detection", "code"),
    [
        ("account-day", {"a": {"client|re": "c.*"}, "condition": "a"}, "sigma.re"),
        ("account-day", {"a": {"am|fieldref": "pm"}, "condition": "a"}, "sigma.fieldref"),
        ("account-day", {"a": {"client|expand": "x"}, "condition": "a"}, "sigma.placeholder"),
        ("account-day", {"a": {"egress|cidr": "ten"}, "condition": "a"}, "sigma.cidr"),
        ("account-day", {"a": {"methods|base64": "x"}, "condition": "a"}, "sigma.modifier"),
        ("account-day", {"a": {"methods|cased": "vision"}, "condition": "a"}, "sigma.modifier"),
        ("account-day", {"not_a": {"flat": 7}, "condition": "not_a"}, "sigma.name"),
        ("account-day", {"or_a": {"flat": 7}, "condition": "or_a"}, "sigma.name"),
        ("account-day", {"them": {"flat": 7}, "condition": "them"}, "sigma.name"),
        ("account-day", {"a": {"prompt": "x"}, "condition": "a"}, "sigma.field"),
        ("account-day", {"a": {"size": "5-9"}, "condition": "a"}, "sigma.field"),
        ("account-day", {"a": {"client": "c-1"}, "condition": "a"}, "sigma.literal"),
        ("account-day", {"a": {"payment|startswith": "a"}, "condition": "a"}, "sigma.literal"),
        ("account-day", {"a": {"account": 7}, "condition": "a"}, "sigma.literal"),
        ("account-day", {"a": {"day": "2026-01-01"}, "condition": "a"}, "sigma.literal"),
        ("account-day", {"a": {"am": 123456789012}, "condition": "a"}, "sigma.literal"),
        ("account-day", {"a": {"templates": 3}, "condition": "a"}, "sigma.literal"),
        ("account-day", {"a": {"events": 512}, "condition": "a"}, "sigma.exact"),
        ("account-day", {"a": {"events|gte": 512}, "condition": "a"}, "sigma.exact"),
        ("account-day", {"a": {"flat": 11}, "condition": "a"}, "sigma.nothing"),
        ("account-day", {"a": {"flat": "high"}, "condition": "a"}, "sigma.type"),
        ("account-day", {"a": {"mid": 1}, "condition": "a"}, "sigma.type"),
        ("account-day", {"a": {"flat|exists": True}, "condition": "a"}, "sigma.exists"),
        ("account-day", {"a": {"methods": "reading-minds"}, "condition": "a"}, "sigma.nothing"),
        ("account-day", {"a": {"flat": 7}, "condition": "a and b"}, "sigma.read"),
        ("account-day", {"a": {"flat": 7}, "b": {"flat": 3}, "condition": "a"}, "sigma.read"),
        ("account-day", {"a": {"flat": 7}, "condition": "a | count() > 5"}, "sigma.read"),
        ("account-day", {"a": {"methods": "**vision"}, "condition": "a"}, "sigma.read"),
        ("account-day", {**FIFTY_ONE, "b": {"flat": [1] * 41}, "condition": "1 of a* or b"},
         "sigma.terms"),
        ("cluster-row", {"a": {"member": 1}, "condition": "a"}, "sigma.member"),
        ("cluster-row", {"a": {"row": 1}, "condition": "a"}, "sigma.literal"),
        ("cluster-row", {"a": {"cluster|contains": "a"}, "condition": "a"}, "sigma.literal"),
        ("cluster-row", {"a": {"size|gte": 12}, "condition": "a"}, "sigma.bucket"),
        ("cluster-row", {"a": {"size|gt": 10}, "condition": "a"}, "sigma.bucket"),
        ("template-row", {"a": {"languages": "zh"}, "condition": "a"}, "sigma.language"),
        ("template-row", {"a": {"languages|contains": "e"}, "condition": "a"}, "sigma.language"),
    ],
)  # fmt: skip
def test_what_is_not_of_the_subset_is_refused(
    service: str, detection: Mapping[str, Any], code: str
) -> None:
    with pytest.raises(Refused) as refused:
        sigma.read(rule(detection, service))
    assert refused.value.code == code
    assert refused.value.path.startswith("body")
    sentences.setdefault(code, set()).add(refused.value.sentence)


sentences: dict[str, set[str]] = {}


def test_a_rule_without_a_field_finds_no_text_anywhere() -> None:
    made = spoiled(SIGMA, "body", "detection", to={"a": ["Borealis"], "condition": "a"})
    assert document.check(written({**made, "parameters": {}})).faults


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"timespan": "1y"}, "sigma.timespan"),
        ({"timespan": "46d"}, "sigma.timespan"),
        ({"timespan": "36h"}, "sigma.timespan"),
        ({"group_by": ["cluster"]}, "sigma.field"),
        ({"group_by": ["payment", "device"]}, "sigma.cross-join"),
        ({"type": "value_count"}, "sigma.read"),
        ({"condition": {"gte": 2, "field": "flat"}}, "sigma.condition"),
        ({"type": "value_count", "condition": {"gte": 2, "field": "prompt"}}, "sigma.field"),
        ({"type": "temporal_ordered", "condition": {"gte": 1}}, "sigma.condition"),
        ({"rules": ["r0", "r9"]}, "sigma.read"),
        ({"rules": ["r0"]}, "sigma.rules"),
        ({"aliases": {"who": {"r0": "am", "r1": "pm"}}}, "sigma.alias"),
        ({"group_by": ["who"], "aliases": {"who": {"r0": "am"}}}, "sigma.field"),
        ({"group_by": ["who"], "aliases": {"who": {"r0": "am", "r1": "mid"}}}, "sigma.alias"),
    ],
)
def test_a_correlation_beyond_the_subset_is_refused(asked: Mapping[str, Any], code: str) -> None:
    sigma.read(correlation(PACED, NEW))
    with pytest.raises(Refused) as refused:
        sigma.read(correlation(PACED, NEW, **asked))
    assert refused.value.code == code


def test_on_the_pool_only_counts_are_read_and_no_group_is_one_members_own() -> None:
    sigma.read(correlation(PACED, service="cluster-row"))
    for asked, code in (
        ({"group_by": ["cluster"]}, "sigma.group-by"),
        ({"type": "temporal", "condition": ...}, "sigma.type"),
        ({"group_by": ["member"]}, "sigma.field"),
    ):
        with pytest.raises(Refused) as refused:
            sigma.read(correlation(PACED, service="cluster-row", **asked))
        assert refused.value.code == code


def test_rules_of_two_services_are_not_joined() -> None:
    made = spoiled(CORRELATION, "body", to=correlation(PACED, PACED, service="cluster-row").body)
    made["body"]["rules"][1]["logsource"]["service"] = "template-row"
    made["body"]["rules"][1]["detection"] = {"a": {"length|gte": 10}, "condition": "a"}
    made["runs_on"], made["parameters"] = "pool", {}
    for case in made["tests"]:
        case["rows"] = {"cluster_row": [{"row": 1}]}
    with pytest.raises(Refused) as refused:
        sigma.read(document.parse(written(made)))
    assert refused.value.code == "sigma.cross-join"


def test_terms_that_together_are_too_exact_are_refused() -> None:
    exact = {"flat": 7, "fresh": 6, "short": 4, "start_days": 8, "size": "30-99"}
    for detection in (
        {"a": exact, "condition": "a"},
        {"a": {"flat": 7, "fresh": 6}, "b": {"short": 4, "start_days": 8, "size": "30-99"},
         "condition": "a and b"},
        {"a": {"flat|gte": 7, "flat|lte": 7, "fresh": 6, "start_days": 8, "size": "30-99",
               "short": 2}, "condition": "a"},
    ):  # fmt: skip
        with pytest.raises(Refused) as refused:
            sigma.read(rule(detection, "cluster-row"))
        assert refused.value.code == "sigma.narrow"
    sigma.read(rule({"a": {"flat|gte": 5, "fresh|gte": 6, "size|gte": 10}, "condition": "a"},
                    "cluster-row"))  # fmt: skip


def test_a_rule_of_the_pool_does_not_run_on_a_log(engine: Engine) -> None:
    made = rule({"a": {"flat": 7}, "condition": "a"}, "cluster-row")
    with pytest.raises(Refused, match="is of the pool"):
        sigma.find(load(Source(engine, "log"), ROWS), made)


# --- correlations by hand: lists, which the oracle does not have ---------------------------------


def test_one_card_over_three_accounts_is_counted(engine: Engine) -> None:
    rows: Mapping[str, Any] = {
        "account_day": [{"account": n, "flat": 7} for n in range(5)],
        "account_token": [
            {"account": n, "kind": "payment", "token": "card-1" if n < 3 else "card-2"}
            for n in range(5)
        ],
    }
    made = correlation(
        PACED,
        type="value_count",
        group_by=["payment"],
        condition={"gte": 3, "field": "account"},
        timespan="1d",
    )
    found = finds.hits(load(Source(engine, "log"), rows), made)
    assert found == {(n, "card-1") for n in range(3)}
    other = correlation(
        PACED,
        type="value_count",
        group_by=["account"],
        condition={"lt": 1, "field": "device"},
        timespan="1d",
    )
    assert units(finds.hits(load(Source(engine, "log"), rows), other)) == {0, 1, 2, 3, 4}


def test_a_rule_over_templates_gives_the_rows_that_use_them(engine: Engine) -> None:
    rows: Mapping[str, Any] = {
        "template_row": [
            {"template": 1, "length": 2, "languages": "en zh"},
            {"template": 2, "length": 0},
        ],
        "row_template": [{"row": 7, "template": 1}, {"row": 8, "template": 1}, {"row": 9}],
    }
    source = load(Source(engine, "pool"), rows)
    long = rule({"a": {"length|gte": 100}, "condition": "a"}, "template-row")
    assert finds.hits(source, long) == {(7, "1"), (8, "1")}
    spoken = rule({"a": {"languages|exists": True}, "condition": "a"}, "template-row")
    assert units(finds.hits(source, spoken)) == {7, 8}
