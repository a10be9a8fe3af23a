"""Algorithms as documents: one form, each fault with its code and place, no value repeated."""

import json
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import pytest
import yaml

from exchange.proof.refused import Refused
from indicators.detection import document, tables
from indicators.stix import extensions
from tests.core.algorithm_material import (
    CORRELATION,
    DETECTOR,
    ROWS,
    SIGMA,
    spoiled,
    written,
)

TODAY = date(2026, 11, 2)
MARK = "canary-7f31"


def faults(made: Mapping[str, Any], *, today: date | None = None) -> list[tuple[str, str]]:
    return [(one.code, one.path) for one in document.check(written(made), today=today).faults]


@pytest.mark.parametrize("made", [DETECTOR, SIGMA, CORRELATION])
def test_a_whole_document_is_an_algorithm_and_reads_back_equal(made: Mapping[str, Any]) -> None:
    read = document.parse(written(made), today=TODAY)
    assert document.parse(read.canonical) == read
    as_yaml = yaml.safe_dump(json.loads(written(made)), sort_keys=False).encode()
    assert document.parse(as_yaml).digest == read.digest


def test_a_title_is_made_of_closed_words_alone() -> None:
    read = document.parse(written(DETECTOR))
    assert read.title == "Accounts that share a card or a device"
    assert faults(spoiled(DETECTOR, "title", to="Block Borealis")) == [("algorithm.form", "title")]
    schema = document.schema()["properties"]["title"]["properties"]
    assert set(schema["shows"]["items"]["enum"]) == set(document._SHOWS)
    assert set(schema["who"]["enum"]) == set(document._WHO)


def test_the_schema_is_closed_and_says_the_words_of_the_campaigns() -> None:
    schema = document.schema(address="https://weir.example/schemas/algorithm.json")
    assert schema["$id"] == "https://weir.example/schemas/algorithm.json"
    assert list(_open_objects(schema)) == ["/properties/body"]  # each kind closes its own
    tags = schema["properties"]["tags"]["properties"]
    for name, words in (
        ("phases", "phases_observed"),
        ("capabilities", "capability_targets"),
        ("methods", "elicitation_methods"),
    ):
        known = extensions.CONTEXT_SCHEMA["properties"][words]["items"]["enum"]
        assert tags[name]["items"]["enum"] == known
    assert set(schema["$defs"]["case"]["properties"]["look_alike"]["enum"]) == set(
        document.LOOK_ALIKES
    )
    rows = schema["$defs"]["case"]["properties"]["rows"]["properties"]
    assert set(rows) == {*tables.LOG, *tables.POOL}


def _open_objects(schema: Mapping[str, Any], at: str = "") -> list[str]:
    found: list[str] = []
    if schema.get("type") == "object" and "additionalProperties" not in schema:
        found.append(at)
    for key, value in schema.items():
        if isinstance(value, dict):
            found += _open_objects(value, f"{at}/{key}")
    return found


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (b"id: &a 1\nversion: *a\n", "id"),
        (b"id: 1\nid: 2\n", "id"),
        (b'{"id": 1, "id": 2}', "id"),
        (b"id: !!python/name:os.system ''\n", "id"),
        (b"a: " + b"[" * 60 + b"]" * 60, "a" + "[0]" * 10),
        (b"[" * 60_000, "[0]" * 11),
        (b'{"a":' * 20_000, "a." * 9 + "a"),
        (b"\xff\xfe", ""),
        (b"a: " + b"x" * document.MOST_OCTETS, ""),
        (b"a: [" + b"1," * document.MOST_VALUES + b"]", ""),
        (b"", ""),
    ],
)
def test_what_cannot_be_read_safely_is_refused(text: bytes, path: str) -> None:
    (fault,) = document.check(text).faults
    assert fault.code == "algorithm.read"
    assert fault.path == path or path == ""


@pytest.mark.parametrize(
    ("steps", "to", "fault"),
    [
        (["id"], "5b1f5c4e", ("algorithm.form", "id")),
        (["version"], 0, ("algorithm.form", "version")),
        (["version"], ..., ("algorithm.form", "")),
        (["description"], MARK, ("algorithm.form", "")),
        (["kind"], "yara", ("algorithm.form", "kind")),
        (["body", "detector"], "home-made", ("algorithm.form", "body.detector")),
        (["body", "sql"], "select 1", ("algorithm.form", "body")),
        (["body", "detector"], "row-pair", ("algorithm.runs-on", "runs_on")),
        (["parameters", "min", "value"], 6, ("algorithm.range", "parameters.min")),
        (["parameters", "min", "range"], [3, 3], ("algorithm.range", "parameters.min")),
        (["parameters", "min", "at"], ["detector"], ("algorithm.parameter", "parameters.min")),
        (["parameters", "min", "value"], 2.5, ("algorithm.form", "parameters.min.value")),
        (["false_positives"], [], ("algorithm.form", "false_positives")),
        (["false_positives"], ["rival"], ("algorithm.form", "false_positives[0]")),
        (
            ["false_positives"],
            ["firm", "school"],
            ("algorithm.no-negative", "false_positives[1]"),
        ),
        (["tags", "atlas"], ["AML.T9999"], ("algorithm.atlas", "tags.atlas[0]")),
        (["tags", "phases"], ["theft"], ("algorithm.form", "tags.phases[0]")),
        (
            ["tags", "threat_basis"],
            ["terms-of-service-only"],
            ("algorithm.form", "tags.threat_basis[0]"),
        ),
        (["tests"], [], ("algorithm.form", "tests")),
        (["tests", 1, "name"], "one-card", ("algorithm.case", "tests[1].name")),
        (["tests", 1, "on"], ..., ("algorithm.case", "tests[1].on")),
        (["tests", 1, "look_alike"], "firm", ("algorithm.form", "tests[1].look_alike")),
        (["tests", 2, "look_alike"], ..., ("algorithm.form", "tests[2]")),
        (["tests", 1, "rows"], ..., ("algorithm.form", "tests[1]")),
        (["tests", 1, "rows"], {"account_token": ROWS["account_token"] * 51}, None),
        (["tests", 1, "rows"], {"cluster_row": [{"row": 1}]}, None),
        (["tests", 1, "rows", "account_token", 0, "card"], "x", None),
        (["tests", 1, "rows", "account_token", 0, "account"], "x", None),
        (["base_rate_bucket"], "rare", ("algorithm.form", "base_rate_bucket")),
        (["valid_until"], {"days": 181}, None),
        (["valid_until"], "2026-02-30", ("algorithm.date", "valid_until")),
        (["valid_until"], "2026-11-02", ("algorithm.expired", "valid_until")),
        (["valid_until"], "2027-05-02", ("algorithm.too-long", "valid_until")),
        (["licence"], "ours", ("algorithm.form", "licence")),
    ],
)
def test_one_thing_wrong_is_refused_with_its_place(
    steps: list[str | int], to: object, fault: tuple[str, str] | None
) -> None:
    assert faults(DETECTOR, today=TODAY) == []
    found = faults(spoiled(DETECTOR, *steps, to=to), today=TODAY)
    assert found
    if fault is not None:
        assert found[0] == fault


def test_an_algorithm_that_only_ever_matches_is_refused() -> None:
    positive = [{**case, "expect": "match"} for case in DETECTOR["tests"]]
    for case in positive:
        case.pop("look_alike", None)
    assert faults(spoiled(DETECTOR, "tests", to=positive)) == [
        ("algorithm.no-negative", "false_positives[0]")
    ]
    negative = [*DETECTOR["tests"][:1], *[DETECTOR["tests"][2]] * 2]
    assert ("algorithm.no-positive", "tests") in faults(spoiled(DETECTOR, "tests", to=negative))


@pytest.mark.parametrize(
    "literal",
    [
        "3fa9c1d2e4b5a697",
        "3FA9C1D2E4B5",
        "*3fa9c1d2e4b5a69788*",
        "5b1f5c4e-6a41-4c6b-9a59-0f0f4f1b7a01",
        "203.0.113.7",
        "203.0.113.*",
        "203.0.113.0/24",
        "2001:db8::7",
        "ben@borealis",
        "borealis.example",
        "https://",
        "AS64500",
        "4000 0000 0000 0002",
        "+49 30 1234 5678",
        "Zm9vYmFyYmF6cXV4MTIzNA==",
        "t13d1516h2_8daaf6152771_b186095e22b6",
    ],
)
def test_a_literal_that_singles_one_out_is_refused_and_not_repeated(literal: str) -> None:
    made = spoiled(SIGMA, "body", "detection", "paced", "client", to=literal)
    checked = document.check(written(made))
    assert [(one.code, one.path) for one in checked.faults] == [
        ("algorithm.literal", "body.detection.paced.client")
    ]
    assert literal not in checked.faults[0].sentence


@pytest.mark.parametrize(
    "text",
    ["10-29", "chain-of-thought-elicitation", "first-party-api", "2026-01-05", "card-1", "1k-up"],
)
def test_words_of_the_tables_single_nobody_out(text: str) -> None:
    assert not document.singles_out(text)


def test_no_fault_repeats_what_stands_in_the_document() -> None:
    places: list[tuple[str | int, ...]] = [
        ("id",), ("kind",), ("licence",), ("valid_until",), ("title", "who"), ("tags", "atlas"),
        ("false_positives", 0), ("tests", 0, "expect"), ("tests", 0, "name"), ("body", "detector"),
    ]  # fmt: skip
    for place in places:
        made = spoiled(DETECTOR, *place, to=f"{MARK}@")
        for fault in document.check(written(made), today=TODAY).faults:
            assert MARK not in fault.sentence, place
            assert MARK not in fault.path


def test_a_fault_says_the_line() -> None:
    made = spoiled(DETECTOR, "licence", to="ours")
    text = yaml.safe_dump(json.loads(written(made)), sort_keys=False)
    (fault,) = document.check(text.encode()).faults
    assert fault.line is not None
    assert "licence" in text.splitlines()[fault.line - 1]
    with pytest.raises(Refused) as refused:
        document.parse(text.encode())
    assert refused.value.path == f"line {fault.line}: licence"


def test_a_parameter_of_sigma_names_a_number_of_its_body() -> None:
    place = ("parameters", "flat", "at")
    wrong = ["detection", "paced", "mid"], ["detection", "unheard"], ["logsource", "service"]
    for at in wrong:
        assert faults(spoiled(SIGMA, *place, to=at))[0] == (
            "algorithm.parameter",
            "parameters.flat.at",
        )
    assert faults(spoiled(SIGMA, *place, to=...))[0] == ("algorithm.parameter", "parameters.flat")


def test_other_values_stand_in_the_body_too_and_leave_the_first_as_it_was() -> None:
    read = document.parse(written(SIGMA))
    other = document.with_values(read, {"flat": 8})
    assert other.body["detection"]["paced"]["flat|gte"] == other.values["flat"] == 8
    assert read.body["detection"]["paced"]["flat|gte"] == read.values["flat"] == 6


def test_rules_of_one_correlation_look_at_one_place() -> None:
    rule = CORRELATION["body"]["rules"][0]
    logsource = {**rule["logsource"], "service": "cluster-row"}
    rules = [rule, {**rule, "name": "other", "logsource": logsource}]
    assert faults(spoiled(CORRELATION, "body", "rules", to=rules))[0] == (
        "algorithm.cross-join",
        "body.rules",
    )


def test_no_algorithm_acts_longer_than_half_a_year() -> None:
    read = document.parse(written(DETECTOR))
    assert read.ends_on(TODAY) == TODAY + timedelta(days=180)
    dated = document.parse(written(spoiled(DETECTOR, "valid_until", to="2026-12-01")), today=TODAY)
    assert dated.ends_on(TODAY) == date(2026, 12, 1)
    assert dated.ends_on(date(2026, 1, 1)) == date(2026, 6, 30)
