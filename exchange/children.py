"""Work in a process of its own: no key, no setting, no file; so much memory and time, no more.

What a parser of others does with hostile input stays in there. The child reads its input from
stdin and writes its answer to stdout; what it says on stderr is thrown away unread, for it may
hold content. A child that fails is a refusal with a stable code, and says nothing else.
"""

import fcntl
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

from exchange.proof.refused import Refused

T = TypeVar("T")

_ROOT = Path(__file__).resolve().parents[1]
_REFUSED = 3  # the status of a child that judged its input, and refused it
_PIECE = 1 << 16
_PIPE = 1 << 20

# In isolated mode, so that neither a folder nor a variable of whoever started us is read. What is
# allocated is RLIMIT_DATA; libraries reserve far more addresses than they use, hence the distance
# of RLIMIT_AS. A core limit of 1 is kept where the core's pattern is a pipe, too; 0 is not.
_START = """
import resource, runpy, sys
root, module, memory, seconds = sys.argv[1:]
for what, most in (
    (resource.RLIMIT_DATA, int(memory)),
    (resource.RLIMIT_AS, int(memory) + (4 << 30)),
    (resource.RLIMIT_CPU, int(seconds) + 2),
    (resource.RLIMIT_FSIZE, 0),
    (resource.RLIMIT_NOFILE, 256),
    (resource.RLIMIT_CORE, 1),
):
    have = resource.getrlimit(what)[1]
    most = most if have == resource.RLIM_INFINITY else min(most, have)
    # Beyond its hard limit of CPU a process is killed, and before that told so.
    soft = max(0, most - 2) if what == resource.RLIMIT_CPU else most
    resource.setrlimit(what, (soft, most))
sys.path.insert(0, root)
del sys.argv[1:]
runpy.run_module(module, run_name="__main__")
"""
# All that a child is told. One thread for a library: more would only reserve stacks and buffers.
ENVIRONMENT = {
    "LANG": "C.UTF-8",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
}


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much a child may use: octets of memory, seconds of time and of CPU."""

    memory: int
    seconds: int


def run(module: str, feed: bytes, *, memory: int, seconds: int, most: int = 64 << 20) -> bytes:
    """What a child answers, at most so many octets; `module` is a program that calls `answer`."""
    found = bytearray()

    def give(sink: IO[bytes]) -> None:
        sink.write(feed)

    def take(source: IO[bytes]) -> bool:
        while piece := source.read(_PIECE):
            if len(found) + len(piece) > most:
                return False
            found.extend(piece)
        return True

    is_whole, status = _piped(module, give, take, Bounds(memory, seconds))
    if not is_whole:
        raise Refused("child.size", "The answer to this would be larger than it may be.")
    if status == _REFUSED:
        code, sentence, path = json.loads(bytes(found))
        raise Refused(str(code), str(sentence), str(path))
    if status is None:
        raise Refused("child.time", f"This took longer than {seconds} seconds.")
    if status:
        raise Refused("child.failed", "This could not be worked on within the memory for it.")
    return bytes(found)


def stream(
    module: str, feed: Callable[[IO[bytes]], None], take: Callable[[IO[bytes]], T], bounds: Bounds
) -> T:
    """What `take` makes of an answer while it is written; it judges itself whether it is whole."""
    return _piped(module, feed, take, bounds)[0]


def ask(module: str, feed: Callable[[IO[bytes]], None], bounds: Bounds, *, most: int) -> bytes:
    """What a child answers that this thread feeds, for it has the database's connection.

    At most so many octets; nothing, where the child came to no good end or would say more.
    """
    found = bytearray()
    with _started(module, bounds) as child:

        def take() -> None:
            while piece := child.source.read(_PIECE):
                found.extend(piece)
                if len(found) > most:
                    child.kill()

        with suppress(OSError):  # of a system without pipes of this size
            fcntl.fcntl(child.sink, fcntl.F_SETPIPE_SZ, _PIPE)
        taker = threading.Thread(target=take, daemon=True)
        taker.start()
        is_fed = False
        try:
            # A child that ended before its input did has said all that it says.
            with suppress(BrokenPipeError), child.sink:
                feed(child.sink)
            is_fed = True
        finally:
            if not is_fed:
                child.kill()
            taker.join()
            status = child.end()
    return bytes(found) if status == 0 and len(found) <= most else b""


def answer(work: Callable[[bytes], bytes]) -> None:
    """The program of a child: all of its input is read, judged or worked on, and answered."""
    out = sys.stdout.buffer
    # What libraries print is no part of the answer.
    sys.stdout = sys.stderr
    try:
        made = work(sys.stdin.buffer.read())
    except Refused as refused:
        out.write(json.dumps([refused.code, refused.sentence, refused.path]).encode())
        out.flush()
        sys.exit(_REFUSED)
    out.write(made)
    out.flush()


def _piped(
    module: str, feed: Callable[[IO[bytes]], None], take: Callable[[IO[bytes]], T], bounds: Bounds
) -> tuple[T, int | None]:
    """Both ends of the child's pipes at once: neither may wait for the other.

    Beside what was taken the status it ended with, none where it ran out of time.
    """
    with _started(module, bounds) as child:
        feeder = threading.Thread(target=_feed, args=(feed, child.sink), daemon=True)
        feeder.start()
        is_read = False
        try:
            taken = take(child.source)
            is_read = not child.source.read(1)
        finally:
            if not is_read:
                child.kill()  # nobody reads what it would still say
            status = child.end()
            feeder.join()
    return taken, status


@dataclass(frozen=True, slots=True)
class _Child:
    """A child that was started, and both of its pipes."""

    process: subprocess.Popen[bytes]
    sink: IO[bytes]
    source: IO[bytes]
    timer: threading.Timer
    late: threading.Event

    def kill(self) -> None:
        """It says no more."""
        self.process.kill()

    def end(self) -> int | None:
        """The status it ended with, none where it ran out of time."""
        status = self.process.wait()
        self.timer.cancel()
        return None if self.late.is_set() or status == -signal.SIGXCPU else status


@contextmanager
def _started(module: str, bounds: Bounds) -> Iterator[_Child]:
    bounds_given = (str(bounds.memory), str(bounds.seconds))
    argv = (sys.executable, "-I", "-B", "-c", _START, str(_ROOT), module, *bounds_given)
    late = threading.Event()
    with subprocess.Popen(  # noqa: S603 - the program is ours, no shell
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=ENVIRONMENT,
        cwd="/",
    ) as process:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("a child without pipes")

        def end() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(bounds.seconds, end)
        timer.start()
        try:
            yield _Child(process, process.stdin, process.stdout, timer, late)
        finally:
            timer.cancel()


def _feed(feed: Callable[[IO[bytes]], None], sink: IO[bytes]) -> None:
    try:
        with sink:
            feed(sink)
    except OSError:
        return  # it ended before its input did; what it said of that is read by the other end
