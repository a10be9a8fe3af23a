"""Cases that travel with an algorithm: they hold, they can fail, and nobody is singled out."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from exchange.proof.refused import Refused
from indicators.detection import cases, document, engines
from indicators.detection.engines import Engine
from indicators.detection.ties import Source
from tests.core.algorithm_material import CORRELATION, DETECTOR, ROWS, SIGMA, spoiled, written
from tests.core.pool_tables import load


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with engines.connect("duckdb") as opened:
        yield opened


def problems(engine: Engine, made: Mapping[str, Any]) -> list[tuple[str, str]]:
    judged = cases.judge(engine, document.parse(written(made)))
    return [(one.code, one.path) for one in judged.problems]


WHOLE: Mapping[str, Any] = {
    **DETECTOR,
    "tests": [
        *DETECTOR["tests"],
        {
            "name": "three-accounts",
            "expect": "match",
            "on": "log",
            "why": "Three are enough.",
            "rows": {"account_token": ROWS["account_token"][:3]},
        },
        {
            "name": "two-rows",
            "expect": "match",
            "on": "pool",
            "why": "Two members know one card.",
            "rows": {
                "cluster_row": [{"row": 1, "member": 1}, {"row": 2, "member": 2}],
                "row_token": [{"row": n, "kind": "payment", "token": "card-1"} for n in (1, 2)],
            },
        },
        {
            "name": "a-site-licence",
            "expect": "match",
            "on": "log",
            "why": "Sixty accounts are under the cap.",
            "rows": {
                "account_token": [
                    {"account": n, "kind": "device", "token": "d-1"} for n in range(60)
                ]
            },
        },
    ],
}


@pytest.mark.parametrize("made", [SIGMA, CORRELATION, WHOLE])
def test_whole_algorithms_have_no_problem(engine: Engine, made: Mapping[str, Any]) -> None:
    assert problems(engine, made) == []


def test_each_case_says_what_it_hit(engine: Engine) -> None:
    results = cases.run(engine, document.parse(written(CORRELATION)))
    assert [(one.case.name, one.holds, one.hit) for one in results] == [
        ("three-days", True, {(1, "1")}),
        ("three-other-days", True, {(2, "2")}),
        ("two-days", True, frozenset()),
    ]


def test_a_case_that_does_not_hold_is_named(engine: Engine) -> None:
    turned = spoiled(SIGMA, "tests", 2, "rows", to=SIGMA["tests"][0]["rows"])
    assert problems(engine, turned) == [("algorithm.case-fails", "tests[2]")]
    empty = spoiled(SIGMA, "tests", 0, "rows", to=SIGMA["tests"][2]["rows"])
    assert problems(engine, empty) == [("algorithm.case-fails", "tests[0]")]


def test_a_case_with_nothing_in_it_cannot_fail(engine: Engine) -> None:
    """It would stay empty if the condition were turned round."""
    made = spoiled(SIGMA, "tests", 2, "rows", to={"account_token": [{"account": 1}]})
    assert ("algorithm.cannot-fail", "tests[2]") in problems(engine, made)


def test_a_parameter_that_no_case_depends_on_is_named(engine: Engine) -> None:
    far = [{"account": 1, "flat": 9, "mid": True}]
    made = spoiled(SIGMA, "tests", 0, "rows", to={"account_day": far})
    made = spoiled(made, "tests", 1, "rows", to={"account_day": far})
    made = spoiled(made, "tests", 2, "rows", to={"account_day": [{"account": 1, "flat": 0}]})
    assert problems(engine, made) == [("algorithm.cannot-fail", "parameters.flat")]


def test_a_range_lies_within_the_detectors_own(engine: Engine) -> None:
    for steps, to in (
        (("parameters", "cap", "range"), [50, 5000]),
        (("parameters", "mine"), {"value": 1, "range": [0, 2]}),
        (("parameters", "rows"), ...),
    ):
        with pytest.raises(Refused) as refused:
            cases.judge(engine, document.parse(written(spoiled(WHOLE, *steps, to=to))))
        assert refused.value.code.startswith("detector.")
        assert refused.value.path.startswith("parameters")


def test_a_range_of_sigma_lies_within_what_its_field_takes(engine: Engine) -> None:
    made = spoiled(SIGMA, "parameters", "flat", "range", to=[3, 12])
    with pytest.raises(Refused) as refused:
        cases.judge(engine, document.parse(written(made)))
    assert (refused.value.code, refused.value.path) == ("sigma.nothing", "parameters.flat")


def test_a_scene_is_looked_at_for_its_subject_alone(engine: Engine) -> None:
    scene = {"name": "hydra-relay", "seed": 7}
    made = spoiled(WHOLE, "tests", 0, to={**WHOLE["tests"][0], "scene": scene})
    del made["tests"][0]["rows"]
    first = cases.run(engine, document.parse(written(made)))[0]
    subject = cases.scene_of("hydra-relay", 7, "log", path="").subject
    assert first.holds
    assert {unit for unit, _ in first.hit} <= subject
    unheard = spoiled(made, "tests", 0, "scene", "name", to="paradise")
    with pytest.raises(Refused) as refused:
        cases.run(engine, document.parse(written(unheard)))
    assert (refused.value.code, refused.value.path) == ("algorithm.scene", "tests[0].scene")


def test_rows_that_are_named_are_there(engine: Engine) -> None:
    source = load(Source(engine, "pool", "named_"), {"row_template": [{"row": 3, "template": 5}]})
    for name, column, number in (("cluster_row", "row", 3), ("template_row", "template", 5)):
        found = engine.run(source.table(name).select(column)).column(column).to_pylist()
        assert found == [number]
