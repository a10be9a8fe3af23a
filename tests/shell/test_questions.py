"""The twenty questions: each has its answer, linked to the ledger, for who may ask it."""

from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import LazySettings
from pytest_django import DjangoAssertNumQueries

from exchange import ledger
from exchange.access import Query
from exchange.proof import answers
from exchange.questions import as_of, book, exports, stated
from exchange.signers import signer_of
from members.scope import Acting, acting
from tests.shell import questions_material as material
from tests.shell import sharing
from tests.shell.questions_material import LATER, Scene

pytestmark = pytest.mark.django_db
BUNDLES = signer_of(Ed25519PrivateKey.from_private_bytes(sha256(b"bundles").digest()))
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


def test_as_borealis_on_a_moment_is_byte_for_byte_what_it_could_pull(scene: Scene) -> None:
    """Before the recall, after it, and before anything was shared."""
    otto = scene.cast.as_(scene.cast.otto)
    query = Query(versions=("last",))
    now_held = {one.body for one in sharing.feed(scene.cast.borealis, query=query)}

    def had(minutes: int) -> set[bytes]:
        with acting(otto.acting()):
            page = as_of.held(
                otto,
                scene.cast.borealis.id,
                at=sharing.NOON + timedelta(minutes=minutes),
                limit=500,
                now=LATER,
            )
        return {one.body for one in page.items if one.circle}

    assert had(110) == now_held
    before = had(45)
    assert len(before) == len(now_held)
    assert before != now_held  # the recalled range stood in the place of its revocation
    assert any(b"198.51.100.0/24" in body for body in before)
    assert had(-60) == set()


def test_each_export_has_the_rows_of_the_screen(scene: Scene) -> None:
    abel = scene.cast.as_(scene.cast.abel)
    ledger.announce("ledger", sharing.SIGNER.public, now=sharing.NOON)
    ledger.announce("bundle", BUNDLES.public, now=sharing.NOON)
    sharing.sequence(now=LATER)
    for form in exports.FORMS:
        with acting(abel.acting()):
            ordered = exports.order(abel, "q1", form, {}, now=LATER)
        with acting(Acting(), role="worker"):
            while exports.work(ordered, signer=BUNDLES, now=LATER):
                pass
        shown = scene.put(scene.cast.abel, "q1").answer.lines
        with acting(abel.acting()):
            made = exports.export(abel, ordered)
            assert made.state == "finished", made.failure
            assert [one.rows for one in made.files] == [len(shown)]
            _, body = exports.take(abel, ordered, 1, now=LATER)
        assert b"zanzibar" not in body
        if form == "json":
            assert len(answers.parse(body).rows) == len(shown)


def test_a_formula_in_a_table_is_inert(scene: Scene) -> None:
    abel = scene.cast.as_(scene.cast.abel)
    with acting(abel.acting()):
        stated.attest(
            abel,
            scene.indicator,
            whom="authority",
            tlp="amber+strict",
            passed_on=LATER.date(),
            words='=HYPERLINK("http://evil.example")',
            now=LATER,
        )
        ordered = exports.order(abel, "q17", "csv", {}, now=LATER)
    with acting(Acting(), role="worker"):
        assert not exports.work(ordered, signer=BUNDLES, now=LATER)
    with acting(abel.acting()):
        _, body = exports.take(abel, ordered, 1, now=LATER)
    assert b"'=HYPERLINK" in body


def test_an_attestation_is_fixed_in_the_ledger_and_says_whether_its_mark_allows_it(
    scene: Scene,
) -> None:
    material.attest(scene, scene.cast.abel)
    sharing.sequence(now=LATER)
    answer = scene.put(scene.cast.abel, "q17").answer
    (line,) = answer.lines
    assert "no" in line.values  # amber+strict reaches no authority
    assert line.marks
    told = scene.put(scene.cast.otto, "q17").answer
    assert "portal" not in repr(told)


def test_the_list_of_questions_asks_the_database_a_fixed_number_of_times(
    scene: Scene, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_max_num_queries(12):
        scene.put(scene.cast.abel, "q1")
    scene.way.pass_on(*[sharing.range_indicator(f"203.0.113.{n}/32") for n in range(20)])
    with django_assert_max_num_queries(12):
        scene.put(scene.cast.abel, "q1")
