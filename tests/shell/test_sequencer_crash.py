"""Eight writers, two sequencers, SIGKILL at random: whole batches, each row once, one log."""

import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.db import connection, connections
from pytest_django import Settings

from exchange import ledger
from exchange.ledger import check
from exchange.management import processes
from exchange.management.processes import Supervisor, wait_until
from exchange.models import (
    LedgerAccount,
    LedgerCheckpoint,
    LedgerEntry,
    LedgerIntake,
    LedgerTile,
    ReleaseRecipient,
    SigningKey,
)
from exchange.proof import keys, merkle, note
from tests.shell.ledger_material import Labs, contribute, make_labs, release_to

pytestmark = pytest.mark.django_db(transaction=True)

WRITERS = 8
KILLS = 10
SECONDS = 10.0


@pytest.fixture
def labs(settings: Settings, tmp_path: Path) -> Labs:
    settings.LEDGER_DIR = tmp_path / "ledger"
    return make_labs()


@contextmanager
def sequencers(tmp_path: Path, *names: str) -> Iterator[Supervisor]:
    """Real processes, with the sequencer's database role, on the tests' database."""
    with Supervisor(tmp_path / "log") as supervisor:
        for name in names:
            start(supervisor, name, tmp_path)
        yield supervisor


def start(supervisor: Supervisor, name: str, tmp_path: Path) -> None:
    base = dict(os.environ) | {
        "DATABASE_URL": os.environ["DATABASE_URL"].replace(
            "/weir?", f"/{connection.settings_dict['NAME']}?"
        ),
        "LEDGER_DIR": str(tmp_path / "ledger"),
    }
    program = processes.sequencer(base)
    supervisor.start(processes.Program(name, program.argv, program.env))


def is_published() -> bool:
    if LedgerIntake.objects.exists():
        return False
    last = LedgerEntry.objects.order_by("-idx").first()
    return last is not None and ledger.published_size() == last.idx + 1


def write(labs: Labs, until: float, wrote: list[int]) -> None:
    """Release after release, in transactions that overlap with the others'."""
    dice = random.Random()  # noqa: S311 - no secret
    try:
        while time.monotonic() < until:
            recipients = [labs.aurora, labs.borealis, labs.cirrus][: dice.randint(1, 3)]
            wrote += [row.pk for row in release_to(labs, recipients, count=dice.randint(1, 3))]
            contribute(labs, count=1)
            time.sleep(dice.random() / 20)
    finally:
        connections.close_all()


def kill_at_random(supervisor: Supervisor, tmp_path: Path, until: float) -> None:
    dice = random.Random()  # noqa: S311 - no secret
    for n in range(KILLS):
        time.sleep(max(0.0, (until - time.monotonic()) / (KILLS - n)) * 2 * dice.random())
        name = dice.choice(("one", "two"))
        supervisor.kill(name)
        start(supervisor, name, tmp_path)


def test_killed_sequencers_leave_one_whole_log(labs: Labs, tmp_path: Path) -> None:
    wrote: list[int] = []
    with sequencers(tmp_path, "one", "two") as supervisor:
        until = time.monotonic() + SECONDS
        writers = [
            threading.Thread(target=write, args=(labs, until, wrote)) for _ in range(WRITERS)
        ]
        for writer in writers:
            writer.start()
        kill_at_random(supervisor, tmp_path, until)
        for writer in writers:
            writer.join()
        assert wait_until(is_published, seconds=30), processes.last_lines(supervisor.log_of("one"))
        assert supervisor.deaths() == ()
    assert len(wrote) > WRITERS
    entries = list(LedgerEntry.objects.order_by("idx"))
    assert [entry.idx for entry in entries] == [*range(len(entries))]
    refs = [entry.ref for entry in entries if entry.kind == "release"]
    assert sorted(filter(None, refs)) == sorted(wrote)
    assert_no_gaps(labs)
    assert_one_history()
    assert check.problems(full=True) == ()


def assert_no_gaps(labs: Labs) -> None:
    for account in LedgerAccount.objects.all():
        slot = account.slot
        numbers = LedgerEntry.objects.filter(**{f"{slot}_member": account.member}).order_by("idx")
        assert [*numbers.values_list(f"{slot}_seq", flat=True)] == [*range(1, account.seq + 1)]
    for member in (labs.borealis, labs.cirrus):
        rows = ReleaseRecipient.objects.filter(recipient=member).order_by("idx")
        running, times = 0, []
        for row in rows.select_related("release"):
            assert row.running == running
            running += row.release.count
            times.append(row.added_at)
        assert None not in times
        assert times == sorted(set(filter(None, times)))


def assert_one_history() -> None:
    """All checkpoints belong to one log, and its tiles are those of its leaves."""
    signers = SigningKey.objects.filter(purpose="ledger")
    assert len(signers) == 1
    verifier = note.Verifier(ledger.origin(), note.LOG, bytes(signers[0].public))
    heads = [
        note.open_checkpoint(row.note, [verifier])[0]
        for row in LedgerCheckpoint.objects.order_by("size")
    ]
    for old, new in zip(heads, heads[1:], strict=False):
        path = [keys.unb64(line) for line in ledger.consistency(old.size, new.size).split()]
        merkle.verify_consistency(old.size, new.size, path, old.root, new.root)
    leaves = LedgerEntry.objects.order_by("idx").values_list("leaf", flat=True)
    tiles, root = merkle.append({}, 0, [merkle.leaf_hash(bytes(leaf)) for leaf in leaves])
    stored = LedgerTile.objects.values_list("level", "n", "hashes")
    assert {(level, n): bytes(hashes) for level, n, hashes in stored} == tiles
    assert heads[-1].root == root


def test_a_durable_server_and_its_sequencers_survive_twenty_kills() -> None:
    """The short form of `.venv/bin/python -m tests.crash`, which kills 200 times."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.crash", "20"],
        cwd=processes.ROOT,
        env={name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.startswith("20 kills in "), done.stderr[-3000:]
    assert "one log, nothing twice, nothing left out." in done.stdout


def test_a_heartbeat_makes_a_batch_whether_something_happened_or_not(
    labs: Labs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEDGER_HEARTBEAT", "1")
    with sequencers(tmp_path, "one"):
        assert wait_until(lambda: ledger.signed_size() >= 64, seconds=30)
        entries = LedgerEntry.objects.exclude(kind="pad")
        assert set(entries.values_list("kind", flat=True)) == {"key"}
        (row,) = release_to(labs, [labs.borealis])
        assert wait_until(
            lambda: ReleaseRecipient.objects.get(pk=row.pk).added_at is not None, seconds=20
        )


def test_a_single_release_is_published_quickly(labs: Labs, tmp_path: Path) -> None:
    with sequencers(tmp_path, "one"):
        assert wait_until(is_published, seconds=20)  # its own key is the first entry
        taken = []
        for _ in range(5):
            time.sleep(0.2)
            (row,) = release_to(labs, [labs.borealis])
            began = time.monotonic()
            wait_quickly(row.pk)
            taken.append(time.monotonic() - began)
    assert min(taken) < 0.5


def wait_quickly(recipient_row: int) -> None:
    limit = time.monotonic() + 10
    while ReleaseRecipient.objects.get(pk=recipient_row).added_at is None:
        assert time.monotonic() < limit
        time.sleep(0.005)


def test_a_stand_in_takes_over(labs: Labs, tmp_path: Path) -> None:
    with sequencers(tmp_path, "one", "two") as supervisor:
        assert wait_until(is_published, seconds=20)
        supervisor.kill("one")
        release_to(labs, [labs.borealis])
        assert wait_until(is_published, seconds=20)


def test_connections_that_break_are_made_again(labs: Labs, tmp_path: Path) -> None:
    with sequencers(tmp_path, "one") as supervisor:
        assert wait_until(is_published, seconds=20)
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        release_to(labs, [labs.borealis])
        assert wait_until(is_published, seconds=20)
        assert supervisor.deaths() == ()


def test_a_log_that_differs_ends_the_process_with_a_sentence(labs: Labs, tmp_path: Path) -> None:
    text = note.Checkpoint(ledger.origin(), 16, b"\x01" * 32).text()
    folder = tmp_path / "ledger"
    folder.mkdir()
    (folder / "last-checkpoint").write_text(text + "\n")
    with sequencers(tmp_path, "one") as supervisor:
        assert wait_until(lambda: bool(supervisor.deaths()), seconds=20)
        (death,) = supervisor.deaths()
    assert death.code == 1
    assert "it was restored from before. Nothing is signed: see ledger_resume." in str(death)
