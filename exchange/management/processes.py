"""Start child processes, see that they are ready, say when one dies, and leave none behind."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

PR_SET_PDEATHSIG = 1
ROOT = Path(__file__).resolve().parents[2]
SIGNERS = ("SIGNER_BUNDLE", "SIGNER_DELIVERY", "SIGNER_LEDGER")
MASTER_KEYS = ("WRAPPING_KEY", "INDEX_KEY", "TOKEN_KEY")
POOL_KEY = "POOL_KEY"  # of the worker of the queue `pool`, and nobody else


class ProcessFailed(RuntimeError):
    """A child did not start, or did not become ready; the message ends with its last log lines."""


@dataclass(frozen=True, slots=True)
class Program:
    """One child: its name, what is run, its whole environment, and how to see that it is ready."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    is_ready: Callable[[], bool] | None = None
    stop_signal: signal.Signals = signal.SIGTERM


@dataclass(frozen=True, slots=True)
class Death:
    """A child that ended without being asked to."""

    name: str
    code: int
    last_lines: str

    def __str__(self) -> str:
        how = f"signal {-self.code}" if self.code < 0 else f"exit code {self.code}"
        return f"{self.name} ended with {how}\n{self.last_lines}".rstrip()


def die_with_parent(number: int) -> Callable[[], None] | None:
    """What a child runs first, so that the kernel ends it even when its parent got SIGKILL."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl  # looked up before the fork: after it only calls are safe
    parent = os.getpid()

    def ask_kernel() -> None:
        prctl(PR_SET_PDEATHSIG, number, 0, 0, 0)
        if os.getppid() != parent:  # the parent died between fork and prctl
            os.kill(os.getpid(), number)

    return ask_kernel


@contextmanager
def ending_on_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP unwind the stack like Ctrl-C does, so that every `finally` runs."""

    def unwind(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, unwind) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def deaf_to_signals() -> Iterator[None]:
    """A second Ctrl-C, sent while children are being stopped, does not leave half of them."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def last_lines(path: Path, count: int = 15) -> str:
    """The end of a log file; empty when there is none."""
    if not path.exists():
        return ""
    return "\n".join(path.read_text("utf-8", "replace").splitlines()[-count:])


def wait_until(is_true: Callable[[], bool], *, seconds: float) -> bool:
    """Ask every 50 ms; False when the time is over."""
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        if is_true():
            return True
        time.sleep(0.05)
    return is_true()


def signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    """Send a signal to a child and all that it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def spawn(program: Program, log: Path) -> subprocess.Popen[bytes]:
    """Start a program in a process group of its own; its output is appended to `log`."""
    log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with log.open("ab") as sink:
        return subprocess.Popen(  # noqa: S603 - the programs are ours, no shell
            program.argv,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            env=dict(program.env),
            cwd=ROOT,
            start_new_session=True,  # a Ctrl-C reaches us only; we stop the rest in order
            preexec_fn=die_with_parent(program.stop_signal),  # one prctl call
        )


def stop(process: subprocess.Popen[bytes], *, by: signal.Signals, seconds: float = 10) -> None:
    """Ask a child to end, wait, then end its whole group by force."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            process.send_signal(by)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            signal_group(process, signal.SIGKILL)
            process.wait()
    signal_group(process, signal.SIGKILL)  # grandchildren that outlived their parent


class Supervisor:
    """The children of one run. Leaving the `with` block stops them, last started first.

    Nothing is restarted in silence: `deaths()` names each child that ended by itself.
    """

    def __init__(self, log_dir: Path) -> None:
        self.log_dir = log_dir
        self._programs: dict[str, Program] = {}
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop_all()

    def log_of(self, name: str) -> Path:
        """Where the output of a child goes."""
        return self.log_dir / f"{name}.log"

    def start(self, *programs: Program) -> None:
        """Start programs; they get ready side by side. A name that ended may be started again."""
        for program in programs:
            running = self._children.get(program.name)
            if running is not None and running.poll() is None:
                raise ProcessFailed(f"{program.name} runs already")
            self._programs[program.name] = program
            self._children[program.name] = spawn(program, self.log_of(program.name))

    def wait_ready(self, *, seconds: float = 30) -> None:
        """Return when every child is ready; raise ProcessFailed with the log of one that is not."""
        for name, program in self._programs.items():
            is_ready = program.is_ready or (lambda: True)
            wait_until(lambda: bool(self.deaths()) or is_ready(), seconds=seconds)  # noqa: B023 - called here
            for death in self.deaths():
                raise ProcessFailed(str(death))
            if not is_ready():
                lines = last_lines(self.log_of(name))
                raise ProcessFailed(f"{name} is not ready after {seconds} s\n{lines}")

    def pid(self, name: str) -> int:
        """The process id of a child."""
        return self._children[name].pid

    def deaths(self) -> tuple[Death, ...]:
        """The children that ended without being asked to."""
        return tuple(
            Death(name, child.returncode, last_lines(self.log_of(name)))
            for name, child in self._children.items()
            if child.poll() is not None
        )

    def kill(self, name: str) -> None:
        """End a child and its tree with SIGKILL, as a crash would."""
        child = self._children[name]
        signal_group(child, signal.SIGKILL)
        child.wait()

    def stop(self, name: str) -> None:
        """Ask one child to end, and forget it."""
        child = self._children.pop(name)
        stop(child, by=self._programs.pop(name).stop_signal)

    def stop_all(self) -> None:
        """Ask all children to end at once, wait for each, then forget them."""
        with deaf_to_signals():
            for name, child in reversed(self._children.items()):
                if child.poll() is None:
                    with suppress(ProcessLookupError):
                        child.send_signal(self._programs[name].stop_signal)
            for name in reversed(list(self._children)):
                self.stop(name)


def _env(base: Mapping[str, str], *, role: str, keeps: tuple[str, ...] = ()) -> dict[str, str]:
    """A child's environment: its database role, and of the keys of one process only its own."""
    kept = {*keeps, *(name.replace("SIGNER_", "WEIR_KEY_") for name in keeps)}
    signing = {*SIGNERS, *(name.replace("SIGNER_", "WEIR_KEY_") for name in SIGNERS)}
    others = {*signing, POOL_KEY} - kept
    env = {name: value for name, value in base.items() if name not in others}
    if role == "sequencer":
        env = {name: value for name, value in env.items() if name not in MASTER_KEYS}
    return env | {"DATABASE_ROLE": role}


def _log_says(log: Path, words: str) -> Callable[[], bool]:
    # Only what this run appends counts: the log is kept from run to run.
    start = log.stat().st_size if log.exists() else 0

    def is_ready() -> bool:
        if not log.exists():
            return False
        with log.open("rb") as lines:
            lines.seek(start)
            return words.encode() in lines.read()

    return is_ready


def web(base: Mapping[str, str], log_dir: Path, *, bind: str, workers: int = 2) -> Program:
    """The production web server. It holds no signing key."""
    argv = (
        sys.executable, "-m", "gunicorn", "exchange.wsgi:application",
        "--bind", bind, "--workers", str(workers), "--threads", "4",
        "--worker-tmp-dir", "/dev/shm" if Path("/dev/shm").is_dir() else "/tmp",  # noqa: S108 - a heartbeat file
        "--timeout", "60", "--graceful-timeout", "5", "--no-control-socket",
    )  # fmt: skip
    ready = _log_says(log_dir / "web.log", "Booting worker")
    return Program("web", argv, _env(base, role="web"), ready)


def worker(
    base: Mapping[str, str], log_dir: Path, *, name: str, queues: str, concurrency: int = 1
) -> Program:
    """A Celery worker for some of the queues. It signs bundles and delivery tokens; that of the
    pool signs nothing, and alone opens extracts.

    What takes long gives way to what takes a moment.
    """
    behind = ("nice", "-n", "10") if queues in ("render", "pool") else ()
    argv = (
        *behind, sys.executable, "-m", "celery", "--app", "exchange.celery", "worker",
        "--queues", queues, "--concurrency", str(concurrency), "--hostname", f"{name}@weir",
        "--loglevel", "INFO", "--without-gossip", "--without-mingle",
    )  # fmt: skip
    signers = ("SIGNER_BUNDLE", "SIGNER_DELIVERY")
    env = _env(base, role="worker", keeps=(POOL_KEY,) if queues == "pool" else signers)
    return Program(name, argv, env, _log_says(log_dir / f"{name}.log", " ready."))


def beat(base: Mapping[str, str], log_dir: Path) -> Program:
    """The clock: sends the hints of `exchange.celery` when due. It holds no signing key."""
    schedule = log_dir.parent / "beat-schedule"
    argv = (
        sys.executable, "-m", "celery", "--app", "exchange.celery", "beat",
        "--schedule", str(schedule), "--pidfile", "", "--loglevel", "INFO",
    )  # fmt: skip
    ready = _log_says(log_dir / "beat.log", "beat: Starting")
    return Program("beat", argv, _env(base, role="worker"), ready)


def sequencer(base: Mapping[str, str]) -> Program:
    """The one that numbers releases and signs checkpoints. It alone holds the ledger's key."""
    argv = (sys.executable, "manage.py", "sequence")
    return Program("sequencer", argv, _env(base, role="sequencer", keeps=("SIGNER_LEDGER",)))


def exchange(base: Mapping[str, str], log_dir: Path, *, bind: str) -> tuple[Program, ...]:
    """All processes of an exchange on one small machine, sequencer first."""
    return (
        sequencer(base),
        worker(base, log_dir, name="quick", queues="quick"),
        worker(base, log_dir, name="worker", queues="render", concurrency=2),
        worker(base, log_dir, name="courier", queues="deliver,mail", concurrency=2),
        worker(base, log_dir, name="pool", queues="pool"),
        beat(base, log_dir),
        web(base, log_dir, bind=bind),
    )
