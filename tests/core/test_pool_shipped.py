"""What is shipped holds its own cases, and finds campaigns and not what only looks like one."""

from collections.abc import Iterator
from datetime import date

import pytest

from indicators.detection import cases, document, engines, scorecard, shipped, ties
from indicators.detection.engines import Engine
from indicators.detection.finds import hits
from indicators.detection.sources import Source

ALGORITHMS = {name: document.parse(text) for name, text in shipped.texts()}


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with engines.connect("duckdb") as opened:
        yield opened


def test_one_for_each_detector_and_three_rules_of_sigma() -> None:
    kinds = [one.kind for one in shipped.algorithms()]
    assert (kinds.count("sigma"), kinds.count("sigma-correlation")) == (1, 2)
    assert {one.detector for one in shipped.algorithms()} - {""} == set(document.DETECTORS)
    assert kinds.count("detector") == len(document.DETECTORS) == 8
    assert len({one.id for one in shipped.algorithms()}) == len(kinds)


def test_the_closed_set_of_detectors_is_that_which_can_run() -> None:
    both = frozenset({"log", "pool"})
    for name, runs_on in document.DETECTORS.items():
        if name != "scorecard":
            assert ties.detector_of(name).runs_on == (
                both if runs_on == "both" else frozenset({runs_on})
            )
    assert set(ties.DETECTORS) | {"scorecard"} == set(document.DETECTORS)


def test_each_names_its_parameters_and_look_alikes_and_no_date() -> None:
    for one in shipped.algorithms():
        assert one.valid_until is None
        assert (one.ends_on(date(2026, 11, 2)) - date(2026, 11, 2)).days == document.MOST_DAYS
        assert len(one.false_positives) >= 3
        if one.detector == "scorecard":
            assert set(one.values) == set(scorecard.RANGES)
        elif one.detector:
            assert set(one.values) == set(ties.detector_of(one.detector).parameters)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_its_cases_hold_and_can_fail(engine: Engine, name: str) -> None:
    judged = cases.judge(engine, ALGORITHMS[name])
    assert [one.case.name for one in judged.results if not one.holds] == []
    assert judged.problems == ()


@pytest.mark.parametrize("name", [name for name in ALGORITHMS if name.startswith("sigma-")])
def test_a_rule_finds_campaigns_and_no_look_alike_in_scenes_that_no_case_names(
    engine: Engine, name: str
) -> None:
    """Seeds that no case has: three campaigns of four at least, and one look-alike at most."""
    algorithm = ALGORITHMS[name]
    found = {
        (scene, seed): _subject_hit(engine, algorithm, scene, seed)
        for scene in ("hydra-relay", "pivot", *algorithm.false_positives)
        for seed in (21, 22)
    }
    campaigns = [share for (scene, _), share in found.items() if scene in ("hydra-relay", "pivot")]
    lawful = [share for (scene, _), share in found.items() if scene in algorithm.false_positives]
    assert sum(share > 0 for share in campaigns) >= 3
    assert sum(share > 0 for share in lawful) <= 1


def _subject_hit(engine: Engine, algorithm: document.Algorithm, scene: str, seed: int) -> float:
    drawn = cases.scene_of(scene, seed, algorithm.runs_on, path="")
    source = Source(engine, algorithm.runs_on, "unseen_")
    cases.load(source, drawn.tables)
    units = {unit for unit, _ in hits(source, algorithm)}
    return len(units & drawn.subject) / len(drawn.subject)
