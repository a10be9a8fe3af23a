"""Promise 9: every door reads the same renditions, says as little, and leaves the same note."""

import json
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
from django.conf import LazySettings
from django.test import Client
from django.utils import timezone

from exchange.models import ReleaseItem, Rendition, ServedNote
from members.models import CircleMember, User
from tests.doors.clients import ROOT, client_of, objects
from tests.doors.stage import Stage, as_owner, set_stage

pytestmark = pytest.mark.django_db
# Volatile by their nature, or the digest of the very bytes that are compared.
VOLATILE = {"Date", "Set-Cookie"}
Answer = tuple[int, dict[str, str], bytes]


@pytest.fixture
def stage(settings: LazySettings, tmp_path: Any) -> Iterator[Stage]:
    settings.LEDGER_DIR = tmp_path / "ledger"
    yield set_stage(timezone.now())
    as_owner()


def doors(user: User) -> dict[str, Callable[[str], Answer]]:
    """Every door by which somebody may ask for one object."""
    machine = client_of(user, "taxii-read", "api-read")
    person = Client(raise_request_exception=False)
    as_owner()
    person.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    holding = f"{ROOT}collections/holding/"
    return {
        "taxii": lambda i: ask(machine, f"{holding}objects/{i}/"),
        "taxii filter": lambda i: ask(machine, f"{holding}objects/?match[id]={i}"),
        "taxii manifest": lambda i: ask(machine, f"{holding}manifest/?match[id]={i}"),
        "taxii versions": lambda i: ask(machine, f"{holding}objects/{i}/versions/"),
        "taxii own": lambda i: ask(machine, f"{ROOT}collections/own/objects/{i}/"),
        "rest": lambda i: ask(machine, f"/api/objects/{i}/"),
        "search": lambda i: ask(machine, f"/api/search/?value={i}"),
        "page": lambda i: ask(person, f"/objects/{i}/"),
        "campaign page": lambda i: ask(person, f"/campaigns/{i}/"),
        "export": lambda i: ask(person, f"/campaigns/{i}/bundle/"),
    }


def ask(client: Client, path: str) -> Answer:
    """All that an answer tells."""
    answer = client.get(path)
    as_owner()
    headers = {name: value for name, value in answer.items() if name not in VOLATILE}
    return answer.status_code, headers, answer.content


def held_by_ben(stage: Stage) -> str:
    """The forum id of Aurora's campaign."""
    found = objects(client_of(stage.cast.ben, "taxii-read"), "holding", "?match[type]=campaign")
    as_owner()
    return str(found[0]["id"])


def missing(stix_type: str = "campaign") -> str:
    """A name that leads nowhere."""
    return f"{stix_type}--{uuid4()}"


def alike(found: Answer, other: Answer, asked: tuple[str, str]) -> bool:
    """Whether two answers differ in nothing but the name that was asked for."""
    one, two = (
        (status, headers, body.replace(name.encode(), b"?"))
        for (status, headers, body), name in zip((found, other), asked, strict=True)
    )
    return one == two


def test_cleo_cannot_tell_held_originals_or_anothers_from_missing(stage: Stage) -> None:
    of_ben = held_by_ben(stage)
    for door, asking in doors(stage.cast.cleo).items():
        for there in (of_ben, stage.campaign, stage.held, stage.indicator):
            nowhere = missing(there.partition("--")[0])
            assert alike(asking(there), asking(nowhere), (there, nowhere)), door


def test_ben_cannot_tell_what_counsel_holds_from_missing(stage: Stage) -> None:
    for door, asking in doors(stage.cast.ben).items():
        nowhere = missing("threat-actor")
        assert alike(asking(stage.held), asking(nowhere), (stage.held, nowhere)), door


def test_every_door_shows_the_same_bytes(stage: Stage) -> None:
    there = held_by_ben(stage)
    body = bytes(Rendition.objects.get(stix_id=there).body)
    asking = doors(stage.cast.ben)
    assert asking["taxii"](there)[2] == b'{"objects":[%s]}' % body
    assert asking["taxii filter"](there)[2] == b'{"objects":[%s]}' % body
    assert asking["rest"](there)[2] == body
    assert body in asking["export"](there)[2]


def test_every_door_notes_who_took_it_and_how_far(stage: Stage) -> None:
    there = held_by_ben(stage)
    item = ReleaseItem.objects.get(rendition__stix_id=there)
    part = item.release.recipients.get(recipient=stage.cast.borealis)
    assert part.running is not None
    number = part.running + item.position
    for door, asking in doors(stage.cast.ben).items():
        before = ServedNote.objects.count()
        status, _, _ = asking(there)
        notes = list(ServedNote.objects.order_by("id")[before:])
        assert bool(notes) is (door != "taxii own"), door
        assert (status == 200) is bool(notes), door
        assert {note.recipient_id for note in notes} <= {stage.cast.borealis.id}
        assert not notes or any(n.first_seq <= number <= n.last_seq for n in notes), door
        assert all((n.user_id is None) is n.via.startswith(("taxii", "api")) for n in notes), door


def test_a_read_that_served_nothing_leaves_no_note(stage: Stage) -> None:
    asking = doors(stage.cast.cleo)
    before = ServedNote.objects.count()
    for door in asking.values():
        door(held_by_ben_unread(stage))
    assert ServedNote.objects.count() == before


def held_by_ben_unread(stage: Stage) -> str:
    """The same id, without a read that would be noted."""
    return str(Rendition.objects.filter(stix_type="campaign")[0].stix_id)


@pytest.mark.parametrize("how", ["recalled", "left the circle"])
def test_what_ben_may_no_longer_read_is_gone_from_every_door(stage: Stage, how: str) -> None:
    there = held_by_ben(stage)
    asking = doors(stage.cast.ben)
    assert asking["taxii"](there)[0] == asking["page"](there)[0] == 200
    if how == "recalled":
        ReleaseItem.objects.filter(rendition__stix_id=there).update(recalled=True)
    else:
        CircleMember.objects.filter(
            member=stage.cast.borealis, circle=stage.cast.relay_watch
        ).update(left_at=timezone.now())
    for door, ask_again in asking.items():
        nowhere = missing()
        assert alike(ask_again(there), ask_again(nowhere), (there, nowhere)), door


def test_no_page_shows_cleo_a_word_of_it(stage: Stage) -> None:
    there = held_by_ben(stage)
    person = Client()
    as_owner()
    person.force_login(stage.cast.cleo, backend="django.contrib.auth.backends.ModelBackend")
    machine = client_of(stage.cast.cleo, "taxii-read", "api-read", "ledger-read")
    name = json.loads(bytes(Rendition.objects.get(stix_id=there).body))["name"]
    places = ["/", "/campaigns/", "/contributions/", "/entries/", "/holds/"]
    answers = [ask(person, place) for place in places]
    answers += [
        ask(machine, f"{ROOT}collections/{one}/objects/") for one in ("holding", "circle-forum")
    ]
    for _, _, body in answers:
        assert there.encode() not in body
        assert str(name).encode() not in body
