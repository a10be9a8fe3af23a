"""With findings released each question has its answer, and no original of them opens."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import LazySettings

from exchange import contribute, docket, openings, review
from exchange.models import Hold, LedgerEvent, OriginalRead, OriginalRequest
from exchange.proof.refused import Refused
from exchange.questions import book
from members import onboarding
from members.models import Member
from members.scope import acting
from tests.doors.stage import as_owner
from tests.doors.test_web_pages import browser
from tests.shell import sharing
from tests.shell.pooling import TEXTS, Pool, made, put_in_force, with_cards
from tests.shell.sharing import NOON, bundle, leave, sdo

pytestmark = pytest.mark.django_db
LATER = NOON + timedelta(hours=1)
REASON = "Judged, with a reason that is written down."
ASKERS = ("abel", "alma", "ana", "ben", "cleo", "otto", "dora", "pia")
CANARY = "the-exchange-wrote-this"


@pytest.fixture
def pool(settings: LazySettings, tmp_path: Path) -> Iterator[Pool]:
    """A forum that holds a finding, and with it a contribution of a member."""
    found = Pool(sharing.set_up(settings, tmp_path), settings)
    put_in_force(*TEXTS)
    found.send(found.cast.ana, made(1, with_cards("shared", own="a")))
    found.send(found.cast.ben, made(2, with_cards("shared", own="b")))
    assert found.run() is not None
    way = sharing.Way(found.cast, found.cast.forum)
    way.give(sharing.range_indicator(), now=NOON)
    leave(now=LATER)
    yield found
    as_owner()


def campaign(pool: Pool) -> str:
    held = sharing.bodies(sharing.feed(pool.cast.cirrus, now=LATER))
    return str(next(one["id"] for one in held if one["type"] == "campaign"))


def test_every_question_has_an_answer_and_never_a_seat_for_the_exchange(pool: Pool) -> None:
    of = campaign(pool)
    for name in ASKERS:
        asks_all(pool, name, of)
        as_owner()


def asks_all(pool: Pool, name: str, of: str) -> None:
    """Somebody asks each question that he may."""
    person = pool.cast.as_(getattr(pool.cast, name))
    exchange = Member.everyone.get(is_exchange=True)
    given = {
        "q2": {"campaign": of},
        "q4": {"object": of, "recipient": str(pool.cast.borealis.id)},
        "q10": {"since": "2026-01-01"},
    }
    with acting(person.acting()):
        asked = book.questions(person)
        for one in asked:
            chosen = book.choices(person, one)
            assert exchange.name not in {label for _, label in chosen.members}
            put = book.ask(person, one.name, given.get(one.name, {}), now=LATER)
            said = str([line.values for line in put.answer.lines])
            assert str(exchange.id) not in said, one.name
            if person.member_id is not None:
                assert exchange.name not in said, one.name


def test_for_the_forum_it_gives_and_never_receives(pool: Pool) -> None:
    for name in ("otto", "dora"):
        never_receives(pool, name)
        as_owner()


def never_receives(pool: Pool, name: str) -> None:
    """In no answer the exchange is anywhere but among those who gave."""
    person = pool.cast.as_(getattr(pool.cast, name))
    exchange = Member.everyone.get(is_exchange=True)
    found: set[str] = set()
    with acting(person.acting()):
        for one in book.questions(person):
            answer = book.ask(person, one.name, {}, now=LATER).answer
            keys = [column.name for column in answer.columns]
            for line in answer.lines:
                row = dict(zip(keys, line.values, strict=True))
                found |= {key for key, value in row.items() if exchange.name in str(value)}
    assert found == ({"contributor"} if name == "otto" else set())


def test_no_officer_has_an_original_of_the_pool_opened(pool: Pool) -> None:
    otto = pool.cast.as_(pool.cast.otto)
    with acting(otto.acting()), pytest.raises(Refused) as refused:
        openings.ask(otto, campaign(pool), reason=REASON, now=LATER)
    assert refused.value.code == "original.of-pool"
    as_owner()
    assert not OriginalRequest.objects.exists()
    assert not OriginalRead.objects.exists()


@pytest.fixture
def hold(pool: Pool) -> Hold:
    """An object that the exchange contributed, and that the floor has a person judge."""
    sent = contribute.submit(
        onboarding.exchange(),
        bundle(sdo("location", region="northern-europe", name=CANARY)),
        circle_id=pool.cast.forum.id,
        source="api",
        now=LATER,
    )
    contribute.take_in(sent, now=LATER)
    return Hold.objects.get(outcome__contribution_id=sent)


def test_dora_judges_it_by_its_class_and_never_opens_it(pool: Pool, hold: Hold) -> None:
    dora = pool.cast.as_(pool.cast.dora)
    events = LedgerEvent.objects.count()
    for attempt in (review.open_original, review.opened):
        with acting(dora.acting()), pytest.raises(Refused) as refused:
            attempt(dora, hold.id, reason=REASON, now=LATER)
        assert refused.value.code == "original.of-pool"
    with acting(dora.acting()), pytest.raises(Refused, match="nobody answers"):
        review.act(dora, [hold.id], act="ask", reason=REASON, now=LATER)
    as_owner()
    assert (OriginalRead.objects.count(), LedgerEvent.objects.count()) == (0, events)
    client = browser(pool.cast.dora)
    shown = client.get(f"/holds/{hold.id}/").content.decode()
    assert "nobody opens its original" in shown
    assert "Open the original" not in shown
    answer = client.post(f"/holds/{hold.id}/", {"reason": REASON})
    assert answer.status_code == 422
    assert CANARY not in shown + answer.content.decode()
    with acting(dora.acting()):
        assert [one.id for one in docket.queue(dora, docket.Chosen()).rows] == [hold.id]
        review.act(dora, [hold.id], act="refuse", reason=REASON, now=LATER)
    as_owner()
    hold.refresh_from_db()
    assert hold.state == "refused"


def test_what_a_member_gave_opens_as_before(pool: Pool) -> None:
    way = sharing.Way(pool.cast, pool.cast.forum)
    sent = way.give(sdo("location", region="northern-europe"), now=LATER)
    row = Hold.objects.get(outcome__contribution_id=sent)
    dora = pool.cast.as_(pool.cast.dora)
    with acting(dora.acting()):
        assert review.open_original(dora, row.id, reason=REASON, now=LATER)["type"] == "location"
    as_owner()
    assert OriginalRead.objects.count() == 1
