"""An algorithm is tried in a process of its own, and what comes back says nothing of the text."""

import json
from typing import Any

import pytest

from exchange import children
from exchange.proof.refused import Refused
from indicators.detection import trying
from tests.core.algorithm_material import SIGMA, spoiled, written

MODULE = trying.__name__
MARK = "canary-7f31"


def tried(text: bytes, *, seconds: int = 120) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(children.run(MODULE, text, memory=1 << 30, seconds=seconds))
    return answer


def test_ana_sees_her_cases_her_mutants_and_the_shipped_world() -> None:
    answer = tried(written(SIGMA))
    assert answer["faults"] == []
    assert [(one["name"], one["came"], one["hit"]) for one in answer["cases"]] == [
        ("paced", "a match", [1]),
        ("paced-again", "a match", [1]),
        ("a-job-at-night", "no match", []),
    ]
    assert all(one["noticed"] for one in answer["mutants"])
    scenes = {one["scene"]: one for one in answer["world"]}
    assert scenes["hydra-relay"]["campaign"]
    assert not scenes["school"]["campaign"]
    assert all(0 <= one["hit"] <= one["subject"] for one in answer["world"])


def test_what_is_wrong_comes_back_with_its_line_and_without_the_text() -> None:
    text = json.dumps(spoiled(SIGMA, "body", "detection", "paced", to={"client": MARK}), indent=1)
    made = text.replace('"parameters": {', '"parameters": {}, "was": {')
    for said in (text, made, "a: [" * 9_000, "\x00", MARK, f"id: {MARK}"):
        answer = json.dumps(tried(said.encode()))
        assert json.loads(answer)["faults"], said[:40]
        assert MARK not in answer


def test_a_trial_without_time_or_memory_is_a_refusal() -> None:
    with pytest.raises(Refused) as refused:
        tried(written(SIGMA), seconds=1)
    assert refused.value.code == "child.time"
    with pytest.raises(Refused) as refused:
        children.run(MODULE, written(SIGMA), memory=64 << 20, seconds=60)
    assert refused.value.code == "child.failed"
