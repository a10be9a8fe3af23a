"""The counsel's desk: turns, decisions, questions, openings, and what is promised of departures."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from django.conf import LazySettings
from django.db import connection, transaction
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from exchange import audit, contribute, docket, holds, ledger, openings, release, review
from exchange.docket import Chosen
from exchange.models import Hold, HoldAct, OriginalRead, Outcome
from exchange.policy.outcomes import HoldReason
from exchange.proof.refused import Forbidden, NotFound, Refused
from indicators.models import Original
from members.auth import Principal
from members.models import Credential, User, UserRole
from members.scope import acting
from tests.cast import make_floor
from tests.doors.stage import as_owner
from tests.shell.sharing import (
    NOON,
    Object,
    Way,
    campaign,
    domain_indicator,
    feed,
    indicates,
    leave,
    member_policy,
    newer,
    range_indicator,
    sdo,
    sequence,
    set_up,
)

pytestmark = pytest.mark.django_db
REASON = "Judged, with a reason that is written down."
BOTH = ("forum-counsel", "contributor-counsel")


@pytest.fixture
def way(settings: LazySettings, tmp_path: Path) -> Iterator[Way]:
    cast = set_up(settings, tmp_path)
    yield Way(cast, cast.relay_watch)
    as_owner()


def actor(name: str = "Somebody Ltd") -> Object:
    """An attribution: class C13, for which two must speak."""
    return sdo("threat-actor", name=name)


def place() -> Object:
    """Held for the forum's counsel alone."""
    return sdo("location", region="northern-europe")


def held(way: Way, *objects: Object, by: User | None = None, now: datetime = NOON) -> list[UUID]:
    """Contribute, and name the holds of it in the order of their objects."""
    sent = way.give(*objects, by=by, now=now)
    rows = Hold.objects.filter(outcome__contribution_id=sent)
    return list(rows.order_by("outcome__version__position", "rule").values_list("id", flat=True))


def decide(
    way: Way, who: User, hold: UUID, act: str = "release", now: datetime = NOON, text: str = REASON
) -> int:
    with web(way, who):
        return review.act(way.cast.as_(who), [hold], act=act, reason=text, now=now)


@contextmanager
def web(way: Way, who: User) -> Iterator[Principal]:
    """As a request of this person's, with the rights that the database gives it."""
    principal = way.cast.as_(who)
    with acting(principal.acting()):
        yield principal


def state_of(hold: UUID) -> str:
    return Hold.objects.get(pk=hold).state


def openings_of(way: Way, kind: str) -> list[str]:
    """What Aurora is shown of its ledger entries of a kind."""
    sequence(now=NOON)
    shown = ledger.openings(way.cast.as_(way.cast.abel), slot="from", limit=1000)
    return [one.value for one in shown if f'"kind":"{kind}"' in one.value]


# --- two people, two roles ------------------------------------------------------------------------


def test_an_attribution_is_released_by_both_counsels_and_one_alone_shows_one_of_two(
    way: Way,
) -> None:
    (hold,) = held(way, actor())
    assert Hold.objects.get(pk=hold).approvers == list(BOTH)
    assert decide(way, way.cast.dora, hold) == 0
    row = review.hold(way.cast.as_(way.cast.alma), hold, now=NOON).row
    assert (row.state, row.approved, row.missing) == ("open", BOTH[:1], BOTH[1:])
    assert decide(way, way.cast.alma, hold) == 1
    assert state_of(hold) == "released"


def test_the_same_counsel_does_not_count_twice(way: Way) -> None:
    (hold,) = held(way, actor())
    decide(way, way.cast.dora, hold)
    with pytest.raises(Refused, match="the other one is missing"):
        decide(way, way.cast.dora, hold)
    assert state_of(hold) == "open"


def test_somebody_who_changes_roles_is_still_one_person(way: Way) -> None:
    (hold,) = held(way, actor())
    decide(way, way.cast.alma, hold)
    both_at_once = Principal(user_id=way.cast.alma.id, roles=frozenset({"forum-counsel"}))
    with pytest.raises(Refused, match="the other one is missing"):
        review.act(both_at_once, [hold], act="release", reason=REASON, now=NOON)


@pytest.mark.parametrize("name", ["ana", "abel", "ben", "cleo", "otto", "pia"])
def test_nobody_else_decides(way: Way, name: str) -> None:
    (hold,) = held(way, actor())
    with pytest.raises((Forbidden, NotFound)):
        decide(way, getattr(way.cast, name), hold)
    assert not HoldAct.objects.exists()


def test_who_contributed_does_not_approve_it_also_by_a_machine(way: Way) -> None:
    UserRole.objects.create(user=way.cast.alma, role="analyst")
    (hold,) = held(way, actor(), by=way.cast.alma)
    with pytest.raises(Refused, match="Who contributed"):
        decide(way, way.cast.alma, hold)
    credential = Credential.objects.create(
        member=way.cast.aurora,
        name="SIEM",
        digest=b"d",
        hint="h",
        scopes=["taxii-write"],
        created_by=way.cast.alma,
        created_at=NOON,
        expires_at=NOON + timedelta(days=9),
    )
    row = Hold.objects.get(pk=hold).outcome.contribution
    row.user, row.credential = None, credential
    row.save()
    with pytest.raises(Refused, match="Who contributed"):
        decide(way, way.cast.alma, hold)
    mine = Chosen(state=docket.MINE)
    assert docket.queue(way.cast.as_(way.cast.alma), mine).rows == ()


def test_a_hold_that_was_decided_is_not_decided_again(way: Way) -> None:
    (hold,) = held(way, place())
    decide(way, way.cast.dora, hold, "refuse")
    with pytest.raises(Refused, match="decided it before you"):
        decide(way, way.cast.dora, hold)
    assert state_of(hold) == "refused"


def test_a_refused_hold_is_opened_again_by_a_newer_version_only(way: Way) -> None:
    obj = place()
    (hold,) = held(way, obj)
    decide(way, way.cast.dora, hold, "refuse")
    way.give(obj)
    assert Hold.objects.count() == 1
    (again,) = held(way, newer(obj))
    assert (state_of(hold), state_of(again)) == ("refused", "open")


def test_an_approval_clears_its_own_reason_also_under_the_next_floor(way: Way) -> None:
    domain = domain_indicator(description="We recommend that all members block this customer.")
    for one in held(way, domain):
        decide(way, way.cast.dora, one)
    release.set_free(now=NOON)
    make_floor(NOON + timedelta(minutes=1), version=2)
    later = NOON + timedelta(minutes=15)
    leave(now=later)
    assert len(feed(way.cast.ember, now=later)) == 1


# --- questions ------------------------------------------------------------------------------------


def test_a_question_is_answered_in_writing_and_then_judged_anew(way: Way) -> None:
    (hold,) = held(way, actor())
    decide(way, way.cast.alma, hold)
    decide(way, way.cast.dora, hold, "ask", text="Which public source names them?")
    for who in (way.cast.ana, way.cast.alma):
        assert [row.id for row in review.asked(way.cast.as_(who))] == [hold]
    for who in (way.cast.ben, way.cast.dora, way.cast.cleo):
        with pytest.raises(NotFound):
            review.answer(way.cast.as_(who), hold, text="not theirs to say", now=NOON)
    with pytest.raises(Forbidden):
        review.answer(way.cast.as_(way.cast.abel), hold, text="an officer does not", now=NOON)
    with pytest.raises(Refused, match="waits for the contributor"):
        decide(way, way.cast.dora, hold)
    review.answer(way.cast.as_(way.cast.ana), hold, text="The indictment does, page 4.", now=NOON)
    view = review.hold(way.cast.as_(way.cast.dora), hold, now=NOON)
    assert [one.text for one in view.acts][-1] == "The indictment does, page 4."
    assert (view.row.state, view.row.approved) == ("open", ())
    assert review.asked(way.cast.as_(way.cast.ana)) == ()
    decide(way, way.cast.dora, hold)
    assert state_of(hold) == "open"  # Alma spoke before the question
    decide(way, way.cast.alma, hold)
    assert state_of(hold) == "released"


def test_a_question_is_answered_by_withdrawing_or_by_a_newer_version(way: Way) -> None:
    one, two = place(), place()
    first, second = held(way, one, two)
    for hold in (first, second):
        decide(way, way.cast.dora, hold, "ask")
    contribute.withdraw(way.cast.as_(way.cast.ana), one["id"], now=NOON)
    way.give(newer(two))
    assert review.asked(way.cast.as_(way.cast.ana)) == ()
    rows = docket.queue(way.cast.as_(way.cast.dora)).rows
    assert len(rows) == 1
    assert rows[0].id not in (first, second)
    with pytest.raises(Refused, match="withdrawn it or sent a newer"):
        decide(way, way.cast.dora, first, "refuse")


def test_what_is_written_lies_in_no_table_in_the_clear(way: Way) -> None:
    (hold,) = held(way, actor())
    words = "zanzibar"
    review.open_original(way.cast.as_(way.cast.dora), hold, reason=f"is it {words}?", now=NOON)
    decide(way, way.cast.dora, hold, "ask", text=f"who says {words}?")
    review.answer(way.cast.as_(way.cast.ana), hold, text=f"{words} says so", now=NOON)
    decide(way, way.cast.dora, hold, "refuse", text=f"no {words} here")
    ledger.integrate(now=NOON)
    with connection.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        for (table,) in cursor.fetchall():
            cursor.execute(f'SELECT t::text FROM "{table}" t')  # noqa: S608 - from the catalogue
            assert words not in str(cursor.fetchall()), table


# --- openings -------------------------------------------------------------------------------------


def test_each_opening_is_a_record_that_its_contributor_sees_with_role_and_reason(way: Way) -> None:
    (hold,) = held(way, actor())
    dora = way.cast.as_(way.cast.dora)
    for reason in ("Is a company named?", "Once more: is one named?"):
        shown = review.opened(dora, hold, reason=reason, now=NOON)
        assert shown.original["name"] == "Somebody Ltd"
    told = audit.reads(way.cast.as_(way.cast.abel))
    assert {one.reason for one in told} == {"Is a company named?", "Once more: is one named?"}
    assert all(one.sentence.startswith("The forum's counsel opened") for one in told)
    assert "Dora" not in str(told)
    assert len(openings_of(way, "read")) == 2
    assert audit.reads(way.cast.as_(way.cast.ben)) == ()


def test_ones_own_counsel_opens_without_a_record(way: Way) -> None:
    (hold,) = held(way, actor())
    shown = review.opened(way.cast.as_(way.cast.alma), hold, reason="", now=NOON)
    assert shown.original["name"] == "Somebody Ltd"
    assert not OriginalRead.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_an_opening_is_good_for_its_own_transaction_and_no_other(
    settings: LazySettings, tmp_path: Path
) -> None:
    cast = set_up(settings, tmp_path)
    (hold,) = held(Way(cast, cast.relay_watch), actor())
    dora = cast.as_(cast.dora)
    with acting(dora.acting()):
        review.open_original(dora, hold, reason="Is a company named?", now=NOON)
        assert Original.objects.count() == 1
    with acting(dora.acting()):
        assert OriginalRead.objects.count() == 1
        assert Original.objects.count() == 0


def test_an_opening_shows_what_the_detectors_find_and_what_would_leave(way: Way) -> None:
    text = "We recommend that all members block this customer."
    holds_of = held(way, domain_indicator(description=text))
    for who in (way.cast.dora, way.cast.alma):
        with web(way, who) as reader:
            shown = review.opened(reader, holds_of[0], reason=REASON, now=NOON)
        assert [(one.path, one.text) for one in shown.found] == [("description", text)]
        assert any(name.startswith("D08") for name in shown.found[0].detectors)
        assert shown.views[0].body is not None
        assert text.encode() not in shown.views[0].body
        assert {"Borealis", "Ember"} <= {name for view in shown.views for name in view.names}


def test_the_forums_counsel_learns_nothing_of_the_contributors_own_policy(way: Way) -> None:
    member_policy(
        way.cast.aurora,
        now=NOON,
        version=1,
        deny_recipients=[str(way.cast.borealis.id)],
        delay_seconds={"S2": 86_400},
    )
    hold = held(
        way, domain_indicator(description="We recommend that all members block this customer.")
    )[0]
    with web(way, way.cast.dora) as dora:
        floor_says = review.opened(dora, hold, reason=REASON, now=NOON)
    with web(way, way.cast.alma) as alma:
        own = review.opened(alma, hold, reason="", now=NOON)
    assert "Borealis" in {name for view in floor_says.views for name in view.names}
    assert floor_says.departure.at == NOON
    assert own.departure.at == NOON + timedelta(days=1)
    assert any(view.withheld and "Borealis" in view.names for view in own.views)


# --- the queue ------------------------------------------------------------------------------------


def flood(way: Way, member: str, count: int, *, now: datetime = NOON) -> None:
    """Many holds of one member's, written as intake writes them."""
    (sample,) = held(way, place(), by=way.cast.ana if member == "Aurora" else way.cast.ben)
    outcome = Hold.objects.get(pk=sample).outcome
    reasons = tuple(
        HoldReason("C13" if n % 4 else "C08", f"floor/1/hold/C13/flood-{n}", "Many.", "", BOTH)
        for n in range(count)
    )
    holds.write([holds.Held(outcome, "location", reasons)], now=now)


def test_a20_ten_thousand_holds_bury_nobody_and_none_leaves(
    way: Way, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    flood(way, "Aurora", 10_000)
    mine = held(way, place(), place(), by=way.cast.ben, now=NOON + timedelta(hours=5))
    dora = way.cast.as_(way.cast.dora)
    with django_assert_max_num_queries(3):
        page = docket.queue(dora)
    assert page.total == 10_003
    assert set(mine) <= {row.id for row in page.rows[:5]}
    seen: set[UUID] = set()
    after = None
    for _ in range(3):
        with django_assert_max_num_queries(4):
            part = docket.queue(dora, after=after)
        assert seen.isdisjoint(row.id for row in part.rows)
        seen |= {row.id for row in part.rows}
        after = part.next
    year = NOON + timedelta(days=366)
    leave(now=year)
    waiting = Hold.objects.filter(state="open").count()
    assert waiting == 10_003
    assert Outcome.objects.filter(outcome="held", released_at__isnull=True).count() == 3
    assert feed(way.cast.ember, now=year) == ()


def test_a_member_that_comes_later_does_not_stand_behind_the_flood(way: Way) -> None:
    flood(way, "Aurora", 30)
    for row in docket.queue(way.cast.as_(way.cast.dora)).rows[:10]:
        if row.name.startswith("C13/flood"):
            decide(way, way.cast.dora, row.id, "refuse")
    (late,) = held(way, place(), by=way.cast.ben)
    order = [row.id for row in docket.queue(way.cast.as_(way.cast.dora)).rows]
    assert order.index(late) <= 2


def test_no_row_says_whose_it_is_to_the_forums_counsel(way: Way) -> None:
    held(way, actor("zanzibar"), place())
    held(way, place(), by=way.cast.ben)
    page = docket.queue(way.cast.as_(way.cast.dora))
    assert len(page.rows) == 3
    text = str(page)
    for lab in (way.cast.aurora, way.cast.borealis):
        assert lab.name not in text
        assert str(lab.id) not in text
    assert "zanzibar" not in text
    assert {(row.contribution_id, row.version_id) for row in page.rows} == {(None, None)}
    mine = docket.queue(way.cast.as_(way.cast.ben)).rows
    assert [row.contributor_is_mine for row in mine] == [True]


def test_facets_count_what_is_left_under_the_others(way: Way) -> None:
    held(way, actor(), actor(), place())
    dora = way.cast.as_(way.cast.dora)
    whole = docket.queue(dora)
    by_class = {one.value: one.count for one in whole.facets["field_class"]}
    assert sum(by_class.values()) == 3
    actors = docket.queue(dora, Chosen(stix_type="threat-actor"))
    assert actors.total == len(actors.rows) == 2
    assert {one.value: one.count for one in actors.facets["stix_type"]} == {
        "threat-actor": 2,
        "location": 1,
    }
    reason = actors.rows[0].name
    assert docket.queue(dora, Chosen(reason=reason)).total == 2
    decide(way, way.cast.dora, actors.rows[0].id, "refuse")
    decided = docket.queue(dora, Chosen(state=docket.DECIDED))
    assert [row.id for row in decided.rows] == [actors.rows[0].id]
    assert docket.queue(dora).total == 2


def test_all_of_one_reason_are_decided_with_one_written_reason_confirmed_by_number(
    way: Way,
) -> None:
    held(way, *(place() for _ in range(40)))
    (other,) = held(way, actor())
    dora = way.cast.as_(way.cast.dora)
    reason = docket.queue(dora, Chosen(stix_type="location")).rows[0].name
    chosen = Chosen(reason=reason)
    with pytest.raises(Refused, match="There are 40 of these now, not the 39"):
        review.act_on_all(dora, chosen, expected=39, act="release", reason=REASON, now=NOON)
    assert review.act_on_all(dora, chosen, expected=40, act="release", reason=REASON, now=NOON)
    assert Hold.objects.filter(state="released").count() == 40
    assert state_of(other) == "open"
    said = openings_of(way, "decision")
    assert sum('"decision":"release"' in one for one in said) == 40
    assert sum('"decision":"open"' in one for one in said) == 2  # one for each contribution
    with pytest.raises(Forbidden):
        review.act_on_all(
            way.cast.as_(way.cast.ana), chosen, expected=1, act="release", reason=REASON, now=NOON
        )


@pytest.mark.django_db(transaction=True)
def test_of_two_who_decide_at_once_one_wins_and_the_other_is_told(
    settings: LazySettings, tmp_path: Path
) -> None:
    cast = set_up(settings, tmp_path)
    (hold,) = held(Way(cast, cast.relay_watch), place())
    dora = cast.as_(cast.dora)
    told: list[str] = []
    has_lock = threading.Event()

    def second() -> None:
        has_lock.wait(20)
        try:
            review.act(dora, [hold], act="release", reason=REASON, now=NOON)
        except Refused as refused:
            told.append(refused.code)
        finally:
            connection.close()

    other = threading.Thread(target=second)
    other.start()
    with transaction.atomic():
        review.act(dora, [hold], act="refuse", reason=REASON, now=NOON)
        has_lock.set()
        other.join(1)
    other.join(20)
    assert told == ["hold.decided"]
    assert state_of(hold) == "refused"
    assert HoldAct.objects.count() == 1


# --- both officers --------------------------------------------------------------------------------


def released(way: Way) -> tuple[str, int]:
    """An object of Ana's that left: the id that recipients know, and the version."""
    obj = range_indicator(description="zanzibar")
    way.pass_on(obj)
    stix_id = feed(way.cast.borealis)[0].stix_id
    return stix_id, Original.objects.get().version_id


def test_the_forums_officer_reads_only_with_the_contributors_officer(way: Way) -> None:
    stix_id, _ = released(way)
    cast, now = way.cast, timezone.now()
    with web(way, cast.otto) as otto:
        wish = openings.ask(otto, stix_id, reason="A dispute about its origin.", now=now)
        with pytest.raises(Refused, match="both officers"):
            openings.open_together(otto, wish, reason=REASON, now=now)
        with pytest.raises(Forbidden):
            openings.answer(otto, wish, is_yes=True, reason=REASON, now=now)
    for user in (cast.ana, cast.ben, cast.cleo, cast.dora, cast.pia, cast.alma):
        # Alma, as counsel, sees the wish; only the officer answers it.
        with web(way, user) as other, pytest.raises((Forbidden, NotFound)):
            openings.answer(other, wish, is_yes=True, reason=REASON, now=now)
    with web(way, cast.abel) as abel:
        assert [one.id for one in openings.tasks(abel, now=now)] == [wish]
        openings.answer(abel, wish, is_yes=True, reason="We want it settled.", now=now)
    with web(way, cast.otto) as otto:
        shown = openings.open_together(otto, wish, reason="Compared with the claim.", now=now)
    assert shown["description"] == "zanzibar"
    with web(way, cast.abel) as abel:
        (told,) = audit.reads(abel)
    assert (told.reason, "The forum's officer" in told.sentence) == (
        "Compared with the claim.",
        True,
    )
    assert len(openings_of(way, "read")) == 1
    late = now + openings.OPEN_FOR
    with web(way, cast.otto) as otto:
        with pytest.raises(Refused, match="for a day"):
            openings.open_together(otto, wish, reason=REASON, now=late)
        assert openings.request(otto, wish, now=late).state == "over"


def test_the_day_is_counted_by_the_database_too(way: Way) -> None:
    stix_id, _ = released(way)
    long_ago = timezone.now() - openings.OPEN_FOR - timedelta(seconds=1)
    with web(way, way.cast.otto) as otto:
        wish = openings.ask(otto, stix_id, reason=REASON, now=long_ago)
    with web(way, way.cast.abel) as abel:
        openings.answer(abel, wish, is_yes=True, reason=REASON, now=long_ago)
    with web(way, way.cast.otto) as otto, pytest.raises(NotFound):
        # The verb is told a time within the day; the database knows better.
        openings.open_together(otto, wish, reason=REASON, now=long_ago)


def test_the_contributors_officer_may_be_the_one_who_asks(way: Way) -> None:
    _, version = released(way)
    cast, now = way.cast, timezone.now()
    for user in (cast.alma, cast.ben, cast.dora, cast.pia):
        with web(way, user) as other, pytest.raises((NotFound, Forbidden)):
            openings.offer(other, version, reason=REASON, now=now)
    with web(way, cast.abel) as abel:
        wish = openings.offer(abel, version, reason="Please look for yourself.", now=now)
        with pytest.raises(Forbidden):
            openings.answer(abel, wish, is_yes=True, reason=REASON, now=now)
    with web(way, cast.otto) as otto:
        openings.answer(otto, wish, is_yes=True, reason="I will look.", now=now)
        shown = openings.open_together(otto, wish, reason=REASON, now=now)
    assert shown["type"] == "indicator"


def test_a_declined_wish_stays_closed(way: Way) -> None:
    stix_id, _ = released(way)
    now = timezone.now()
    nowhere = "indicator--7d3c1b1e-4b5f-4c38-9a57-0d1d5e4d6f11"
    with web(way, way.cast.otto) as otto:
        wish = openings.ask(otto, stix_id, reason=REASON, now=now)
        with pytest.raises(Refused, match="Nothing was released under this id"):
            openings.ask(otto, nowhere, reason=REASON, now=now)
    with web(way, way.cast.abel) as abel:
        openings.answer(abel, wish, is_yes=False, reason=REASON, now=now)
    with web(way, way.cast.otto) as otto, pytest.raises(Refused, match="both officers"):
        openings.open_together(otto, wish, reason=REASON, now=now)


# --- when it leaves -------------------------------------------------------------------------------


def promised(way: Way, sent: UUID, *, now: datetime) -> list[tuple[str, datetime | None]]:
    with web(way, way.cast.ana) as ana:
        view = audit.contribution(ana, sent, now=now)
    return [(one.departure.word, one.departure.at) for one in view.items if one.departure]


def test_each_thing_that_waits_is_promised_no_more_than_is_known(way: Way) -> None:
    soon, quarter = NOON + timedelta(minutes=1), NOON + timedelta(minutes=15)
    root = campaign("S2")
    link = indicates(domain_indicator("other.example")["id"], root["id"])
    sent = way.give(domain_indicator(), place(), root, link, now=soon)
    words = promised(way, sent, now=soon)
    assert words[0] == ("at", quarter)
    assert words[1][0] == "held"
    hold = Hold.objects.get().id
    decide(way, way.cast.dora, hold, "ask", now=soon)
    assert promised(way, sent, now=soon)[1][0] == "asked"
    review.answer(way.cast.as_(way.cast.ana), hold, text="Here is why.", now=soon)
    leave(now=quarter)
    after = promised(way, sent, now=quarter)
    assert after[0] == ("left", quarter)
    assert after[3] == ("waits", None)
    decide(way, way.cast.dora, hold, "refuse", now=quarter)
    assert promised(way, sent, now=quarter)[1] == ("refused", None)


def test_a_members_own_delay_is_in_its_promise(way: Way) -> None:
    member_policy(way.cast.aurora, now=NOON, version=1, delay_seconds={"S2": 3600})
    sent = way.give(domain_indicator(), now=NOON + timedelta(minutes=1))
    assert promised(way, sent, now=NOON)[0] == ("at", NOON + timedelta(minutes=75))


def test_a_lapsed_legal_basis_stops_the_promise(way: Way) -> None:
    sent = way.give(domain_indicator(), now=NOON + timedelta(minutes=1))
    make_floor(
        NOON + timedelta(minutes=2),
        version=2,
        legal_bases=[
            {"id": "contract-only", "title": "t", "from": "2026-01-01", "until": "2026-11-01"}
        ],
    )
    assert promised(way, sent, now=NOON + timedelta(minutes=3))[0] == ("stopped", None)


def test_nothing_is_said_of_what_refers_to_another_members_object(way: Way) -> None:
    root = campaign()
    way.pass_on(root)
    forum_id = feed(way.cast.borealis)[0].stix_id
    mine = domain_indicator()
    sent = way.give(
        mine, indicates(mine["id"], forum_id), by=way.cast.ben, now=NOON + timedelta(minutes=1)
    )
    leave(now=NOON + timedelta(minutes=15))
    with web(way, way.cast.ben) as ben:
        view = audit.contribution(ben, sent, now=NOON + timedelta(minutes=15))
    assert {one.departure.word for one in view.items if one.departure} == {"left"}


def test_start_pages_say_what_waits_and_what_was_decided(way: Way) -> None:
    soon = NOON + timedelta(minutes=1)
    way.give(domain_indicator(), domain_indicator("b.example"), now=soon)
    (hold,) = held(way, place(), now=soon)
    rows = audit.waiting(way.cast.as_(way.cast.ana), now=soon)
    assert [(one.count, one.departure.word) for one in rows] == [(2, "at"), (1, "held")]
    decide(way, way.cast.dora, hold, now=soon)
    done = review.done(way.cast.as_(way.cast.dora), since=NOON, now=soon)
    assert [(one.act, one.row.id) for one in done] == [("release", hold)]
    assert review.done(way.cast.as_(way.cast.alma), since=NOON, now=soon) == ()
