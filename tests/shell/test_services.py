"""PostgreSQL and Valkey start, stop, and start again after whatever happened to the last run."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
import redis

from exchange.celery import QUEUES, nudge
from exchange.management import services
from exchange.management.processes import (
    ROOT,
    ProcessFailed,
    Program,
    Supervisor,
    die_with_parent,
    wait_until,
)

NOTHING: dict[str, str] = {}
RUN = """
import signal, sys, time
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background shell ignores it
from exchange.management import services
with services.running(Path(sys.argv[1]), given={}) as urls:
    print("up", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def room() -> Iterator[Path]:
    """A short path: the sockets are inside it."""
    folder = Path(tempfile.mkdtemp(prefix="weir-t-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def another_run(room: Path) -> subprocess.Popen[str]:
    """A run in a process of its own, up."""
    run = subprocess.Popen(
        [sys.executable, "-c", RUN, str(room)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert run.stdout is not None
    assert run.stdout.readline() == "up\n"
    return run


def pids(room: Path) -> list[int]:
    """The two servers of a room."""
    files = (room / "postgres" / "postmaster.pid", room / "run" / "valkey.pid")
    return [int(file.read_text().split()[0]) for file in files if file.exists()]


def members(group: int) -> list[int]:
    """The processes of a group, zombies too."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if stat.read_text().rpartition(")")[2].split()[2] == str(group):
                found.append(int(stat.parent.name))
    return found


def runs(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_data_survives_a_stop_and_nothing_is_left_running(room: Path) -> None:
    with services.running(room, given=NOTHING) as urls:
        assert urls == services.addresses(room, NOTHING)
        with psycopg.connect(urls["DATABASE_URL"]) as database:
            database.execute("CREATE TABLE kept AS SELECT 7 AS n")
            durable = database.execute("SHOW fsync").fetchone()
        valkey = redis.Redis(unix_socket_path=str(room / "run" / "valkey.sock"))
        valkey.set("kept", "8")
        assert valkey.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        valkey.close()
        started = pids(room)
    assert durable == ("on",)
    assert len(started) == 2
    assert not any(runs(pid) for pid in started)
    with services.running(room, durable=False, given=NOTHING) as urls:
        with psycopg.connect(urls["DATABASE_URL"]) as database:
            assert database.execute("SELECT n FROM kept").fetchone() == (7,)
            assert database.execute("SHOW fsync").fetchone() == ("off",)
        valkey = redis.Redis(unix_socket_path=str(room / "run" / "valkey.sock"))
        assert valkey.get("kept") == b"8"
        valkey.close()


def test_no_other_user_can_enter(room: Path) -> None:
    with services.running(room, durable=False, given=NOTHING):
        for folder in (room, room / "run", room / "run" / "pg", room / "postgres"):
            assert folder.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_stops_the_servers_and_a_second_run_works(
    room: Path, number: signal.Signals
) -> None:
    run = another_run(room)
    started = pids(room)
    run.send_signal(number)
    run.communicate(timeout=30)
    assert wait_until(lambda: not any(runs(pid) for pid in started), seconds=10)
    with services.running(room, durable=False, given=NOTHING) as urls:
        psycopg.connect(urls["DATABASE_URL"]).close()


def test_servers_that_got_sigkill_themselves_start_again(room: Path) -> None:
    with services.running(room, given=NOTHING):
        for pid in pids(room):
            os.kill(pid, signal.SIGKILL)
    (room / "run" / "valkey.pid").write_text(str(os.getpid()))  # the number is another's by now
    with services.running(room, given=NOTHING) as urls:
        psycopg.connect(urls["DATABASE_URL"]).close()


def test_two_runs_in_one_folder_are_refused(room: Path) -> None:
    run = another_run(room)
    with pytest.raises(ProcessFailed, match="another run"), services.running(room, given=NOTHING):
        pass
    run.terminate()
    run.communicate(timeout=30)


def test_what_the_environment_names_is_not_started(room: Path) -> None:
    given = {"DATABASE_URL": "postgresql://weir@db/weir", "REDIS_URL": "redis://cache:6379/0"}
    with services.running(room, given=given) as urls:
        assert urls == given
        assert pids(room) == []


def test_sockets_of_a_deep_folder_are_elsewhere_and_private(room: Path) -> None:
    deep = room / ("d" * 60) / ("e" * 60)
    with services.running(deep, durable=False, given=NOTHING) as urls:
        psycopg.connect(urls["DATABASE_URL"]).close()
    sockets = services.socket_dir(deep)
    assert not sockets.is_relative_to(room)
    assert sockets.stat().st_mode & 0o077 == 0
    shutil.rmtree(sockets)


@pytest.mark.skipif(os.getuid() != 0, reason="only root runs PostgreSQL as another user")
def test_root_without_user_namespaces_runs_it_as_nobody(
    room: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = room / "programs"
    programs.mkdir()
    for name in ("setpriv", "test", "true"):
        found = shutil.which(name)
        assert found is not None
        (programs / name).symlink_to(found)
    monkeypatch.setenv("PATH", str(programs))
    data = room / "data"
    with services.running(data, durable=False, given=NOTHING) as urls:
        psycopg.connect(urls["DATABASE_URL"]).close()
        home = (data / "run" / "pg").resolve().parent
        assert home.stat().st_uid == services.NOBODY
    shutil.rmtree(home)


def sleeper(name: str, *, is_ready: Callable[[], bool] | None = None) -> Program:
    """A child that waits, and has a child of its own."""
    code = "import subprocess; subprocess.run(['sleep', '60'])"
    return Program(name, (sys.executable, "-c", code), os.environ, is_ready)


def test_a_child_that_dies_is_named_with_its_last_words(room: Path) -> None:
    loud = Program("loud", (sys.executable, "-c", "import sys; sys.exit('no key')"), os.environ)
    with Supervisor(room / "log") as children:
        children.start(sleeper("quiet"), loud)
        assert wait_until(lambda: bool(children.deaths()), seconds=10)
        (death,) = children.deaths()
        assert str(death) == "loud ended with exit code 1\nno key"
        with pytest.raises(ProcessFailed, match="no key"):
            children.wait_ready(seconds=1)


def test_a_child_that_is_never_ready_is_named(room: Path) -> None:
    with Supervisor(room / "log") as children:
        children.start(sleeper("slow", is_ready=lambda: False))
        with pytest.raises(ProcessFailed, match="slow is not ready"):
            children.wait_ready(seconds=0.2)


def test_leaving_the_block_ends_the_whole_tree(room: Path) -> None:
    with Supervisor(room / "log") as children:
        children.start(sleeper("one"), sleeper("two"))
        trees = [children.pid("one"), children.pid("two")]
        children.kill("one")
        assert [death.code for death in children.deaths()] == [-signal.SIGKILL]
        children.start(sleeper("one"))
        trees.append(children.pid("one"))
        assert wait_until(lambda: len(members(trees[-1])) == 2, seconds=10)
    assert not any(runs(pid) for group in trees for pid in members(group))


def test_a_child_asks_the_kernel_to_end_with_its_parent() -> None:
    assert (die_with_parent(signal.SIGTERM) is None) == (sys.platform != "linux")


def test_a_nudge_reaches_its_queue_and_no_other(broker: str) -> None:
    valkey = redis.Redis(unix_socket_path=urlsplit(broker).path)
    before = {name: valkey.llen(name) for name in QUEUES}
    assert nudge("exchange.tasks.nothing", 7, queue="mail")
    added = {name: valkey.llen(name) - before[name] for name in QUEUES}
    valkey.delete("mail")
    valkey.close()
    assert added == {**dict.fromkeys(QUEUES, 0), "mail": 1}


def test_a_broker_that_is_away_costs_a_line_and_little_time(room: Path) -> None:
    code = """
import time
from exchange import telemetry
from exchange.celery import nudge
for _ in range(2):
    start = time.monotonic()
    assert not nudge("exchange.tasks.nothing", 7, queue="mail")
    assert time.monotonic() - start < 3
assert telemetry.counters() == {"nudge.lost": 2}
"""
    env = os.environ | {"REDIS_URL": f"redis+socket://{room}/nobody.sock"}
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, check=True, timeout=30)
