"""The child of a run begins: it opens the seals while what it runs by is loaded.

What is opened is in the memory of this process and of those that it forks, and nowhere else: no
file can be written here, and of the rows nothing is answered but what a finding says.

stdin    frames (8 octets of length, then the octets): the head, then for each extract its own
         head, the key of its day, and the sealed bytes; an empty frame ends it
stdout   one JSON text
"""

import base64
import gc
import json
import mmap
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from typing import IO

from exchange.proof.refused import Refused
from indicators.detection import sealing
from indicators.detection.packing import Opened, Packed, Sent

MODULE = "indicators.detection.opening"
LENGTH = 8
_ROOM = 64 << 20
_STEP = 64
_SWITCH = 0.0002  # seconds; who reads waits so long for who loads


def main() -> None:
    """One run."""
    source, out = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    # What libraries print is no part of the answer: an engine shows how far it is on a long query.
    os.dup2(2, 1)
    gc.disable()  # it ends soon, and looking for what to let go would copy what forks share
    usual = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH)
    with ThreadPoolExecutor(1) as reader:
        head = json.loads(next(frames(source)))
        opened = reader.submit(read, source, head["epoch"])
        from indicators.detection import engines, running  # noqa: PLC0415 - beside the reading

        engines.ready("duckdb")
        extracts = opened.result()
    sys.setswitchinterval(usual)
    out.write(json.dumps(running.worked(head, extracts)).encode())
    out.flush()


def frames(source: IO[bytes]) -> Iterator[bytes]:
    """The frames of a stream, up to the empty one; Refused where it ends before."""
    while size := _size(source):
        yield source.read(size)


def read(source: IO[bytes], epoch: str) -> Opened:
    """The extracts of a stream: tokens and bands of another quarter meet none of this one's."""
    found, rooms, sealed = Opened(), _Rooms(), bytearray(_ROOM)
    for text in frames(source):
        head, key, size = json.loads(text), next(frames(source)), _size(source)
        if size > len(sealed):
            sealed = bytearray(size)
        given = memoryview(sealed)[:size]
        if source.readinto(given) != size:  # type: ignore[attr-defined] # a buffered file has it
            raise _cut()
        body = rooms.take(sealing.length(size))
        sealing.open_into(key, given, body, aad=base64.b64decode(head["aad"]))
        owner, member = head["owner"], head["member"]
        # Numbers of owners are of one run; their names are not: the first of its members by id.
        found.owners[owner] = min(found.owners.get(owner, "z"), member)
        if Packed.of(body).manifest.key_epoch == epoch:
            found.sent.append(Sent(owner, date.fromisoformat(head["day"]), body, member))
    return found


@dataclass(slots=True)
class _Rooms:
    """Memory for what is opened, in large pages: half a million small ones cost a second."""

    room: memoryview = field(default_factory=lambda: memoryview(b""))
    used: int = 0

    def take(self, size: int) -> memoryview:
        """So many octets, that nobody else has."""
        if self.used + size > len(self.room):
            whole = mmap.mmap(-1, max(_ROOM, size))
            whole.madvise(mmap.MADV_HUGEPAGE)
            self.room, self.used = memoryview(whole), 0
        start = self.used
        self.used += size + -size % _STEP
        return self.room[start : start + size]


def _size(source: IO[bytes]) -> int:
    said = source.read(LENGTH)
    if len(said) != LENGTH:
        raise _cut()
    return int.from_bytes(said)


def _cut() -> Refused:
    return Refused("run.cut", "What a run reads ended before its end.")


if __name__ == "__main__":
    main()
