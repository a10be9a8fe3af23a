"""Promise 7: what was answered with success survives kill -9, a flushed broker and a restart."""

import os
import signal
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
import redis

from exchange.management import processes
from exchange.management.demo import campaign
from tests.running import Running, exchange, program, wait_for


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with exchange(tmp_path_factory.mktemp("lost")) as found:
        yield found


def contribute(running: Running) -> str:
    made = campaign.bundle(now=datetime.now(UTC), new_id=lambda kind: f"{kind}--{uuid4()}")
    return running.contribute(made["objects"])


def flush(running: Running) -> None:
    """Lose every message of the broker."""
    path = urlsplit(running.env["REDIS_URL"]).path
    redis.Redis(unix_socket_path=path).flushall()


def crash_postgres(room: Path) -> None:
    """End one backend by force: PostgreSQL then stops all, recovers from its log, starts again."""
    postmaster = int((room / "postgres" / "postmaster.pid").read_text().split()[0])
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
    backends = [pid for pid in children if b"weir" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    os.kill(int(backends[0]), signal.SIGKILL)


def is_all_done(running: Running) -> bool:
    """Nothing is left to do; while the database recovers, nobody can tell."""
    try:
        counted = program(running.env, "count")
    except subprocess.CalledProcessError:
        return False
    return not any(
        counted[name] for name in ("pending", "unreleased", "unpublished", "undelivered")
    )


def test_killed_workers_a_flushed_broker_and_a_restarted_database_lose_nothing(
    running: Running,
) -> None:
    sent = [contribute(running) for _ in range(2)]
    for name in ("quick", "worker", "courier"):
        running.supervisor.kill(name)
    flush(running)
    sent += [contribute(running) for _ in range(2)]
    running.supervisor.kill("sequencer")
    log = running.room / "log"
    running.supervisor.start(
        processes.sequencer(running.env),
        processes.worker(running.env, log, name="quick", queues="quick"),
        processes.worker(running.env, log, name="worker", queues="render"),
        processes.worker(running.env, log, name="courier", queues="deliver,mail", concurrency=2),
    )
    wait_for("being taken in", lambda: program(running.env, "count")["pending"] < len(sent))
    crash_postgres(running.room)
    for name in ("quick", "worker"):
        running.supervisor.kill(name)
    flush(running)
    running.supervisor.start(
        processes.worker(running.env, log, name="quick", queues="quick"),
        processes.worker(running.env, log, name="worker", queues="render"),
    )
    wait_for(
        "everything released, published and delivered",
        lambda: is_all_done(running),
        seconds=150,
    )
    done = program(running.env, "count")
    assert done["unrecorded"] == 0
    assert done["delivered"] > 0
    for contribution in sent:
        assert running.state_of(contribution)["status"] == "complete"
    for name in ("borealis", "ember"):
        lines = running.pushed(name)
        first = {line["seq"]: line["jti"] for line in lines if not line["repeat"]}
        assert sorted(first) == list(range(1, len(first) + 1))
        assert all(first[line["seq"]] == line["jti"] for line in lines)
