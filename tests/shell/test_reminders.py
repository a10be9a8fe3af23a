"""A recall is followed to its last recipient: acknowledged, reminded, escalated, overdue."""

from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from django.conf import LazySettings
from django.core.mail import EmailMessage

from exchange import contribute, feedback, inbox, ledger, mail, recall, release, remark, reminders
from exchange.models import Following, Mail, Release, ServedNote
from exchange.proof.claims import spell_ranges
from exchange.proof.refused import Forbidden, NotFound, Refused
from indicators.models import ForumObject
from members import onboarding
from members.scope import Acting, acting
from tests.shell.sharing import (
    NOON,
    Way,
    analyst_of,
    bodies,
    feed,
    leave,
    member_policy,
    newer,
    range_indicator,
    sdo,
    sequence,
    set_up,
)
from tests.shell.test_recall import (
    LATER,
    QUARTER,
    address,
    object_of,
    order,
    recalled,
    subscription,
    tell,
)

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


@pytest.fixture
def way(settings: LazySettings, tmp_path: Path) -> Way:
    settings.MAIL_URL = "smtp://mail.forum.example"
    cast = set_up(settings, tmp_path)
    return Way(cast, cast.relay_watch)


def work(hours: float) -> int:
    """The worker's round, so many hours after the recall was told."""
    with acting(Acting(), role="worker"):
        done = reminders.work(now=LATER + timedelta(hours=hours))
        mail.send_due(now=LATER + timedelta(hours=hours))
    return done


def states(way: Way, made: UUID) -> dict[str, str]:
    shown = recall.recall(way.cast.as_(way.cast.ana), made).progress
    return {one.name: one.state for one in shown}


def told_to_ben(way: Way) -> reminders.Told:
    (one,) = reminders.told(way.cast.as_(way.cast.ben))
    return one


# --- acknowledged --------------------------------------------------------------------------------


def test_ben_acknowledges_with_one_word_and_the_ledger_has_his_receipt(way: Way) -> None:
    indicator = range_indicator()
    way.pass_on(indicator)
    made = recalled(way, indicator)
    ben = way.cast.as_(way.cast.ben)
    one = told_to_ben(way)
    assert one.acknowledged_at is None
    assert states(way, made)["Borealis"] == "sent"
    at = LATER + timedelta(minutes=3)
    reminders.acknowledge(ben, one.id, now=at)
    reminders.acknowledge(ben, one.id, now=at + DAY)
    assert told_to_ben(way).acknowledged_at == at
    assert states(way, made) == {"Borealis": "acknowledged", "Ember": "sent"}
    row = Following.objects.get(recipient=way.cast.borealis)
    assert (row.via, row.user_id) == ("word", way.cast.ben.id)
    ledger.receive_hour(now=NOON + timedelta(hours=1))
    sequence(now=NOON + timedelta(hours=1))
    told = [each.check() for each in ledger.openings(ben, slot="to")]
    recall_seq = next(int(str(each["seq"])) for each in told if each["kind"] == "recall")
    (receipt,) = [each for each in told if each["kind"] == "receipt"]
    assert str(recall_seq) in str(receipt["seqs"]).replace("-", ",").split(",")


def test_a_recall_of_somebody_else_cannot_be_acknowledged(way: Way) -> None:
    indicator = range_indicator()
    way.pass_on(indicator)
    order(way, object_of(indicator))
    with acting(Acting(), role="worker"):
        recall.tell_waiting(now=LATER)
    ben, cleo = way.cast.as_(way.cast.ben), way.cast.as_(way.cast.cleo)
    release_id = Release.objects.get(kind="recall").id
    with pytest.raises(NotFound):  # not published yet: nobody has been told
        reminders.acknowledge(ben, release_id, now=LATER)
    sequence(now=LATER)
    for who in (cleo, way.cast.as_(way.cast.ana)):
        with pytest.raises(NotFound):
            reminders.acknowledge(who, release_id, now=LATER)
    for who in (way.cast.as_(way.cast.dora), way.cast.as_(way.cast.pia)):
        with pytest.raises(Forbidden):
            reminders.acknowledge(who, release_id, now=LATER)
    reminders.acknowledge(ben, release_id, now=LATER)


def test_a_list_on_a_screen_is_no_acknowledgement(way: Way) -> None:
    indicator = range_indicator()
    way.pass_on(indicator)
    made = recalled(way, indicator)
    ben = way.cast.as_(way.cast.ben)
    shown = inbox.news(ben, since=NOON - DAY, now=LATER)
    assert [card.state for card in shown if card.stix_type == "indicator"] == ["revoked"]
    assert states(way, made)["Borealis"] == "sent"
    assert told_to_ben(way).acknowledged_at is None


def test_what_was_taken_is_written_down_and_outlives_the_notes(way: Way) -> None:
    subscription(way.cast.borealis)
    indicator = range_indicator()
    way.pass_on(indicator)
    made = recalled(way, indicator)
    feed(way.cast.ember, now=LATER)
    assert work(1) == 0
    row = Following.objects.get(recipient=way.cast.ember)
    assert (row.acknowledged_at, row.via) == (LATER, "page")
    ServedNote.objects.all().delete()
    assert states(way, made)["Ember"] == "acknowledged"


def test_ember_was_away_for_ten_days_and_still_gets_it(way: Way) -> None:
    """Reminded and escalated meanwhile; then it pulls, and its receipt is in the ledger."""
    indicator = range_indicator()
    way.pass_on(indicator)
    made = recalled(way, indicator)
    for hours in (24, 72, 168):
        work(hours)
    back = NOON + timedelta(days=10)
    (held,) = bodies(feed(way.cast.ember, now=back))
    assert held["revoked"] is True
    assert "203.0.113" not in str(held)
    assert states(way, made)["Ember"] == "acknowledged"
    ledger.receive_hour(now=back + timedelta(hours=1))
    sequence(now=back + timedelta(hours=1))
    told = [one.check() for one in ledger.openings(analyst_of(way.cast.ember), slot="to")]
    seq = next(int(str(one["seq"])) for one in told if one["kind"] == "recall")
    taken = [str(one["seqs"]) for one in told if one["kind"] == "receipt"]
    assert any(spell_ranges([seq]) in one.replace("-", ",").split(",") for one in taken)
    assert work(240) == 0


# --- reminded ------------------------------------------------------------------------------------


def test_reminders_go_out_at_their_hours_and_no_earlier(
    way: Way, mailoutbox: list[EmailMessage]
) -> None:
    indicator = range_indicator()
    way.pass_on(indicator)
    recalled(way, indicator)
    done = [work(hours) for hours in (1, 23, 24, 25, 71, 72, 73, 167, 168, 169, 1_000)]
    assert done == [0, 0, 2, 0, 0, 2, 0, 0, 2, 0, 0]
    assert {row.reminded for row in Following.objects.all()} == {3}
    assert {row.escalated_at for row in Following.objects.all()} == {LATER + 3 * DAY}


def test_the_first_reminder_is_for_analysts_then_their_officer_then_the_forum(
    way: Way, mailoutbox: list[EmailMessage]
) -> None:
    cast = way.cast
    borealis = [cast.ben]
    for name, role in (("Bo", "officer"), ("Bea", "counsel")):
        person = onboarding.Person(f"{name.lower()}@borealis.example", name, (role,), cast.borealis)
        borealis.append(onboarding.create_person(person))
    indicator = range_indicator()
    way.pass_on(indicator)
    recalled(way, indicator)
    ben, bo, bea = (one.email for one in borealis)
    got = []
    for hours in (24, 72, 168):
        work(hours)
        got.append(sorted({one.to[0] for one in mailoutbox}))
        mailoutbox.clear()
    assert got == [
        [ben],
        sorted([ben, bo, bea]),
        sorted([bo, bea, cast.dora.email, cast.otto.email]),
    ]


def test_who_has_acknowledged_is_reminded_of_nothing(
    way: Way, mailoutbox: list[EmailMessage]
) -> None:
    indicator = range_indicator()
    way.pass_on(indicator)
    recalled(way, indicator)
    reminders.acknowledge(way.cast.as_(way.cast.ben), told_to_ben(way).id, now=LATER)
    assert work(24) == 1
    assert mailoutbox == []  # Ember has no people here


def test_without_a_mail_server_nothing_waits_to_be_sent(
    way: Way, settings: LazySettings, mailoutbox: list[EmailMessage]
) -> None:
    settings.MAIL_URL = ""
    indicator = range_indicator()
    way.pass_on(indicator)
    recalled(way, indicator)
    assert work(24) == 2
    assert Mail.objects.count() == len(mailoutbox) == 0


def test_a_mail_server_that_is_away_is_tried_again(
    way: Way, settings: LazySettings, mailoutbox: list[EmailMessage]
) -> None:
    indicator = range_indicator()
    way.pass_on(indicator)
    recalled(way, indicator)
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1  # nobody listens there
    work(24)
    row = Mail.objects.get()
    assert (row.sent_at, row.tries) == (None, 1)
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    assert mail.send_due(now=LATER + DAY) == 0
    assert mail.send_due(now=LATER + DAY + timedelta(minutes=1)) == 1
    assert mail.send_due(now=LATER + 2 * DAY) == 0
    assert len(mailoutbox) == 1


# --- overdue -------------------------------------------------------------------------------------


def test_abel_sees_who_is_overdue_and_only_of_his_own(way: Way) -> None:
    indicator = range_indicator()
    way.pass_on(indicator)
    recalled(way, indicator)
    cast = way.cast
    abel = cast.as_(cast.abel)
    assert reminders.overdue(abel, now=LATER + timedelta(hours=23)) == ()
    late = LATER + 2 * DAY
    for who in (abel, cast.as_(cast.dora), cast.as_(cast.otto)):
        assert [one.name for one in reminders.overdue(who, now=late)] == ["Borealis", "Ember"]
    for who in (cast.as_(cast.ben), cast.as_(cast.cleo), cast.as_(cast.pia)):
        assert reminders.overdue(who, now=late) == ()
    reminders.acknowledge(cast.as_(cast.ben), told_to_ben(way).id, now=late)
    assert [one.name for one in reminders.overdue(abel, now=late)] == ["Ember"]


def test_of_an_object_on_anothers_the_forums_officer_alone_follows_by_name(way: Way) -> None:
    cast = way.cast
    indicator = range_indicator()
    way.pass_on(indicator)
    (held,) = bodies(feed(cast.borealis))
    sighting = sdo("sighting", sighting_of_ref=held["id"], count=12)
    way.pass_on(sighting, by=cast.ben, now=NOON + timedelta(minutes=20))
    leave(now=NOON + timedelta(hours=2))
    made = order(way, object_of(sighting), by=cast.ben)
    tell(now=NOON + timedelta(hours=3))
    ben = cast.as_(cast.ben)
    late = NOON + 3 * DAY
    view = recall.recall(ben, made)
    assert [(one.name, one.state) for one in view.progress] == [("the circle Relay watch", "told")]
    assert view.acknowledged == len(view.progress)
    assert reminders.overdue(ben, now=late) == reminders.overdue(cast.as_(cast.dora), now=late)
    assert reminders.overdue(ben, now=late) == ()
    otto = reminders.overdue(cast.as_(cast.otto), now=late)
    assert [one.name for one in otto] == ["Aurora", "Ember"]
    feed(cast.ember, now=late)
    feed(cast.aurora, now=late)
    assert recall.recall(ben, made).progress == view.progress


def test_who_keeps_equal_bytes_is_never_reminded(way: Way) -> None:
    """Aurora and Borealis gave the same address; Aurora's is recalled."""
    cast = way.cast
    one = address()
    way.pass_on(one)
    way.pass_on(one, by=cast.ben, now=QUARTER)
    mine = ForumObject.objects.get(member=cast.aurora, stix_type="ipv4-addr")
    order(way, mine.id)
    tell(now=QUARTER)
    quiet = Following.objects.filter(is_told=False)
    assert quiet.count() > 0
    work(48)
    assert {row.reminded for row in quiet} == {0}
    assert reminders.told(analyst_of(cast.ember)) == ()


# --- what was said, and what became of it --------------------------------------------------------


def said_by_ben(way: Way, word: str = "false-positive") -> tuple[str, UUID]:
    """Ben says something is wrong with what he holds; the forum's id of it, and the task."""
    (held,) = bodies(feed(way.cast.borealis))
    at = NOON + timedelta(minutes=20)
    ben = way.cast.as_(way.cast.ben)
    sent = remark.say(ben, held["id"], word, source="form", now=at)
    assert contribute.accept(sent, now=at)
    release.open_windows(now=NOON + timedelta(hours=1))
    sequence(now=NOON + timedelta(hours=1))
    (task,) = feedback.tasks(way.cast.as_(way.cast.ana))
    return held["id"], task.id


def test_ben_sees_the_answer_and_not_who_gave_it(way: Way) -> None:
    way.pass_on(range_indicator())
    name, task = said_by_ben(way)
    ben = way.cast.as_(way.cast.ben)
    (before,) = feedback.answers(ben)
    assert (before.stix_id, before.said, before.answer) == (name, "false-positive", "")
    note = "Our own log says the range is theirs."
    feedback.answer(way.cast.as_(way.cast.ana), task, answer="stands", note=note, now=NOON + DAY)
    (after,) = feedback.answers(ben)
    assert (after.answer, after.answered_on) == ("stands", (NOON + DAY).date())
    assert "Aurora" not in repr(after)
    assert note not in repr(after)
    assert feedback.answers(way.cast.as_(way.cast.cleo)) == ()
    assert len(feed(way.cast.ember, now=NOON + DAY)) > 0


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ({"answer": "block it", "note": "a written note"}, "feedback.answer"),
        ({"answer": "recalled", "note": "a written note"}, "feedback.answer"),
        ({"answer": "stands", "note": "no"}, "reason.missing"),
    ],
)
def test_an_answer_is_a_word_of_the_list(way: Way, how: dict[str, str], code: str) -> None:
    way.pass_on(range_indicator())
    _, task = said_by_ben(way)
    with pytest.raises(Refused) as refused:
        feedback.answer(way.cast.as_(way.cast.ana), task, now=NOON + DAY, **how)
    assert refused.value.code == code


def test_a_corrected_version_is_the_answer(way: Way) -> None:
    indicator = range_indicator(confidence=80)
    way.pass_on(indicator)
    said_by_ben(way)
    later = NOON + timedelta(hours=2)
    way.pass_on(newer(indicator, minutes=90, confidence=20), now=later)
    ben = way.cast.as_(way.cast.ben)
    assert [one.answer for one in feedback.answers(ben)] == ["corrected"]
    assert feedback.tasks(way.cast.as_(way.cast.ana)) == ()


def test_a_recall_reaches_every_past_recipient_after_the_policy_has_changed(way: Way) -> None:
    """N23: Aurora shuts Ember out and Borealis leaves the circle; both are told all the same."""
    indicator = range_indicator()
    way.pass_on(indicator)
    _, _ = said_by_ben(way)
    cast = way.cast
    at = NOON + timedelta(hours=2)
    member_policy(cast.aurora, now=at, version=2, recipients={"deny": [cast.ember.slug]})
    onboarding.leave_circle(cast.borealis, cast.relay_watch, now=at)
    made = order(way, object_of(indicator), now=at)
    tell(now=at)
    assert set(states(way, made)) == {"Borealis", "Ember"}
    ben = cast.as_(cast.ben)
    assert [one.answer for one in feedback.answers(ben)] == ["recalled"]
    for lab in (cast.borealis, cast.ember):
        assert [one["revoked"] for one in bodies(feed(lab, now=at)) if "revoked" in one] == [True]
    assert set(states(way, made).values()) == {"acknowledged"}


def test_a_rivals_click_alone_changes_nothing(way: Way) -> None:
    indicator = range_indicator()
    way.pass_on(indicator)
    before = [one.body for one in feed(way.cast.ember)]
    said_by_ben(way, "shared-infrastructure")
    after = feed(way.cast.ember, now=NOON + timedelta(hours=2))
    assert [one.body for one in after if one.stix_type == "indicator"] == before


@pytest.mark.parametrize(
    ("word", "circle", "code"),
    [("block", None, "feedback.word"), ("seen", "forum", "not-found")],
)
def test_what_cannot_be_said_is_refused(way: Way, word: str, circle: str | None, code: str) -> None:
    way.pass_on(range_indicator())
    (held,) = bodies(feed(way.cast.borealis))
    circle_id = way.cast.forum.id if circle else None
    with pytest.raises(Refused) as refused:
        remark.say(
            way.cast.as_(way.cast.ben),
            held["id"],
            word,
            circle_id=circle_id,
            source="form",
            now=NOON,
        )
    assert refused.value.code == code
