"""Abuse of taking back: to claim that nothing came, to slip through meanwhile, to do harm by it."""

import json
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.core.mail import EmailMessage
from django.db import connection, transaction

from exchange import access, ledger, mail, recall, release, reminders, telemetry
from exchange.models import Delivery, LedgerEvent, ReleaseItem
from exchange.proof.claims import spell_ranges
from indicators.models import Contribution
from members.scope import Acting, acting
from tests.shell.sharing import (
    NOON,
    Way,
    analyst_of,
    bodies,
    campaign,
    feed,
    range_indicator,
    sdo,
    sequence,
    set_up,
)
from tests.shell.sharing import leave as open_windows
from tests.shell.test_recall import object_of, order, subscription, tell

LATER = NOON + timedelta(minutes=5)
HOUR = NOON + timedelta(hours=1)


@pytest.fixture
def way(settings: LazySettings, tmp_path: Path) -> Way:
    cast = set_up(settings, tmp_path)
    return Way(cast, cast.relay_watch)


def numbers(way: Way) -> list[int]:
    """Ember's ledger numbers, as it has them from its own openings."""
    ember = analyst_of(way.cast.ember)
    return [int(str(one.check()["seq"])) for one in ledger.openings(ember, slot="to")]


def has_gap(seqs: list[int]) -> bool:
    """What a member's verifier says of the numbers that it has."""
    return seqs != list(range(seqs[0], seqs[-1] + 1))


@pytest.mark.django_db
def test_a16_who_leaves_out_a_recall_has_a_gap_in_its_own_numbers(way: Way) -> None:
    indicator = range_indicator()
    way.pass_on(indicator)
    order(way, object_of(indicator))
    tell()
    way.pass_on(range_indicator("198.51.100.0/24"), now=LATER + timedelta(minutes=1))
    seqs = numbers(way)
    assert not has_gap(seqs)
    ember = analyst_of(way.cast.ember)
    told = [one.check() for one in ledger.openings(ember, slot="to")]
    dropped = [int(str(one["seq"])) for one in told if one["kind"] != "recall"]
    assert len(dropped) == len(seqs) - 1
    assert has_gap(dropped)


@pytest.mark.django_db
def test_a16_who_took_the_recall_has_a_receipt_that_it_cannot_deny(way: Way) -> None:
    """Ember reads the page with the recall and later says that it never got one."""
    indicator = range_indicator()
    way.pass_on(indicator)
    made = order(way, object_of(indicator))
    tell()
    ana = way.cast.as_(way.cast.ana)
    states = {one.name: one.state for one in recall.recall(ana, made).progress}
    assert states["Ember"] == "sent"
    feed(way.cast.ember, now=LATER)
    shown = {one.name: one for one in recall.recall(ana, made).progress}
    assert (shown["Ember"].state, shown["Ember"].at) == ("acknowledged", LATER)
    assert shown["Borealis"].state == "sent"
    before = LedgerEvent.objects.filter(kind="receipt").count()
    ledger.receive_hour(now=HOUR)
    sequence(now=HOUR)
    assert LedgerEvent.objects.filter(kind="receipt").count() > before
    told = [one.check() for one in ledger.openings(analyst_of(way.cast.ember), slot="to")]
    recalled = next(one for one in told if one["kind"] == "recall")
    receipt = next(one for one in told if one["kind"] == "receipt")
    taken = str(receipt["seqs"])
    assert taken == spell_ranges([*range(1, int(str(recalled["seq"])) + 1)]) or str(
        recalled["seq"]
    ) in taken.replace("-", ",").split(",")


@pytest.mark.django_db
def test_a16_a_page_that_sifted_the_recall_out_is_no_acknowledgement(way: Way) -> None:
    """A range that spans the recall, read with a filter that leaves it out."""
    first, second = range_indicator(), campaign()
    way.pass_on(first)
    way.pass_on(second)
    made = order(way, object_of(first))
    tell()
    way.pass_on(campaign(), now=NOON + timedelta(minutes=15))
    ember = analyst_of(way.cast.ember)
    whole = access.collections(ember)[0]
    page = access.page(ember, whole, access.Query(types=("campaign",)), now=HOUR)
    assert len(page.items) == 2
    states = {
        one.name: one.state for one in recall.recall(way.cast.as_(way.cast.ana), made).progress
    }
    assert states["Ember"] == "passed over"


@pytest.mark.django_db
def test_a16_a_push_that_nobody_answered_stays_unacknowledged_and_is_tried_again(
    way: Way,
) -> None:
    subscription(way.cast.ember)
    indicator = range_indicator()
    way.pass_on(indicator)
    made = order(way, object_of(indicator))
    tell()
    Delivery.objects.filter(event="recall").update(state="ready", attempts=12)
    ana = way.cast.as_(way.cast.ana)
    view = recall.recall(ana, made)
    assert {one.name: one.state for one in view.progress}["Ember"] == "sent"
    assert view.overdue(now=LATER + timedelta(hours=2)) == ()
    assert view.overdue(now=LATER + timedelta(days=2)) == ("Borealis", "Ember")
    feed(way.cast.ember, now=HOUR)
    assert recall.recall(ana, made).overdue(now=LATER + timedelta(days=2)) == ("Borealis",)


@pytest.mark.django_db
def test_a16_who_takes_what_came_later_and_not_the_recall_raises_an_alarm(way: Way) -> None:
    """Ember filters the recall out, reads on, and says that there never was one."""
    first = range_indicator()
    way.pass_on(first)
    made = order(way, object_of(first))
    tell()
    later = NOON + timedelta(minutes=15)
    way.pass_on(campaign(), now=later)
    ana, otto = way.cast.as_(way.cast.ana), way.cast.as_(way.cast.otto)
    late = LATER + timedelta(days=2)
    assert not any(one.passed_over for one in reminders.overdue(ana, now=late))
    ember = analyst_of(way.cast.ember)
    whole = access.collections(ember)[0]
    access.page(ember, whole, access.Query(types=("campaign",)), now=HOUR)
    states = {one.name: one.state for one in recall.recall(ana, made).progress}
    assert states == {"Borealis": "sent", "Ember": "passed over"}
    for who in (ana, otto):
        alarms = {one.name: one.passed_over for one in reminders.overdue(who, now=late)}
        assert alarms == {"Borealis": False, "Ember": True}
    before = telemetry.counters().get("recalls.passed-over", 0)
    with acting(Acting(), role="worker"):
        reminders.work(now=late)
    assert telemetry.counters()["recalls.passed-over"] == before + 1


@pytest.mark.django_db
def test_n11_a_reminder_says_nothing_of_what_was_recalled(
    way: Way, settings: LazySettings, mailoutbox: list[EmailMessage]
) -> None:
    """Whoever reads a mailbox learns that somebody should sign in, and nothing else."""
    settings.MAIL_URL = "smtp://mail.forum.example"
    indicator = range_indicator("203.0.113.0/24", name="cnry-name", description="cnry-text")
    way.pass_on(indicator)
    made = order(way, object_of(indicator), note="cnry-note, it was wrong")
    tell()
    with acting(Acting(), role="worker"):
        for days in (1, 3, 7):
            reminders.work(now=LATER + timedelta(days=days))
            mail.send_due(now=LATER + timedelta(days=days))
    assert len(mailoutbox) > 3
    texts = {str(one.message()) for one in mailoutbox}
    held = [json.loads(one.body)["id"] for one in feed(way.cast.ember)]
    known = ["cnry", "203.0.113", "false-positive", "false positive", "indicator", str(made)]
    known += [str(object_of(indicator)), indicator["id"], *held]
    known += [lab for lab in ("Aurora", "Borealis", "Cirrus", "Ember", "Fjord")]
    for text in texts:
        said = text.replace("ben@borealis.example", "")
        assert not [word for word in known if word.lower() in said.lower()], text
    # The same words to everybody: who gets one learns nothing of the others.
    bodies_of = {(str(one.subject), str(one.body)) for one in mailoutbox}
    assert len(bodies_of) == 3


# --- taken back while it is being given ----------------------------------------------------------


def meanwhile(act: Callable[[], object]) -> threading.Thread:
    """Another process with a connection of its own."""

    def run() -> None:
        try:
            act()
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def wait_for_somebody_to_wait() -> None:
    """Until another connection waits for a row that this one has locked."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            if cursor.fetchone()[0]:
                return
    raise AssertionError("nobody waited")


@pytest.mark.django_db(transaction=True)
def test_a_recall_waits_for_the_release_under_way_and_takes_it_back_too(way: Way) -> None:
    indicator = range_indicator()
    way.give(indicator)
    target = object_of(indicator)
    with transaction.atomic():
        release.release_contribution(Contribution.objects.get().id, now=NOON)
        other = meanwhile(lambda: order(way, target))
        wait_for_somebody_to_wait()
    other.join(30)
    assert not other.is_alive()
    assert not ReleaseItem.objects.filter(rendition__object_id=target, recalled=False).exists()
    tell()
    assert [one["revoked"] for one in bodies(feed(way.cast.ember))] == [True]


@pytest.mark.django_db(transaction=True)
def test_a_release_that_waited_for_a_recall_gives_nothing(way: Way) -> None:
    indicator = range_indicator()
    way.give(indicator)
    target = object_of(indicator)
    with transaction.atomic():
        order(way, target)
        other = meanwhile(lambda: release.open_windows(now=NOON))
        wait_for_somebody_to_wait()
    other.join(30)
    assert not other.is_alive()
    assert not ReleaseItem.objects.filter(rendition__object_id=target).exists()
    tell()
    assert feed(way.cast.ember) == ()


# --- a rival's click -----------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_rivals_word_alone_changes_nothing(way: Way) -> None:
    indicator = range_indicator()
    way.pass_on(indicator)
    before = feed(way.cast.ember)
    saying = sdo("sighting", sighting_of_ref=before[0].stix_id, count=1)
    said = {"indicator_kind": "sighting", "disposition": "false-positive"}
    saying["extensions"] = {
        key: {**{k: v for k, v in value.items() if k != "threat_basis"}, **said}
        for key, value in indicator["extensions"].items()
    }
    way.give(saying, by=way.cast.ben, now=NOON + timedelta(minutes=1))
    open_windows(now=NOON + timedelta(minutes=16))
    after = feed(way.cast.ember, now=NOON + timedelta(minutes=16))
    assert after[0] == before[0]
    with acting(Acting(), role="worker"):
        assert recall.tell_waiting(now=HOUR) == 0
