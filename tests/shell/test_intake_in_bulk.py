"""Intake of many objects at once: nothing is stored twice, lost, or written in another way."""

from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from exchange import contribute
from exchange.management.bench import material
from exchange.models import Hold, Outcome
from exchange.proof import jcs
from exchange.proof.refused import Refused
from indicators import store
from indicators.models import (
    Contribution,
    ForumObject,
    Item,
    Observable,
    Original,
    Submission,
    Version,
)
from members.seals import for_member
from tests.shell.sharing import NOON, Way, bundle, newer, range_indicator, set_up

ROWS = (ForumObject, Version, Original, Observable, Outcome, Hold)
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_VALUE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _TEXT
    | st.sampled_from(['":1.5', ',2e7 "', "\\", "\x7f", "\u2028", "10:22.5Z"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(_TEXT, _VALUE, max_size=5))
def test_an_object_is_kept_in_its_one_canonical_form(obj: dict[str, Any]) -> None:
    assert store.canonical(obj) == jcs.encode(obj)


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-11-24T12:00:00.123456789123Z", 1_795_521_600_123_456_789),
        ("2026-11-24T12:00:00.5Z", 1_795_521_600_500_000_000),
    ],
)
def test_an_instant_keeps_its_nanoseconds(text: str, ns: int) -> None:
    assert store.instant_ns(text) == ns


@pytest.fixture
def way(settings: LazySettings, tmp_path: Path) -> Way:
    cast = set_up(settings, tmp_path)
    return Way(cast, cast.relay_watch)


def _rows() -> list[int]:
    return [model._default_manager.count() for model in ROWS]


@pytest.mark.django_db
def test_the_same_envelope_twice_adds_nothing_but_its_own_account(way: Way) -> None:
    body = bundle(*material.indicators(60), range_indicator(description="We pay $2 per 1k tokens."))
    first = way.give(body=body)
    before = _rows()
    again = way.give(body=body)
    assert _rows() == before
    items = [
        list(Item.objects.filter(contribution=sent).order_by("position").values_list("version_id"))
        for sent in (first, again)
    ]
    assert items[0] == items[1]
    assert len(items[0]) == 61


@pytest.mark.django_db
def test_one_object_twice_in_an_envelope_is_stored_once_and_its_newer_state_beside_it(
    way: Way,
) -> None:
    one = range_indicator()
    way.give(newer(one, confidence=40), one, one)
    assert (ForumObject.objects.count(), Version.objects.count()) == (1, 2)
    waiting = Outcome.objects.filter(replaced=False).values_list("version__modified_ns", flat=True)
    assert list(waiting) == [store.version_ns(newer(one))]


@pytest.mark.django_db
def test_the_queries_of_intake_do_not_grow_with_its_objects(way: Way) -> None:
    counts = []
    for size in (20, 200):
        sent = contribute.submit(
            way.cast.as_(way.cast.ana),
            bundle(*material.indicators(size, seed=size)),
            circle_id=way.circle.id,
            source="api",
            now=NOON,
        )
        with CaptureQueriesContext(connection) as seen:
            assert contribute.accept(sent, now=NOON)
        counts.append(len(seen))
    assert counts[0] == counts[1]


@pytest.mark.django_db
def test_what_is_stored_is_what_was_sent(way: Way) -> None:
    sent = [
        range_indicator(name='Ä "quoted" {curly}, \\ back\nnew line', confidence=41),
        range_indicator(x_share=[0.1, 1e21, -0.0, 12]),
    ]
    way.give(*sent)
    rows = Version.objects.order_by("position").values_list("id", flat=True)
    kept = store.originals(way.cast.aurora.id, list(rows))
    assert [kept[pk] for pk in rows] == sent


@pytest.mark.django_db
def test_a_body_that_was_kept_as_it_came_is_taken_in_as_well(way: Way) -> None:
    ana = way.cast.as_(way.cast.ana)
    body = bundle(range_indicator(), range_indicator(x_note="\x00"))
    sent = contribute.submit(ana, body, circle_id=way.circle.id, source="api", now=NOON)
    sealed = for_member(way.cast.aurora.id).seal(body, aad=b"submission:" + sent.bytes)
    Submission.objects.filter(contribution=sent).update(sealed=sealed)
    assert contribute.accept(sent, now=NOON)
    kept = Contribution.objects.get(pk=sent)
    assert (kept.successes, kept.failures) == (1, 1)
    assert not Submission.objects.exists()


@pytest.mark.django_db
def test_what_is_kept_of_a_body_shows_nothing_of_it(way: Way) -> None:
    body = bundle(*[range_indicator(name="MARKER-7f3a") for _ in range(40)])
    contribute.submit(
        way.cast.as_(way.cast.ana), body, circle_id=way.circle.id, source="api", now=NOON
    )
    (sealed,) = Submission.objects.values_list("sealed", flat=True)
    assert b"MARKER" not in bytes(sealed)
    assert len(sealed) < len(body) / 4


@pytest.mark.django_db
@pytest.mark.parametrize(
    "body",
    [
        b'{"objects":[' + b"[" * 5_000,
        b'{"objects":[' + b'{"a":' * 5_000 + b"1" + b"}" * 5_000 + b"]}",
        b'{"objects":[' + b",".join([b"{}"] * 20_001) + b"]}",
        b'{"objects":[{"name":"cut in the mid',
        b"PK\x03\x04" + b"\x00" * 64,
        b'{"objects":[],"objects":[]}',
    ],
    ids=["open", "deep", "many", "cut", "zip", "twice"],
)
def test_a_hostile_envelope_is_refused_whole_and_leaves_no_row(way: Way, body: bytes) -> None:
    before = _rows()
    with pytest.raises(Refused):
        way.give(body=body)
    assert _rows() == before
    assert not Item.objects.exists()
