"""A file that is cut into parts: no object is decided otherwise than in the whole."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any
from uuid import UUID

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from exchange.policy import bonds, decide, facts, parts
from exchange.policy.outcomes import Context, Standing
from exchange.policy.parts import Knots, Most, Part
from exchange.policy.terms import Floor, shipped_floor
from exchange.proof.refused import Refused
from tests.core.policy_material import context
from tests.core.policy_strategies import tried

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
FLOOR = Floor.parse(shipped_floor())
GIVEN = Context(
    contributor="aurora",
    circle="relay-watch",
    default_basis=("fraudulent-identity",),
    now=NOW,
)
Object = dict[str, Any]


def number(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest())


def knots_of(objects: Sequence[Object]) -> Knots:
    knots = Knots()
    for n, obj in enumerate(objects):
        bond = bonds.of(facts.read(obj))
        knots.names.append(number(bond.name))
        knots.signatures.append(number(repr(bond.signature)))
        knots.joins.append(bond.joins)
        knots.octets.append(len(json.dumps(obj)))
        knots.leaves.append(50)
        for name in bond.refers:
            knots.refs.append(number(name))
            knots.referring.append(n)
        for value in bond.values:
            knots.values.append(number(repr(value)))
            knots.stating.append(n)
    return knots


def most(objects: int, full: int) -> Most:
    return Most(objects=objects, octets=10**9, leaves=10**9, full=full)


def in_whole(objects: Sequence[Object]) -> Sequence[Standing]:
    return decide.standing(objects, GIVEN, FLOOR)


def in_parts(objects: Sequence[Object], cut: Sequence[Part]) -> Mapping[int, Standing]:
    """Each object as it is decided where it is stored first."""
    found: dict[int, Standing] = {}
    for place, part in enumerate(cut):
        assert part.after is None or part.after < place
        known = [*part.own, *part.beside]
        assert all(n in found for n in part.beside)  # given again, so it changes nothing
        for n, standing in zip(
            known, decide.standing([objects[n] for n in known], GIVEN, FLOOR), strict=True
        ):
            found.setdefault(n, standing)
    return found


def the_same(one: Standing, other: Standing) -> bool:
    return one == other


def stix_id(kind: str, n: int) -> str:
    return f"{kind}--{UUID(int=(4 << 76) | (2 << 62) | n)}"


def dated(kind: str, n: int, **properties: Any) -> Object:
    stamp = "2026-11-24T12:00:00.000Z"
    head = {"type": kind, "spec_version": "2.1", "id": stix_id(kind, n)}
    return {**head, "created": stamp, "modified": stamp, **properties}


def indicator(n: int, value: str, sensitivity: str, **more: Any) -> Object:
    return dated(
        "indicator",
        n,
        pattern=f"[ipv4-addr:value = '{value}']",
        pattern_type="stix",
        valid_from="2026-11-24T12:00:00Z",
        extensions=context("egress-range", sensitivity, **more),
    )


def link(n: int, one: str, other: str) -> Object:
    return dated("relationship", n, relationship_type="indicates", source_ref=one, target_ref=other)


def star(leaves: int) -> list[Object]:
    """One campaign that is indicated by many ranges, of which the last is the strictest."""
    root = dated("campaign", 1, name="Heron", extensions=context("campaign", "S1"))
    made = [root]
    for n in range(leaves):
        level = "S3" if n == leaves - 1 else "S1"
        one = indicator(n + 2, f"203.0.{n // 16}.{n % 16 * 16}/28", level)
        made += [one, link(n + 2, one["id"], root["id"])]
    return made


def test_what_is_not_linked_is_cut_in_the_order_of_the_file() -> None:
    objects = [indicator(n, f"203.0.113.{n * 4}/30", "S1") for n in range(10)]
    cut = parts.cut(knots_of(objects), most(6, 4))
    assert [one.own for one in cut] == [(0, 1, 2, 3), (4, 5, 6, 7), (8, 9)]


def test_what_is_linked_stays_together_wherever_it_stands() -> None:
    objects = [indicator(n, f"203.0.113.{n * 4}/30", "S1") for n in range(10)]
    objects.append(link(99, objects[0]["id"], objects[9]["id"]))
    cut = parts.cut(knots_of(objects), most(6, 4))
    assert {0, 9, 10} <= set(cut[0].own)


def test_a_reference_to_what_is_not_in_the_file_ties_nothing() -> None:
    away = stix_id("campaign", 77)
    objects = [indicator(n, f"203.0.113.{n * 4}/30", "S1") for n in range(6)]
    objects += [link(n, objects[n]["id"], away) for n in range(6)]
    assert len(parts.cut(knots_of(objects), most(4, 4))) == 3


def test_a_campaign_with_more_than_a_part_holds_is_cut_and_inherits_all_the_same() -> None:
    objects = star(60)
    cut = parts.cut(knots_of(objects), most(40, 30), hub=10)
    assert len(cut) > 3
    assert all(0 in part.beside for part in cut[1:])
    whole, found = in_whole(objects), in_parts(objects, cut)
    assert whole[0].sensitivity == "S3"  # of the last range, which stands in no other part
    assert all(the_same(whole[n], found[n]) for n in range(len(objects)))


def test_a_report_that_names_more_than_a_part_holds_goes_along_with_each() -> None:
    many = [indicator(n, f"203.0.{n}.0/28", "S2" if n % 2 else "S1") for n in range(50)]
    names = [one["id"] for one in many]
    report = dated("report", 1, name="All", published="2026-11-24T12:00:00Z", object_refs=names)
    objects = [*many, report]
    cut = parts.cut(knots_of(objects), most(20, 15), hub=10)
    assert len(cut) > 3
    whole, found = in_whole(objects), in_parts(objects, cut)
    assert all(the_same(whole[n], found[n]) for n in range(len(objects)))


def test_a_value_that_more_state_than_a_part_holds_lends_the_same_in_each() -> None:
    objects = [indicator(n, "203.0.113.0/28", "S3" if n == 49 else "S1") for n in range(50)]
    cut = parts.cut(knots_of(objects), most(20, 15), hub=10)
    assert len(cut) > 3
    found = in_parts(objects, cut)
    assert {one.sensitivity for one in found.values()} == {"S3"}


def test_a_chain_that_has_no_hub_is_refused_when_it_is_too_long() -> None:
    objects = [indicator(n, f"203.0.{n}.0/28", "S1") for n in range(40)]
    objects += [link(n, objects[n]["id"], objects[n + 1]["id"]) for n in range(39)]
    with pytest.raises(Refused) as refused:
        parts.cut(knots_of(objects), most(20, 15), hub=10)
    assert refused.value.code == "file.entangled"


def test_all_versions_of_an_object_are_in_one_part() -> None:
    objects = [indicator(n, f"203.0.113.{n * 4}/30", "S1") for n in range(10)]
    objects.append({**objects[0], "modified": "2026-11-24T13:00:00.000Z"})
    cut = parts.cut(knots_of(objects), most(6, 4))
    assert {0, 10} <= set(cut[0].own)


VALUES = tuple(f"203.0.113.{n * 16}/28" for n in range(6))
LEVELS = ("S1", "S2", "S3", "S4")


@st.composite
def files(draw: st.DrawFn) -> list[Object]:
    """A few dozen objects that are linked every way: by name, by what joins, by value."""
    count = draw(st.integers(4, 24))
    few = st.integers(0, 2)
    objects: list[Object] = []
    for n in range(count):
        kind = draw(st.sampled_from(("range", "domain", "campaign", "sco", "report", "again")))
        level = draw(st.sampled_from(LEVELS))
        if kind == "range":
            more = {"base_rate_bucket": "lt-1e-4"} if draw(st.booleans()) else {}
            objects.append(indicator(n, draw(st.sampled_from(VALUES)), level, **more))
        elif kind == "domain":
            one = indicator(n, "198.51.100.0/28", level)
            objects.append({**one, "pattern": f"[domain-name:value = 'r{n % 3}.example']"})
        elif kind == "campaign":
            extensions = context("campaign", level)
            objects.append(dated("campaign", n, name="Heron", extensions=extensions))
        elif kind == "sco":
            value = draw(st.sampled_from(VALUES))
            sco = {"type": "ipv4-addr", "spec_version": "2.1", "id": stix_id("ipv4-addr", n)}
            objects.append({**sco, "value": value})
        elif kind == "report" and objects:
            refs = draw(st.lists(st.sampled_from([o["id"] for o in objects]), min_size=1))
            published = {"published": "2026-11-24T12:00:00Z", "name": "All"}
            objects.append(dated("report", n, object_refs=refs, **published))
        elif objects:
            old = draw(st.sampled_from(objects))
            if "modified" in old:
                objects.append({**old, "modified": f"2026-11-24T13:00:00.{n:03}Z"})
    ids = [one["id"] for one in objects]
    for n in range(draw(st.integers(0, 30)) if ids else 0):
        near = ids[draw(few) % len(ids)]  # so that a few have very many
        objects.append(link(500 + n, near, draw(st.sampled_from(ids))))
    return draw(st.permutations(objects))


@tried
@given(objects=files(), full=st.integers(1, 8), room=st.integers(2, 30), hub=st.integers(1, 6))
def test_no_cut_changes_a_decision(objects: list[Object], full: int, room: int, hub: int) -> None:
    knots, bounds = knots_of(objects), most(max(full, room), full)
    try:
        cut = parts.cut(knots, bounds, hub=hub)
    except Refused:  # what hangs together is too much for a part: nothing is cut
        event("refused")
        return
    event(f"parts: {len(cut)}, beside: {any(part.beside for part in cut)}")
    assert sorted(n for part in cut for n in part.own) == list(range(len(objects)))
    whole, found = in_whole(objects), in_parts(objects, cut)
    for n, standing in enumerate(whole):
        assert the_same(found[n], standing)
