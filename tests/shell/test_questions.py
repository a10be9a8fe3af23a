"""The twenty questions: each has its answer, linked to the ledger, for who may ask it."""

from pathlib import Path

import pytest
from django.conf import LazySettings

from exchange.questions import book, stated
from members.scope import acting
from tests.shell import questions_material as material
from tests.shell.questions_material import LATER, Scene

pytestmark = pytest.mark.django_db
EVERY = [f"q{number}" for number in range(1, 21)]


@pytest.fixture
def scene(settings: LazySettings, tmp_path: Path) -> Scene:
    return material.set_scene(settings, tmp_path)


def needed(scene: Scene, name: str) -> dict[str, object]:
    """What a question needs to have an answer."""
    given: dict[str, dict[str, object]] = {
        "q2": {"campaign": scene.campaign},
        "q4": {"object": scene.indicator, "recipient": scene.cast.borealis.id},
        "q10": {"since": "2026-11-01"},
    }
    if name == "q14":
        abel = scene.cast.as_(scene.cast.abel)
        with acting(abel.acting()):
            made = stated.inquire(abel, "email-address", material.PERSON, now=LATER)
        return {"inquiry": made}
    return given.get(name, {})


def test_there_are_twenty_questions() -> None:
    assert list(book.QUESTIONS) == EVERY


@pytest.mark.parametrize("name", EVERY)
def test_abel_has_an_answer_to_every_question(scene: Scene, name: str) -> None:
    put = scene.put(scene.cast.abel, name, **needed(scene, name))
    assert not put.lacks
    assert put.answer.columns
    for line in put.answer.lines:
        assert len(line.values) == len(put.answer.columns)
