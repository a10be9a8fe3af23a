"""Files at rest: sealed in pieces with their member's key while they come in, read at will.

Nothing clear is ever written. Each piece is sealed for its place in its file, so none can be moved,
and the length stands in the file's row, so that none can be left out.
"""

import os
import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import UUID

from django.conf import settings

from exchange.proof.refused import Refused
from members.seals import for_member

PIECE = 1 << 20
_OVERHEAD = 2 + 12 + 16  # epoch, nonce and tag of a seal
# What the machine keeps for everything else.
_RESERVE = 256 << 20


class Writer:
    """One file while it comes in; given up unless it was kept."""

    def __init__(self, file_id: UUID, member_id: UUID, *, most: int, suffix: str = "") -> None:
        self.id = file_id
        self.octets = 0
        self._seal = for_member(member_id)
        self._most = most
        self._suffix = suffix
        self._rest = bytearray()
        self._pieces = 0
        self.head = b""
        path = path_of(file_id, suffix)
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._out = open(path, "xb", buffering=0, opener=_private)  # noqa: SIM115 - kept open until keep
        except OSError:
            raise no_room() from None

    def write(self, data: bytes) -> None:
        """Take in more; Refused as soon as it is too much."""
        self.octets += len(data)
        if self.octets > self._most:
            raise too_large(self._most)
        if len(self.head) < 4_096:
            self.head += data[: 4_096 - len(self.head)]
        self._rest += data
        while len(self._rest) >= PIECE:
            self._put(bytes(self._rest[:PIECE]))
            del self._rest[:PIECE]

    def keep(self) -> int:
        """Write the last piece and see that all of it is on the disk; how many octets it has."""
        if self._rest:
            self._put(bytes(self._rest))
            self._rest.clear()
        try:
            os.fsync(self._out.fileno())
        except OSError:
            raise no_room() from None
        self._out.close()
        return self.octets

    def give_up(self) -> None:
        """Leave nothing behind."""
        self._out.close()
        path_of(self.id, self._suffix).unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self.give_up()

    def _put(self, piece: bytes) -> None:
        sealed = self._seal.seal(piece, aad=_aad(self.id, self._suffix, self._pieces))
        try:
            written = self._out.write(sealed)
        except OSError:
            raise no_room() from None
        if written != len(sealed):
            raise no_room()
        self._pieces += 1


class Reader:
    """A sealed file, read from any place; the last piece that was opened is kept."""

    def __init__(self, file_id: UUID, member_id: UUID, octets: int, *, suffix: str = "") -> None:
        self.octets = octets
        self._id = file_id
        self._suffix = suffix
        self._seal = for_member(member_id)
        self._kept: tuple[int, bytes] = (-1, b"")
        try:
            self._source = path_of(file_id, suffix).open("rb", buffering=0)
        except FileNotFoundError:
            raise Refused("file.gone", "The file lies here no longer. Send it again.") from None

    def __call__(self, offset: int, size: int) -> bytes:
        """So many octets from a place on; fewer only at the end."""
        end = min(offset + size, self.octets)
        found = []
        while offset < end:
            piece = self._piece(offset // PIECE)
            start = offset % PIECE
            part = piece[start : start + end - offset]
            found.append(part)
            offset += len(part)
        return b"".join(found)

    def close(self) -> None:
        """Let go of the file."""
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _piece(self, number: int) -> bytes:
        if self._kept[0] != number:
            length = min(PIECE, self.octets - number * PIECE)
            self._source.seek(number * (PIECE + _OVERHEAD))
            sealed = self._source.read(length + _OVERHEAD)
            opened = self._seal.open(sealed, aad=_aad(self._id, self._suffix, number))
            if len(opened) != length:
                raise Refused("seal.broken", "Sealed bytes do not open.")
            self._kept = number, opened
        return self._kept[1]


def put(file_id: UUID, member_id: UUID, suffix: str, body: bytes) -> None:
    """Write something beside a file, whole or not at all, in the place of what stood there."""
    path = path_of(file_id, suffix)
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    sealed = for_member(member_id).seal(body, aad=_aad(file_id, suffix, 0))
    try:
        with open(fresh, "wb", opener=_private) as out:
            out.write(sealed)
            out.flush()
            os.fsync(out.fileno())
        fresh.replace(path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise no_room() from None


def get(file_id: UUID, member_id: UUID, suffix: str) -> bytes | None:
    """What was put beside a file; nothing where nothing was."""
    try:
        sealed = path_of(file_id, suffix).read_bytes()
    except FileNotFoundError:
        return None
    return for_member(member_id).open(sealed, aad=_aad(file_id, suffix, 0))


def drop(file_id: UUID) -> None:
    """Delete a file and all that lies beside it."""
    for path in settings.FILES_DIR.glob(f"{file_id}*"):
        path.unlink(missing_ok=True)


def drop_others(file_id: UUID, *, keep: str) -> None:
    """Of what lies beside a file under a name like this, keep this alone."""
    like = keep.rpartition("-")[0]
    for path in settings.FILES_DIR.glob(f"{file_id}.{like}-*"):
        if path != path_of(file_id, keep):
            path.unlink(missing_ok=True)


def lying(*, before: datetime) -> Iterator[UUID]:
    """The files that lie here since before a moment, whether or not a row names them."""
    folder: Path = settings.FILES_DIR
    for path in folder.iterdir() if folder.is_dir() else ():
        try:
            if path.stat().st_mtime < before.timestamp():
                yield UUID(path.name.partition(".")[0])
        except (ValueError, FileNotFoundError):
            continue


def path_of(file_id: UUID, suffix: str = "") -> Path:
    """Where a file lies, or what lies beside it."""
    folder: Path = settings.FILES_DIR
    return folder / (f"{file_id}.{suffix}" if suffix else str(file_id))


def has_room(octets: int) -> bool:
    """Whether so much can come in and leave the machine what it needs."""
    folder: Path = settings.FILES_DIR
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return shutil.disk_usage(folder).free > octets + _RESERVE
    except OSError:
        return False


def too_large(most: int) -> Refused:
    """A file over the limit."""
    return Refused("file.size", f"A file has at most {most:,} octets.", "file")


def no_room() -> Refused:
    """The disk is full; nothing of the file stays."""
    return Refused(
        "file.room", "There is no room for this file now. Nothing of it was kept.", "file"
    )


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _aad(file_id: UUID, suffix: str, number: int) -> bytes:
    return b"file:" + file_id.bytes + b":" + suffix.encode() + b":%d" % number
