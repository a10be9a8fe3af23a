"""The way in: what is refused and why, repeats and versions, and what waits for what."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.conf import LazySettings
from django.db import connection
from django.test.utils import CaptureQueriesContext

from exchange import access, contribute, proposed, release, review
from exchange.models import Hold, Missing, Outcome, Release, Rendition
from exchange.proof.refused import Forbidden, NotFound, Refused
from indicators.models import Contribution, Original, Submission, Version
from members import onboarding
from members.models import Acceptance, User
from tests.shell.sharing import (
    NOON,
    Way,
    bodies,
    bundle,
    campaign,
    context,
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
)

pytestmark = pytest.mark.django_db
REASON = "Written down, as the floor asks."


@pytest.fixture
def way(settings: LazySettings, tmp_path: Path) -> Way:
    cast = set_up(settings, tmp_path)
    return Way(cast, cast.relay_watch)


def raw(text: str) -> bytes:
    """A body around one object that no JSON library would write."""
    good = json.dumps(range_indicator())
    return f'{{"objects": [{good}, {text}]}}'.encode()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"type":"indicator","type":"campaign"}', "twice"),
        ('{"type":"indicator","name":"\\ud800"}', "surrogate"),
        ('{"type":"indicator","name":"a\\u0000b"}', "NUL"),
        ('{"type":"indicator","confidence":NaN}', "NaN"),
        ("7", "no JSON object"),
        (f'{{"type":"artifact","spec_version":"2.1","id":"artifact--{uuid4()}"}}', "content"),
        ('{"type":"indicator","spec_version":"2.1","id":"indicator--X"}', "`id`"),
    ],
)
def test_one_bad_object_is_refused_by_name_and_the_others_are_taken(
    way: Way, text: str, says: str
) -> None:
    sent = way.give(body=raw(text))
    sequence(now=NOON)
    (good, _), (bad, sentence) = way.messages(sent)
    assert (good, bad) == (True, False)
    assert says in sentence
    assert Version.objects.filter(contribution=sent).count() == 1
    assert Original.objects.count() == 1
    assert not Submission.objects.exists()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "body.empty"),
        (b"{", "body.json"),
        (b"\xff", "body.encoding"),
        (b"[" * 50_000, "body.depth"),
        (b'{"objects": 1}', "body.objects"),
        (json.dumps({"objects": [{}] * 20_001}).encode(), "body.objects"),
    ],
)
def test_a_body_that_cannot_be_understood_leaves_nothing(way: Way, body: bytes, code: str) -> None:
    with pytest.raises(Refused) as refused:
        way.give(body=body)
    assert refused.value.code == code
    assert not Contribution.objects.exists()
    assert not Submission.objects.exists()


def test_a_pattern_that_makes_parsers_explode_is_one_refused_object(way: Way) -> None:
    deep = range_indicator(pattern="(" * 5_000 + "[ipv4-addr:value = '203.0.113.7']" + ")" * 5_000)
    sent = way.give(deep)
    sequence(now=NOON)
    ((success, sentence),) = way.messages(sent)
    assert not success
    assert "levels" in sentence


def test_the_same_again_changes_nothing_and_other_content_is_refused(way: Way) -> None:
    indicator = range_indicator()
    way.pass_on(indicator)
    renditions = Rendition.objects.count()
    again = way.pass_on(indicator, now=NOON + timedelta(minutes=1))
    other = way.pass_on({**indicator, "confidence": 12}, now=NOON + timedelta(minutes=2))
    assert way.messages(again)[0][0] is True
    assert "other content" in way.messages(other)[0][1]
    assert Rendition.objects.count() == renditions
    assert len(feed(way.cast.borealis)) == 1


def test_two_members_may_use_one_id_and_notice_nothing(way: Way) -> None:
    indicator = range_indicator()
    way.pass_on(indicator)
    theirs = way.pass_on({**indicator, "confidence": 30}, by=way.cast.ben)
    assert way.messages(theirs, by=way.cast.ben)[0][0] is True
    assert len({obj["id"] for obj in bodies(feed(way.cast.ember))}) == 2


def test_an_older_version_is_stored_and_never_released(way: Way) -> None:
    indicator = range_indicator()
    way.pass_on(newer(indicator, confidence=50))
    late = way.pass_on({**indicator, "confidence": 10}, now=NOON + timedelta(minutes=1))
    assert "never released" in way.messages(late)[0][1]
    assert [obj["confidence"] for obj in bodies(feed(way.cast.ember))] == [50]


def test_a_new_version_comes_only_when_its_rendition_changes(way: Way) -> None:
    indicator = range_indicator(description="first words", confidence=50)
    way.pass_on(indicator)
    way.pass_on(newer(indicator, description="other words"), now=NOON + timedelta(minutes=11))
    assert len(feed(way.cast.ember)) == 1
    changed = newer(indicator, minutes=20, confidence=70)
    way.pass_on(changed, now=NOON + timedelta(minutes=21))
    old, new = bodies(feed(way.cast.ember))
    assert (old["id"], old["created"]) == (new["id"], new["created"])
    assert new["modified"] > old["modified"]


def test_a_looped_feed_is_refused(way: Way) -> None:
    way.pass_on(range_indicator())
    (held,) = bodies(feed(way.cast.borealis))
    sent = way.pass_on(held, by=way.cast.ben)
    ((success, sentence),) = way.messages(sent, by=way.cast.ben)
    assert not success
    assert "sighting" in sentence


def test_a_relationship_waits_for_its_end_and_then_leaves(way: Way) -> None:
    root, indicator = campaign("S2"), range_indicator()
    link = indicates(indicator["id"], root["id"])
    way.pass_on(indicator, root, link, now=NOON + timedelta(minutes=1))
    kinds = [obj["type"] for obj in bodies(feed(way.cast.ember))]
    assert "relationship" not in kinds
    for minutes in (16, 17, 31):
        leave(now=NOON + timedelta(minutes=minutes))
    found = {obj["type"]: obj for obj in bodies(feed(way.cast.ember))}
    assert found["relationship"]["target_ref"] == found["campaign"]["id"]
    assert not Missing.objects.exists()


def test_a_reference_to_what_nobody_contributed_waits_without_a_word(way: Way) -> None:
    link = indicates(f"indicator--{uuid4()}", f"campaign--{uuid4()}")
    sent = way.pass_on(link)
    assert way.messages(sent)[0][0] is True
    assert feed(way.cast.ember) == ()


def test_a_further_circle_lists_the_same_bytes_again(way: Way) -> None:
    indicator = range_indicator()
    way.pass_on(indicator)
    (before,) = feed(way.cast.ember)
    way.pass_on(indicator, circle=way.cast.forum, now=NOON + timedelta(minutes=1))
    assert feed(way.cast.ember) == (before,)
    (there,) = bodies(feed(way.cast.cirrus))
    assert there["id"] == before.stix_id


def test_each_circle_shows_its_own_newest_version(way: Way) -> None:
    indicator = range_indicator(confidence=50)
    way.pass_on(indicator, circle=way.cast.forum)
    way.pass_on(newer(indicator, confidence=70), now=NOON + timedelta(minutes=11))
    ben = way.cast.as_(way.cast.ben)

    def shown(kind: str) -> list[int]:
        (chosen,) = [
            one
            for one in access.collections(ben)
            if kind in one.alias and (one.kind == "circle" or kind == "holding")
        ]
        query = access.Query(types=("indicator",))
        page = access.page(ben, chosen, query, now=NOON + timedelta(minutes=12))
        return [json.loads(one.body)["confidence"] for one in page.items]

    assert shown("circle-forum") == [50]
    assert shown("circle-relay-watch") == [70]
    assert shown("holding") == [70]
    onboarding.leave_circle(
        way.cast.borealis, way.cast.relay_watch, now=NOON + timedelta(minutes=12)
    )
    assert shown("holding") == [50]


def test_a_members_own_policy_keeps_a_recipient_out(way: Way) -> None:
    member_policy(
        way.cast.aurora,
        now=NOON - timedelta(minutes=1),
        deny_recipients=[str(way.cast.ember.id)],
    )
    way.pass_on(range_indicator())
    assert len(feed(way.cast.borealis)) == 1
    assert feed(way.cast.ember) == ()


def test_equal_lists_are_one_release_whatever_the_number_of_members(way: Way) -> None:
    way.pass_on(range_indicator(), campaign())
    (made,) = Release.objects.filter(contribution__isnull=False)
    assert made.recipients.count() == 3
    assert Rendition.objects.filter(object__isnull=False).count() == 2


def test_the_queries_of_a_release_do_not_grow_with_members(way: Way) -> None:
    def queries(now: Any) -> int:
        way.give(range_indicator(), circle=way.cast.forum, now=now)
        with CaptureQueriesContext(
            connection,
        ) as caught:
            release.open_windows(now=now)
        sequence(now=now)
        return len(caught)

    first = queries(NOON)
    pia = way.cast.pia
    for number in range(20):
        made = onboarding.create_member(f"Lab {number}", now=NOON)
        agreed = Acceptance.objects.first()
        assert agreed is not None
        Acceptance.objects.create(
            agreement=agreed.agreement, member=made, accepted_by=pia, accepted_at=NOON
        )
    assert queries(NOON + timedelta(minutes=1)) <= first + 2


def hold_of(way: Way, *objects: Any) -> Hold:
    """The one hold of a contribution."""
    way.give(*objects)
    return Hold.objects.get()


def decide(way: Way, user: User, hold: Hold, act: str = "release", reason: str = REASON) -> None:
    """Somebody acts on it."""
    review.act(way.cast.as_(user), [hold.id], act=act, reason=reason, now=NOON)


def test_an_attribution_needs_both_counsels_and_never_its_contributor(way: Way) -> None:
    hold = hold_of(way, sdo("location", region="northern-europe"))
    Hold.objects.update(approvers=["forum-counsel", "contributor-counsel"])
    with pytest.raises(Forbidden):
        decide(way, way.cast.ana, hold)
    with pytest.raises(NotFound):
        review.hold(way.cast.as_(way.cast.ben), hold.id, now=NOON)
    with pytest.raises(Refused):
        decide(way, way.cast.dora, hold, reason="no")
    decide(way, way.cast.dora, hold)
    hold.refresh_from_db()
    assert hold.state == "open"
    decide(way, way.cast.alma, hold)
    hold.refresh_from_db()
    assert hold.state == "released"


def test_a_refused_hold_never_leaves_and_age_releases_nothing(way: Way) -> None:
    hold = hold_of(way, sdo("location", region="northern-europe"))
    leave(now=NOON + timedelta(days=400))
    assert feed(way.cast.ember, now=NOON + timedelta(days=400)) == ()
    decide(way, way.cast.dora, hold, act="refuse")
    leave(now=NOON + timedelta(days=401))
    assert feed(way.cast.ember, now=NOON + timedelta(days=401)) == ()
    assert outcomes(Outcome.objects.get().contribution_id) == ["held"]


def test_opening_a_held_object_is_recorded_before_it_is_shown(way: Way) -> None:
    hold = hold_of(way, sdo("location", region="northern-europe"))
    dora = way.cast.as_(way.cast.dora)
    with pytest.raises(Refused):
        review.open_original(dora, hold.id, reason="", now=NOON)
    shown = review.open_original(dora, hold.id, reason=REASON, now=NOON)
    assert shown["region"] == "northern-europe"
    with pytest.raises(NotFound):
        review.open_original(way.cast.as_(way.cast.cleo), hold.id, reason=REASON, now=NOON)


def test_only_members_of_a_circle_contribute_to_it(way: Way) -> None:
    with pytest.raises(NotFound):
        contribute.submit(
            way.cast.as_(way.cast.cleo),
            b'{"objects": []}',
            circle_id=way.cast.relay_watch.id,
            source="api",
            now=NOON,
        )
    with pytest.raises(Forbidden):
        contribute.submit(
            way.cast.as_(way.cast.abel),
            b'{"objects": []}',
            circle_id=way.cast.forum.id,
            source="api",
            now=NOON,
        )


def test_a_preview_of_what_never_leaves_says_so(way: Way) -> None:
    kept = range_indicator(extensions=context("egress-range", "S4"))
    ana = way.cast.as_(way.cast.ana)
    seen = proposed.preview(ana, bundle(kept), circle_id=way.circle.id, now=NOON)
    (item,) = seen.items
    assert (item.outcome, item.departure.word) == ("withheld", "withheld")
