"""What changes over time, row by row: versions, ids that come again, circles, joining, leaving."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.conf import LazySettings
from django.db import connection
from django.test import Client

from exchange import access, again, backfill, contribute, folds, inbox, replay, revocation
from exchange.models import (
    Hold,
    LedgerEntry,
    Missing,
    Outcome,
    ReleaseAgain,
    ReleaseItem,
    Rendition,
)
from exchange.proof.refused import Forbidden, Refused
from indicators.stix import extensions
from members import onboarding
from members.models import Acceptance, Circle, Member
from tests.shell.sharing import (
    NOON,
    Object,
    Way,
    analyst_of,
    bodies,
    campaign,
    context,
    domain_indicator,
    feed,
    indicates,
    leave,
    member_policy,
    newer,
    outcomes,
    range_indicator,
    sdo,
    sequence,
    set_up,
    stamp,
)

pytestmark = pytest.mark.django_db
MIDNIGHT = NOON + timedelta(hours=12)


@pytest.fixture
def way(settings: LazySettings, tmp_path: Path) -> Way:
    cast = set_up(settings, tmp_path)
    return Way(cast, cast.relay_watch)


def minutes(n: int) -> Any:
    """So many minutes past noon."""
    return NOON + timedelta(minutes=n)


def shown(member: Member, alias: str, **how: Any) -> list[access.Held]:
    """One collection of a lab, without the constants."""
    who = analyst_of(member)
    found = access.page(who, access.collection(who, alias), access.Query(**how), now=NOON)
    mine = {one.stix_id for one in feed(member)}
    return [one for one in found.items if one.stix_id in mine]


def token_indicator(value: str = "mallory@example.com", **properties: Any) -> Object:
    """An address of a person: it leaves as a token of its circle."""
    return range_indicator(
        pattern=f"[email-addr:value = '{value}']",
        extensions=context("identity-token", "S3"),
        **properties,
    )


def observed(*refs: str, at: Any = NOON, **properties: Any) -> Object:
    """Something observed a few times."""
    return sdo(
        "observed-data",
        at=at,
        first_observed=stamp(at),
        last_observed=stamp(at),
        number_observed=3,
        object_refs=list(refs),
        **properties,
    )


def address(value: str) -> Object:
    """A single address, as an observable."""
    stix_id = f"ipv4-addr--{uuid4()}"
    return {"type": "ipv4-addr", "spec_version": "2.1", "id": stix_id, "value": value}


# --- a new version of an object ------------------------------------------------------------------


def test_a_new_version_is_sent_only_where_its_rendition_changes(way: Way) -> None:
    indicator = range_indicator(confidence=50, description="first words")
    way.pass_on(indicator)
    way.pass_on(newer(indicator, description="second words"), now=minutes(11))
    assert len(feed(way.cast.ember)) == 1
    way.pass_on(newer(indicator, minutes=20, confidence=70), now=minutes(21))
    way.pass_on(newer(indicator, minutes=30, confidence=71), now=minutes(31))  # the same step
    assert [one["confidence"] for one in bodies(feed(way.cast.ember))] == [50, 70]
    assert Rendition.objects.filter(object__isnull=False).count() == 2


def test_what_comes_back_after_a_change_is_a_version_of_its_own(way: Way) -> None:
    indicator = range_indicator(confidence=50)
    for n, confidence in enumerate((50, 70, 50)):
        obj = newer(indicator, minutes=10 * n, confidence=confidence)
        way.pass_on(obj, now=minutes(10 * n + 1))
    held = bodies(feed(way.cast.ember))
    assert [one["confidence"] for one in held] == [50, 70, 50]
    assert sorted({one["modified"] for one in held}) == [one["modified"] for one in held]
    assert {one["created"] for one in held} == {held[0]["created"]}


def test_a_held_newer_version_sends_nothing_and_leaves_the_old_one_standing(way: Way) -> None:
    indicator = range_indicator(confidence=50)
    way.pass_on(indicator)
    before = feed(way.cast.ember)
    worse = newer(indicator, confidence=70, description="We offer a discount of 40 percent")
    sent = way.pass_on(worse, now=minutes(11))
    assert outcomes(sent) == ["held"]
    assert feed(way.cast.ember) == before


# --- an older `modified` than the newest stored --------------------------------------------------


def test_an_older_version_is_stored_and_never_released_anywhere(way: Way) -> None:
    indicator = range_indicator(confidence=10)
    way.pass_on(newer(indicator, confidence=50))
    way.pass_on(indicator, now=minutes(1))
    again = way.pass_on(indicator, circle=way.cast.forum, now=minutes(2))
    assert "never released" in way.messages(again)[0][1]
    assert [one["confidence"] for one in bodies(feed(way.cast.ember))] == [50]
    assert feed(way.cast.cirrus) == ()


def test_a_superseded_version_is_not_released_to_a_further_circle(way: Way) -> None:
    indicator = range_indicator(confidence=10)
    way.pass_on(indicator)
    way.pass_on(newer(indicator, confidence=50), now=minutes(11))
    again = way.pass_on(indicator, circle=way.cast.forum, now=minutes(12))
    assert "never released" in way.messages(again)[0][1]
    assert [one["confidence"] for one in bodies(feed(way.cast.ember))] == [10, 50]
    assert feed(way.cast.cirrus) == ()


def test_the_same_version_again_in_its_circle_says_what_it_said(way: Way) -> None:
    indicator = range_indicator(confidence=10)
    first = way.pass_on(indicator)
    way.pass_on(newer(indicator, confidence=50), now=minutes(11))
    again = way.pass_on(indicator, now=minutes(12))
    assert way.messages(again) == way.messages(first)


# --- several versions in a feed ------------------------------------------------------------------


def test_superseded_versions_stay_readable_at_positions_that_never_move(way: Way) -> None:
    indicator = range_indicator(confidence=50)
    way.pass_on(indicator)
    (first,) = feed(way.cast.ember)
    way.pass_on(newer(indicator, confidence=70), campaign(), now=minutes(15))
    held = feed(way.cast.ember)
    assert held[0] == first
    numbers = [one.number for one in held]
    assert len(set(numbers)) == 3
    assert numbers == sorted(numbers)
    newest = shown(way.cast.ember, "holding", ids=(first.stix_id,))
    assert [json.loads(one.body)["confidence"] for one in newest] == [70]
    marked = ReleaseItem.objects.filter(superseded=True).values_list("rendition__stix_id")
    assert list(marked) == [(first.stix_id,)]


# --- a newer stored version replaces one that still waits ----------------------------------------


@pytest.mark.parametrize(
    "changes",
    [{"confidence": 70}, {"description": "We offer a discount of 40 percent"}],
    ids=["accepted", "held"],
)
@pytest.mark.parametrize("alias", ["relay_watch", "forum"])
def test_a_newer_version_replaces_one_that_still_waits(
    way: Way, changes: dict[str, Any], alias: str
) -> None:
    waiting = domain_indicator(confidence=10)
    way.give(waiting, now=minutes(1))
    circle: Circle = getattr(way.cast, alias)
    way.give(newer(waiting, **changes), circle=circle, now=minutes(2))
    leave(now=minutes(15))
    held = bodies(feed(way.cast.ember, now=minutes(15)))
    assert [one["confidence"] for one in held] == ([70] if "confidence" in changes else [])


def test_a_newer_version_replaces_one_that_waits_for_its_end(way: Way) -> None:
    root, indicator = campaign("S2"), range_indicator()
    link = indicates(indicator["id"], root["id"], confidence=10)
    way.pass_on(indicator, link, now=minutes(1))
    assert Missing.objects.filter(optional=False).exists()
    way.pass_on(newer(link, confidence=70), root, now=minutes(2))
    for n in (15, 16, 31):
        leave(now=minutes(n))
    links = [one for one in bodies(feed(way.cast.ember)) if one["type"] == "relationship"]
    assert [one["confidence"] for one in links] == [70]


# --- withdrawn, and an id that comes again -------------------------------------------------------


def test_a_withdrawn_name_comes_again_as_another_object_that_can_be_referred_to(way: Way) -> None:
    indicator, root = range_indicator(), campaign()
    way.pass_on(indicator)
    contribute.withdraw(way.cast.as_(way.cast.ana), indicator["id"], now=NOON)
    again = newer(indicator)
    way.pass_on(again, now=minutes(11))
    way.pass_on(root, indicates(indicator["id"], root["id"]), now=minutes(15))
    revocation.revoke_due(now=MIDNIGHT)
    sequence(now=MIDNIGHT)
    held = bodies(feed(way.cast.ember))
    old, new = [one["id"] for one in held if one["type"] == "indicator"][:2]
    assert old != new
    (link,) = [one for one in held if one["type"] == "relationship"]
    assert link["source_ref"] == new
    assert [one["id"] for one in held if one.get("revoked")] == [old]
    own = shown_own(way)
    assert own.count(indicator["id"]) == 1


def shown_own(way: Way) -> list[str]:
    """The ids in Aurora's own collection, newest versions."""
    ana = way.cast.as_(way.cast.ana)
    chosen = access.collection(ana, "own")
    return [one.stix_id for one in access.page(ana, chosen, access.Query(), now=NOON).items]


def test_a_withdrawn_relationship_that_waits_for_its_end_never_leaves(way: Way) -> None:
    root, indicator = campaign("S2"), range_indicator()
    link = indicates(indicator["id"], root["id"])
    way.pass_on(indicator, root, link, now=minutes(1))
    contribute.withdraw(way.cast.as_(way.cast.ana), link["id"], now=minutes(2))
    for n in (15, 16, 31):
        leave(now=minutes(n))
    assert {one["type"] for one in bodies(feed(way.cast.ember))} == {"indicator", "campaign"}


def test_a_relationship_finds_its_end_when_the_name_comes_again(way: Way) -> None:
    root, indicator = campaign("S2"), range_indicator()
    way.pass_on(indicator, root, indicates(indicator["id"], root["id"]), now=minutes(1))
    contribute.withdraw(way.cast.as_(way.cast.ana), root["id"], now=minutes(2))
    way.give(newer(root), now=minutes(11))
    for n in (15, 16, 31):
        leave(now=minutes(n))
    found = {one["type"]: one for one in bodies(feed(way.cast.ember))}
    assert found["relationship"]["target_ref"] == found["campaign"]["id"]


# --- past valid_until ----------------------------------------------------------------------------


def test_past_its_date_it_stays_in_the_holding_shown_as_expired(way: Way) -> None:
    indicator = range_indicator(valid_until=stamp(NOON + timedelta(days=2)))
    way.pass_on(indicator)
    later = NOON + timedelta(days=3)
    (held,) = feed(way.cast.ember, now=later)
    view = inbox.held(analyst_of(way.cast.ember), held.stix_id, now=later)
    assert view.card.state == "expired"
    longer = newer(indicator, minutes=3 * 1440, valid_until=stamp(NOON + timedelta(days=9)))
    way.pass_on(longer, now=later + timedelta(minutes=1))
    first, second = bodies(feed(way.cast.ember, now=later))
    assert first["valid_until"] < second["valid_until"]
    assert first["id"] == second["id"]
    view = inbox.held(analyst_of(way.cast.ember), held.stix_id, now=later)
    assert view.card.state == "live"


# --- one recipient, several circles --------------------------------------------------------------


def test_who_holds_it_keeps_rendition_and_tokens_and_finds_it_in_the_further_circle(
    way: Way,
) -> None:
    indicator = token_indicator(description="one")
    way.pass_on(indicator)
    leave(now=minutes(60))
    # A version that changes nothing for anyone, and only then the further circle.
    way.pass_on(newer(indicator, description="two"), now=minutes(61))
    leave(now=minutes(120))
    (before,) = feed(way.cast.ember)
    way.pass_on(newer(indicator, description="two"), circle=way.cast.forum, now=minutes(121))
    leave(now=minutes(180))
    assert feed(way.cast.ember) == (before,)
    (there,) = shown(way.cast.ember, "circle-forum")
    assert (there.body, there.number > before.number) == (before.body, True)
    (other,) = bodies(feed(way.cast.cirrus))
    mine = json.loads(before.body)
    assert other["id"] == mine["id"]
    assert other["pattern"] != mine["pattern"]  # a token goes nowhere but its circle


@pytest.mark.parametrize("is_forum_first", [True, False])
def test_who_is_in_two_circles_gets_it_under_the_terms_of_both(
    way: Way, *, is_forum_first: bool
) -> None:
    """Whichever circle's release comes first, the verdict is the join of both."""
    cast = way.cast
    watch = {str(cast.relay_watch.id): {"deny_recipients": [str(cast.borealis.id)]}}
    member_policy(cast.aurora, now=NOON, version=1, in_circles=watch)
    denied, open_to_all = range_indicator(), range_indicator("198.51.100.0/25")
    circles = [cast.forum, cast.relay_watch] if is_forum_first else [cast.relay_watch, cast.forum]
    for circle in circles:
        way.give(denied, circle=circle)
    way.give(open_to_all, circle=cast.forum)
    leave(now=minutes(1))
    values = {one["pattern"] for one in bodies(feed(cast.borealis))}
    assert values == {"[ipv4-addr:value = '198.51.100.0/25']"}
    assert len(feed(cast.ember)) == len(feed(cast.cirrus)) == 2


def test_who_leaves_the_first_circle_still_finds_it_in_its_holding_by_the_other(way: Way) -> None:
    indicator = range_indicator()
    way.pass_on(indicator)
    way.pass_on(indicator, circle=way.cast.forum, now=minutes(1))
    (before,) = feed(way.cast.ember)
    onboarding.leave_circle(way.cast.ember, way.cast.relay_watch, now=minutes(2))
    (after,) = feed(way.cast.ember)
    assert (after.body, after.number > before.number) == (before.body, True)
    assert [one.body for one in shown(way.cast.ember, "circle-forum")] == [before.body]


def test_each_circle_lists_the_newest_that_was_addressed_to_it(way: Way) -> None:
    indicator = token_indicator(confidence=50)
    for circle, n in ((way.cast.relay_watch, 0), (way.cast.forum, 61)):
        way.pass_on(indicator, circle=circle, now=minutes(n))
        leave(now=minutes(n + 60))
    again = newer(indicator, minutes=121, confidence=70)
    for circle, n in ((way.cast.relay_watch, 122), (way.cast.forum, 185)):
        way.pass_on(again, circle=circle, now=minutes(n))
        leave(now=minutes(n + 60))
    assert len(feed(way.cast.ember)) == 2
    for alias in ("circle-forum", "circle-relay-watch"):
        (there,) = shown(way.cast.ember, alias)
        assert json.loads(there.body)["confidence"] == 70


# --- references ----------------------------------------------------------------------------------


def test_a_list_leaves_out_what_is_not_there_and_a_regained_end_makes_a_new_version(
    way: Way,
) -> None:
    there, late = address("198.51.100.7"), address("198.51.100.8")
    seen = observed(there["id"], late["id"])
    way.pass_on(there, seen, now=minutes(0))
    way.pass_on(late, now=minutes(15))
    leave(now=minutes(30))
    found = bodies(feed(way.cast.ember))
    ids = {one["type"]: one["id"] for one in found}
    versions = [one for one in found if one["type"] == "observed-data"]
    assert [len(one["object_refs"]) for one in versions] == [1, 2]
    assert versions[0]["modified"] < versions[1]["modified"]
    assert ids["ipv4-addr"] in versions[1]["object_refs"]
    assert not Missing.objects.exists()


def test_nobody_gets_a_reference_to_what_came_through_a_circle_that_it_left(way: Way) -> None:
    root, indicator = campaign(), range_indicator()
    way.pass_on(root)
    onboarding.leave_circle(way.cast.ember, way.cast.relay_watch, now=minutes(1))
    link = indicates(indicator["id"], root["id"])
    way.pass_on(indicator, link, circle=way.cast.forum, now=minutes(2))
    assert [one["type"] for one in bodies(feed(way.cast.ember))] == ["indicator"]
    assert "relationship" in {one["type"] for one in bodies(feed(way.cast.borealis))}


def test_what_waits_for_another_member_leaves_with_its_own_members_delay(way: Way) -> None:
    """A sighting of Ben's waits for Aurora's object, and then for no window but its own."""
    root = campaign()
    way.pass_on(root)
    (theirs,) = bodies(feed(way.cast.borealis))
    sighting = sdo("sighting", sighting_of_ref=theirs["id"], count=3)
    way.pass_on(sighting, by=way.cast.ben, circle=way.cast.forum, now=minutes(1))
    leave(now=minutes(15))
    assert feed(way.cast.cirrus) == ()
    way.pass_on(root, circle=way.cast.forum, now=minutes(30))
    assert [one["type"] for one in bodies(feed(way.cast.cirrus))] == ["campaign"]
    leave(now=minutes(30))
    assert [one["type"] for one in bodies(feed(way.cast.cirrus))] == ["campaign", "sighting"]


def test_the_contributor_is_told_of_the_circle_once_whoever_gets_it_when(way: Way) -> None:
    root = campaign()
    way.pass_on(root)
    (theirs,) = bodies(feed(way.cast.borealis))
    sighting = sdo("sighting", sighting_of_ref=theirs["id"], count=3)
    way.pass_on(sighting, by=way.cast.ben, circle=way.cast.forum, now=minutes(1))
    leave(now=minutes(15))
    told = told_to(way.cast.borealis)
    way.pass_on(root, circle=way.cast.forum, now=minutes(30))
    leave(now=minutes(30))
    assert "sighting" in {one["type"] for one in bodies(feed(way.cast.cirrus))}
    assert told_to(way.cast.borealis) == told


def told_to(member: Member) -> int:
    """How many releases of its own objects a lab has been told of."""
    return LedgerEntry.objects.filter(from_member=member, kind="release").count()


def circle_of(way: Way, *names: str) -> Circle:
    """A further circle of these labs."""
    members = [way.cast.member(name) for name in names]
    return onboarding.create_circle(f"Circle {uuid4().hex[:6]}", members, now=NOON)


def waiting(way: Way) -> int:
    """How many objects wait for a window."""
    return Outcome.objects.filter(released_at__isnull=True, due_at__isnull=False).count()


# --- sightings -----------------------------------------------------------------------------------


def counted(way: Way, of: str, count: int, *, at: Any = NOON) -> Object:
    """So many sightings of an object."""
    return sdo("sighting", at=at, sighting_of_ref=of, count=count)


def sightings_of(member: Member) -> list[int]:
    """The counts that a lab reads, in their order."""
    return [one["count"] for one in bodies(feed(member)) if one["type"] == "sighting"]


def test_sightings_of_one_object_by_one_member_leave_as_one_in_each_circle(way: Way) -> None:
    indicator = range_indicator()
    for circle in (way.cast.relay_watch, way.cast.forum):
        way.pass_on(indicator, circle=circle)
        for count in (1, 2, 4):
            way.pass_on(counted(way, indicator["id"], count), circle=circle)
    # One of each circle: the first, with what had come before the window in which it left.
    assert sightings_of(way.cast.cirrus) == [1]
    assert sightings_of(way.cast.ember) == [1, 1]
    (mine,) = [one for one in bodies(feed(way.cast.borealis)) if one["type"] == "indicator"]
    way.pass_on(counted(way, mine["id"], 50), by=way.cast.ben)
    assert sightings_of(way.cast.ember) == [1, 1, 10]


def test_a_false_positive_is_not_folded_into_what_was_seen(way: Way) -> None:
    indicator = range_indicator()
    way.pass_on(indicator)
    way.pass_on(counted(way, indicator["id"], 5))
    wrong = {**context("sighting", "S2")}
    wrong[extensions.CONTEXT] = {**wrong[extensions.CONTEXT], "disposition": "false-positive"}
    way.pass_on({**counted(way, indicator["id"], 5), "extensions": wrong})
    assert len(sightings_of(way.cast.ember)) == 2


def test_what_is_withdrawn_is_taken_out_of_the_sum_with_the_day(way: Way) -> None:
    indicator = range_indicator()
    way.pass_on(indicator)
    many = counted(way, indicator["id"], 500)
    for one in (counted(way, indicator["id"], 5), many):
        way.give(one)
    leave(now=NOON)
    assert sightings_of(way.cast.ember) == [100]
    contribute.withdraw(way.cast.as_(way.cast.ana), many["id"], now=NOON)
    folds.publish_day(now=MIDNIGHT)
    leave(now=MIDNIGHT)
    assert sightings_of(way.cast.ember) == [100, 2]


def test_after_the_first_was_withdrawn_the_next_begins_anew(way: Way) -> None:
    indicator = range_indicator()
    way.pass_on(indicator)
    first = counted(way, indicator["id"], 500)
    way.pass_on(first)
    contribute.withdraw(way.cast.as_(way.cast.ana), first["id"], now=NOON)
    way.pass_on(counted(way, indicator["id"], 5))
    assert sightings_of(way.cast.ember) == [100, 2]


def test_a_sighting_that_counsel_releases_is_folded_then(way: Way) -> None:
    indicator = range_indicator()
    way.pass_on(indicator)
    way.pass_on(counted(way, indicator["id"], 5))
    text = "We offer a discount of 40 percent"
    held = way.give({**counted(way, indicator["id"], 50), "description": text})
    assert outcomes(held) == ["held"]
    Hold.objects.update(state="released")
    leave(now=minutes(15))
    assert sightings_of(way.cast.ember) == [2]
    folds.publish_day(now=MIDNIGHT)
    leave(now=MIDNIGHT)
    assert sightings_of(way.cast.ember) == [2, 10]


def test_a_reference_to_a_folded_sighting_leads_to_the_one_that_left(way: Way) -> None:
    indicator = range_indicator()
    seen = address("198.51.100.7")
    way.pass_on(indicator, seen)
    way.pass_on(observed(seen["id"]))
    second = observed(seen["id"])
    way.pass_on(second)
    way.pass_on({**counted(way, indicator["id"], 5), "observed_data_refs": [second["id"]]})
    found = {one["type"]: one for one in bodies(feed(way.cast.ember))}
    assert found["sighting"]["observed_data_refs"] == [found["observed-data"]["id"]]


# --- a member joins a circle ---------------------------------------------------------------------


def join(way: Way, name: str, *, now: Any) -> Member:
    """A lab takes a seat in the relay watch, and the worker looks at new seats."""
    member = way.cast.member(name)
    onboarding.join_circle(member, way.cast.relay_watch, now=now)
    backfill.work(now=now)
    return member


def test_a_newcomer_gets_nothing_old(way: Way) -> None:
    way.pass_on(range_indicator())
    cirrus = join(way, "Cirrus", now=minutes(1))
    leave(now=minutes(60))
    assert feed(cirrus) == ()
    way.pass_on(range_indicator(), now=minutes(61))
    assert len(feed(cirrus)) == 1


def test_with_backfill_a_newcomer_gets_what_is_live_and_nobody_else_anything(way: Way) -> None:
    live, over, gone = (
        range_indicator(),
        range_indicator("198.51.100.0/24", valid_until=stamp(NOON + timedelta(days=1))),
        range_indicator("192.0.2.0/24"),
    )
    root = campaign()
    way.pass_on(live, over, gone, root, indicates(live["id"], root["id"]))
    contribute.withdraw(way.cast.as_(way.cast.ana), gone["id"], now=NOON)
    before = feed(way.cast.ember)
    member_policy(way.cast.aurora, now=minutes(1), backfill="live")
    later = NOON + timedelta(days=2, minutes=1)
    cirrus = join(way, "Cirrus", now=later)
    leave(now=later)
    leave(now=NOON + timedelta(days=2, minutes=15))
    held = feed(cirrus)
    assert sorted(one["type"] for one in bodies(held)) == ["campaign", "indicator", "relationship"]
    # The very renditions that the others hold, so that nothing tells when it was joined.
    assert {one.body for one in held} <= {one.body for one in before}
    assert feed(way.cast.ember) == before
    links = [one for one in bodies(held) if one["type"] == "relationship"]
    assert {links[0]["source_ref"], links[0]["target_ref"]} <= {one.stix_id for one in held}


def test_a_backfill_leaves_in_the_objects_own_window(way: Way) -> None:
    way.pass_on(domain_indicator())
    member_policy(way.cast.aurora, now=minutes(1), backfill="live")
    cirrus = join(way, "Cirrus", now=minutes(16))
    leave(now=minutes(29))
    assert feed(cirrus) == ()
    leave(now=minutes(30))
    assert len(feed(cirrus)) == 1


def test_a_backfill_stops_when_its_contributor_says_so_before_the_window(way: Way) -> None:
    way.pass_on(domain_indicator())
    member_policy(way.cast.aurora, now=minutes(1), backfill="live")
    cirrus = join(way, "Cirrus", now=minutes(16))
    member_policy(way.cast.aurora, now=minutes(17), backfill="none")
    leave(now=minutes(30))
    assert feed(cirrus) == ()
    assert not Missing.objects.exists()


def test_a_backfill_waits_for_the_agreement_and_goes_on_where_it_was_cut(
    way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    backfill.work(now=NOON)  # the first seats
    way.pass_on(*(range_indicator(f"203.0.{n}.0/24") for n in range(5)))
    member_policy(way.cast.aurora, now=minutes(1), backfill="live")
    monkeypatch.setattr(backfill, "_BATCH", 2)
    newcomer = onboarding.create_member("Gannet", now=minutes(2))
    onboarding.join_circle(newcomer, way.cast.relay_watch, now=minutes(2))
    assert backfill.work(now=minutes(2)) == 0
    agreed = Acceptance.objects.earliest("id")
    Acceptance.objects.create(
        agreement=agreed.agreement, member=newcomer, accepted_by=way.cast.pia, accepted_at=NOON
    )
    assert backfill.work(now=minutes(3)) == 5
    assert backfill.work(now=minutes(3)) == 0
    leave(now=minutes(3))
    assert len(feed(newcomer)) == 5


def test_a_newcomer_that_holds_it_elsewhere_keeps_what_it_has(way: Way) -> None:
    indicator = token_indicator()
    for circle in (way.cast.forum, way.cast.relay_watch):
        way.pass_on(indicator, circle=circle)
        leave(now=minutes(60))
    member_policy(way.cast.aurora, now=minutes(61), backfill="live")
    (before,) = feed(way.cast.cirrus)
    cirrus = join(way, "Cirrus", now=minutes(62))
    leave(now=minutes(120))
    assert feed(cirrus) == (before,)
    assert [one.body for one in shown(cirrus, "circle-relay-watch")] == [before.body]


# --- floor or member policy loosened -------------------------------------------------------------


def previewed(way: Way, document: dict[str, Any], *, now: Any) -> None:
    """Abel looks at what his draft would show, from noon on."""
    asked = replay.start(
        way.cast.as_(way.cast.abel),
        kind="member",
        member_id=way.cast.aurora.id,
        document=document,
        since=NOON - timedelta(hours=12),
        until=now,
        now=now,
    )
    while replay.work(asked, now=now):
        pass


def test_a_loosened_policy_acts_forward_and_old_objects_go_by_an_act_of_their_own(
    way: Way,
) -> None:
    strict = {"version": 1, "drop_classes": ["confidence"]}
    member_policy(way.cast.aurora, now=NOON, **strict)
    old, plain = range_indicator(confidence=50), range_indicator("198.51.100.0/24")
    way.pass_on(old, plain)
    loose = {"version": 2}
    previewed(way, loose, now=minutes(2))
    member_policy(way.cast.aurora, now=minutes(3), **loose)
    way.pass_on(range_indicator("192.0.2.0/24", confidence=50), now=minutes(4))
    assert ["confidence" in one for one in bodies(feed(way.cast.ember))] == [False, False, True]
    abel = way.cast.as_(way.cast.abel)
    again.order(abel, since=NOON, until=minutes(2), now=minutes(5))
    assert again.work(now=minutes(5)) == 1
    assert again.work(now=minutes(5)) == 0
    leave(now=minutes(5))
    held = bodies(feed(way.cast.ember))
    assert [one.get("confidence") for one in held] == [None, None, 50, 50]
    assert held[3]["id"] in {one["id"] for one in held[:2]}
    assert held[3]["modified"] > held[0]["modified"]
    (act,) = again.acts(abel)
    assert (act.objects, act.done_at) == (1, minutes(5))
    assert LedgerEntry.objects.filter(from_member=way.cast.aurora, kind="decision").count() == 1


def test_old_objects_are_not_let_go_without_a_preview_or_by_an_analyst(way: Way) -> None:
    member_policy(way.cast.aurora, now=NOON, version=1)
    with pytest.raises(Refused) as refused:
        again.order(way.cast.as_(way.cast.abel), since=NOON, until=minutes(1), now=minutes(2))
    assert refused.value.code == "again.preview"
    with pytest.raises(Forbidden):
        again.order(way.cast.as_(way.cast.ana), since=NOON, until=minutes(1), now=minutes(2))


def test_a_recipient_that_was_kept_out_gets_old_objects_by_the_act_and_a_newcomer_none(
    way: Way,
) -> None:
    member_policy(way.cast.aurora, now=NOON, version=1, deny_recipients=[str(way.cast.ember.id)])
    way.pass_on(range_indicator())
    join(way, "Cirrus", now=minutes(1))
    previewed(way, {"version": 2}, now=minutes(2))
    member_policy(way.cast.aurora, now=minutes(3), version=2)
    again.order(way.cast.as_(way.cast.abel), since=NOON, until=minutes(2), now=minutes(5))
    again.work(now=minutes(5))
    leave(now=minutes(5))
    assert (len(feed(way.cast.ember)), feed(way.cast.cirrus)) == (1, ())
    assert len(feed(way.cast.borealis)) == 1


def test_abel_lets_old_objects_go_on_his_page(way: Way) -> None:
    member_policy(way.cast.aurora, now=NOON, version=1, drop_classes=["confidence"])
    way.pass_on(range_indicator(confidence=50))
    previewed(way, {"version": 2}, now=MIDNIGHT)
    member_policy(way.cast.aurora, now=MIDNIGHT, version=2)
    client = Client()
    client.force_login(way.cast.abel, backend="django.contrib.auth.backends.ModelBackend")
    given = {"since": "2026-11-24", "until": "2026-11-24", "sure": "on"}
    assert client.post("/again/", {**given, "sure": ""}).status_code == 422
    early = client.post("/again/", {**given, "since": "2026-11-23"})  # not previewed
    assert early.status_code == 422
    assert "Preview the policy" in early.content.decode()
    assert client.post("/again/", given).status_code == 302
    assert "Alma" not in client.get("/again/").content.decode()
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('role', 'none', true)")
    assert ReleaseAgain.objects.get().member == way.cast.aurora
