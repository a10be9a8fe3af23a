"""What a change of policy shows and hides, field by field: the same both ways, and no value."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from exchange.policy import catalogue, decide, difference, render, terms
from exchange.policy.difference import Seen
from exchange.policy.terms import MemberPolicy, Terms
from tests.core import policy_material as material

COUNTED = material.indicator(
    confidence=80,
    kill_chain_phases=[{"kill_chain_name": "model-extraction", "phase_name": "resale"}],
    extensions=material.context("egress-range", "S2", confidence_basis="single-source"),
    description="CANARY: our discount is forty percent",
    x_canary_secret_property="CANARY",
)
SIGHTING = {
    "type": "sighting",
    "spec_version": "2.1",
    "id": "sighting--221c4e00-3f99-41ee-baf2-7f802dc5fd3e",
    "created": "2026-10-30T13:47:22.118Z",
    "modified": "2026-10-30T13:47:22.118Z",
    "sighting_of_ref": COUNTED["id"],
    "count": 412,
    "first_seen": "2026-10-30T13:47:22.118Z",
}
ADDRESS = {
    "type": "email-addr",
    "spec_version": "2.1",
    "id": "email-addr--2d77a846-6264-5d51-b586-e43822ea1ea3",
    "value": "someone@mail.example",
}
OBJECTS = (COUNTED, SIGHTING, ADDRESS)
REFS = {COUNTED["id"]: COUNTED["id"]}


def seen(obj: Mapping[str, Any], under: Terms, *, wait: int = 0) -> Seen:
    """One object as somebody with these terms would have it."""
    given_ = material.CONTEXT_OF_AURORA
    standing = decide.standing([obj], given_, under.floor)[0]
    verdict = decide.verdict(obj, standing, under)
    shape = render.shape(obj, verdict, standing, refs=REFS, tokens=material.SCOPE)
    return Seen(standing, verdict, shape.content if shape else None, wait)


def floor(**classes: Mapping[str, Any]) -> terms.Floor:
    """The shipped floor with some classes treated otherwise, as its next version."""
    document = terms.shipped_floor()
    document["version"] = 2
    for name, row in classes.items():
        document["classes"][name.replace("_", "-")].update(row)
    return terms.Floor.parse(document)


def under(policy: Mapping[str, Any] | None = None, *, by: terms.Floor | None = None) -> Terms:
    member = MemberPolicy.parse(policy) if policy else MemberPolicy.none()
    return terms.join(
        by or material.FLOOR,
        member,
        material.BOREALIS,
        contributor="aurora",
        circle="forum",
        on=material.ON,
    )


CLASSES = sorted(material.FLOOR.document["classes"])
POLICIES = st.fixed_dictionaries(
    {},
    optional={
        "drop_classes": st.lists(st.sampled_from(CLASSES), max_size=4, unique=True),
        "drop_types": st.lists(st.sampled_from(["sighting", "indicator"]), max_size=1),
        "drop_kinds": st.lists(st.sampled_from(["egress-range"]), max_size=1),
        "dates": st.sampled_from(["day", "month"]),
        "tlp_at_least": st.sampled_from(["clear", "amber", "amber+strict"]),
    },
)


def test_a_class_that_is_dropped_hides_its_fields_and_names_the_rule() -> None:
    before, after = under(), under({"version": 3, "drop_classes": ["confidence"]})
    changes = difference.between(seen(COUNTED, before), seen(COUNTED, after))
    by_path = {change.path: change for change in changes}
    assert by_path["confidence"].way == difference.HIDDEN
    assert by_path["confidence"].rule_after == "member/3/drop-class"
    assert by_path["confidence"].because == "member/3/drop-class"
    assert by_path["confidence"].field_class == "confidence"
    assert all(change.way == difference.HIDDEN for change in changes)


def test_a_looser_class_says_more_and_a_newly_passing_one_is_shown() -> None:
    looser = under(by=floor(timing={"treatment": "pass", "can": ["pass", "coarsen", "drop"]}))
    ways = {
        c.path: c.way for c in difference.between(seen(COUNTED, under()), seen(COUNTED, looser))
    }
    assert ways["valid_from"] == difference.LOOSER
    month = under({"dates": "month"})
    ways = {c.path: c.way for c in difference.between(seen(COUNTED, under()), seen(COUNTED, month))}
    assert ways["valid_from"] == difference.TIGHTER


def test_an_object_that_no_longer_leaves_is_one_change_that_counts_its_classes() -> None:
    before, after = under(), under({"drop_kinds": ["egress-range"]})
    (change,) = difference.between(seen(COUNTED, before), seen(COUNTED, after))
    assert (change.way, change.path) == (difference.HIDDEN, "")
    assert (change.before, change.after) == ("leaves", "withheld")
    assert change.because == "member/1/drop-kind"
    assert difference.classes(seen(COUNTED, before))["confidence"] == 1
    assert not difference.classes(seen(COUNTED, after))


def test_what_is_held_no_longer_is_newly_shown() -> None:
    wide = material.indicator(pattern="[ipv4-addr:value ISSUBSET '198.51.0.0/16']")
    held = seen(wide, under())
    assert held.state == "held"
    released = replace(
        held.standing, outcome="accepted", holds=(), sentence="Accepted.", withheld=None
    )
    verdict = decide.verdict(wide, released, under())
    shape = render.shape(wide, verdict, released, refs={}, tokens=material.SCOPE)
    assert shape is not None
    (change,) = difference.between(held, Seen(released, verdict, shape.content))
    assert (change.way, change.before, change.after) == ("shown", "held", "leaves")
    assert change.because.startswith("floor/1/hold/")


def test_leaving_later_says_less() -> None:
    (change,) = difference.between(
        seen(COUNTED, under(), wait=900), seen(COUNTED, under(), wait=4_500)
    )
    assert (change.way, change.path) == (difference.TIGHTER, "")
    assert (change.before, change.after) == ("leaves within 900 s", "leaves within 4500 s")


def test_a_narrower_mark_says_less() -> None:
    green = material.indicator(
        extensions=material.context("egress-range", "S1"),
        object_marking_refs=[catalogue.tlp_id("green")],
    )
    narrow = seen(green, under({"tlp_at_least": "amber+strict"}))
    (change,) = difference.between(seen(green, under()), narrow)
    assert (change.path, change.way) == ("object_marking_refs", difference.TIGHTER)


def test_the_version_of_a_floor_alone_is_no_difference() -> None:
    newer = under(by=floor())
    for obj in OBJECTS:
        before, after = seen(obj, under()), seen(obj, newer)
        assert difference.between(before, after) == ()
        assert difference.alike(before, after)


@given(st.sampled_from(OBJECTS), POLICIES)
def test_equal_policies_give_no_difference(obj: Mapping[str, Any], policy: dict[str, Any]) -> None:
    one, same = seen(obj, under(policy)), seen(obj, under(policy))
    assert difference.between(one, same) == ()
    assert difference.alike(one, same)


@given(st.sampled_from(OBJECTS), POLICIES, POLICIES)
def test_the_difference_reads_the_same_backwards(
    obj: Mapping[str, Any], policy: dict[str, Any], other: dict[str, Any]
) -> None:
    one, two = seen(obj, under(policy), wait=60), seen(obj, under(other), wait=900)
    there = difference.between(one, two)
    back = difference.between(two, one)
    assert {change.reversed for change in back} == set(there)


@given(st.sampled_from(OBJECTS), POLICIES, POLICIES)
def test_what_is_decided_alike_leaves_alike(
    obj: Mapping[str, Any], policy: dict[str, Any], other: dict[str, Any]
) -> None:
    one, two = seen(obj, under(policy)), seen(obj, under(other))
    if difference.alike(one, two):
        assert one.content == two.content
        assert difference.between(one, two) == ()
    elif one.content != two.content:
        assert difference.between(one, two)


@given(st.sampled_from(OBJECTS), POLICIES)
def test_a_member_policy_never_shows_more(obj: Mapping[str, Any], policy: dict[str, Any]) -> None:
    changes = difference.between(seen(obj, under()), seen(obj, under(policy)))
    assert not {change.way for change in changes} & set(difference.VISIBLE)


@given(st.sampled_from(OBJECTS), POLICIES, POLICIES)
def test_no_value_and_no_name_of_the_contributors_own_is_in_a_difference(
    obj: Mapping[str, Any], policy: dict[str, Any], other: dict[str, Any]
) -> None:
    for change in difference.between(seen(obj, under(policy)), seen(obj, under(other))):
        said = repr(change)
        assert "CANARY" not in said
        assert "canary" not in said
        assert "198.51.100.7" not in said
        assert "mail.example" not in said


@given(st.sampled_from(OBJECTS), POLICIES)
def test_a_verdict_made_beside_another_is_the_one_made_alone(
    obj: Mapping[str, Any], policy: dict[str, Any]
) -> None:
    joined = under(policy)
    for terms_of_one in (joined, replace(joined, tlp_ceiling="clear")):
        standing = decide.standing([obj], material.CONTEXT_OF_AURORA, terms_of_one.floor)[0]
        opened = decide.verdict(obj, standing, terms_of_one.open())
        made = decide.beside(opened, obj, standing, terms_of_one)
        assert made == decide.verdict(obj, standing, terms_of_one)
