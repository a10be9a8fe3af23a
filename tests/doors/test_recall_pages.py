"""The pages of taking back: the button with its effects, progress, feedback, and who sees what."""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from django.core.cache import cache
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from exchange import access, contribute, feedback, inbox, recall, release, reminders
from exchange.models import Feedback, Recall
from indicators.models import ForumObject, Version
from members.models import User
from tests.doors.stage import SECRET_WORDS, Stage, as_owner, sequence, set_stage
from tests.doors.test_web_pages import browser, text
from tests.shell.sharing import analyst_of

pytestmark = pytest.mark.django_db
NOTE = "It names a public resolver, says our own log."


@pytest.fixture
def now() -> datetime:
    return timezone.now()


@pytest.fixture
def stage(now: datetime) -> Iterator[Stage]:
    cache.clear()
    yield set_stage(now)
    as_owner()


def version_of(stage: Stage, stix_type: str = "indicator") -> Version:
    return Version.objects.get(contribution_id=stage.contribution, object__stix_type=stix_type)


def held_id(user: User, stage: Stage, now: datetime) -> str:
    """The forum's id of the indicator, as this person holds it."""
    as_owner()
    who = stage.cast.as_(user)
    page = access.page(who, access.collections(who)[0], access.Query(types=("indicator",)), now=now)
    return page.items[0].stix_id


def post(client: Client, page: str, **form: str) -> str:
    """Send a form, and read the page to which it leads."""
    as_owner()
    response = client.post(page, form, follow=False)
    assert response.status_code == 302, response.content.decode()
    return str(response["Location"])


def order(client: Client, stage: Stage, **form: str) -> str:
    target = version_of(stage).object_id
    return post(
        client, f"/recalls/of/{target}/", **{"reason": "false-positive", "note": NOTE, **form}
    )


def tell(now: datetime) -> None:
    as_owner()
    recall.tell_waiting(now=now)
    sequence(now)


def test_ana_recalls_with_two_clicks_and_follows_it(stage: Stage, now: datetime) -> None:
    ana = browser(stage.cast.ana)
    own = text(ana, f"/mine/{version_of(stage).pk}/")
    (button,) = re.findall(r'href="(/recalls/of/[^"]+)">Recall</a>', own)
    effects = text(ana, button)
    assert "2 recipients" in effects
    assert "0 deliveries" in effects
    page = order(ana, stage)
    assert "Its recipients are being told" in text(ana, page)
    tell(now)
    shown = text(ana, page)
    assert "0 of 2 acknowledged" in shown
    assert all(name in shown for name in ("Borealis", "Ember", NOTE, "sent"))
    held_id(stage.cast.ben, stage, now)
    shown = text(ana, page)
    assert "1 of 2 acknowledged" in shown
    assert "Recalled" in text(ana, f"/mine/{version_of(stage).pk}/")
    assert "false positive" in text(ana, "/recalls/")


def test_a_recall_needs_its_reason_and_its_note(stage: Stage) -> None:
    ana = browser(stage.cast.ana)
    target = version_of(stage).object_id
    as_owner()
    answer = ana.post(f"/recalls/of/{target}/", {"reason": "leak", "note": "no"})
    assert answer.status_code == 422
    assert Recall.objects.count() == 0


def test_ben_learns_the_id_and_the_reason_and_nothing_of_who(stage: Stage, now: datetime) -> None:
    name = held_id(stage.cast.ben, stage, now)
    order(browser(stage.cast.ana), stage)
    tell(now)
    ben = browser(stage.cast.ben)
    for page in ("/", f"/objects/{name}/"):
        shown = text(ben, page)
        assert "false positive" in shown
        assert NOTE not in shown
        assert "203.0.113" not in shown
        assert "Aurora" not in shown.replace("Aurora, Borealis", "")
    assert name in text(ben, "/")


def test_dora_recalls_by_id_and_sees_class_and_progress_only(stage: Stage, now: datetime) -> None:
    name = held_id(stage.cast.ben, stage, now)
    dora = browser(stage.cast.dora)
    as_owner()
    found = dora.get("/recalls/", {"id": name})
    assert found["Location"] == f"/recalls/of/{version_of(stage).object_id}/"
    page = order(dora, stage, reason="leak")
    tell(now)
    shown = text(dora, page) + text(dora, "/recalls/")
    assert "Borealis" in shown
    assert stage.indicator not in shown
    assert SECRET_WORDS not in shown
    assert "203.0.113" not in shown
    assert "forum&#x27;s counsel" in text(browser(stage.cast.ana), page)
    as_owner()
    nothing = dora.get("/recalls/", {"id": "indicator--no-such"})
    assert "Nothing was released under this id." in nothing.content.decode()


def test_what_is_not_ones_own_is_the_same_as_what_is_not_there(stage: Stage) -> None:
    page = order(browser(stage.cast.ana), stage)
    target = version_of(stage).object_id
    for person in (stage.cast.ben, stage.cast.cleo, stage.cast.otto, stage.cast.pia):
        client = browser(person)
        answers = []
        for address in (page, f"/recalls/of/{target}/", f"/recalls/{UUID(int=7)}/"):
            as_owner()
            answer = client.get(address)
            assert answer.status_code == 404, address
            answers.append(re.sub(r"csrf\w+|value=\"\w+\"", "", answer.content.decode()))
        assert len(set(answers)) == 1


def test_abel_may_erase_and_ana_is_not_offered_it(stage: Stage, now: datetime) -> None:
    target = version_of(stage).object_id
    assert "Erase the bytes too" not in text(browser(stage.cast.ana), f"/recalls/of/{target}/")
    abel = browser(stage.cast.abel)
    assert "Erase the bytes too" in text(abel, f"/recalls/of/{target}/")
    page = order(abel, stage, erases="on")
    tell(now)
    assert "bytes erased" in text(abel, page)
    assert "Received" not in text(abel, f"/mine/{version_of(stage).pk}/")


def test_the_recall_is_lifted_by_its_contributor(stage: Stage, now: datetime) -> None:
    page = order(browser(stage.cast.ana), stage)
    tell(now)
    alma = browser(stage.cast.alma)
    assert "Lift the recall" in text(alma, page)
    post(alma, page)
    assert "lifted" in text(alma, page)
    assert ForumObject.objects.get(pk=version_of(stage).object_id).state == "withdrawn"


def feed_back(stage: Stage, now: datetime, said: str = "false-positive") -> str:
    """Ben says it on the object's page; it leaves in its window."""
    name = held_id(stage.cast.ben, stage, now)
    ben = browser(stage.cast.ben)
    shown = text(ben, f"/objects/{name}/")
    circle = re.findall(r'name="circle" value="([^"]+)"', shown)
    page = post(ben, f"/objects/{name}/say/", said=said, circle=circle[0])
    as_owner()
    sent = UUID(page.strip("/").split("/")[-1])
    assert contribute.accept(sent, now=now)
    later = now + timedelta(minutes=16)
    release.open_windows(now=later)
    sequence(later)
    return name


def test_a_false_positive_is_a_task_without_a_name(stage: Stage, now: datetime) -> None:
    feed_back(stage, now)
    ana, dora = browser(stage.cast.ana), browser(stage.cast.dora)
    for client in (ana, dora):
        home = text(client, "/")
        (task,) = re.findall(r"(?s)<section[^>]*feedback.*?</section>", home)
        assert "false positive" in task
        assert not any(name in task for name in ("Borealis", "Ben", "Ember"))
    as_owner()
    (task_row,) = feedback.tasks(stage.cast.as_(stage.cast.ana))
    # Nothing happened by it alone.
    assert ForumObject.objects.get(pk=task_row.object_id).state == "live"
    note = "We looked: the range is theirs."
    post(ana, f"/recalls/feedback/{task_row.id}/", answer="stands", note=note)
    assert "Recipients say" not in text(ana, "/")
    assert "Recipients say" not in text(browser(stage.cast.ben), "/")


def test_a_recall_answers_what_was_said(stage: Stage, now: datetime) -> None:
    feed_back(stage, now, said="shared-infrastructure")
    ana = browser(stage.cast.ana)
    target = version_of(stage).object_id
    assert "shared infrastructure" in text(ana, f"/recalls/of/{target}/")
    order(ana, stage)
    tell(now + timedelta(minutes=17))
    assert Feedback.objects.get().answer == "recalled"
    assert "Recipients say" not in text(ana, "/")


def test_seen_calls_for_nobody(stage: Stage, now: datetime) -> None:
    feed_back(stage, now, said="seen")
    assert Feedback.objects.count() == 0


def test_nobody_says_anything_of_what_it_does_not_hold(stage: Stage, now: datetime) -> None:
    name = held_id(stage.cast.ben, stage, now)
    cleo = browser(stage.cast.cleo)
    as_owner()
    form = {"said": "false-positive", "circle": str(stage.cast.forum.id)}
    assert cleo.post(f"/objects/{name}/say/", form).status_code == 404
    as_owner()
    assert cleo.post("/objects/indicator--no-such/say/", form).status_code == 404


def test_who_still_holds_the_earlier_version_is_shown_with_the_button(
    stage: Stage, now: datetime
) -> None:
    as_owner()
    row = version_of(stage)
    ana = stage.cast.as_(stage.cast.ana)
    own = next(one for one in access.collections(ana) if one.kind == "own")
    page = access.page(ana, own, access.Query(ids=(stage.indicator,)), now=now)
    later = page.items[0].body.decode().replace('"name":"From our logs"', '"name":"Somebody"')
    later = re.sub(r'"modified":"[^"]+"', f'"modified":"{now:%Y-%m-%dT%H:%M:%S}.999Z"', later)
    # A wider range than may leave without a person's judgement.
    later = later.replace("203.0.113.0/24", "203.0.0.0/12")
    sent = contribute.submit(
        ana, later.encode(), circle_id=stage.cast.relay_watch.id, source="api", now=now
    )
    assert contribute.accept(sent, now=now)
    newest = Version.objects.filter(object_id=row.object_id).latest("modified_ns")
    assert newest.outcomes.get().outcome == "held"
    shown = text(browser(stage.cast.ana), f"/mine/{newest.pk}/")
    assert "Borealis, Ember still hold the earlier version." in shown
    assert f"/recalls/of/{row.object_id}/" in shown
    assert "still hold" not in text(browser(stage.cast.ana), f"/mine/{row.pk}/")


def test_lists_cost_the_same_for_one_recall_as_for_many(
    stage: Stage, now: datetime, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    order(browser(stage.cast.ana), stage)
    tell(now)
    as_owner()
    who = stage.cast.as_(stage.cast.ana)
    with django_assert_max_num_queries(3):
        recall.recalls(who)
    with django_assert_max_num_queries(3):
        feedback.tasks(who)
    with django_assert_max_num_queries(8):
        reminders.told(analyst_of(stage.cast.ember))


def test_news_shows_a_revoked_object_as_revoked(stage: Stage, now: datetime) -> None:
    order(browser(stage.cast.ana), stage)
    tell(now)
    as_owner()
    ben = stage.cast.as_(stage.cast.ben)
    cards = inbox.news(ben, since=now - timedelta(days=1), now=now)
    assert "revoked" in {card.state for card in cards if card.stix_type == "indicator"}
