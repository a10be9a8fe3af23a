"""Recompute all of it: every leaf from its slots, every slot from the rows that it speaks of.

Reads in order and in chunks, so that memory stays flat however long the log is; whatever differs is
named by table and number, and never by what it says.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import Any

import orjson

from exchange.ledger import covered, emptied, intake, witnesses
from exchange.ledger.batch import RELEASES, Numbers, Part, values_of
from exchange.ledger.naming import origins
from exchange.ledger.parts import event_parts, release_parts
from exchange.ledger.sequencer import read_tiles, slot_aad
from exchange.models import (
    LedgerAccount,
    LedgerCheckpoint,
    LedgerCosignature,
    LedgerTile,
    LedgerWitness,
    SigningKey,
)
from exchange.proof import entry, jcs, merkle, note
from exchange.proof.refused import Refused
from members.scope import fetch

CHUNK = 4096
LEEWAY = timedelta(minutes=10)  # two intervals of cosigning
_START = -(2**63)

_ENTRIES = """
    SELECT idx, kind, leaf, to_member_id, to_seq, from_member_id, from_seq, ref
    FROM ledger_entry WHERE idx > %s ORDER BY idx LIMIT %s
"""
_SLOTS = """
    SELECT idx, slot, member_id, digest, sealed FROM ledger_slot
    WHERE idx >= %s AND idx <= %s ORDER BY idx
"""
_LOOSE_SLOTS = """
    SELECT slot.idx FROM ledger_slot slot LEFT JOIN ledger_entry entry USING (idx)
    WHERE entry.idx IS NULL ORDER BY 1
"""
_NUMBERS = {
    "to": "SELECT to_member_id, count(*), max(to_seq) FROM ledger_entry"
    " WHERE to_member_id IS NOT NULL GROUP BY 1",
    "from": "SELECT from_member_id, count(*), max(from_seq) FROM ledger_entry"
    " WHERE from_member_id IS NOT NULL GROUP BY 1",
}


@dataclass(frozen=True, slots=True)
class _Row:
    """One entry as it is stored."""

    idx: int
    kind: str
    leaf: bytes
    to_member: Any
    to_seq: int | None
    from_member: Any
    from_seq: int | None
    ref: int | None


@dataclass(frozen=True, slots=True)
class _Kept:
    """One slot as it is stored: opened where it was not erased and the seal holds."""

    name: str
    member: Any
    digest: bytes
    is_erased: bool
    value: bytes | None

    def fields(self) -> Mapping[str, Any]:
        """What it says; nothing where it cannot be read."""
        found = orjson.loads(self.value) if self.value else {}
        return found if isinstance(found, dict) else {}


@dataclass(slots=True)
class _Growing:
    """Tiles grown anew from the leaves, and compared as each is full."""

    size: int = 0
    edge: dict[int, bytearray] = field(default_factory=dict)
    counts: dict[int, int] = field(default_factory=dict)

    def add(self, leaf: bytes) -> Iterator[str]:
        """One more leaf."""
        self.size += 1
        yield from self._push(0, merkle.leaf_hash(leaf))

    def _push(self, level: int, hashed: bytes) -> Iterator[str]:
        tile = self.edge.setdefault(level, bytearray())
        tile += hashed
        if len(tile) == merkle.WIDTH * merkle.HASH:
            n = self.counts.get(level, 0)
            self.counts[level] = n + 1
            whole = bytes(tile)
            tile.clear()
            yield from _compared(level, n, whole)
            parts = [whole[at : at + merkle.HASH] for at in range(0, len(whole), merkle.HASH)]
            yield from self._push(level + 1, merkle.root(parts))

    def end(self) -> Iterator[str]:
        """What is left at the edge, and what is stored beyond it."""
        for level, tile in sorted(self.edge.items()):
            n = self.counts.get(level, 0)
            if tile:
                yield from _compared(level, n, bytes(tile))
            beyond = LedgerTile.objects.filter(level=level, n__gte=n + bool(tile))
            for extra in beyond.order_by("n").values_list("n", flat=True).iterator():
                yield f"ledger_tile {level}/{extra}: it has no entries."
        above = LedgerTile.objects.filter(level__gt=max(self.edge, default=-1))
        for level, n in above.order_by("level", "n").values_list("level", "n").iterator():
            yield f"ledger_tile {level}/{n}: it has no entries."


def differences() -> Iterator[str]:
    """Everything that is not as it was recorded, each on a line: table, number, what it is."""
    yield from _number_differences()
    growing, times, releases = _Growing(), _Times(), covered.Releases()
    last, expected = _START, 0
    while rows := fetch(_ENTRIES, [last, CHUNK]):
        entries = [_Row(*row) for row in rows]
        last = entries[-1].idx
        kept = _slots_of(entries)
        recorded = _Recorded(entries)
        yield from releases.differences(recorded.refs)
        for one in entries:
            if one.idx != expected:
                yield f"ledger_entry {expected} to {one.idx - 1}: missing."
            expected = one.idx + 1
            yield from growing.add(one.leaf)
            yield from _entry_differences(one, kept.get(one.idx, []), recorded)
            yield from times.differences(one, kept.get(one.idx, []))
    yield from growing.end()
    for (idx,) in fetch(_LOOSE_SLOTS):
        yield f"ledger_slot of entry {idx}: there is no such entry."
    yield from covered.differences()
    yield from emptied.differences()
    yield from _checkpoint_differences()


# Entries and slots


def _slots_of(entries: Sequence[_Row]) -> dict[int, list[_Kept]]:
    seal = intake.seal()
    kept: dict[int, list[_Kept]] = {}
    for idx, name, member, digest, sealed in fetch(_SLOTS, [entries[0].idx, entries[-1].idx]):
        value: bytes | None = None
        if sealed:
            try:
                content = seal.open(sealed, aad=slot_aad(idx, name))
                if entry.slot_digest(name, content[: entry.SALT], content[entry.SALT :]) == digest:
                    value = content[entry.SALT :]
            except Refused:
                value = None
        kept.setdefault(idx, []).append(_Kept(name, member, digest, not sealed, value))
    return kept


def _entry_differences(one: _Row, kept: Sequence[_Kept], recorded: "_Recorded") -> Iterator[str]:
    if one.kind == "lost":
        return  # restored without its slots: it says nothing any more
    digests = {slot.name: slot.digest for slot in kept}
    if digests.keys() != set(entry.SLOTS):
        yield f"ledger_slot of entry {one.idx}: a slot is missing."
        if digests:
            return
    elif entry.leaf(*(digests[name] for name in entry.SLOTS)) != one.leaf:
        yield f"ledger_entry {one.idx}: the leaf does not follow from its slots."
    for slot in kept:
        if slot.value is None and not slot.is_erased:
            yield f"ledger_slot {slot.name} of entry {one.idx}: it does not lead to its digest."
    part = recorded.part_of(one)
    if part is None:
        is_erased = any(slot.is_erased for slot in kept)
        if not (is_erased and recorded.is_emptied(one)):
            yield f"{_table_of(one)} {one.ref}: entry {one.idx} records what is not there so."
        return
    yield from _told(one, part, kept)


def _told(one: _Row, part: Part, kept: Sequence[_Kept]) -> Iterator[str]:
    """The entry's columns and each slot's very bytes, as they follow from the recorded rows."""
    if (one.kind, one.to_member, one.from_member) != (part.kind, part.to, part.by):
        yield f"ledger_entry {one.idx}: its kind or members are not those of {_table_of(one)}."
    if part.at is not None and part.slots.get("audit", {}).get("at", part.at) != part.at:
        yield f"ledger_event {one.ref}: its time is not that of entry {one.idx}."
    if part.contribution_id and str(part.contribution_id) != _contribution(part):
        yield f"ledger_event {one.ref}: it is not of the contribution of entry {one.idx}."
    stamp = next((str(x) for slot in kept if (x := slot.fields().get("time"))), "")
    recalled = {slot: index for slot, (_, index) in part.undoes.items()}
    values = values_of(part, Numbers(one.idx, stamp, one.to_seq, one.from_seq, recalled))
    shown = {"to": part.to, "from": part.by, "audit": None}
    for slot in kept:
        if slot.member != shown[slot.name]:
            yield f"ledger_slot {slot.name} of entry {one.idx}: it is shown to another member."
        if slot.value is not None and slot.value != jcs.encode(values[slot.name]):
            yield (
                f"{_table_of(one)} {one.ref or one.idx}: it is not what slot {slot.name} of entry"
                f" {one.idx} says."
            )


def _contribution(part: Part) -> str:
    return str(part.slots["audit"].get("contribution", part.contribution_id))


def _table_of(one: _Row) -> str:
    if one.kind == "pad":
        return "ledger_entry"
    return "exchange_releaserecipient" if one.kind in RELEASES else "ledger_event"


class _Recorded:
    """The rows that the entries of a chunk speak of, as the sequencer read them."""

    def __init__(self, entries: Sequence[_Row]) -> None:
        releases = [one.ref for one in entries if one.kind in RELEASES and one.ref is not None]
        events = [
            one.ref
            for one in entries
            if one.kind not in (*RELEASES, "pad", "lost") and one.ref is not None
        ]
        self._releases, self._emptied = _read(release_parts, releases)
        self._events, emptied = _read(event_parts, events)
        self._emptied_events = emptied
        self.refs = releases

    def part_of(self, one: _Row) -> Part | None:
        """What was recorded; none where it is gone or does not open."""
        if one.kind == "pad":
            return Part("pad", None, {})
        return (self._releases if one.kind in RELEASES else self._events).get(one.ref or 0)

    def is_emptied(self, one: _Row) -> bool:
        """Whether the row is there, and its content was erased."""
        return one.ref in (self._emptied if one.kind in RELEASES else self._emptied_events)


def _read(read: Any, refs: Sequence[int]) -> tuple[dict[int, Part], set[int]]:  # noqa: ANN401 - one of two
    """The parts that open, and the references of those that do not."""
    try:
        return read(refs), set()
    except (Refused, ValueError):
        found: dict[int, Part] = {}
        broken = set()
        for ref in refs:
            try:
                found |= read([ref])
            except (Refused, ValueError):
                broken.add(ref)
        return found, broken


# Numbers and times


def _number_differences() -> Iterator[str]:
    for slot, sql in _NUMBERS.items():
        found = {member: (count, last) for member, count, last in fetch(sql)}
        given = dict(LedgerAccount.objects.filter(slot=slot).values_list("member_id", "seq"))
        for member in found.keys() | given.keys():
            count, last = found.get(member, (0, 0))
            skipped = given.get(member, 0) - count
            if last != given.get(member, 0) or (skipped and not _was_resumed()):
                yield f"ledger_account {slot} of member {member}: the numbers have a gap."


def _was_resumed() -> bool:
    """Entries that a restore lost took numbers with them: those gaps are explained."""
    return bool(fetch("SELECT 1 FROM ledger_entry WHERE kind = 'lost' LIMIT 1"))


class _Times:
    """Whether each entry's time lies between its checkpoints, and those between cosignatures."""

    def __init__(self) -> None:
        rows = LedgerCheckpoint.objects.order_by("size").values_list("size", "at")
        self._sizes: list[int] = []
        self._ats: list[datetime] = []
        for size, at in rows.iterator(chunk_size=CHUNK):
            self._sizes.append(size)
            self._ats.append(at)
        signed: dict[int, list[datetime]] = {}
        for size, at in LedgerCosignature.objects.values_list("size", "at").iterator():
            signed.setdefault(size, []).append(at)
        self._signed = [(size, sorted(times)[0]) for size, times in sorted(signed.items())]
        self._signed_sizes = [size for size, _ in self._signed]

    def differences(self, one: _Row, kept: Sequence[_Kept]) -> Iterator[str]:
        """Of one entry: what was numbered between two checkpoints was numbered at that time."""
        stamp = next((x for slot in kept if (x := slot.fields().get("time"))), None)
        if not isinstance(stamp, str):
            return
        try:
            at = datetime.fromisoformat(stamp.replace("Z", "+00:00"))
        except ValueError:
            at = datetime(1, 1, 1, tzinfo=UTC)
        for sizes, times in (
            (self._sizes, self._ats),
            (self._signed_sizes, [moment for _, moment in self._signed]),
        ):
            first = bisect_left(sizes, one.idx + 1)
            early = first > 0 and at < times[first - 1] - LEEWAY
            late = first < len(times) and at > times[first] + LEEWAY
            if early or late:
                yield f"ledger_entry {one.idx}: its time is not that of its checkpoints."
                return


# Tiles and checkpoints


def _compared(level: int, n: int, right: bytes) -> Iterator[str]:
    stored = read_tiles([(level, n)]).get((level, n))
    if stored is None:
        yield f"ledger_tile {level}/{n}: missing."
    elif stored != right:
        same = 0
        while stored[same : same + merkle.HASH] == right[same : same + merkle.HASH]:
            same += merkle.HASH
        which = n * merkle.WIDTH + same // merkle.HASH
        what = f"from entry {which} on" if level == 0 else f"from tile {level - 1}/{which} on"
        yield f"ledger_tile {level}/{n}: it does not follow from the entries, {what}."


def _checkpoint_differences() -> Iterator[str]:
    @lru_cache(maxsize=512)
    def read(level: int, n: int) -> bytes:
        return read_tiles([(level, n)]).get((level, n), b"")

    keys = [bytes(row.public) for row in SigningKey.objects.filter(purpose="ledger")]
    known = [note.Verifier(name, note.LOG, key) for name in origins() for key in keys]
    for row in LedgerCheckpoint.objects.order_by("size").iterator(chunk_size=CHUNK):
        try:
            stated = note.parse_checkpoint(row.note.partition("\n\n")[0] + "\n")
            if known:
                note.open_checkpoint(row.note, known)
        except Refused as refused:
            yield f"ledger_checkpoint {row.size}: {refused.sentence}"
            continue
        if (stated.size, stated.root) != (row.size, bytes(row.root)):
            yield f"ledger_checkpoint {row.size}: its note says something else."
        elif _root_at(row.size, read) != stated.root:
            yield f"ledger_checkpoint {row.size}: the tree has another root at that size."
    ats = LedgerCheckpoint.objects.order_by("size").values_list("size", "at")
    for (_, before), (size, at) in pairwise(ats.iterator(chunk_size=CHUNK)):
        if at <= before:
            yield f"ledger_checkpoint {size}: it is not later than the one before."
    yield from _cosignature_differences()


def _cosignature_differences() -> Iterator[str]:
    verifiers = {
        row.pk: note.Verifier(row.name, note.WITNESS, bytes(row.public))
        for row in LedgerWitness.objects.all()
    }
    rows = LedgerCosignature.objects.order_by("id")
    for row in rows.iterator(chunk_size=CHUNK):
        signed = LedgerCheckpoint.objects.filter(size=row.size).values_list("note", "at").first()
        verifier = verifiers.get(row.witness_id)
        where = f"ledger_cosignature of size {row.size} by witness {row.witness_id}"
        if signed is None or verifier is None:
            yield f"{where}: there is no such checkpoint or witness."
            continue
        try:
            text = signed[0].partition("\n\n")[0] + "\n"
            found = note.check_line(row.line.removesuffix("\n"), text, [verifier])
        except Refused as refused:
            yield f"{where}: {refused.sentence}"
            continue
        if found is None or found.at is None or found.at != int(row.at.timestamp()):
            yield f"{where}: its line says something else."
        elif signed[1] > row.at + witnesses.LEEWAY:
            yield f"ledger_checkpoint {row.size}: it is later than its cosignature."


def _root_at(size: int, read: merkle.Read) -> bytes:
    try:
        return merkle.root_at(size, read)
    except Refused:
        return b""
