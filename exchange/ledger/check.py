"""Is the ledger what it was: before anything is signed, in full, and as static files."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from pathlib import Path

from django.db import connection, transaction
from django.db.models import F, Max

from exchange.ledger import emptied, intake, reading
from exchange.ledger.naming import origin
from exchange.ledger.sequencer import (
    LEDGER_LOCK,
    grow,
    last_checkpoint_file,
    read_tiles,
    slot_aad,
)
from exchange.models import (
    LedgerAccount,
    LedgerCheckpoint,
    LedgerEntry,
    LedgerHead,
    LedgerSlot,
    LedgerTile,
)
from exchange.proof import entry, merkle, note
from exchange.proof.refused import Refused
from members.models import Member

_CHUNK = 8192


@dataclass(frozen=True, slots=True)
class Tail:
    """What a replica, a mirror or an export still has of the log: its leaves and newest head."""

    leaves: tuple[bytes, ...]
    checkpoint: note.Checkpoint
    signed: str


def start_up() -> None:
    """Refuse to go on unless head, tiles, checkpoint and the last file agree (section 6.10)."""
    for problem in problems(full=False):
        raise Refused("ledger.diverged", f"{problem} Nothing is signed: see ledger_resume.")


def problems(*, full: bool) -> tuple[str, ...]:
    """What differs, one sentence each; in full, leaves from slots and tiles from leaves too."""
    # The file is read first: whatever it holds was committed before, so this snapshot has it.
    kept = last_kept()
    with _snapshot():
        found = [*_head_problems(), *_kept_problems(kept)]
        if full:
            found += _number_problems()
            found += _leaf_problems()
            found += _tile_problems()
            found += _checkpoint_problems()
            found += emptied.differences()
    return tuple(found)


@contextmanager
def _snapshot() -> Iterator[None]:
    """One state of the database, although a sequencer may be at work."""
    is_outermost = not connection.in_atomic_block
    with transaction.atomic():
        if is_outermost:
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        yield


def last_kept() -> note.Checkpoint | None:
    """The newest checkpoint that was written outside of the database."""
    path = last_checkpoint_file()
    if not path.exists():
        return None
    return _parsed(path.read_text("utf-8"))


def _parsed(signed: str) -> note.Checkpoint:
    return note.parse_checkpoint(signed.partition("\n\n")[0] + "\n")


def _head_problems() -> Iterator[str]:
    head = LedgerHead.objects.filter(pk=1).first()
    size, root = (head.size, bytes(head.root)) if head else (0, merkle.EMPTY_ROOT)
    last = LedgerEntry.objects.aggregate(last=Max("idx"))["last"]
    if size != (0 if last is None else last + 1):
        yield f"The head says {size} entries, the last one has number {last}."
    newest = LedgerCheckpoint.objects.order_by("-size").first()
    try:
        if merkle.edge_root(read_tiles(merkle.edge_of(size)), size) != root:
            yield f"The root of the head of {size} entries is not that of its tiles."
        elif newest is not None and newest.size > size:
            yield f"A checkpoint of {newest.size} was published, the tree has {size} entries."
        elif newest is not None and _root_at(newest.size) != bytes(newest.root):
            yield f"The checkpoint of {newest.size} has another root than the tree at that size."
    except Refused as refused:
        yield refused.sentence


def _kept_problems(kept: note.Checkpoint | None) -> Iterator[str]:
    if kept is None:
        return
    head = LedgerHead.objects.filter(pk=1).first()
    size = head.size if head else 0
    if kept.origin != origin():
        yield f"The last checkpoint file is of the log {kept.origin}, this one is {origin()}."
    elif kept.size > size:
        yield (
            f"A checkpoint of {kept.size} was signed, the database has {size} entries: "
            "it was restored from before."
        )
    elif _root_at(kept.size) != kept.root:
        yield f"The checkpoint of {kept.size} that was signed has another root than the tree."


def _root_at(size: int) -> bytes:
    """The root as the tiles have it; nothing where a tile is too short."""
    try:
        return merkle.root_at(size, lambda level, n: read_tiles([(level, n)]).get((level, n), b""))
    except Refused:
        return b""


def _number_problems() -> Iterator[str]:
    for slot in ("to", "from"):
        with connection.cursor() as cursor:
            # The column names are of the closed set above.
            cursor.execute(
                f"SELECT {slot}_member_id, count(*), max({slot}_seq) FROM ledger_entry "  # noqa: S608
                f"WHERE {slot}_member_id IS NOT NULL GROUP BY 1"
            )
            found = {member: (count, last) for member, count, last in cursor.fetchall()}
        given = dict(LedgerAccount.objects.filter(slot=slot).values_list("member_id", "seq"))
        for member in found.keys() | given.keys():
            count, last = found.get(member, (0, 0))
            if not count == last == given.get(member, 0):
                yield f"The numbers of member {member} in the slot {slot} have a gap."


def _leaf_problems() -> Iterator[str]:
    """Each leaf from its slots; an erased slot has its digest only."""
    slots = LedgerSlot.objects.order_by("idx", "slot").iterator(chunk_size=_CHUNK)
    by_index = groupby(slots, key=lambda row: row.idx)
    index, group = next(by_index, (-1, iter(())))
    rows = LedgerEntry.objects.order_by("idx").values_list("idx", "leaf")
    expected = 0
    for idx, leaf in rows.iterator(chunk_size=_CHUNK):
        if idx != expected:
            yield f"The entries {expected} to {idx - 1} are missing."
        expected = idx + 1
        while index != -1 and index < idx:
            index, group = next(by_index, (-1, iter(())))
        found = list(group) if index == idx else []
        yield from _entry_problems(idx, bytes(leaf), found)


def _entry_problems(index: int, leaf: bytes, slots: list[LedgerSlot]) -> Iterator[str]:
    digests: dict[str, bytes] = {}
    for row in slots:
        digests[row.slot] = bytes(row.digest)
        if row.sealed and _digest(row) != bytes(row.digest):
            yield f"The slot {row.slot} of entry {index} does not lead to its digest."
    if digests.keys() != set(entry.SLOTS):
        if slots:
            yield f"Entry {index} has lost a slot."
        return  # a leaf that was restored without its slots says nothing any more
    if entry.leaf(*(digests[slot] for slot in entry.SLOTS)) != leaf:
        yield f"The leaf of entry {index} does not follow from its slots."


def _digest(row: LedgerSlot) -> bytes:
    try:
        content = intake.seal().open(bytes(row.sealed), aad=slot_aad(row.idx, row.slot))
        return entry.slot_digest(row.slot, content[: entry.SALT], content[entry.SALT :])
    except Refused:
        return b""


def _tile_problems() -> Iterator[str]:
    rebuilt = _rebuilt()
    stored = LedgerTile.objects.order_by("level", "n").values_list("level", "n", "hashes")
    for level, n, hashes in stored.iterator(chunk_size=256):
        right = rebuilt.pop((level, n), b"")
        if bytes(hashes) != right:
            where = _first_wrong(bytes(hashes), right, level, n)
            yield f"Tile {level}/{n} is not that of the entries{where}."
    for level, n in rebuilt:
        yield f"Tile {level}/{n} is missing."


def _first_wrong(stored: bytes, right: bytes, level: int, n: int) -> str:
    if level:
        return ""
    same = 0
    while stored[same : same + merkle.HASH] == right[same : same + merkle.HASH]:
        same += merkle.HASH
    return f", from entry {n * merkle.WIDTH + same // merkle.HASH} on"


def _rebuilt() -> dict[merkle.Tile, bytes]:
    tiles: dict[merkle.Tile, bytes] = {}
    size, hashes = 0, []
    rows = LedgerEntry.objects.order_by("idx").values_list("leaf", flat=True)
    for leaf in rows.iterator(chunk_size=_CHUNK):
        hashes.append(merkle.leaf_hash(bytes(leaf)))
        if len(hashes) == _CHUNK:
            tiles |= merkle.append(tiles, size, hashes)[0]
            size, hashes = size + len(hashes), []
    return tiles | merkle.append(tiles, size, hashes)[0]


def _checkpoint_problems() -> Iterator[str]:
    for row in LedgerCheckpoint.objects.order_by("size"):
        stated = _parsed(row.note)
        if (stated.size, stated.root) != (row.size, bytes(row.root)):
            yield f"The note of the checkpoint of {row.size} says something else."
        elif _root_at(row.size) != stated.root:
            yield f"The checkpoint of {row.size} has another root than the tree at that size."


def export(folder: Path) -> int:
    """Write the published tree as static files that any tlog client reads; its size."""
    size = reading.published_size()
    for level in range(8):
        for n, width in _tiles(size >> merkle.HEIGHT * level):
            name = merkle.tile_path(level, n, width)
            _write(folder / name, reading.tile(level, name.split("/", 2)[2]))
    for n, width in _tiles(size):
        name = merkle.tile_path("entries", n, width)
        _write(folder / name, reading.entries(name.split("/", 2)[2]))
    _write(folder / "checkpoint", reading.checkpoint(size).encode())
    return size


def _tiles(count: int) -> Iterator[tuple[int, int]]:
    full, rest = divmod(count, merkle.WIDTH)
    yield from ((n, merkle.WIDTH) for n in range(full))
    if rest:
        yield full, rest


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def tail_from(folder: Path) -> Tail:
    """Read an export: its leaves must lead to the root of its checkpoint."""
    signed = (folder / "checkpoint").read_text("utf-8")
    checkpoint = _parsed(signed)
    leaves: list[bytes] = []
    for n, width in _tiles(checkpoint.size):
        data = (folder / merkle.tile_path("entries", n, width)).read_bytes()
        leaves += [data[at + 2 : at + 34] for at in range(0, len(data), 34)]
    if merkle.root([merkle.leaf_hash(leaf) for leaf in leaves]) != checkpoint.root:
        raise Refused("resume.tail", "The entries in this folder do not lead to its checkpoint.")
    return Tail(tuple(leaves), checkpoint, signed)


@transaction.atomic
def resume(tail: Tail, public: bytes, *, now: datetime) -> int:
    """Take back the entries that a restore lost, as leaves that say nothing more; how many.

    1. nobody else is at it          2. the export is signed by us, and the newest that was
    3. it goes on from what we have  4. leaves, tiles, head       5. no number is given twice
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [LEDGER_LOCK])  # 1
        if not cursor.fetchone()[0]:
            raise Refused("resume.running", "A sequencer is running: stop it first.")
    note.open_checkpoint(tail.signed, [note.Verifier(origin(), note.LOG, public)])  # 2
    kept = last_kept()
    if kept is not None and kept.size > tail.checkpoint.size:
        raise Refused("resume.older", f"A checkpoint of {kept.size} was signed: find that one.")
    for problem in _head_problems():
        raise Refused("resume.broken", problem)
    LedgerHead.objects.get_or_create(pk=1, defaults={"size": 0, "root": merkle.EMPTY_ROOT})
    head = LedgerHead.objects.select_for_update().get(pk=1)
    hashes = [merkle.leaf_hash(leaf) for leaf in tail.leaves]
    if head.size > len(hashes) or merkle.root(hashes[: head.size]) != bytes(head.root):  # 3
        raise Refused("resume.fork", "The database and this export are two different logs.")
    lost = len(hashes) - head.size
    if lost:
        _take_back(head, tail, hashes)  # 4, 5
        _tell(head.size - lost, head.size, now=now)
    return lost


def _take_back(head: LedgerHead, tail: Tail, hashes: list[bytes]) -> None:
    first = head.size
    LedgerEntry.objects.bulk_create(
        (
            LedgerEntry(idx=first + n, kind="lost", leaf=leaf)
            for n, leaf in enumerate(tail.leaves[first:])
        ),
        batch_size=_CHUNK,
    )
    grow(head, hashes[first:])
    # Who had which of them is not known, so each account skips as many as there were: a gap is
    # seen and explained, a number given twice would be a second story.
    LedgerAccount.objects.update(seq=F("seq") + len(hashes) - first)


def _tell(first: int, end: int, *, now: datetime) -> None:
    indexes = {"first": first, "last": end - 1}
    for member_id in Member.objects.values_list("id", flat=True):
        intake.record(
            "erase",
            to=member_id,
            slots={"to": {"indexes": indexes, "ground": "lost in a restore"}, "audit": indexes},
            now=now,
        )
