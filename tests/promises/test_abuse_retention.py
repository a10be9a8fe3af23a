"""Abuse of keeping and erasing: to make evidence vanish, to search people, to outlast a hold."""

import json
import logging
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from django.conf import LazySettings
from django.db import connection, transaction
from django.db.utils import DatabaseError

from exchange import erasure, ledger, legalholds, persons, recall, retention
from exchange.celery import app
from exchange.ledger import check
from exchange.legalholds import Wanted
from exchange.models import (
    Erasure,
    LedgerEntry,
    LedgerEvent,
    LedgerSlot,
    LegalHold,
    PersonRequest,
    ServedNote,
)
from exchange.proof.refused import NotFound, Refused
from indicators.models import Original
from members.scope import Acting, acting
from tests.promises.test_canaries import dump
from tests.shell.sharing import NOON, Way, analyst_of, feed, range_indicator, sequence, set_up
from tests.shell.test_recall import LATER, object_of, order, tell
from tests.shell.test_retention import MAIL, asked, carry_out, decide, given

pytestmark = pytest.mark.django_db
WHY = "A regulator asked about it."
DAY = timedelta(days=1)


@pytest.fixture
def way(settings: LazySettings, tmp_path: Path) -> Way:
    cast = set_up(settings, tmp_path)
    return Way(cast, cast.relay_watch)


# --- to make evidence vanish ---------------------------------------------------------------------


def test_n25_a_worker_that_erases_more_than_it_recorded_is_named_slot_by_slot(way: Way) -> None:
    """It has a genuine entry of one object, and claims others under it."""
    one, other = range_indicator(), range_indicator("198.51.100.0/24")
    way.pass_on(one)
    way.pass_on(other, now=NOON + timedelta(minutes=1))
    with acting(Acting(), role="worker"):
        act = Erasure(ground="request", objects_erased=[object_of(one)])
        erasure.begin(act, now=LATER)
        erasure.work(now=LATER)
    sequence(now=LATER)
    act.refresh_from_db()
    latest = LedgerEntry.objects.filter(kind="release").latest("idx").idx
    assert latest not in act.indexes
    with acting(Acting(), role="worker"):
        forged = Erasure.objects.create(
            ground="request", indexes=[latest], events=act.events, at=LATER, recorded_at=LATER
        )
        erasure.work(now=LATER)
    forged.refresh_from_db()
    assert forged.done_at is not None
    found = [line for line in check.problems(full=True) if "no entry records" in line]
    assert [f"entry {latest} " in line for line in found] == [True, True, True]


def test_n25_a_worker_without_an_entry_erases_nothing(way: Way) -> None:
    way.pass_on(range_indicator())
    index = LedgerEntry.objects.latest("idx").idx
    event = LedgerEvent.objects.earliest("id").id  # of another kind
    with acting(Acting(), role="worker"):
        for events in ([], [event], [9_999_999]):
            row = Erasure.objects.create(
                ground="clock", indexes=[index], events=events, at=NOON, recorded_at=NOON
            )
            erasure.work(now=LATER)
            row.refresh_from_db()
            assert row.done_at is None
    assert LedgerSlot.objects.filter(sealed=b"").count() == 0


@pytest.mark.parametrize("role", ["web", "sequencer"])
def test_n25_the_erasure_is_called_by_the_worker_alone(way: Way, role: str) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL ROLE weir_{role}")
        with pytest.raises(DatabaseError, match="permission denied"), transaction.atomic():
            cursor.execute("SELECT weir_erase_slots(%s)", [uuid4()])
        transaction.set_rollback(True)


def test_n25_every_other_proof_stands_after_an_erasure(way: Way) -> None:
    """What Ember kept of the time before goes on to verify, of the erased entry too."""
    one, other = range_indicator(), range_indicator("198.51.100.0/24")
    way.pass_on(one)
    way.pass_on(other, now=NOON + timedelta(minutes=1))
    ember = analyst_of(way.cast.ember)
    kept = ledger.openings(ember, slot="to")
    with acting(Acting(), role="worker"):
        erasure.begin(Erasure(ground="request", objects_erased=[object_of(one)]), now=LATER)
        erasure.work(now=LATER)
    sequence(now=LATER)
    with acting(Acting(), role="worker"):
        erasure.work(now=LATER)
    leaves = ledger.openings(ember, slot="to")
    assert len(leaves) == len(kept)  # one is gone, and one says so
    stored = dict(LedgerEntry.objects.values_list("idx", "leaf"))
    for each in kept:
        each.check()
        assert bytes(stored[each.index]) == each.leaf == each.rebuilt()


def test_who_is_under_a_hold_cannot_erase_by_withdrawing_or_waiting(way: Way) -> None:
    one = range_indicator()
    sent = way.pass_on(one)
    wanted = Wanted("contribution", str(sent))
    legalholds.place(way.cast.as_(way.cast.dora), wanted, reason=WHY, now=NOON)
    order(way, object_of(one))
    tell()
    with acting(Acting(), role="worker"):
        retention.work(now=NOON + 9_999 * DAY)
    assert Original.objects.count() == 1
    with pytest.raises(Refused):
        recall.order(
            way.cast.as_(way.cast.alma),
            object_of(one),
            reason="leak",
            note="once more",
            erases=True,
            now=LATER,
        )


def test_a_hold_of_one_member_does_not_keep_anothers_things(way: Way) -> None:
    """Borealis' counsel holds Borealis: Aurora's clocks go on, what Borealis took is kept."""
    one = range_indicator()
    way.pass_on(one)
    feed(way.cast.ember)
    feed(way.cast.borealis)
    LegalHold.objects.create(
        kind="member",
        member=way.cast.borealis,
        sealed_reason=b"x",
        of_forum=False,
        user=way.cast.ben,
        at=NOON,
    )
    order(way, object_of(one))
    tell()
    with acting(Acting(), role="worker"):
        retention.work(now=NOON + 800 * DAY)
    assert Original.objects.count() == 0
    assert set(ServedNote.objects.values_list("recipient_id", flat=True)) == {way.cast.borealis.id}


def test_a_member_cannot_stop_anothers_erasure_by_a_hold_of_its_own(way: Way) -> None:
    """Nor does the other learn of it; the clock that would age the bytes out does stop."""
    one = range_indicator()
    way.pass_on(one)
    LegalHold.objects.create(
        kind="member",
        member=way.cast.borealis,
        sealed_reason=b"x",
        of_forum=False,
        user=way.cast.ben,
        at=NOON,
    )
    target = object_of(one)
    assert legalholds.stops(target) is None
    assert legalholds.stops(target, is_clock=True) is not None
    order(way, target, by=way.cast.alma)
    tell()
    with acting(Acting(), role="worker"):
        done = retention.work(now=NOON + 9_000 * DAY)
    assert "renditions" not in done
    legalholds.place(
        way.cast.as_(way.cast.dora), Wanted("member", "borealis"), reason=WHY, now=NOON
    )
    assert legalholds.stops(target) is not None  # the forum's counsel may hold what one received


# --- to search people ----------------------------------------------------------------------------


def test_an_officer_who_searches_a_person_leaves_a_trace_that_names_nobody(way: Way) -> None:
    given(way)
    asked(way, way.cast.abel, "access", "jo.miller@mail.example")
    sequence(now=NOON + 3 * DAY)
    told = [one.check() for one in ledger.openings(way.cast.as_(way.cast.ana), slot="from")]
    said = [one for one in told if one["kind"] == "decision"]
    assert [one["decision"] for one in said] == ["person-asked"]
    assert "miller" not in json.dumps(said)


def test_a_persons_values_are_nowhere_in_the_clear(
    way: Way, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not in rows, log lines or task arguments; not in what a refusal says."""
    sent: list[object] = []
    monkeypatch.setattr(app, "send_task", lambda *args, **how: sent.append((args, how)))
    given(way)
    with caplog.at_level(logging.DEBUG):
        made = asked(
            way, way.cast.abel, "erasure", "cnry.person@mail.example", "jo.miller@mail.example"
        )
        decide(way, way.cast.alma, made)
        carry_out(NOON + timedelta(hours=3))
    assert PersonRequest.objects.get().state == "done"
    assert b"cnry" not in dump()
    assert "cnry" not in caplog.text
    assert "cnry" not in repr(sent)
    with pytest.raises(Refused) as refused:
        persons.ask(
            way.cast.as_(way.cast.abel),
            kind="access",
            values=["cnry" * 100],
            reason="By letter.",
            now=LATER,
        )
    assert "cnry" not in refused.value.sentence


def test_a_member_finds_nothing_of_another_members_originals(way: Way) -> None:
    """Cirrus wrote of the same person, and Aurora holds what left of it: the search is silent."""
    cast = way.cast
    forum = Way(cast, cast.forum)
    forum.pass_on(range_indicator(description=f"{MAIL} again"), by=cast.cleo)
    assert len(feed(cast.aurora)) == 1
    shown = persons.view(cast.as_(cast.abel), asked(way, cast.abel))
    assert (shown.found, shown.received) == ((), ())


def test_the_forum_finds_what_left_and_not_what_stayed_at_home(way: Way) -> None:
    way.pass_on(range_indicator(description="cnry.person@mail.example was seen"))
    made = asked(way, way.cast.otto, "access", "cnry.person@mail.example")
    assert persons.view(way.cast.as_(way.cast.otto), made).found == ()


def test_a_request_of_one_side_is_not_there_for_the_other(way: Way) -> None:
    made = asked(way, way.cast.otto)
    for who in (way.cast.abel, way.cast.alma):
        with pytest.raises(NotFound):
            persons.view(way.cast.as_(who), made)
    with acting(way.cast.as_(way.cast.alma).acting()):
        assert PersonRequest.objects.count() == 0


def test_one_person_cannot_be_two_in_the_database_either(way: Way) -> None:
    asked(way, way.cast.abel, "erasure")
    with pytest.raises(DatabaseError), transaction.atomic():
        PersonRequest.objects.update(decided_by=way.cast.abel, decided_at=NOON, state="approved")


def test_a_mail_a_hold_and_a_request_are_sealed_rows(way: Way) -> None:
    """Nothing that counsel or officers write lies in the clear."""
    legalholds.place(
        way.cast.as_(way.cast.alma), Wanted("member"), reason="cnry-hold reason", now=NOON
    )
    persons.ask(
        way.cast.as_(way.cast.abel),
        kind="access",
        values=["cnry-value"],
        reason="cnry-why",
        now=NOON,
    )
    sequence(now=NOON)
    assert b"cnry" not in dump()
