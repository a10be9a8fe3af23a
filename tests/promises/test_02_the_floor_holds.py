"""Promise 2: for every field, what is done is at least as strict as the floor says."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.policy import decide
from exchange.policy.lattice import Treatment, at_least
from exchange.policy.terms import Entitlement, Floor, MemberPolicy, join, shipped_floor
from exchange.proof.refused import Refused
from tests.core import policy_material as material

CLASSES = sorted(material.FLOOR.rulings)
POLICIES = st.fixed_dictionaries(
    {},
    optional={
        "drop_classes": st.lists(st.sampled_from(CLASSES), max_size=4, unique=True),
        "drop_types": st.lists(st.sampled_from(["indicator", "url"]), max_size=2, unique=True),
        "drop_kinds": st.lists(st.sampled_from(["egress-range"]), max_size=1),
        "deny_recipients": st.lists(st.sampled_from(["borealis", "ember"]), max_size=2),
        "deny_kinds": st.dictionaries(
            st.sampled_from(["borealis"]), st.just(["egress-range"]), max_size=1
        ),
        "delay_seconds": st.dictionaries(
            st.sampled_from(["S1", "S2", "S3"]), st.integers(0, 10**6)
        ),
        "tlp_at_least": st.sampled_from(["clear", "amber", "amber+strict", "red"]),
        "min_circle": st.integers(0, 9),
        "dates": st.sampled_from(["day", "month"]),
        "url_path_segments": st.integers(0, 10),
    },
)
OBJECTS = [
    material.indicator(),
    material.indicator(pattern="[url:value = 'https://relay.example/v1/a/b?k=1']", confidence=97),
    material.indicator(extensions=material.context("egress-range", "S3")),
    {"type": "url", "id": "url--1", "value": "https://relay.example/v1/a/b"},
    {"type": "email-addr", "id": "email-addr--1", "value": "x@y.example"},
]


@given(POLICIES, st.sampled_from(CLASSES), st.sampled_from(["S1", "S2", "S3"]))
def test_no_policy_loosens_a_class(
    policy: dict[str, Any], field_class: str, sensitivity: str
) -> None:
    under = material.terms_of(policy)
    floor = material.FLOOR.ruling(field_class, sensitivity)
    ruling = under.ruling(field_class, sensitivity)
    assert at_least(ruling, floor)
    assert ruling.treatment in material.FLOOR.abilities[field_class]


@settings(deadline=None)
@given(POLICIES, st.sampled_from(range(len(OBJECTS))))
def test_no_policy_loosens_a_field(policy: dict[str, Any], index: int) -> None:
    obj = OBJECTS[index]
    standing = material.stands(obj)
    bare = decide.verdict(obj, standing, material.terms_of())
    joined = decide.verdict(obj, standing, material.terms_of(policy))
    assert bare.by_path.keys() == joined.by_path.keys()
    for path, ruling in joined.rulings:
        assert at_least(ruling, bare.by_path[path]), path
    if bare.withheld is not None:
        assert joined.withheld is not None


@given(POLICIES)
def test_terms_of_equal_recipients_are_equal(policy: dict[str, Any]) -> None:
    policy = {name: value for name, value in policy.items() if not name.startswith("deny")}
    cirrus = Entitlement(
        member="cirrus",
        circles=frozenset({"forum"}),
        agreement=True,
        tlp_ceiling="amber+strict",
        active=True,
    )
    assert material.terms_of(policy) == material.terms_of(policy, entitlement=cirrus)
    assert hash(material.terms_of(policy)) == hash(material.terms_of(policy, entitlement=cirrus))


@pytest.mark.parametrize(
    ("rule", "changes"),
    [
        ("floor/1/inactive", {"active": False}),
        ("floor/1/no-agreement", {"agreement": False}),
        ("floor/1/not-in-circle", {"circles": frozenset({"relay watch"})}),
    ],
)
def test_who_may_not_receive_gets_nothing(rule: str, changes: dict[str, Any]) -> None:
    fields = {name: getattr(material.BOREALIS, name) for name in Entitlement.__slots__}
    under = material.terms_of(entitlement=Entitlement(**{**fields, **changes}))
    obj = material.indicator()
    verdict = decide.verdict(obj, material.stands(obj), under)
    assert verdict.withheld is not None
    assert verdict.withheld.rule == rule


@pytest.mark.parametrize(("size", "rule"), [(2, "floor/1/small-circle"), (3, None), (None, None)])
def test_a_circle_of_two_is_no_circle(size: int | None, rule: str | None) -> None:
    under = join(
        material.FLOOR,
        MemberPolicy.none(),
        material.BOREALIS,
        contributor="aurora",
        circle="forum",
        on=material.ON,
        circle_size=size,
    )
    assert (under.withhold_all.rule if under.withhold_all else None) == rule


def test_without_a_legal_basis_nothing_leaves() -> None:
    document = shipped_floor()
    for basis in document["legal_bases"]:
        basis["until"] = "2026-09-30"
    floor = Floor.parse(document)
    under = join(
        floor,
        MemberPolicy.none(),
        material.BOREALIS,
        contributor="aurora",
        circle="forum",
        on=material.ON,
    )
    assert under.withhold_all is not None
    assert under.withhold_all.rule == "floor/1/no-basis"


def test_an_approval_clears_what_it_names_and_nothing_else() -> None:
    text = "We charge them $2.10 per Mtok. Our gross margin is 50%."
    standing = material.stands(material.indicator(description=text))
    names = [hold.name for hold in standing.holds]
    assert names == ["C01/D01-price", "C02/D02-cost"]
    half = decide.cleared(standing, frozenset(names[:1]))
    assert half.outcome == "held"
    assert [hold.name for hold in half.holds] == names[1:]
    assert decide.cleared(half, frozenset(names[1:])).outcome == "accepted"
    assert decide.cleared(standing, frozenset({"C09/other"})).outcome == "held"


def test_what_is_not_accepted_is_withheld_from_all() -> None:
    held = material.indicator(description="We charge them $2.10 per Mtok.")
    incomplete = material.stands(material.indicator(), default_basis=())
    assert incomplete.outcome == "incomplete"
    for standing in (material.stands(held), incomplete):
        verdict = decide.verdict(held, standing, material.terms_of())
        assert verdict.withheld is not None


def test_a_policy_that_would_loosen_does_not_parse() -> None:
    for document in ({"pass_classes": ["narrative"]}, {"delay_seconds": {"S2": -900}}):
        with pytest.raises(Refused):
            MemberPolicy.parse(document)


def test_a_contributors_denial_does_not_keep_its_own_rendition_from_it() -> None:
    policy = {"deny_recipients": ["aurora", "borealis"], "min_circle": 9}
    fields = {name: getattr(material.BOREALIS, name) for name in Entitlement.__slots__}
    aurora = Entitlement(**{**fields, "member": "aurora"})
    assert material.terms_of(policy, entitlement=aurora).withhold_all is None
    assert material.terms_of(policy).withhold_all is not None


def test_the_ceiling_of_a_recipient_is_obeyed() -> None:
    fields = {name: getattr(material.BOREALIS, name) for name in Entitlement.__slots__}
    amber = Entitlement(**{**fields, "tlp_ceiling": "amber"})
    obj = material.indicator()  # unmarked: amber+strict
    verdict = decide.verdict(obj, material.stands(obj), material.terms_of(entitlement=amber))
    assert verdict.withheld is not None
    assert verdict.withheld.treatment is Treatment.DROP
