"""Real workers share a preview: one is killed in the middle, and nothing is lost or told twice."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.db import connection, transaction

from exchange import replay
from exchange.management.processes import wait_until
from exchange.models import Preview, PreviewLine, PreviewPart
from tests.shell import sharing
from tests.shell.sharing import NOON, Way

pytestmark = pytest.mark.django_db(transaction=True)
ROOT = Path(__file__).resolve().parents[2]
MOST_MEMORY = 300 * 1024 * 1024
DOCUMENT = {"version": 2, "drop_kinds": ["egress-range"], "dates": "month"}


@pytest.fixture
def way(settings: LazySettings, tmp_path: Path) -> Way:
    cast = sharing.set_up(settings, tmp_path)
    return Way(cast, cast.relay_watch)


@contextmanager
def workers(asked: Preview, count: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes with a worker's database role, on the tests' database."""
    url = os.environ["DATABASE_URL"].replace("/weir?", f"/{connection.settings_dict['NAME']}?")
    env: Mapping[str, str] = {**os.environ, "DATABASE_URL": url, "DATABASE_ROLE": "worker"}
    argv = [sys.executable, "-m", "exchange.management.bench.preview_worker", str(asked.id)]
    children = [
        subprocess.Popen(argv, env=env, cwd=ROOT, stdout=subprocess.PIPE) for _ in range(count)
    ]
    try:
        yield children
    finally:
        for child in children:
            child.kill()
            child.wait()
            if child.stdout is not None:
                child.stdout.close()


def start(way: Way) -> Preview:
    """Abel starts a preview over all that is there."""
    asked = replay.start(
        way.cast.as_(way.cast.abel),
        kind="member",
        member_id=way.cast.aurora.id,
        document=DOCUMENT,
        since=NOON - timedelta(days=1),
        until=NOON + timedelta(hours=1),
        now=NOON,
    )
    return Preview.objects.get(pk=asked)


def waits_for_a_lock() -> bool:
    return waiting() > 0


def waiting() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        found: int = cursor.fetchone()[0]
        return found


def others() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
        found: int = cursor.fetchone()[0]
        return found


def test_what_a_killed_worker_left_another_takes_up(
    way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(6):
        way.give(sharing.range_indicator(f"203.0.113.{n * 16}/28"), sharing.domain_indicator())
    whole = start(way)
    while replay.work(whole.id, now=NOON):
        pass
    whole.refresh_from_db()
    monkeypatch.setattr(replay.working, "OBJECTS", 1)
    asked = start(way)
    assert replay.work(asked.id, now=NOON)  # the parts are made, one of six is done
    before = PreviewLine.objects.filter(preview=asked).count()
    connected = others()  # what an earlier test left open is none of ours
    with workers(asked, 1) as (child,):
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("LOCK TABLE exchange_previewline IN EXCLUSIVE MODE")
            assert wait_until(waits_for_a_lock, seconds=60)  # it is about to write its lines
            child.send_signal(signal.SIGKILL)
            child.wait()
        assert wait_until(lambda: others() <= connected, seconds=60)
    assert PreviewLine.objects.filter(preview=asked).count() == before
    assert PreviewPart.objects.filter(preview=asked, done_at__isnull=True).count() == 5
    asked.refresh_from_db()
    assert asked.state == "running"
    with workers(asked, 2) as children:
        assert [child.wait(120) for child in children] == [0, 0]
    asked.refresh_from_db()
    assert asked.state == "finished"
    assert (asked.done, asked.hidden, asked.shown) == (whole.total, whole.hidden, whole.shown)
    assert asked.counts == whole.counts
    lines = [PreviewLine.objects.filter(preview=one) for one in (asked, whole)]
    assert lines[0].count() == lines[1].count()
    told = lines[0].values_list("outcome_id", "path", "way", "audiences")
    assert len({(*row[:3], tuple(row[3])) for row in told}) == lines[0].count()


def test_a_second_worker_waits_while_the_parts_are_made(way: Way) -> None:
    way.give(sharing.range_indicator(), sharing.domain_indicator())
    asked = start(way)
    with workers(asked, 2) as children:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("LOCK TABLE exchange_previewpart IN EXCLUSIVE MODE")
            assert wait_until(lambda: waiting() == 2, seconds=60)
        assert [child.wait(120) for child in children] == [0, 0]
    asked.refresh_from_db()
    assert (asked.state, asked.done) == ("finished", 2)


def test_a_large_contribution_is_decided_in_bounded_memory(way: Way) -> None:
    root = sharing.campaign(description="x" * 2_000)
    objects = [root]
    for n in range(400):
        one = sharing.range_indicator(
            f"203.0.{n % 256}.{n // 256 * 16}/28", description=f"{n} " * 300
        )
        objects += [one, sharing.indicates(one["id"], root["id"])]
    way.give(*objects)
    asked = start(way)
    with workers(asked, 1) as (child,):
        said, _ = child.communicate(timeout=120)
    assert child.returncode == 0
    asked.refresh_from_db()
    assert (asked.state, asked.done) == ("finished", len(objects))
    # An indicator and its relationship no longer leave, but where the range is held anyhow.
    assert asked.hidden >= 700
    assert 0 < int(said) < MOST_MEMORY
