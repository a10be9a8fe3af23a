"""A program that `exchange.children` starts in tests: it does what its input says, good or bad."""

import os
import resource
import sys
import time
from pathlib import Path

from exchange import children
from exchange.proof.refused import Refused


def work(given: bytes) -> bytes:
    """One word, and what the child can do."""
    word, _, rest = given.partition(b" ")
    return _WORK[word.decode()](rest)


def _echo(rest: bytes) -> bytes:
    sys.stdout.write("chatter of a library")
    sys.stderr.write("chatter")
    return rest


def _refuse(rest: bytes) -> bytes:
    raise Refused("row.size", "Row 3 has no size.", "clusters[3].size")


def _fail(rest: bytes) -> bytes:
    raise ValueError(rest.decode())


def _environment(rest: bytes) -> bytes:
    return repr((sorted(os.environ), Path.cwd())).encode()


def _limits(rest: bytes) -> bytes:
    names = ("RLIMIT_DATA", "RLIMIT_FSIZE", "RLIMIT_CORE")
    return repr([resource.getrlimit(getattr(resource, name)) for name in names]).encode()


def _eat(rest: bytes) -> bytes:
    kept = [b"x" * (1 << 24) for _ in range(64)]
    return str(len(kept)).encode()


def _write(rest: bytes) -> bytes:
    try:
        Path(rest.decode()).write_bytes(b"content")
    except OSError as error:
        return type(error).__name__.encode()
    return b"written"


def _spin(rest: bytes) -> bytes:
    while True:
        pass


def _sleep(rest: bytes) -> bytes:
    time.sleep(60)
    return b""


def _talk(rest: bytes) -> bytes:
    return b"x" * int(rest)


_WORK = {
    "echo": _echo,
    "refuse": _refuse,
    "fail": _fail,
    "environment": _environment,
    "limits": _limits,
    "eat": _eat,
    "write": _write,
    "spin": _spin,
    "sleep": _sleep,
    "talk": _talk,
}

if __name__ == "__main__":
    children.answer(work)
