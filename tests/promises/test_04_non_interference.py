"""Promise 4: what is not released makes no difference to what a recipient gets."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.policy import tokens
from exchange.policy.lattice import Treatment
from tests.core import policy_material as material

WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=40)
STAMPS = st.integers(0, 86_399).map(
    lambda s: f"2026-10-30T{s // 3600:02d}:{s // 60 % 60:02d}:{s % 60:02d}.000Z"
)
# Each draws a change to something that is dropped or coarsened away.
CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "name": WORDS,
        "description": WORDS,
        "created": STAMPS,
        "modified": STAMPS,
        "valid_from": STAMPS,
        "labels": st.lists(WORDS, min_size=1, max_size=3),
        "lang": st.sampled_from(["en", "fr"]),
        "x_anything": WORDS,
        "created_by_ref": st.just("identity--9974d75b-3338-44fe-a179-0134676b1b69"),
        "external_references": st.lists(st.fixed_dictionaries({"source_name": WORDS}), min_size=1),
        "confidence": st.integers(70, 74),
        "revoked": st.sampled_from([False]),
        "pattern": st.sampled_from(
            [
                "[ipv4-addr:value = '198.51.100.7']",
                "[ipv4-addr:value='198.51.100.7']",
                "[ipv4-addr:value = '198.51.100.7/32']",
            ]
        ),
        "indicator_types": st.permutations(["anonymization", "unknown"]),
    },
)


def bodies(objects: list[dict[str, Any]]) -> list[bytes]:
    came = material.released(objects)
    return [rendition.body for rendition in came.renditions.values()]


@settings(deadline=None)
@given(CHANGES)
def test_a_change_to_what_is_dropped_changes_no_byte(changes: dict[str, Any]) -> None:
    base = material.indicator(confidence=72, indicator_types=["unknown", "anonymization"])
    assert bodies([base]) == bodies([{**base, **changes}])


@settings(deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_order_of_keys_is_no_message(random: Any) -> None:
    base = material.indicator(extensions=material.context("egress-range"), confidence=50)
    keys = list(base)
    random.shuffle(keys)
    assert bodies([base]) == bodies([{key: base[key] for key in keys}])


@pytest.mark.parametrize("withheld", ["identity", "x-custom", "process", "language-content"])
def test_an_object_that_does_not_leave_leaves_no_trace(withheld: str) -> None:
    other = {"type": withheld, "id": f"{withheld}--1", "name": "Member CNRY0020Q"}
    assert bodies([material.indicator()]) == bodies([material.indicator(), other])


def test_every_dropped_leaf_of_every_shared_set_may_change(shared_data: Any) -> None:
    checked = 0
    for case in material.dirty_sets(shared_data):
        came = material.released(case["objects"])
        for index, verdict in enumerate(came.verdicts):
            for path, ruling in verdict.rulings:
                changed = _with_change(case["objects"], index, path)
                if ruling.treatment is not Treatment.DROP or changed is None:
                    continue
                after = material.released(changed)
                if after.standings == came.standings:
                    assert after.text == came.text, (case["case"], path)
                    checked += 1
    assert checked > 60


def _with_change(
    objects: list[dict[str, Any]], index: int, path: str
) -> list[dict[str, Any]] | None:
    changed = copy.deepcopy(objects)
    place: Any = changed[index]
    *steps, last = path.replace("[", ".[").split(".")
    keys = {"type", "id", "spec_version"}
    if path in keys or path.startswith(("pattern[", '"')):
        return None
    for step in steps:
        place = place[int(step[1:-1])] if step.startswith("[") else place[step]
    key: Any = int(last[1:-1]) if last.startswith("[") else last
    old = place[key]
    if isinstance(old, str) and "--" in old:
        return None
    place[key] = old.replace("13:4", "14:4") if str(old).endswith("Z") else "something else"
    return changed


def test_a_token_goes_nowhere_but_its_circle_and_quarter() -> None:
    master = b"another master secret of thirty-two octets"
    scopes = [
        tokens.key_for(master, circle, epoch)
        for circle in ("forum", "relay watch")
        for epoch in ("2026Q3", "2026Q4")
    ]
    values = {tokens.token(scope, "email-address", "x@y.example") for scope in scopes}
    assert len(values) == 4


def test_two_members_with_the_same_observable_make_equal_bytes() -> None:
    here = {"type": "domain-name", "id": "domain-name--1", "value": "relay.example"}
    there = {**here, "id": "domain-name--2", "value": "Relay.Example", "x_note": "ours"}
    (one,), (other,) = bodies([here]), bodies([there])
    assert one == other
    assert json.loads(one)["value"] == "relay.example"
