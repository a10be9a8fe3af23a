"""The workspace tells each asker its own side and nothing else, whatever is asked in which way."""

from pathlib import Path
from uuid import uuid4

import pytest
from django.conf import LazySettings
from django.db import connection, transaction
from django.db.utils import IntegrityError, ProgrammingError

from exchange import again
from exchange.models import LedgerEntry, QuestionView, ReleaseRecipient
from exchange.proof.refused import NotFound
from exchange.questions import as_of, book, bytes_of, exports, stated
from exchange.questions.asking import Answer
from members import onboarding
from members.auth import Principal
from members.models import User
from members.scope import acting
from tests.shell import questions_material as material
from tests.shell import sharing
from tests.shell.questions_material import LATER, Scene

pytestmark = pytest.mark.django_db
EVERY = list(book.QUESTIONS)
assert again


@pytest.fixture
def scene(settings: LazySettings, tmp_path: Path) -> Scene:
    return material.set_scene(settings, tmp_path)


@pytest.fixture
def bea(scene: Scene) -> User:
    """An officer of Borealis, which received."""
    return material.officer(scene.cast.borealis, "bea")


@pytest.fixture
def carl(scene: Scene) -> User:
    """An officer of Cirrus, which is in no circle with what was shared."""
    return material.officer(scene.cast.cirrus, "carl")


def text_of(answer: Answer) -> str:
    """All that an answer says."""
    marks = [(mark.index, mark.slot, dict(mark.says)) for one in answer.lines for mark in one.marks]
    return repr((answer.columns, [one.values for one in answer.lines], answer.notes, marks))


def asked(scene: Scene, user: User, name: str, **filters: object) -> Answer:
    if name == "q14" and user.member_id is not None:
        who = scene.cast.as_(user)
        with acting(who.acting()):
            made = stated.inquire(who, "email-address", material.PERSON, now=LATER)
        filters = {"inquiry": made, **filters}
    needed = {"q2": {"object": scene.indicator}, "q4": {"object": scene.indicator}}
    needed["q10"] = {"since": "2026-11-01"}
    return scene.put(user, name, **{**needed.get(name, {}), **filters}).answer


@pytest.mark.parametrize("name", EVERY)
def test_a_recipient_learns_neither_who_gave_nor_that_something_was_removed(
    scene: Scene, bea: User, name: str
) -> None:
    for filters in ({}, {"side": "received"}, {"recipient": scene.cast.borealis.id}):
        said = text_of(asked(scene, bea, name, **filters))
        for secret in ("Aurora", "zanzibar", "narrative", "description", "member/3"):
            assert secret not in said, (name, secret)
        assert str(scene.cast.aurora.id) not in said


@pytest.mark.parametrize("name", EVERY)
def test_whom_nothing_concerns_has_an_empty_answer(scene: Scene, carl: User, name: str) -> None:
    said = text_of(asked(scene, carl, name))
    for secret in (scene.indicator, scene.campaign_name, "Relay watch", "zanzibar", "heron@"):
        assert secret not in said, (name, secret)


@pytest.mark.parametrize("name", ["q1", "q2", "q4", "q5", "q15", "q18"])
def test_unknown_and_anothers_are_the_same_answer(scene: Scene, carl: User, name: str) -> None:
    unknown = f"indicator--{uuid4()}"
    answers = [text_of(asked(scene, carl, name, object=one)) for one in (scene.indicator, unknown)]
    assert answers[0] == answers[1]
    taken = ReleaseRecipient.objects.filter(recipient=scene.cast.borealis).exclude(idx=None)
    foreign = taken.filter(member=scene.cast.aurora).latest("idx").idx
    none = LedgerEntry.objects.order_by("-idx").values_list("idx", flat=True)[0] + 1000
    entries = [text_of(asked(scene, carl, name, entry=one)) for one in (foreign, none)]
    assert entries[0] == entries[1]


def test_unknown_and_anothers_bytes_are_the_same_refusal(scene: Scene, carl: User) -> None:
    part = ReleaseRecipient.objects.filter(
        recipient=scene.cast.borealis, member=scene.cast.aurora
    ).earliest("idx")
    who = scene.cast.as_(carl)
    for index, place in ((part.idx or 0, 0), (part.idx or 0, 77), (10**9, 0)):
        with acting(who.acting()), pytest.raises(NotFound):
            bytes_of.opened(who, index, place)


def test_a_recipient_sees_its_own_bytes_and_no_ruling(scene: Scene, bea: User) -> None:
    part = ReleaseRecipient.objects.filter(
        recipient=scene.cast.borealis, member=scene.cast.aurora
    ).earliest("idx")
    who = scene.cast.as_(bea)
    with acting(who.acting()):
        seen = bytes_of.opened(who, part.idx or 0, 0)
    assert seen.body
    assert seen.original is None
    assert {(one.rule, one.treatment, one.value) for one in seen.fields} == {("", "", None)}


def test_what_was_taken_back_is_shown_to_no_recipient_again(scene: Scene, bea: User) -> None:
    who = scene.cast.as_(bea)
    answer = asked(scene, bea, "q1", side="received")
    gone = [one for one in answer.lines if one.shown and "198.51.100" in repr(one)]
    assert gone == []
    parts = ReleaseRecipient.objects.filter(
        recipient=scene.cast.borealis, release__items__recalled=True
    )
    assert parts
    for part in parts:
        with acting(who.acting()), pytest.raises(NotFound):
            bytes_of.opened(who, part.idx or 0, 0)


def test_a_link_that_one_was_never_given_ties_nothing_together(scene: Scene, bea: User) -> None:
    """Borealis holds campaign and range; of the link between them it was told nothing."""
    link = ReleaseRecipient.objects.filter(
        recipient=scene.cast.borealis,
        release__items__rendition__stix_type="relationship",
        member=scene.cast.aurora,
    )
    assert link
    with_link = asked(scene, bea, "q1", side="received", campaign=scene.campaign)
    assert len(with_link.lines) == 3
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE exchange_releaseitem SET release_id = (SELECT id FROM exchange_release "
            "WHERE circle_id IS NULL LIMIT 1), position = 499 WHERE rendition_id IN "
            "(SELECT id FROM exchange_rendition WHERE stix_type = 'relationship')"
        )
        cursor.execute(
            "DELETE FROM exchange_releaserecipient WHERE recipient_id = %s AND member_id IS NULL",
            [scene.cast.borealis.id],
        )
    without = asked(scene, bea, "q1", side="received", campaign=scene.campaign)
    assert len(without.lines) == 1


@pytest.mark.parametrize("name", EVERY)
def test_the_operator_and_analysts_have_no_question(scene: Scene, name: str) -> None:
    for user in (scene.cast.pia, scene.cast.ana, scene.cast.ben):
        with pytest.raises(NotFound):
            scene.put(user, name)


def test_the_functions_answer_nobody_else_however_they_are_called(scene: Scene) -> None:
    calls = (
        "weir_disclosed('all',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,false,NULL,"
        "NULL,NULL,NULL,99)",
        "weir_disclosed('given',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,false,NULL,"
        "NULL,NULL,NULL,99)",
        "weir_shared(NULL, NULL, NULL, NULL)",
        "weir_removed(NULL, NULL, NULL, NULL)",
        "weir_readings(NULL, NULL, NULL, 99)",
        "weir_fetched(1)",
        "weir_bytes(20, 0)",
        f"weir_held_at('{scene.cast.borealis.id}', now() + interval '9 years', -1, 99)",
    )
    for user in (scene.cast.ben, scene.cast.pia, scene.cast.ana, scene.cast.dora):
        with acting(scene.cast.as_(user).acting()), connection.cursor() as cursor:
            for call in calls:
                cursor.execute(f"SELECT * FROM {call}")  # noqa: S608 - calls of this module
                assert cursor.fetchall() == [], (user, call)


def test_a_recipients_officer_asks_for_all_and_gets_nothing(scene: Scene, bea: User) -> None:
    with acting(scene.cast.as_(bea).acting()), connection.cursor() as cursor:
        cursor.execute(
            "SELECT * FROM weir_disclosed('all',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,"
            "NULL,false,NULL,NULL,NULL,NULL,99)"
        )
        assert cursor.fetchall() == []
        cursor.execute("SELECT * FROM weir_removed(NULL, NULL, NULL, NULL)")
        assert cursor.fetchall() == []


def test_the_auditor_reads_no_original_and_no_wording_of_a_contributors(scene: Scene) -> None:
    scene.way.pass_on(sharing.range_indicator("192.0.2.0/24", x_zanzibar_plan="42"))
    for name, chosen in book.QUESTIONS.items():
        if chosen.is_for(scene.cast.as_(scene.cast.otto)):
            assert "zanzibar" not in text_of(asked(scene, scene.cast.otto, name)), name


def test_the_forums_counsel_is_never_told_whose_a_hold_is(scene: Scene) -> None:
    for name, chosen in book.QUESTIONS.items():
        if chosen.is_for(scene.cast.as_(scene.cast.dora)):
            said = text_of(asked(scene, scene.cast.dora, name))
            assert "Aurora" not in said, name
            assert "Borealis" not in said, name


@pytest.mark.parametrize("act", ["UPDATE {} SET form = 'x'", "DELETE FROM {}"])
def test_the_log_of_views_only_grows(scene: Scene, act: str) -> None:
    scene.put(scene.cast.abel, "q3")
    with pytest.raises((IntegrityError, ProgrammingError)), connection.cursor() as cursor:
        cursor.execute(act.format("exchange_questionview"))


def test_no_view_is_written_in_anothers_name(scene: Scene) -> None:
    abel = scene.cast.as_(scene.cast.abel)
    forged = Principal(
        member_id=scene.cast.borealis.id, user_id=scene.cast.ben.id, roles=abel.roles
    )
    with acting(abel.acting()), pytest.raises(ProgrammingError), transaction.atomic():
        book.note(forged, "q1", "screen", now=LATER)
    assert not QuestionView.objects.filter(user=scene.cast.ben).exists()


def test_a_right_that_was_lost_is_lost_to_an_export_under_way(scene: Scene) -> None:
    abel = scene.cast.as_(scene.cast.abel)
    with acting(abel.acting()):
        ordered = exports.order(abel, "q3", "csv", {}, now=LATER)
    onboarding.suspend(scene.cast.aurora, by=scene.cast.as_(scene.cast.pia))
    assert not exports.work(ordered, signer=sharing.SIGNER, now=LATER)
    with acting(abel.acting()):
        assert exports.export(abel, ordered).state == "failed"


def test_a_member_looks_as_another_and_sees_its_own_objects_alone(scene: Scene, carl: User) -> None:
    abel, other = scene.cast.as_(scene.cast.abel), scene.cast.as_(carl)
    borealis = scene.cast.borealis.id
    with acting(abel.acting()):
        shown = as_of.held(abel, borealis, at=LATER, now=LATER)
        assert shown.is_part
        assert shown.items
    with acting(other.acting()):
        assert as_of.held(other, borealis, at=LATER, now=LATER).items == ()
