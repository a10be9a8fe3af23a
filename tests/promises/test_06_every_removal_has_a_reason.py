"""Promise 6: every removal has a reason that a person can read."""

import json
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.policy import catalogue, explain
from exchange.policy.lattice import Treatment
from exchange.policy.terms import Floor, shipped_floor
from tests.core import policy_material as material

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@settings(deadline=None)
@given(st.dictionaries(st.from_regex(r"x_[a-z]{3,9}", fullmatch=True), JSON, max_size=4))
def test_every_leaf_has_exactly_one_ruling(more: dict[str, Any]) -> None:
    obj = material.indicator(**{name: value for name, value in more.items() if value is not None})
    verdict = material.released([obj]).verdicts[0]
    paths = [path for path, _ in verdict.rulings if not path.startswith("pattern[")]
    assert sorted(paths) == sorted(leaf.path for leaf in catalogue.leaves(obj))
    assert len(set(paths)) == len(paths)
    for path, ruling in verdict.rulings:
        assert ruling.rule.startswith("floor/1/"), path
        assert ruling.reason.endswith("."), path
        assert ruling.basis, path


def test_every_reason_names_a_rule_of_the_floor(shared_data: Path) -> None:
    rules = material.FLOOR.document["rules"]
    text = (shared_data / "extraction-examples" / "all.json").read_text(encoding="utf-8")
    sets = [json.loads(text)["objects"], *[c["objects"] for c in material.dirty_sets(shared_data)]]
    for objects in sets:
        for verdict in material.released(objects).verdicts:
            for _, ruling in verdict.rulings:
                assert ruling.rule.removeprefix("floor/1/") in rules
            if verdict.withheld is not None:
                assert verdict.withheld.rule.removeprefix("floor/1/") in rules


def test_the_lens_shows_each_field_beside_what_was_sent() -> None:
    obj = material.indicator(description="Relay \u202eseen", confidence=73)
    came = material.released([obj])
    body = came.renditions[obj["id"]].body
    lines = {line.path: line for line in explain.lens(obj, came.verdicts[0], body)}
    assert lines["description"].treatment == "drop"
    assert lines["description"].sent is None
    assert lines["description"].reason == "Free text is not forwarded."
    assert "\u202e" not in lines["description"].value
    assert (lines["confidence"].value, lines["confidence"].sent) == ("73", "70")
    assert lines["pattern[0]"].value == "198.51.100.7"
    assert lines["pattern[0]"].treatment == "pass"
    assert lines["created"].sent == material.MINTED


def test_the_contributor_reads_what_became_of_an_object() -> None:
    held = material.stands(material.indicator(description="We charge them $2.10 per Mtok."))
    assert held.sentence.startswith("Held for the forum's counsel: ")
    named = material.stands(
        material.indicator(description="Run by DeepSeek."), watch=frozenset({"DeepSeek"})
    )
    assert named.holds[0].approvers == ("forum-counsel", "contributor-counsel")
    assert "your own" in named.sentence
    withheld = material.stands({"type": "identity", "id": "identity--1", "name": "Aurora"})
    assert withheld.sentence == "Withheld: Objects of this type do not leave."
    assert withheld.holds == ()


def test_the_floor_can_be_read_in_words() -> None:
    sections = explain.floor_in_words(Floor.parse(shipped_floor()))
    text = " ".join(sentence for section in sections for sentence in section.sentences)
    assert "forum-counsel and contributor-counsel" in text
    assert "quarter of an hour" in text
    for ruling in material.FLOOR.rulings.values():
        assert ruling.reason in text


def test_a_verdict_is_a_value_with_a_digest() -> None:
    came = material.released([material.indicator()])
    again = material.released([material.indicator()])
    assert came.verdicts == again.verdicts
    assert came.verdicts[0].digest == again.verdicts[0].digest
    assert hash(came.verdicts[0]) == hash(again.verdicts[0])
    dropped = [r for _, r in came.verdicts[0].rulings if r.treatment is Treatment.DROP]
    assert dropped
