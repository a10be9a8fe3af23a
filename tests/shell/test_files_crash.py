"""Real workers take a file in: one is killed in the middle, and nothing is lost or doubled."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import pytest
from django.conf import LazySettings
from django.db import connection, transaction

from exchange import files
from exchange.management.processes import wait_until
from exchange.models import File, FilePart, Outcome
from indicators.models import Contribution, Item, Submission, Version
from tests.shell import sharing
from tests.shell.sharing import NOON, Way
from tests.shell.test_files import hand_in, lying, ranges, status, told
from tests.shell.test_replay_crash import others, waits_for_a_lock

pytestmark = pytest.mark.django_db(transaction=True)
ROOT = Path(__file__).resolve().parents[2]
MOST_MEMORY = 250 * 1024 * 1024


@pytest.fixture
def way(settings: LazySettings, tmp_path: Path) -> Way:
    settings.FILES_DIR = tmp_path / "files"
    cast = sharing.set_up(settings, tmp_path)
    return Way(cast, cast.relay_watch)


@contextmanager
def workers(
    settings: LazySettings, sent: UUID, count: int, *, size: str
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes with a worker's database role, on the tests' database and the tests' folder."""
    url = os.environ["DATABASE_URL"].replace("/weir?", f"/{connection.settings_dict['NAME']}?")
    env: Mapping[str, str] = {
        **os.environ,
        "DATABASE_URL": url,
        "DATABASE_ROLE": "worker",
        "FILES_DIR": str(settings.FILES_DIR),
    }
    argv = [sys.executable, "-m", "exchange.management.bench.file_worker", str(sent), size]
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


def killed_while(settings: LazySettings, sent: UUID, table: str, *, size: str) -> None:
    """A worker gets SIGKILL while it waits to write to a table."""
    connected = others()  # what an earlier test left open is none of ours
    with workers(settings, sent, 1, size=size) as (child,):
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute(f"LOCK TABLE {table} IN EXCLUSIVE MODE")
            assert wait_until(waits_for_a_lock, seconds=60)
            child.send_signal(signal.SIGKILL)
            child.wait()
        assert wait_until(lambda: others() <= connected, seconds=60)


def test_what_a_killed_worker_left_another_takes_up(way: Way, settings: LazySettings) -> None:
    sent = hand_in(way, sharing.bundle(*ranges(23)))
    # Killed while the parts are written down, at the end of the first reading.
    killed_while(settings, sent, "exchange_filepart", size="5")
    row = File.objects.get(pk=sent)
    assert (row.state, row.total) == ("reading", 20)  # the last slice is open
    while not FilePart.objects.filter(file=sent, taken_at__isnull=False).exists():
        files.work(sent, now=NOON)  # here with parts of the shipped size, were there none
        if FilePart.objects.filter(file=sent).exists():
            break
    assert not Contribution.objects.exists()
    # Killed in the middle of a part: contributed, its versions stored, its items not yet.
    killed_while(settings, sent, "indicators_item", size="5")
    assert (Contribution.objects.count(), Version.objects.count()) == (0, 0)
    assert len(lying(settings)) == 2  # file and index wait for who goes on
    with workers(settings, sent, 2, size="5") as children:
        assert [child.wait(120) for child in children] == [0, 0]
    sharing.sequence(now=NOON)
    found = status(way, sent)
    assert (found.state, found.total, found.successes) == ("complete", 23, 23)
    assert Version.objects.count() == Outcome.objects.count() == Item.objects.count() == 23
    assert not Submission.objects.exists()
    assert len({one.stix_id for one in told(way, sent)}) == 23
    assert lying(settings) == []


def test_two_workers_share_the_parts_of_a_file(way: Way, settings: LazySettings) -> None:
    sent = hand_in(way, sharing.bundle(*ranges(23)))
    with workers(settings, sent, 2, size="4") as children:
        assert [child.wait(120) for child in children] == [0, 0]
    sharing.sequence(now=NOON)
    found = status(way, sent)
    assert (found.state, found.parts, found.successes) == ("complete", 6, 23)
    assert Contribution.objects.count() == 6


def test_a_long_file_is_taken_in_bounded_memory(way: Way, settings: LazySettings) -> None:
    """Four times as long, it costs no more: what grows is a few bytes for each object."""
    peaks = []
    for count in (800, 3_200):
        note = "x" * 3_000
        sent = hand_in(way, sharing.bundle(*ranges(count, description=note)))
        with workers(settings, sent, 1, size="200") as (child,):
            said, _ = child.communicate(timeout=300)
        assert child.returncode == 0
        assert File.objects.get(pk=sent).successes == count
        peaks.append(int(said))
    assert peaks[1] < MOST_MEMORY
    assert peaks[1] - peaks[0] < 12 * 1024 * 1024
