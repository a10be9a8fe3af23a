"""Sightings fold into one: what is shown follows the decade of their sum, and no more often."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.policy import coarsen, sightings
from exchange.policy.sightings import NONE, Count

TARGET = "indicator--11111111-1111-4111-8111-111111111111"
OTHER = "indicator--22222222-2222-4222-8222-222222222222"


def sighting(**properties: Any) -> dict[str, Any]:
    """A sighting as somebody writes it."""
    return {"type": "sighting", "id": "sighting--1", "sighting_of_ref": TARGET, **properties}


def test_one_thing_by_two_names_is_one_and_another_thing_is_another() -> None:
    named = {"indicator--of-ours": TARGET}
    mine = sightings.key_of(sighting(sighting_of_ref="indicator--of-ours"), named)
    assert mine == sightings.key_of(sighting(), {})
    assert mine != sightings.key_of(sighting(sighting_of_ref=OTHER), {})


def test_observations_of_the_same_objects_are_one_in_any_order() -> None:
    one = {"type": "observed-data", "object_refs": [TARGET, OTHER]}
    other = {"type": "observed-data", "object_refs": [OTHER, TARGET, TARGET]}
    assert sightings.key_of(one, {}) == sightings.key_of(other, {})


def test_what_does_not_count_is_not_folded() -> None:
    assert sightings.key_of({"type": "indicator"}, {}) is None


def test_a_sighting_without_a_number_counts_once_and_says_none_alone() -> None:
    alone = sighting()
    assert sightings.count_of(alone).count == 1
    assert sightings.written(alone, Count(1)) == alone
    assert sightings.written(alone, Count(7))["count"] == 7


def test_a_newer_state_takes_the_place_of_the_older() -> None:
    total = sightings.put(NONE, Count(40, "2026-11-02T00:00:00Z", "2026-11-03T00:00:00.5Z"))
    total = sightings.put(total, Count(3))
    newer = Count(45, "2026-11-01T00:00:00Z", "2026-11-03T00:00:00Z")
    total = sightings.put(total, newer, instead_of=Count(40))
    assert total == Count(48, "2026-11-01T00:00:00Z", "2026-11-03T00:00:00.5Z")
    assert sightings.without(total, Count(50)).count == 0


@given(st.lists(st.integers(0, 1_000_000), max_size=60))
def test_what_is_shown_changes_with_the_decade_only(counts: list[int]) -> None:
    total, shown = NONE, Count(0)
    for count in counts:
        total = sightings.put(total, Count(count))
        fresh = sightings.next_shown(shown, total)
        assert (fresh == shown) == (coarsen.decade_floor(total.count) == shown.decade)
        shown = fresh
        assert shown.decade == coarsen.decade_floor(total.count)


@pytest.mark.parametrize("at", [1, 9, 10, 99, 100, 10**6])
def test_a_whole_million_shows_eight_numbers_and_so_changes_seven_times(at: int) -> None:
    edges = {coarsen.decade_floor(count) for count in (*range(1, 1_000), *range(1_000, 10**6, 997))}
    edges.add(coarsen.decade_floor(10**6))
    assert len(edges) == 8
    assert coarsen.decade_floor(at) in edges
