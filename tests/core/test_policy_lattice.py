"""The treatments are a lattice: joining can only tighten, in whatever order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.policy.lattice import (
    Parameter,
    Ruling,
    Treatment,
    at_least,
    effect,
    join,
    strictest,
)

PARAMETERS = st.none() | st.builds(
    Parameter, st.sampled_from(["calendar", "decade"]), st.integers(1, 4)
)


@st.composite
def rulings(draw: st.DrawFn) -> Ruling:
    treatment = draw(st.sampled_from(Treatment))
    parameter = draw(PARAMETERS) if treatment is Treatment.COARSEN else None
    rule = draw(st.sampled_from(["floor/1/timing", "member/3/drop-class", "member/3/coarser"]))
    return Ruling(treatment, "timing", rule, "A reason.", "a law", parameter)


@given(rulings(), rulings())
def test_the_join_does_not_depend_on_the_order(one: Ruling, other: Ruling) -> None:
    assert join(one, other) == join(other, one)


@given(rulings(), rulings(), rulings())
def test_the_join_does_not_depend_on_the_grouping(one: Ruling, two: Ruling, three: Ruling) -> None:
    assert effect(join(join(one, two), three)) == effect(join(one, join(two, three)))


@given(rulings())
def test_joining_with_itself_changes_nothing(one: Ruling) -> None:
    assert join(one, one) == one


@given(rulings(), rulings())
def test_the_join_is_at_least_as_strict_as_either(one: Ruling, other: Ruling) -> None:
    joined = join(one, other)
    assert at_least(joined, one)
    assert at_least(joined, other)
    assert joined.treatment >= max(one.treatment, other.treatment)


@given(rulings(), rulings(), rulings())
def test_a_stricter_part_never_makes_a_looser_whole(one: Ruling, two: Ruling, by: Ruling) -> None:
    assert at_least(join(join(one, by), two), join(one, two))


@given(st.lists(rulings(), min_size=1, max_size=5), st.sets(st.sampled_from(Treatment)))
def test_what_a_class_cannot_do_is_dropped(given: list[Ruling], can: set[Treatment]) -> None:
    able = frozenset(can | {Treatment.DROP})
    joined = strictest(given, can=able)
    assert joined.treatment in able
    assert all(joined.treatment >= ruling.treatment for ruling in given)


def test_two_coarsenings_that_do_not_compare_drop_a_class_without_tokens() -> None:
    day = Ruling(Treatment.COARSEN, "timing", "floor/1/a", "", "", Parameter("calendar", 1))
    decade = Ruling(Treatment.COARSEN, "timing", "member/1/b", "", "", Parameter("decade", 1))
    able = frozenset({Treatment.COARSEN, Treatment.DROP})
    assert strictest([day, decade], can=able).treatment is Treatment.DROP


def test_of_equal_effects_the_floor_is_named() -> None:
    floor = Ruling(Treatment.DROP, "timing", "floor/1/timing", "The floor's.", "a law")
    member = Ruling(Treatment.DROP, "timing", "member/9/drop-class", "Aurora's.", "its own")
    assert join(member, floor) == floor


def test_a_field_has_a_ruling() -> None:
    with pytest.raises(ValueError, match="without any ruling"):
        strictest([])


@pytest.mark.parametrize(
    ("one", "other", "treatment", "step"),
    [
        (Parameter("calendar", 1), Parameter("calendar", 2), Treatment.COARSEN, 2),
        (Parameter("calendar", 2), Parameter("calendar", 1), Treatment.COARSEN, 2),
        (Parameter("calendar", 1), Parameter("decade", 1), Treatment.TOKEN, None),
        (None, Parameter("decade", 1), Treatment.TOKEN, None),
    ],
)
def test_parameters_join_too(
    one: Parameter | None, other: Parameter, treatment: Treatment, step: int | None
) -> None:
    first = Ruling(Treatment.COARSEN, "timing", "floor/1/a", "", "", one)
    joined = join(first, Ruling(Treatment.COARSEN, "timing", "member/1/b", "", "", other))
    assert joined.treatment == treatment
    assert (joined.parameter.step if joined.parameter else None) == step
