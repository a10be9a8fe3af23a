"""Abuse cases of time: what a patient neighbour learns by looking often, and who has gone."""

import http.client
import json
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.conf import LazySettings
from django.test import Client
from django.utils import timezone

from exchange import contribute, delivery, folds, membership, review, revocation
from exchange.models import Delivery, Fold, Hold, Subscription
from exchange.policy import coarsen
from members import credentials
from members.models import Member
from tests.shell.sharing import (
    NOON,
    Object,
    Way,
    bodies,
    campaign,
    context,
    domain_indicator,
    feed,
    leave,
    member_policy,
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


# --- A10: a covert channel through the time of contribution, approval, or the order --------------


def timing_of(way: Way, *, since: int) -> list[tuple[str, str, str]]:
    """All that Ember sees of time: created, the second of `modified`, and the arrival."""
    found = []
    for one in feed(way.cast.ember)[since:]:
        obj = json.loads(one.body)
        arrived = one.added_at.replace(microsecond=0)
        found.append((obj["created"], obj["modified"][:19], stamp(arrived)))
    return found


@pytest.mark.parametrize("seconds", [1, 430, 899])
def test_a10_the_second_of_a_contribution_within_its_window_does_not_show(
    way: Way, seconds: int
) -> None:
    way.give(domain_indicator(), now=NOON + timedelta(seconds=seconds))
    leave(now=NOON + timedelta(minutes=15, seconds=4))
    assert timing_of(way, since=0) == [
        ("2026-11-24T12:15:00.000Z", "2026-11-24T12:15:00", "2026-11-24T12:15:04.000Z")
    ]


@pytest.mark.parametrize("seconds", [2, 400, 898])
def test_a10_the_second_of_an_approval_waits_for_the_next_window(way: Way, seconds: int) -> None:
    way.give(sdo("location", region="northern-europe"))
    hold = Hold.objects.get()
    at = NOON + timedelta(seconds=seconds)
    review.act(
        way.cast.as_(way.cast.dora), [hold.id], act="release", reason="a region, no person", now=at
    )
    leave(now=at)
    assert feed(way.cast.ember) == ()
    leave(now=NOON + timedelta(minutes=15))
    assert timing_of(way, since=0)[0][:2] == ("2026-11-24T12:15:00.000Z", "2026-11-24T12:15:00")


def test_a10_an_approval_never_ends_a_members_delay(way: Way) -> None:
    member_policy(way.cast.aurora, now=NOON, version=1, delay_seconds={"S2": 7_200})
    way.give(sdo("location", region="northern-europe"), now=NOON)
    review.act(
        way.cast.as_(way.cast.dora),
        [Hold.objects.get().id],
        act="release",
        reason="a region, no person",
        now=NOON + timedelta(minutes=1),
    )
    for minutes in (15, 60, 120):
        leave(now=NOON + timedelta(minutes=minutes))
        assert feed(way.cast.ember) == ()
    leave(now=NOON + timedelta(minutes=135))
    assert len(feed(way.cast.ember)) == 1


def test_a10_a_window_that_opens_late_keeps_its_nominal_time(way: Way) -> None:
    way.give(domain_indicator(), now=NOON + timedelta(minutes=1))
    leave(now=NOON + timedelta(hours=3, seconds=17))
    assert timing_of(way, since=0)[0][:2] == ("2026-11-24T12:15:00.000Z", "2026-11-24T12:15:00")


def test_a10_the_order_of_contributions_gives_no_advantage(way: Way) -> None:
    """One bit for each window, said by which of two comes first; read back by their arrival."""
    right = 0
    for n in range(24):
        start = NOON + timedelta(minutes=15 * n, seconds=1)
        for value in (f"first-{n}.example", f"second-{n}.example"):
            way.give(domain_indicator(value), now=start)
        leave(now=start + timedelta(minutes=15))
        earlier = json.loads(feed(way.cast.ember)[-2].body)
        right += "first" in earlier["pattern"]
    assert 2 < right < 22


# --- A11: the moment of an enforcement from a revocation -----------------------------------------


@pytest.mark.parametrize("seconds", [0, 1, 20_000, 43_199])
def test_a11_a_revocation_shows_the_batchs_date_and_no_second_of_its_own(
    way: Way, seconds: int
) -> None:
    indicator = range_indicator()
    way.pass_on(indicator)
    at = NOON + timedelta(seconds=seconds)
    contribute.withdraw(way.cast.as_(way.cast.ana), indicator["id"], now=at)
    revocation.revoke_due(now=at)
    leave(now=at)
    assert len(feed(way.cast.ember)) == (2 if at == MIDNIGHT else 1)
    revocation.revoke_due(now=MIDNIGHT + timedelta(seconds=3))
    leave(now=MIDNIGHT + timedelta(seconds=3))
    (_, revoked) = bodies(feed(way.cast.ember))
    assert revoked["revoked"] is True
    assert timing_of(way, since=1) == [
        ("2026-11-24T12:00:00.000Z", "2026-11-25T00:00:00", "2026-11-25T00:00:03.000Z")
    ]


# --- A17: who was suspended, or left, keeps pulling ----------------------------------------------


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("act", [membership.suspend, membership.leave])
def test_a17_a_pull_ends_in_the_middle_of_its_walk(
    settings: LazySettings, tmp_path: Path, live_server: Any, act: Any
) -> None:
    """Over real HTTP: two pages, then the member is gone, and the third is not served."""
    cast = set_up(settings, tmp_path)
    way = Way(cast, cast.relay_watch)
    for n in range(6):
        way.pass_on(range_indicator(f"203.0.{n}.0/24"))
    # The browser signs in before, and reads on with its session.
    wanted = credentials.Wanted("SIEM", ("taxii-read", "api-read"))
    _, secret = credentials.mint(cast.as_(cast.ben), wanted, now=timezone.now())
    browser = Client()
    browser.force_login(cast.ben, backend="django.contrib.auth.backends.ModelBackend")
    assert browser.get("/campaigns/").status_code == 200
    path = "/taxii2/forum/collections/circle-relay-watch/objects/?limit=2"
    answers = []
    after = ""
    for page in range(3):
        if page == 2:
            act(cast.as_(cast.pia), cast.borealis.id, reason="decided by the board", now=NOON)
        answers.append(pull(live_server.url, path + after, secret))
        after = f"&next={json.loads(answers[-1][1]).get('next', '')}"
    assert [status for status, _ in answers] == [200, 200, 401]
    assert b"203.0." not in answers[2][1]
    found = json.loads(answers[0][1])["objects"][0]["id"]
    assert pull(live_server.url, f"/api/objects/{found}/", secret)[0] == 401
    assert browser.get("/campaigns/").status_code == 302


def pull(base: str, path: str, secret: str) -> tuple[int, bytes]:
    """One GET over a socket, with a credential."""
    parts = urlsplit(base)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    headers = {"Authorization": f"Bearer {secret}"}
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_a17_what_was_queued_for_who_is_gone_is_never_sent(way: Way) -> None:
    """Suspended by whatever hand: the check before each send cancels what is ready."""
    sub = Subscription.objects.create(
        member=way.cast.borealis,
        name="SIEM",
        url="https://siem.borealis.example/in",
        state="active",
        created_at=NOON,
    )
    way.pass_on(range_indicator())
    delivery.make_ready(now=NOON)
    assert Delivery.objects.get(subscription=sub).state == "ready"
    Member.objects.filter(pk=way.cast.borealis.pk).update(state="suspended")
    assert delivery.drain(sub.id) == 0
    assert Delivery.objects.get(subscription=sub).state == "cancelled"


# --- A22: two circles, one neighbour in both -----------------------------------------------------


def texts(value: object) -> set[str]:
    """Every string and number in an object."""
    if isinstance(value, dict):
        return set().union(*(texts(below) for below in value.values()))
    if isinstance(value, list):
        return set().union(*(texts(below) for below in value))
    return {str(value)}


def test_a22_who_sits_in_both_circles_finds_no_key_that_joins_two_contributions(way: Way) -> None:
    """Aurora's infrastructure in one circle and its campaign in another have nothing in common
    that Ben's campaign does not have in common with it too."""
    cast = way.cast
    ours: dict[str, Any] = {"first_seen": stamp(NOON), "confidence": 60}
    base = sdo(
        "infrastructure",
        name="Heron",
        infrastructure_types=["anonymization"],
        extensions=context("reseller-front", "S2"),
        **ours,
    )
    root, rival = campaign(**ours), campaign(**ours)
    way.give(base, circle=cast.relay_watch, now=NOON + timedelta(minutes=1))
    way.give(root, circle=cast.forum, now=NOON + timedelta(minutes=9))
    way.give(rival, by=cast.cleo, circle=cast.forum, now=NOON + timedelta(minutes=4))
    leave(now=NOON + timedelta(minutes=15))
    held = bodies(feed(cast.ember))
    (infrastructure,) = [one for one in held if one["type"] == "infrastructure"]
    first, second = [texts(one) for one in held if one["type"] == "campaign"]
    here = texts(infrastructure)
    assert here & first == here & second
    assert not any(name in here | first | second for name in ("Heron", "Greedy Heron", "Aurora"))


def test_a22_a_value_has_another_token_in_each_circle(way: Way) -> None:
    cast = way.cast

    def address() -> Object:
        return range_indicator(
            pattern="[email-addr:value = 'mallory@example.com']",
            extensions=context("identity-token", "S3"),
        )

    way.give(address(), circle=cast.relay_watch)
    way.give(address(), circle=cast.forum)
    leave(now=NOON)
    one, other = [
        set(re.findall(r"'([0-9a-f]{64})'", o["pattern"])) for o in bodies(feed(cast.ember))
    ]
    assert one
    assert not one & other
