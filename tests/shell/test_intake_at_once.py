"""Two workers take in what shares a name: the second waits, and finds what the first stored."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.conf import LazySettings
from django.db import connection, transaction

from exchange import contribute
from exchange.models import Outcome
from indicators.models import Contribution, ForumObject, Item, Submission, Version
from tests.shell.sharing import (
    NOON,
    Way,
    bodies,
    bundle,
    feed,
    leave,
    newer,
    range_indicator,
    sequence,
    set_up,
)

pytestmark = pytest.mark.django_db(transaction=True)
AGAIN = "You contributed this id and version before with other content."


@pytest.fixture
def way(settings: LazySettings, tmp_path: Path) -> Way:
    cast = set_up(settings, tmp_path)
    return Way(cast, cast.relay_watch)


class Worker(threading.Thread):
    """A worker with a connection of its own, that takes one contribution in."""

    def __init__(self, sent: UUID) -> None:
        super().__init__()
        self.sent = sent
        self.trouble: Exception | None = None
        self.start()

    def run(self) -> None:
        """As its task does."""
        try:
            contribute.accept(self.sent, now=NOON)
        except Exception as trouble:  # noqa: BLE001 - the test says what it was
            self.trouble = trouble
        finally:
            connection.close()


class _DiedError(Exception):
    """What ends a worker before it is done."""


@contextmanager
def another(*sent: UUID, dies: bool = False) -> Iterator[list[Worker]]:
    """What workers do that come while this one is not done; they are over at its end."""
    workers: list[Worker] = []
    try:
        with transaction.atomic():
            yield workers
            for number, one in enumerate(sent, 1):
                workers.append(Worker(one))
                wait_for_waiting(number)
            if dies:
                raise _DiedError
    except _DiedError:
        pass
    for worker in workers:
        worker.join(30)
        assert not worker.is_alive()


def wait_for_waiting(count: int) -> None:
    """Until so many others wait for something that this connection has."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_stat_clear_snapshot(), (SELECT count(DISTINCT pid) FROM pg_locks"
                " JOIN pg_stat_activity USING (pid)"
                " WHERE NOT granted AND datname = current_database())"
            )
            if cursor.fetchone()[1] >= count:
                return
        time.sleep(0.01)
    raise AssertionError("nobody waited")


def submit(way: Way, *objects: Mapping[str, Any]) -> UUID:
    """What Aurora's worker has still to take in."""
    ana = way.cast.as_(way.cast.ana)
    return contribute.submit(ana, bundle(*objects), circle_id=way.circle.id, source="api", now=NOON)


def client() -> dict[str, Any]:
    """An observable: it has one version for ever."""
    return {
        "type": "domain-name",
        "spec_version": "2.1",
        "id": f"domain-name--{uuid4()}",
        "value": "relay.example",
    }


def troubles(workers: list[Worker]) -> list[str]:
    return [repr(worker.trouble) for worker in workers if worker.trouble is not None]


def states() -> set[str]:
    return set(Contribution.objects.values_list("state", flat=True))


def test_what_two_contributions_share_is_stored_once_and_told_to_both(way: Way) -> None:
    shared, one, two = range_indicator(), range_indicator(), range_indicator()
    seen = client()
    first, second = submit(way, shared, seen, one), submit(way, two, seen, shared)
    with another(second) as workers:
        assert contribute.accept(first, now=NOON)
    assert troubles(workers) == []
    assert states() == {Contribution.State.COMPLETE}
    assert not Submission.objects.exists()
    assert ForumObject.objects.filter(member=way.cast.aurora).count() == 4
    # Who was first is the one that contributed it.
    owners = dict(Version.objects.values_list("id", "contribution_id"))
    items = Item.objects.order_by("position").values_list("version_id", flat=True)
    in_first, in_second = (list(items.filter(contribution=sent)) for sent in (first, second))
    assert [owners[pk] for pk in in_first] == [first] * 3
    assert [owners[pk] for pk in in_second] == [second, first, first]
    assert set(in_first) & set(in_second) == {in_first[0], in_first[1]}
    sequence(now=NOON)
    assert [success for success, _ in way.messages(second)] == [True] * 3
    leave(now=NOON + timedelta(minutes=15))
    got = bodies(feed(way.cast.borealis, now=NOON + timedelta(minutes=15)))
    assert len(got) == len({one["id"] for one in got}) == 4


def test_other_content_under_the_same_new_version_is_refused_to_who_comes_second(way: Way) -> None:
    obj = range_indicator()
    first, second = submit(way, obj), submit(way, {**obj, "confidence": 41}, range_indicator())
    with another(second) as workers:
        assert contribute.accept(first, now=NOON)
    assert troubles(workers) == []
    sequence(now=NOON)
    (other, own) = way.messages(second)
    assert not other[0]
    assert other[1].startswith(AGAIN)
    assert own[0]
    assert Version.objects.count() == 2


@pytest.mark.parametrize("is_known", [False, True], ids=["new", "known"])
@pytest.mark.parametrize("is_older", [False, True], ids=["newer", "older"])
def test_who_comes_second_knows_which_version_is_the_newest(
    way: Way, *, is_known: bool, is_older: bool
) -> None:
    obj = range_indicator()
    if is_known:
        way.give(obj)
    low, high = (newer(obj, minutes=minutes, confidence=40) for minutes in (10, 20))
    order = (high, low) if is_older else (low, high)
    first, second = submit(way, order[0]), submit(way, order[1])
    with another(second) as workers:
        assert contribute.accept(first, now=NOON)
    assert troubles(workers) == []
    assert ForumObject.objects.filter(member=way.cast.aurora).count() == 1
    assert [row.is_late for row in Version.objects.filter(contribution=second)] == [is_older]
    waiting = Outcome.objects.filter(replaced=False, contribution__member=way.cast.aurora)
    assert waiting.get().contribution_id == (first if is_older else second)


def test_the_same_new_version_of_a_known_object_is_stored_once(way: Way) -> None:
    obj = range_indicator()
    way.give(obj)
    changed = newer(obj, confidence=40)
    first, second = submit(way, changed), submit(way, changed)
    with another(second) as workers:
        assert contribute.accept(first, now=NOON)
    assert troubles(workers) == []
    assert Version.objects.count() == 2
    assert states() == {Contribution.State.COMPLETE}


@pytest.mark.parametrize("is_known", [False, True], ids=["new", "known"])
def test_workers_do_not_wait_for_each_other_in_a_ring(way: Way, *, is_known: bool) -> None:
    """What stands between them is held by a worker that dies; then both go on."""
    objects = [range_indicator() for _ in range(12)]
    if is_known:
        way.give(*objects)
        objects = [newer(one, confidence=40) for one in objects]
    before = Version.objects.count()
    forth, back = submit(way, *objects), submit(way, *reversed(objects))
    middle = submit(way, objects[4], objects[5], objects[6])
    with another(forth, back, dies=True) as workers:
        assert contribute.accept(middle, now=NOON)
    assert troubles(workers) == []
    assert Version.objects.count() == before + 12
    assert contribute.waiting() == (middle,)
    assert contribute.accept(middle, now=NOON)
    assert Version.objects.count() == before + 12
    assert states() == {Contribution.State.COMPLETE}


def test_a_lab_never_waits_for_another_that_uses_the_same_names(way: Way) -> None:
    obj = range_indicator()
    first = submit(way, obj)
    second = contribute.submit(
        way.cast.as_(way.cast.ben), bundle(obj), circle_id=way.circle.id, source="api", now=NOON
    )
    with transaction.atomic():
        assert contribute.accept(first, now=NOON)
        worker = Worker(second)
        worker.join(30)
        assert not worker.is_alive()
        assert worker.trouble is None
    assert ForumObject.objects.count() == 2
