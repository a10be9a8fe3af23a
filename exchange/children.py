"""Work in a process of its own: no key, no setting, no file; so much memory and time, no more.

What a parser of others does with hostile input stays in there. The child reads its input from
stdin and writes its answer to stdout; what it says on stderr is thrown away unread, for it may
hold content. A child that fails is a refusal with a stable code, and says nothing else.
"""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

from exchange.proof.refused import Refused

T = TypeVar("T")

_ROOT = Path(__file__).resolve().parents[1]
_REFUSED = 3  # the status of a child that judged its input, and refused it
_PIECE = 1 << 16

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
    ) as child:
        if child.stdin is None or child.stdout is None:
            raise RuntimeError("a child without pipes")

        def end() -> None:
            late.set()
            child.kill()

        timer = threading.Timer(bounds.seconds, end)
        feeder = threading.Thread(target=_feed, args=(feed, child.stdin), daemon=True)
        timer.start()
        feeder.start()
        is_read = False
        try:
            taken = take(child.stdout)
            is_read = not child.stdout.read(1)
        finally:
            if not is_read:
                child.kill()  # nobody reads what it would still say
            status = child.wait()
            timer.cancel()
            feeder.join()
    is_late = late.is_set() or status == -signal.SIGXCPU
    return taken, None if is_late else status


def _feed(feed: Callable[[IO[bytes]], None], sink: IO[bytes]) -> None:
    try:
        with sink:
            feed(sink)
    except OSError:
        return  # it ended before its input did; what it said of that is read by the other end
