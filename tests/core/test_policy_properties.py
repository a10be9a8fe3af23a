"""What holds of the engine under any floor, any member policy and any contribution.

Some two thousand cases in every run; WEIR_CASES=100000 for many more (CONTRIBUTING.md).
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import stix2
from hypothesis import assume, example, given
from hypothesis import strategies as st

from exchange.policy import decide, terms
from exchange.policy.lattice import Treatment, at_least
from exchange.proof import jcs
from indicators.stix import validate
from tests.core import policy_material as material
from tests.core.policy_strategies import (
    Came,
    Change,
    Drawn,
    came_of,
    contributions,
    floor_of,
    floors,
    joined,
    objects_of,
    policies,
    recipients,
    rules,
    stricter,
    tried,
)

ANYBODY = terms.Entitlement(
    "fjord", frozenset({"forum"}), agreement=True, tlp_ceiling="red", active=True
)
# What a value may become when something is said more coarsely, beside being left out.
COARSENED = frozenset(
    ("valid_from", "valid_until", "first_seen", "last_seen", "first_observed", "last_observed")
    + ("checked_on", "value", "pattern", "name", "object_marking_refs", "id", "confidence")
)


@tried
@given(floors, policies, recipients, contributions)
@example((("drop", "timing"),), {"dates": "month"}, ANYBODY, (Drawn("indicator", 3, (), (0, 0)),))
def test_the_floor_is_respected_for_every_field(
    changes: tuple[Change, ...],
    policy: Mapping[str, Any],
    recipient: terms.Entitlement,
    given_objects: tuple[Drawn, ...],
) -> None:
    floor = floor_of(changes)
    came = came_of(objects_of(given_objects), joined(floor, policy, recipient))
    bare = came_of(objects_of(given_objects), joined(floor, {}, ANYBODY))
    for verdict, alone, standing in zip(came.verdicts, bare.verdicts, came.standings, strict=True):
        assert [path for path, _ in verdict.rulings] == [path for path, _ in alone.rulings]
        for path, ruling in verdict.rulings:
            assert at_least(ruling, alone.by_path[path]), path
            if ruling.field_class in floor.rulings:
                own = floor.ruling(ruling.field_class, standing.own_sensitivity)
                assert at_least(ruling, own), path
    assert "ZQ7A" not in all_text(came)
    assert set(came.bodies) <= set(bare.bodies)


@tried
@given(floors, policies, rules, contributions)
def test_a_further_rule_of_a_member_never_shows_more(
    changes: tuple[Change, ...],
    policy: Mapping[str, Any],
    rule: tuple[str, Any],
    given_objects: tuple[Drawn, ...],
) -> None:
    floor, objects = floor_of(changes), objects_of(given_objects)
    assume(rule[0] not in policy)
    before = came_of(objects, joined(floor, policy, ANYBODY))
    after = came_of(objects, joined(floor, {**policy, rule[0]: rule[1]}, ANYBODY))
    says_no_more(before, after)


@tried
@given(floors, stricter, contributions)
def test_a_stricter_floor_never_shows_more(
    changes: tuple[Change, ...], change: Change, given_objects: tuple[Drawn, ...]
) -> None:
    assume(change[:2] not in {one[:2] for one in changes})
    objects = objects_of(given_objects)
    before = came_of(objects, joined(floor_of(changes), {}, ANYBODY), released=False)
    after = came_of(objects, joined(floor_of((*changes, change)), {}, ANYBODY), released=False)
    says_no_more(before, after)


@tried
@given(floors, policies, contributions, st.integers(0, 9))
def test_what_leaves_is_valid_canonical_and_closed(
    changes: tuple[Change, ...],
    policy: Mapping[str, Any],
    given_objects: tuple[Drawn, ...],
    sample: int,
) -> None:
    came = came_of(objects_of(given_objects), joined(floor_of(changes), policy, ANYBODY))
    known = {made.stix_id for made in came.renditions.values()}
    for made in came.renditions.values():
        obj = json.loads(made.body)
        assert validate.problems(obj) == ()
        assert jcs.encode(jcs.decode(made.body)) == made.body
        assert "granular_markings" not in obj
        assert set(references(obj)) <= known
        if sample == 0:
            stix2.parse(obj, allow_custom=True)


@tried
@given(floors, policies, contributions)
def test_what_is_not_released_makes_no_difference(
    changes: tuple[Change, ...], policy: Mapping[str, Any], given_objects: tuple[Drawn, ...]
) -> None:
    under = joined(floor_of(changes), policy, ANYBODY)
    one = came_of(objects_of(given_objects, kept="ZQ7A"), under)
    other = came_of(objects_of(given_objects, kept="KW19andmuchlonger"), under)
    assume([s.holds for s in one.standings] == [s.holds for s in other.standings])
    assert [s.outcome for s in one.standings] == [s.outcome for s in other.standings]
    assert one.bodies == other.bodies


@tried
@given(floors, policies, st.lists(recipients, min_size=2, max_size=6), contributions)
def test_an_audience_gets_what_each_of_it_would_get_alone(
    changes: tuple[Change, ...],
    policy: Mapping[str, Any],
    everybody: list[terms.Entitlement],
    given_objects: tuple[Drawn, ...],
) -> None:
    floor, objects = floor_of(changes), objects_of(given_objects)
    groups: dict[terms.Terms, list[terms.Entitlement]] = defaultdict(list)
    for one in everybody:
        groups[joined(floor, policy, one)].append(one)
    for under, members in groups.items():
        together = came_of(objects, under)
        for member in members:
            alone = came_of(objects, joined(floor, policy, member))
            assert alone.bodies == together.bodies
            digests = [verdict.digest for verdict in together.verdicts]
            assert [verdict.digest for verdict in alone.verdicts] == digests


@tried
@given(floors, policies, contributions)
def test_deciding_twice_is_deciding_once(
    changes: tuple[Change, ...], policy: Mapping[str, Any], given_objects: tuple[Drawn, ...]
) -> None:
    under = joined(floor_of(changes), policy, ANYBODY)
    objects = objects_of(given_objects)
    read = [decide.read(obj) for obj in objects]
    assert decide.standing(read, material.CONTEXT_OF_AURORA, under.floor) == decide.standing(
        objects, material.CONTEXT_OF_AURORA, under.floor
    )
    # The order of an object's properties is handwriting.
    turned = [dict(reversed(obj.items())) for obj in objects]
    assert came_of(turned, under).bodies == came_of(objects, under).bodies


def all_text(came: Came) -> str:
    bodies = [body.decode() for body in came.bodies.values()]
    return "\n".join(bodies + [repr(json.loads(body)) for body in bodies])


def says_no_more(before: Came, after: Came) -> None:
    """Fewer objects, fewer fields, and no value that did not stand there, but for coarser ones."""
    assert set(after.shapes) <= set(before.shapes)
    for place, shape in after.shapes.items():
        for path, ruling in after.verdicts[place].rulings:
            assert at_least(ruling, before.verdicts[place].by_path[path]), path
        if shape.type != before.shapes[place].type:
            assert shape.type == "keyed-token"  # what passed in clear is a token now
            continue
        earlier = fields(before.shapes[place].content)
        for where, values in fields(shape.content).items():
            assert where in earlier
            name = where[-1] or where[-2]
            is_reference = name.endswith(("_ref", "_refs"))
            if name not in COARSENED and not is_reference:
                assert values <= earlier[where], where


def fields(value: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], set[str]]:
    found: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for where, leaf in leaves(value, path):
        found[where].add(repr(leaf))
    return found


def leaves(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, dict):
        for key, below in value.items():
            yield from leaves(below, (*path, key))
    elif isinstance(value, list):
        for below in value:
            yield from leaves(below, (*path, ""))
    else:
        yield path, value


def references(obj: Mapping[str, Any]) -> Iterator[str]:
    for name, value in obj.items():
        if name.endswith("_ref") and name != "created_by_ref":
            yield value
        if name.endswith("_refs") and name != "object_marking_refs":
            yield from value


def test_a_broken_engine_would_be_seen() -> None:
    """The checks above are no empty words: a marker in clear fails the first of them."""
    leak = {"type": "domain-name", "id": "domain-name--1", "value": "zq7a.example"}
    came = came_of([leak], joined(floor_of(()), {}, ANYBODY))
    assert "zq7a" in all_text(came)
    assert came.verdicts[0].by_path["value"].treatment is Treatment.PASS
