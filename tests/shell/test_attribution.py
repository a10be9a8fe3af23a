"""Who contributed is told to nobody, unless it says so itself, for these objects and circle."""

from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import LazySettings

from exchange import contribute
from exchange.policy.render import CONTRIBUTOR
from indicators.stix.validate import problems
from tests.cast import Cast
from tests.shell.sharing import (
    BASIS,
    NOON,
    Object,
    Way,
    bodies,
    bundle,
    feed,
    leave,
    member_policy,
    newer,
    range_indicator,
    sdo,
    set_up,
)

pytestmark = pytest.mark.django_db
NAMED = [{"source_name": CONTRIBUTOR, "description": "Aurora"}]


@pytest.fixture
def cast(settings: LazySettings, tmp_path: Path) -> Cast:
    return set_up(settings, tmp_path)


def give(cast: Cast, *objects: Object, attributed: bool = True, minute: int = 0) -> None:
    """Aurora to the relay watch, named or not."""
    now = NOON + timedelta(minutes=minute)
    sent = contribute.submit(
        cast.as_(cast.ana),
        bundle(*objects),
        circle_id=cast.relay_watch.id,
        source="api",
        default_basis=BASIS,
        attributed=attributed,
        now=now,
    )
    assert contribute.accept(sent, now=now)
    leave(now=now)


def test_a_contributor_that_asks_for_it_is_named_to_that_circle_alone(cast: Cast) -> None:
    indicator = range_indicator()
    give(cast, indicator)
    (told,) = bodies(feed(cast.ember))
    assert told["external_references"] == NAMED
    assert problems(told) == ()
    Way(cast, cast.forum).pass_on(indicator, now=NOON + timedelta(minutes=1))
    (elsewhere,) = bodies(feed(cast.cirrus))
    assert "external_references" not in elsewhere
    assert "Aurora" not in str(elsewhere)


def test_nobody_is_named_by_default_and_no_other_contribution_is(cast: Cast) -> None:
    give(cast, range_indicator())
    give(cast, range_indicator("198.51.100.0/25"), attributed=False, minute=1)
    named = [one.get("external_references") for one in bodies(feed(cast.borealis))]
    assert named == [NAMED, None]


def test_a_contributors_own_reference_never_poses_as_the_exchanges(cast: Cast) -> None:
    forged = [{"source_name": CONTRIBUTOR, "description": "somebody else"}]
    give(cast, range_indicator(external_references=forged), attributed=False)
    (told,) = bodies(feed(cast.ember))
    assert "external_references" not in told


def test_a_policy_that_stays_hidden_holds_whatever_was_asked(cast: Cast) -> None:
    member_policy(cast.aurora, now=NOON, version=1, stay_hidden=True)
    give(cast, range_indicator())
    (told,) = bodies(feed(cast.ember))
    assert "external_references" not in told


def test_counts_of_several_contributions_name_nobody(cast: Cast) -> None:
    indicator = range_indicator()
    give(cast, indicator)
    give(cast, sdo("sighting", sighting_of_ref=indicator["id"], count=3), minute=1)
    leave(now=NOON + timedelta(minutes=20))
    sightings = [one for one in bodies(feed(cast.ember)) if one["type"] == "sighting"]
    assert sightings
    assert all("external_references" not in one for one in sightings)


def test_a_new_version_says_what_its_own_contribution_says(cast: Cast) -> None:
    indicator = range_indicator(confidence=40)
    give(cast, indicator)
    give(cast, newer(indicator, confidence=80), attributed=False, minute=10)
    newest = bodies(feed(cast.ember))[-1]
    assert newest["confidence"] == 80
    assert "external_references" not in newest
