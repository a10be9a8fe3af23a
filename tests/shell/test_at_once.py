"""What waits for no window leaves with its intake, and what is small never stands behind more."""

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

from exchange import contribute
from exchange.celery import QUEUES, app, keep_connection
from exchange.models import Release
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
