"""Abuse cases of time: what a patient neighbour learns by looking often, and who has gone."""

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings

from exchange import folds
from exchange.models import Fold
from exchange.policy import coarsen
from tests.shell.sharing import (
    NOON,
    Object,
    Way,
    bodies,
    campaign,
    feed,
    leave,
    range_indicator,
    sdo,
    set_up,
    stamp,
)

pytestmark = pytest.mark.django_db
MIDNIGHT = NOON + timedelta(hours=12)


@pytest.fixture
def way(settings: LazySettings, tmp_path: Path) -> Way:
    cast = set_up(settings, tmp_path)
    return Way(cast, cast.relay_watch)


def day(way: Way, *, now: datetime) -> None:
    """What midnight brings."""
    folds.publish_day(now=now)
    leave(now=now)


def sighting(of: str, count: int, *, at: datetime) -> Object:
    """So many sightings of an object of Aurora's."""
    seen = {"first_seen": stamp(at), "last_seen": stamp(at)}
    return sdo("sighting", at=at, sighting_of_ref=of, count=count, **seen)


def seen_by(way: Way) -> list[Object]:
    """Every state of the folded sighting that Ember holds."""
    return [one for one in bodies(feed(way.cast.ember)) if one["type"] == "sighting"]


# --- A1: the number of a rival's customers from its sightings ------------------------------------


def test_a01_a_million_sightings_change_what_a_rival_sees_seven_times_and_once_a_day(
    way: Way,
) -> None:
    """Fed one at a time where a decade begins, in steps between; a rival looks after each."""
    indicator = range_indicator()
    way.pass_on(indicator)
    steps = [1] * 12 + [87, 1, 1, 899, 1, 8_998, 1, 1, 89_998, 1, 1, 899_998, 1, 1]
    total, now = 0, NOON + timedelta(minutes=15)
    views: list[tuple[datetime, Object]] = []
    for count in steps:
        total += count
        way.pass_on(sighting(indicator["id"], count, at=now), now=now)
        views.append((now, seen_by(way)[-1]))
        for later in (1, 3):
            leave(now=now + timedelta(hours=later))
            views.append((now + timedelta(hours=later), seen_by(way)[-1]))
        now = (now + timedelta(days=1)).replace(hour=0, minute=0)
        day(way, now=now)
        views.append((now, seen_by(way)[-1]))
        now += timedelta(hours=7, minutes=1)
    assert total == 10**6 + 1
    changed = [
        (before, after)
        for before, after in zip(views, views[1:], strict=False)
        if before[1] != after[1]
    ]
    assert len(changed) == 7
    assert {after.hour * 60 + after.minute for _, (after, _) in changed} == {0}
    assert len({one["id"] for _, one in views}) == 1
    counts = [after["count"] for _, (_, after) in changed]
    assert counts == [2, 10, 100, 1_000, 10_000, 100_000, 1_000_000]


def test_a01_the_moment_at_which_a_decade_is_crossed_does_not_show(way: Way) -> None:
    """The same sum early or late in the day: the same versions at the same moments."""
    indicator = range_indicator()
    way.pass_on(indicator)
    way.pass_on(sighting(indicator["id"], 9, at=NOON), now=NOON)
    for hours in (1, 2, 11):
        at = NOON + timedelta(hours=hours)
        way.pass_on(sighting(indicator["id"], 30, at=at), now=at)
        assert [one["count"] for one in seen_by(way)] == [2]
    day(way, now=MIDNIGHT)
    (_, second) = seen_by(way)
    assert second["count"] == 10
    assert second["modified"].startswith("2026-11-25T00:00:00.")
    assert coarsen.instant(second["first_seen"]) == coarsen.instant("2026-11-24T00:00:00Z")


def test_a01_observations_of_the_same_objects_are_folded_likewise(way: Way) -> None:
    address: dict[str, Any] = {
        "type": "ipv4-addr",
        "spec_version": "2.1",
        "id": "ipv4-addr--28bb3599-77cd-5a82-a950-b5bc3350caf0",
        "value": "198.51.100.7",
    }
    way.pass_on(address)
    for hours, number in ((0, 5), (1, 6), (2, 88)):
        at = NOON + timedelta(hours=hours)
        seen = {"first_observed": stamp(at), "last_observed": stamp(at)}
        observed = sdo("observed-data", at=at, number_observed=number, **seen)
        way.pass_on({**observed, "object_refs": [address["id"]]}, now=at)
    found = [one for one in bodies(feed(way.cast.ember)) if one["type"] == "observed-data"]
    assert [one["number_observed"] for one in found] == [2]
    day(way, now=MIDNIGHT)
    found = [one for one in bodies(feed(way.cast.ember)) if one["type"] == "observed-data"]
    assert [one["number_observed"] for one in found] == [2, 10]


def test_a01_a_newer_version_of_the_first_sighting_waits_for_the_day_as_well(way: Way) -> None:
    indicator = range_indicator()
    way.pass_on(indicator)
    first = sighting(indicator["id"], 3, at=NOON)
    way.pass_on(first)
    at = NOON + timedelta(hours=1)
    way.pass_on({**first, "modified": stamp(at), "count": 300}, now=at)
    leave(now=NOON + timedelta(hours=2))
    assert [one["count"] for one in seen_by(way)] == [2]
    day(way, now=MIDNIGHT)
    assert [one["count"] for one in seen_by(way)] == [2, 100]


def test_a01_the_exact_number_is_sealed_in_the_database(way: Way) -> None:
    indicator = range_indicator()
    way.pass_on(indicator)
    way.pass_on(sighting(indicator["id"], 8_675_309, at=NOON))
    rows = Fold.objects.values_list("total", "shown")
    assert rows
    assert all(b"8675309" not in bytes(column or b"") for row in rows for column in row)
    assert "8675309" not in json.dumps(seen_by(way))


def test_a01_each_later_sightings_status_names_the_one_that_leaves(way: Way) -> None:
    indicator, root = range_indicator(), campaign()
    way.pass_on(indicator, root)
    first = way.pass_on(sighting(indicator["id"], 3, at=NOON))
    second = way.pass_on(
        sighting(indicator["id"], 4, at=NOON), sighting(root["id"], 4, at=NOON), now=NOON
    )
    (held,) = [one for one in seen_by(way) if one["count"] == 2][:1]
    assert way.messages(first)[0] == (True, "Accepted: what may pass leaves in its window.")
    (_, folded), (_, other) = way.messages(second)
    assert held["id"] in folded
    assert "sighting--" not in other
