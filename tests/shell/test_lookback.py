"""What was released is looked at again, under the policies of then; what differs is an alarm."""

from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from django.conf import LazySettings

from exchange import lookback, review
from exchange.models import (
    Hold,
    LookBack,
    LookedBack,
    Release,
    ReleaseRecipient,
    Rendition,
    VerdictDocument,
)
from exchange.policy import terms
from exchange.proof import jcs
from indicators.models import Original
from members import onboarding
from members.scope import Acting, acting
from tests.cast import Cast
from tests.shell import sharing
from tests.shell.sharing import NOON, Way

pytestmark = pytest.mark.django_db
LATER = NOON + timedelta(hours=1)


@pytest.fixture
def cast(settings: LazySettings, tmp_path: Path) -> Cast:
    return sharing.set_up(settings, tmp_path)


@pytest.fixture
def way(cast: Cast) -> Way:
    return Way(cast, cast.relay_watch)


def look() -> dict[str, str]:
    """What a worker finds: the fault of each object that is not whole, by its type."""
    with acting(Acting(), role="worker"):
        while lookback.work(now=LATER):
            pass
    rows = LookedBack.objects.exclude(fault="").values_list("rendition__stix_type", "fault")
    return dict(rows)


def a_bit_of_everything(way: Way) -> None:
    root, link = sharing.campaign(), sharing.range_indicator(description="our discount")
    way.pass_on(root, link, sharing.indicates(link["id"], root["id"]))
    way.pass_on(sharing.sdo("sighting", sighting_of_ref=link["id"], count=37))


def test_what_was_released_rightly_raises_no_alarm(way: Way) -> None:
    a_bit_of_everything(way)
    sharing.member_policy(way.cast.aurora, now=NOON, version=3, drop_properties=["confidence"])
    way.pass_on(sharing.domain_indicator(confidence=50), now=NOON)
    sharing.leave(now=NOON + timedelta(minutes=15))
    assert look() == {}
    assert LookedBack.objects.count() >= 5


def test_a_verdict_is_kept_whose_digest_the_ledger_holds(way: Way) -> None:
    way.pass_on(sharing.range_indicator(description="our discount"))
    assert look() == {}
    row = LookedBack.objects.get(rendition__stix_type="indicator")
    kept = VerdictDocument.objects.get(pk=bytes(row.verdict))
    assert sha256(jcs.encode(kept.document)).digest() == bytes(row.verdict)
    assert "narrative" in row.classes
    assert any(rule.endswith("/narrative") for rule in row.rules)
    assert "discount" not in str(kept.document)


def test_a_later_floor_and_a_new_member_change_nothing_of_the_past(way: Way) -> None:
    a_bit_of_everything(way)
    document = {**terms.shipped_floor(), "version": 2}
    document["types"] = {**document["types"], "pass": []}
    sharing.new_floor(way.cast, document, now=NOON + timedelta(minutes=1))
    onboarding.create_member("Greedy Heron", now=LATER)
    assert look() == {}


def test_bytes_that_were_changed_raise_an_alarm(way: Way) -> None:
    a_bit_of_everything(way)
    row = Rendition.objects.get(stix_type="campaign")
    Rendition.objects.filter(pk=row.pk).update(body=bytes(row.body).replace(b"XC-", b"XD-"))
    assert look() == {"campaign": "bytes"}


def test_another_policy_than_the_recorded_one_raises_an_alarm(way: Way) -> None:
    a_bit_of_everything(way)
    other = sharing.member_policy(way.cast.aurora, now=NOON, version=9, dates="none")
    Release.objects.filter(circle=way.circle, count=3).update(policy=other)
    assert set(look().values()) == {"verdict"}


def test_a_field_that_was_to_be_removed_and_left_raises_an_alarm(way: Way) -> None:
    way.pass_on(sharing.range_indicator(description="our discount"))
    row = Rendition.objects.get(stix_type="indicator")
    body = bytes(row.body).replace(b'{"', b'{"description":"our discount","', 1)
    Rendition.objects.filter(pk=row.pk).update(body=body, digest=sha256(body).digest())
    assert look() == {"indicator": "field"}


def test_what_left_although_it_was_held_raises_an_alarm(way: Way) -> None:
    sent = way.give(sharing.range_indicator(description="We charge $2.50 per million tokens."))
    holds = Hold.objects.filter(outcome__contribution_id=sent)
    dora = way.cast.as_(way.cast.dora)
    ids = [hold.id for hold in holds]
    assert ids
    review.act(dora, ids, act="release", reason="The text stays at home.", now=NOON)
    assert sharing.leave(now=NOON + timedelta(minutes=30))
    assert look() == {}
    holds.update(state=Hold.State.OPEN)
    LookedBack.objects.all().delete()
    LookBack.objects.all().delete()
    assert look() == {"indicator": "held"}


def test_a_recipient_without_a_seat_raises_an_alarm(way: Way) -> None:
    way.pass_on(sharing.range_indicator())
    part = ReleaseRecipient.objects.get(recipient=way.cast.borealis, release__circle=way.circle)
    ReleaseRecipient.objects.filter(pk=part.pk).update(recipient=way.cast.cirrus)
    assert look() == {"indicator": "recipient"}


def test_an_erased_original_is_no_alarm(way: Way) -> None:
    way.pass_on(sharing.range_indicator())
    Original.objects.all().delete()
    assert look() == {"indicator": "gone"}


def test_what_was_looked_at_is_looked_at_again_after_a_week(way: Way) -> None:
    a_bit_of_everything(way)
    assert look() == {}
    row = Rendition.objects.get(stix_type="campaign")
    Rendition.objects.filter(pk=row.pk).update(body=b"{}")
    assert look() == {}
    with acting(Acting(), role="worker"):
        lookback.work(now=LATER + lookback.AGAIN + timedelta(minutes=1))
    assert LookedBack.objects.get(rendition=row).fault == "bytes"
