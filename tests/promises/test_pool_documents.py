"""P2: an algorithm that selects one customer, company, country or language is refused.

Beside it the bad input that authors write: each has its code, its place, and none of its content.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from exchange.proof.refused import Refused
from indicators.detection import cases, document, engines, schema, sigma
from indicators.detection.engines import Engine
from indicators.detection.fields import SERVICES
from indicators.detection.world import scenes
from tests.core.algorithm_material import CORRELATION, DETECTOR, SIGMA, spoiled, written

LOGSOURCE = {"category": "usage", "product": "genai-gateway", "service": "cluster-row"}
MARK = "canary 7f31"
EXACT = ("flat", "mid", "short", "fresh", "mismatch", "pivot", "carded", "start_peak", "start_days")


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with engines.connect("duckdb") as opened:
        yield opened


@pytest.fixture(scope="module")
def pool() -> Mapping[str, Any]:
    """A labelled pool: what three members would have sent, and whose it is."""
    return cases.scene_of("firm", 1, "pool", path="").tables


def on_rows(detection: Mapping[str, Any], matching: Mapping[str, Any]) -> dict[str, Any]:
    """A rule over rows of the pool, with cases that hold for a row like this."""
    rows = {"cluster_row": [{"row": 1, **matching}]}
    other = {
        "cluster_row": [{"row": 1, **matching, **{name: 0 for name in EXACT}, "start_days": 1}]
    }
    made = spoiled(SIGMA, "body", to={"logsource": LOGSOURCE, "detection": dict(detection)})
    made |= {"runs_on": "pool", "parameters": {}, "false_positives": ["firm"]}
    made["tests"] = [
        {"name": "one", "expect": "match", "why": "As it is.", "rows": rows},
        {"name": "two", "expect": "match", "why": "As it is.", "rows": rows},
        {
            "name": "three",
            "expect": "no-match",
            "look_alike": "firm",
            "why": "Another.",
            "rows": other,
        },
    ]
    return made


def refusals(engine: Engine, made: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Every reason to refuse a document, whoever finds it."""
    checked = document.check(written(made))
    if checked.algorithm is None:
        return [(one.code, one.path, one.sentence) for one in checked.faults]
    try:
        judged = cases.judge(engine, checked.algorithm)
    except Refused as refused:
        return [(refused.code, refused.path, refused.sentence)]
    return [(one.code, one.path, one.sentence) for one in judged.problems]


def test_p02_a_document_that_describes_one_row_of_the_pool_is_refused(
    engine: Engine, pool: Mapping[str, Any]
) -> None:
    for row in pool["cluster_row"].to_pylist():
        facts = {name: row[name] for name in EXACT} | {"size": schema.SIZES[row["size"]]}
        found = refusals(engine, on_rows({"a": facts, "condition": "a"}, {}))
        assert [code for code, _, _ in found] == ["sigma.narrow"]


def test_p02_a_few_facts_that_happen_to_fit_one_lawful_row_are_refused(engine: Engine) -> None:
    """They are broad enough to be read; but in the shipped world they find one lawful row."""
    tried = 0
    seen: dict[tuple[str, int, int], list[tuple[str, bool]]] = {}
    for scene in scenes.NAMES:
        drawn = cases.scene_of(scene, 1, "pool", path="")
        for row in drawn.tables["cluster_row"].to_pylist():
            for name in ("short", "mismatch", "fresh", "start_peak", "pivot"):
                key = (name, row[name], row["flat"])
                seen.setdefault(key, []).append((scene, row["row"] in drawn.guilty))
    alone = [key for key, rows in seen.items() if len(rows) == 1 and not rows[0][1]]
    for name, value, flat in alone[:3]:
        facts = {name: value, "flat": flat}
        found = refusals(engine, on_rows({"a": facts, "condition": "a"}, facts))
        assert "algorithm.singles-out" in [code for code, _, _ in found]
        tried += 1
    assert tried == 3
    broad = {"flat|gte": 4, "fresh|gte": 6}
    found = refusals(engine, on_rows({"a": broad, "condition": "a"}, {"flat": 4, "fresh": 6}))
    assert found == []


def test_p02_nothing_that_a_row_carries_can_be_named(
    engine: Engine, pool: Mapping[str, Any]
) -> None:
    tokens = pool["row_token"].to_pylist()
    named = [(one["kind"], one["token"]) for one in tokens[:4]]
    named += [("client", one["client"]) for one in pool["row_client"].to_pylist()[:2]]
    named += [("cluster", one["cluster"]) for one in pool["cluster_row"].to_pylist()[:2]]
    for field, value in named:
        for key, said in (
            (field, value),
            (f"{field}|startswith", value[:11]),
            (f"{field}|contains", "a"),
            (f"{field}|endswith", "b"),
        ):
            found = refusals(engine, on_rows({"a": {key: said}, "condition": "a"}, {}))
            assert found, key
            assert found[0][0] in ("algorithm.literal", "sigma.literal")
            assert all(value not in sentence for _, _, sentence in found)


def test_p02_no_field_is_a_customer_a_company_a_country_or_a_language(engine: Engine) -> None:
    unheard = {"member", "entity", "country", "region", "address", "asn", "model", "prompt", "user"}
    for service in SERVICES.values():
        assert not unheard & set(service.fields)
    for field in sorted(unheard):
        with pytest.raises(Refused):
            sigma.read(document.parse(written(on_rows({"a": {field: "x"}, "condition": "a"}, {}))))
    languages = SERVICES["template-row"].fields["languages"]
    assert not languages.may_group
    made = on_rows({"a": {"languages": "de"}, "condition": "a"}, {})
    made["body"]["logsource"] = {**LOGSOURCE, "service": "template-row"}
    assert [code for code, _, _ in refusals(engine, made)] == ["sigma.language"]
    # How many languages there are may be asked, and is no one's own.
    made["body"]["detection"] = {"a": {"languages|exists": True}, "condition": "a"}
    sigma.read(document.parse(written(made)))


BAD: Mapping[str, tuple[Mapping[str, Any], str]] = {
    "a token": (
        spoiled(SIGMA, "body", "detection", "paced", "client", to="3fa9c1d2e4b5a697"),
        "algorithm.literal",
    ),
    "a regular expression": (
        spoiled(SIGMA, "body", "detection", "paced", "client|re", to=MARK),
        "sigma.re",
    ),
    "a detection named not_x": (
        spoiled(SIGMA, "body", "detection", to={"not_x": {"flat": 7}, "condition": "not_x"}),
        "sigma.name",
    ),
    "a cross join": (
        spoiled(CORRELATION, "body", "correlation", "group-by", to=["payment", "device"]),
        "sigma.cross-join",
    ),
    "no negative case": (
        spoiled(SIGMA, "tests", to=[{**SIGMA["tests"][0], "name": f"n{n}"} for n in range(3)]),
        "algorithm.no-negative",
    ),
    "a case that cannot fail": (
        spoiled(SIGMA, "tests", 2, "rows", to={"account_tag": [{"account": 1, "tag": "x"}]}),
        "algorithm.cannot-fail",
    ),
    "a timespan of a year": (
        spoiled(CORRELATION, "body", "correlation", "timespan", to="1y"),
        "sigma.timespan",
    ),
    "a filter from outside": (spoiled(SIGMA, "body", "filter", to={MARK: 1}), "algorithm.form"),
    "a property that says something": (spoiled(SIGMA, MARK, to=1), "algorithm.form"),
    "a field that says something": (
        spoiled(SIGMA, "body", "detection", "paced", MARK, to=1),
        "algorithm.form",
    ),
    "free text": (spoiled(SIGMA, "body", "description", to=MARK), "algorithm.form"),
    "a detector of one's own": (
        spoiled(DETECTOR, "body", "detector", to=MARK),
        "algorithm.form",
    ),
    "half a year and a day": (spoiled(SIGMA, "valid_until", to={"days": 181}), "algorithm.form"),
}


@pytest.mark.parametrize("name", BAD)
def test_p02_bad_input_has_a_code_and_a_place_and_none_of_its_content(
    engine: Engine, name: str
) -> None:
    made, code = BAD[name]
    if code.startswith("sigma"):
        made = {**made, "parameters": {}}
    found = refusals(engine, made)
    assert code in [one for one, _, _ in found]
    said = json.dumps(found)
    assert MARK not in said
    assert "3fa9c1d2" not in said
    assert all(sentence.endswith(".") for _, _, sentence in found)
