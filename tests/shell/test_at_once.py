"""What waits for no window leaves with its intake, and what is small never stands behind more."""

import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import psycopg
import pytest
import redis
from celery.fixups import django as fixups
from django.conf import LazySettings
from django.db import connection
from pytest_django import DjangoCaptureOnCommitCallbacks

from exchange import contribute, ledger, release
from exchange.celery import QUEUES, app, keep_connection
from exchange.ledger import pace
from exchange.models import LedgerIntake, Release
from tests.shell.sharing import (
    NOON,
    Way,
    bundle,
    domain_indicator,
    feed,
    range_indicator,
    sequence,
    set_up,
)

# Between two windows.
NOW = NOON + timedelta(minutes=1)

pytestmark = pytest.mark.django_db


@pytest.fixture
def way(settings: LazySettings, tmp_path: Path) -> Way:
    cast = set_up(settings, tmp_path)
    return Way(cast, cast.relay_watch)


@pytest.fixture
def queues(broker: str) -> Iterator[redis.Redis]:
    """The broker, its queues empty before and after."""
    valkey = redis.Redis(unix_socket_path=urlsplit(broker).path)
    valkey.delete(*QUEUES)
    yield valkey
    valkey.delete(*QUEUES)
    valkey.close()


def submit(way: Way, *objects: dict[str, Any]) -> Any:
    who = way.cast.as_(way.cast.ana)
    body = bundle(*objects)
    return contribute.submit(who, body, circle_id=way.circle.id, source="api", now=NOW)


def hints(queues: redis.Redis) -> dict[str, list[str]]:
    """The tasks that wait in each queue."""
    return {
        name: [orjson.loads(one)["headers"]["task"] for one in queues.lrange(name, 0, -1)]
        for name in QUEUES
    }


def test_an_s1_object_leaves_with_its_intake_and_an_s2_object_waits(way: Way) -> None:
    sent = submit(way, range_indicator(), domain_indicator())
    assert contribute.take_in(sent, now=NOW)
    sequence(now=NOW)
    assert [one.stix_type for one in feed(way.cast.borealis, now=NOW)] == ["indicator"]
    assert "ipv4-addr" in str(feed(way.cast.borealis, now=NOW)[0].body)
    assert not contribute.take_in(sent, now=NOW)


def test_where_all_waits_nothing_is_released(way: Way) -> None:
    before = Release.objects.count()
    assert contribute.take_in(submit(way, domain_indicator()), now=NOW)
    assert Release.objects.count() == before


def test_what_is_small_and_what_is_large_have_queues_of_their_own(
    way: Way,
    queues: redis.Redis,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    many = [range_indicator(f"10.0.{n}.0/24") for n in range(contribute.QUICK + 1)]
    with django_capture_on_commit_callbacks(execute=True):
        submit(way, *many[: contribute.QUICK])
    assert hints(queues)["quick"] == ["exchange.tasks.accept"]
    with django_capture_on_commit_callbacks(execute=True):
        large = submit(way, *many)
    assert hints(queues)["render"] == ["exchange.tasks.accept"]
    # What is large is released as a piece of work of its own, also where it waits for no window.
    assert contribute.take_in(large, now=NOW)
    assert not Release.objects.filter(contribution_id=large).exists()
    assert hints(queues)["render"][0] == "exchange.tasks.release"


@pytest.mark.django_db(transaction=True)
def test_a_worker_keeps_its_connection_from_task_to_task_unless_it_was_broken() -> None:
    """To begin one costs the database more than a small contribution."""
    fixup = fixups.DjangoWorkerFixup(app)  # type: ignore[attr-defined] # its stubs lack it
    connection.close()  # that of the tests before may be so old that it is due to end
    first = backend()
    fixup.close_database()
    keep_connection()
    assert backend() == first
    with psycopg.connect(**connection.get_connection_params()) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [first])
    fixup.close_database()
    keep_connection()
    assert backend() != first


def backend() -> int:
    """The process behind the connection."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    return int(pid)


def queue_up(count: int) -> None:
    """So many parts in the ledger's queue."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO ledger_intake (kind, ref) SELECT 'release', generate_series(1, %s)",
            [count],
        )


@pytest.mark.django_db(transaction=True)
def test_a_long_window_waits_while_the_sequencer_has_much_to_do() -> None:
    """Else what leaves at once would stand behind all that a window lets go."""
    queue_up(pace.MOST + 100)

    def empty() -> None:
        for _ in range(3):
            time.sleep(0.1)
            LedgerIntake.objects.filter(
                id__in=LedgerIntake.objects.order_by("id").values("id")[:50]
            ).delete()
        connection.close()

    sequencer = threading.Thread(target=empty)
    sequencer.start()
    ledger.Pace().wait()
    assert LedgerIntake.objects.count() <= pace.MOST
    sequencer.join()


def test_where_the_sequencer_is_away_a_window_does_not_wait_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pace, "_PATIENCE", 0.05)
    queue_up(pace.MOST + 1)
    one = ledger.Pace()
    one.wait()
    assert one.is_away


def test_what_a_window_lets_go_is_paced(way: Way) -> None:
    way.give(domain_indicator(), now=NOON)
    asked: list[int] = []
    assert release.open_windows(now=NOON, before_each=lambda: asked.append(1))
    assert asked == [1]
