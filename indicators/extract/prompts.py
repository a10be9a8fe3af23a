"""From prompts to templates: near-duplicates of a day, and what at least half of them share.

Of a prompt only numbers stay: its bands and shingles (`indicators.stix.fingerprints`), in temporary
files that are read part by part, so that ten million prompts need little memory. No text of a
prompt is ever written.
"""

import itertools
import json
import tempfile
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from indicators.stix import fingerprints

MOST = 8  # prompts of one account and day
CHUNK = 512  # texts at a time
SAMPLED = 64  # prompts of a group that its consensus is made of
_SLOTS = 1 << 24
_SPREAD = 1 << 16  # prompts whose bands are put in order at a time
_PARTS = 16
_FACTS = 14  # octets for a prompt: account, day, number of shingles
_PLACED = np.dtype([("row", np.int32), ("value", np.uint64)])
# A pair, sorted by its row; and its two halves.
_PAIR = np.dtype("<u8")
_HALVES = np.dtype([("other", "<i4"), ("row", "<i4")])
_RANGES = 64  # of prompts: so many files of pairs
_SAME = 8  # templates with an equal band that are looked at
_EXPECTED = ("system", "user", "developer")
_SAID = ("content", "text", "parts")

# numpy is not typed here.
Array = Any


@dataclass(frozen=True, slots=True)
class Template:
    """A template as it is kept at home: its signature in clear numbers."""

    template: int
    signature: tuple[int, ...]
    length: int  # words, about
    languages: str

    @property
    def bands(self) -> tuple[bytes, ...]:
        """The 32 bands, in clear: they never leave home."""
        return fingerprints.bands(self.signature)


@dataclass(frozen=True, slots=True)
class Used:
    """What prompts came to: of which template each is, or -1, and templates not known before."""

    templates: Array
    made: tuple[Template, ...]


def text_of(prompt: str) -> str:
    """What was asked: of messages in JSON the system's and the last of the user's."""
    if prompt[:1] not in ("[", "{"):
        return prompt
    try:
        value = json.loads(prompt)
    except (ValueError, RecursionError):
        return prompt
    messages = value if isinstance(value, list) else [value]
    asked: dict[str, str] = {}
    for message in messages:
        if isinstance(message, dict):
            role = str(message.get("role", "user"))
            if role in _EXPECTED:
                asked[role] = " ".join(_strings(message))
    return "\n".join(text for text in asked.values() if text)


def _strings(value: object, depth: int = 0) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif depth < len(_EXPECTED) + 1 and isinstance(value, list):
        for one in value:
            yield from _strings(one, depth + 1)
    elif depth < len(_EXPECTED) + 1 and isinstance(value, dict):
        for name in _SAID:
            if name in value:
                yield from _strings(value[name], depth + 1)


class Sketchbook:
    """The prompts of a day or some days, as numbers in three files that end with it.

    In memory is a handful of octets for a prompt, while `used` works.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # Who, when and how many shingles, chunk by chunk; the shingles; the bands (`_spread`).
        self._facts, self._shingles, self._bands = (
            tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by `close`
            for _ in range(3)
        )
        # Where each chunk begins: among all prompts, and among all shingles.
        self._begins: list[int] = []
        self._places: list[int] = []
        self._written = 0
        self._waiting: list[Array] = []
        self._spread_out = 0
        self._spreads: list[tuple[int, Array]] = []
        self.count = 0  # of prompts that have a fingerprint
        self._taken: Array = np.zeros(_SLOTS, dtype=np.uint8)
        self.too_short = 0

    def close(self) -> None:
        """Let go of the files."""
        for file in (self._facts, self._shingles, self._bands):
            file.close()

    def take(self, accounts: Array, days: Array, prompts: Sequence[str]) -> None:
        """Fingerprint these, but no more than eight of one account and day."""
        keep = self._allowed(accounts, days)
        accounts, days = accounts[keep], days[keep]
        texts = [text_of(prompts[place]) for place in keep]
        for start in range(0, len(texts), CHUNK):
            places, minima, shingles = fingerprints.sketches(texts[start : start + CHUNK])
            self.too_short += len(texts[start : start + CHUNK]) - len(places)
            if not places:
                continue
            rows = start + np.array(places)
            lengths = np.array([len(one) for one in shingles], dtype=np.uint16)
            self._begins.append(self.count)
            self._places.append(self._written)
            self._facts.write(accounts[rows].astype(np.int64).tobytes())
            self._facts.write(days[rows].astype(np.int32).tobytes())
            self._facts.write(lengths.tobytes())
            self._shingles.write(np.concatenate(shingles).tobytes())
            self._written += int(lengths.sum(dtype=np.int64))
            self._waiting.append(_hashed(minima))
            self.count += len(places)
            if self.count - self._spread_out >= _SPREAD:
                self._spread()

    def used(self, known: Sequence[Template], *, next_number: int) -> Used:
        """Which prompt is of which template, known or made of at least eight prompts here."""
        self._spread()
        templates: Array = np.full(self.count, -1, dtype=np.int32)
        self._matched(known, templates)
        made: list[Template] = []
        for members in _groups(self._leaders(templates)):
            template = self._made(members, number=next_number + len(made))
            if template is not None and not any(_is_near(template, one) for one in made):
                made.append(template)
        self._matched(made, templates)
        return Used(templates, tuple(made))

    def uses(self, used: Used) -> Iterator[tuple[Array, Array, Array]]:
        """Accounts, days and templates of the prompts that are of one, part by part."""
        self._facts.seek(0)
        chunks = list(itertools.pairwise([*self._begins, self.count]))
        for place in range(0, len(chunks), CHUNK):
            parts = [self._uses(used, *chunk) for chunk in chunks[place : place + CHUNK]]
            accounts, days, templates = map(np.concatenate, zip(*parts, strict=True))
            yield accounts, days, templates

    def _uses(self, used: Used, begin: int, end: int) -> tuple[Array, Array, Array]:
        size = end - begin
        octets = self._facts.read(_FACTS * size)
        accounts = np.frombuffer(octets, dtype=np.int64, count=size)
        days = np.frombuffer(octets, dtype=np.int32, count=size, offset=8 * size)
        rows = used.templates[begin:end] >= 0
        return accounts[rows], days[rows], used.templates[begin:end][rows]

    def _allowed(self, accounts: Array, days: Array) -> list[int]:
        """The places of those that are not yet too many of their account and day."""
        # Two accounts in one slot may lose a prompt; nobody gains one.
        slots = (accounts.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)) ^ days.astype(
            np.uint64
        ) * np.uint64(0xBF58476D1CE4E5B9)
        slots = (slots >> np.uint64(40)).astype(np.int64)
        keep = []
        for place, slot in enumerate(slots.tolist()):
            if self._taken[slot] < MOST:
                self._taken[slot] += 1
                keep.append(place)
        return keep

    def _spread(self) -> None:
        """Write the bands that wait: band by band, and of each those together that may be equal."""
        if not self._waiting:
            return
        rows, first = np.concatenate(self._waiting), np.int32(self._spread_out)
        self._waiting.clear()
        self._spread_out = self.count
        ends: Array = np.empty((fingerprints.BANDS, _PARTS), dtype=np.int32)
        begin = self._bands.tell()
        for band in range(fingerprints.BANDS):
            column = rows[:, band]
            part = (column % np.uint64(_PARTS)).astype(np.uint8)
            order = np.argsort(part, kind="stable")
            ends[band] = np.cumsum(np.bincount(part, minlength=_PARTS))
            written: Array = np.empty(len(rows), dtype=_PLACED)
            written["row"], written["value"] = first + order.astype(np.int32), column[order]
            self._bands.write(written.tobytes())
        self._spreads.append((begin, ends))

    def _pieces(self, band: int, part: int, free: Array) -> Iterator[tuple[Array, Array]]:
        """One band of the free prompts in pieces; in another part none has a value of these."""
        self._bands.flush()
        for begin, ends in self._spreads:
            size, end = int(ends[band, -1]), int(ends[band, part])
            start = int(ends[band, part - 1]) if part else 0
            self._bands.seek(begin + (band * size + start) * _PLACED.itemsize)
            octets = self._bands.read((end - start) * _PLACED.itemsize)
            placed = np.frombuffer(octets, dtype=_PLACED)
            found = placed[free[placed["row"]]]
            if len(found):
                yield np.ascontiguousarray(found["row"]), np.ascontiguousarray(found["value"])

    def _pairs(self, band: int, part: int, free: Array) -> Iterator[Array]:
        """Each prompt of a part, and the first that has its value: of a template it may be all."""
        values, firsts, again = [], [], []
        at = 0
        for rows, column in self._pieces(band, part, free):
            value, first, which = np.unique(column, return_index=True, return_inverse=True)
            values.append(value)
            firsts.append(rows[first])
            inside = rows != rows[first][which]
            again.append((rows[inside], (at + which[inside]).astype(np.int32)))
            at += len(value)
        if not values:
            return
        column, rows = np.concatenate(values), np.concatenate(firsts)
        order = np.argsort(column, kind="stable")
        sorted_values = column[order]
        begins = np.concatenate([[True], sorted_values[1:] != sorted_values[:-1]])
        leader: Array = np.empty(len(rows), dtype=np.int32)
        leader[order] = rows[order[np.flatnonzero(begins)][np.cumsum(begins) - 1]]
        inside = leader != rows
        yield _paired(rows[inside], leader[inside])
        for led, which in again:
            yield _paired(led, leader[which])

    def _matched(self, known: Sequence[Template], templates: Array) -> None:
        """Give each prompt without one the first template that shares two bands with it."""
        if not known:
            return
        numbers = np.array([one.template for one in known], dtype=np.int32)
        hashed = _hashed(np.array([one.signature for one in known], dtype=np.uint32))
        free = templates < 0
        with _Once(self._folder, self.count) as once:
            for band in range(fingerprints.BANDS):
                order = np.argsort(hashed[:, band], kind="stable")
                values = hashed[order, band]
                for part in range(_PARTS):
                    for rows, column in self._pieces(band, part, free):
                        left: Array = np.searchsorted(values, column, "left")
                        right = np.searchsorted(values, column, "right")
                        for step in range(min(_SAME, int((right - left).max(initial=0)))):
                            hit = np.flatnonzero(left + step < right)
                            once.add(_paired(rows[hit], order[left[hit] + step]))
                for rows, which in once.again(free):
                    templates[rows[::-1]] = numbers[which[::-1]]  # of several the one known longest

    def _leaders(self, templates: Array) -> Array:
        """For each prompt without a template one that shares two bands with it, or itself."""
        leader: Array = np.arange(len(templates), dtype=np.int32)
        leader[templates >= 0] = -1
        free = templates < 0
        with _Once(self._folder, self.count) as once:
            for band in range(fingerprints.BANDS):
                for part in range(_PARTS):
                    for pairs in self._pairs(band, part, free):
                        once.add(pairs)
                for behind, ahead in once.again(free):
                    leader[behind[::-1]] = ahead[::-1]
        last = leader.copy()  # whose leader is led itself
        for begin in range(0, len(leader), _SPREAD):
            led = leader[begin : begin + _SPREAD]
            last[begin : begin + _SPREAD] = np.where(led < 0, -1, leader[led])
        return last

    def _made(self, members: Array, *, number: int) -> Template | None:
        """A template of these prompts, if they have enough in common."""
        step = max(1, len(members) // SAMPLED)
        chosen = members[::step][:SAMPLED]
        shingles = [self._shingles_of(int(one)).tolist() for one in chosen]
        common = fingerprints.consensus(shingles)
        signature = fingerprints.signature(common) if common else None
        if common is None or signature is None:
            return None
        return Template(number, signature, len(common) + 2, "")

    def _shingles_of(self, row: int) -> Array:
        chunk = bisect_right(self._begins, row) - 1
        begin, end = self._begins[chunk], [*self._begins[chunk + 1 : chunk + 2], self.count][0]
        self._facts.seek(_FACTS * begin + (_FACTS - 2) * (end - begin))
        lengths = np.frombuffer(self._facts.read(2 * (end - begin)), dtype=np.uint16)
        inside = row - begin
        at = self._places[chunk] + int(lengths[:inside].sum(dtype=np.int64))
        self._shingles.seek(at * 4)
        return np.frombuffer(self._shingles.read(int(lengths[inside]) * 4), dtype=np.uint32)


def _is_near(one: Template, other: Template) -> bool:
    return fingerprints.is_near(one.bands, other.bands)


def _groups(leaders: Array) -> Iterator[Array]:
    """The prompts of each leader, where there are enough of them."""
    leads: Array = np.zeros(len(leaders), dtype=bool)
    for rows, ahead in _led(leaders):
        leads[ahead[ahead != rows]] = True
    # Most prompts are like no other.
    grouped: Array = np.empty(sum(len(rows) for rows, _ in _led(leaders, leads)), dtype=_PAIR)
    at = 0
    for rows, ahead in _led(leaders, leads):
        grouped[at : at + len(rows)] = _paired(ahead, rows)
        at += len(rows)
    grouped.sort()
    halves = grouped.view(_HALVES)
    values, order = halves["row"], halves["other"]
    starts = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))
    for begin, end in zip(starts, [*starts[1:], len(values)], strict=True):
        if end - begin >= fingerprints.PROMPTS:
            yield order[begin:end]


def _led(leaders: Array, leads: Array | None = None) -> Iterator[tuple[Array, Array]]:
    """Rows and their leaders, part by part: all, or those that are led or lead others."""
    for begin in range(0, len(leaders), _SPREAD):
        ahead = leaders[begin : begin + _SPREAD]
        rows: Array = np.arange(begin, begin + len(ahead), dtype=np.int32)
        chosen = ahead >= 0
        if leads is not None:
            chosen &= (ahead != rows) | leads[begin : begin + _SPREAD]
        yield rows[chosen], ahead[chosen]


class _Once:
    """Pairs of a prompt and another number that came once so far: on disk, by ranges of prompts."""

    def __init__(self, folder: Path, count: int) -> None:
        self._files = [
            tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by `__exit__`
            for _ in range(_RANGES)
        ]
        edges: Array = np.arange(1, _RANGES, dtype=np.uint64) * np.uint64(count // _RANGES + 1)
        self._edges = edges << np.uint64(32)
        self._waiting: list[Array] = []
        self._size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files:
            file.close()

    def add(self, pairs: Array) -> None:
        """Take pairs, of which no two of a band are equal."""
        self._waiting.append(pairs)
        self._size += len(pairs)
        if self._size >= _SPREAD:
            self._flush()

    def again(self, free: Array) -> Iterator[tuple[Array, Array]]:
        """The pairs that came for the second time, in order; who has one is free no more."""
        self._flush()
        for file in self._files:
            every: Array = np.empty(file.tell() // _PAIR.itemsize, dtype=_PAIR)
            file.seek(0)
            file.readinto(every.data)
            every.sort()
            is_first: Array = np.ones(len(every), dtype=bool)
            np.not_equal(every[1:], every[:-1], out=is_first[1:])
            rows, others = _unpaired(every[~is_first])
            free[rows] = False
            once = every[is_first]
            once = once[free[_unpaired(once)[0]]]
            file.seek(0)
            file.truncate()
            file.write(once.data)
            yield rows, others

    def _flush(self) -> None:
        if not self._waiting:
            return
        every = np.concatenate(self._waiting)
        self._waiting.clear()
        self._size = 0
        every.sort()
        for file, part in zip(
            self._files, np.split(every, np.searchsorted(every, self._edges)), strict=True
        ):
            file.write(part.data)


def _paired(rows: Array, others: Array) -> Array:
    return rows.astype(np.uint64) << np.uint64(32) | others.astype(np.uint64)


def _unpaired(pairs: Array) -> tuple[Array, Array]:
    rows = (pairs >> np.uint64(32)).astype(np.int64)
    return rows, (pairs & np.uint64(0xFFFFFFFF)).astype(np.int64)


def _hashed(minima: Array) -> Array:
    """Each band of four minima as one number."""
    lanes = (
        np.ascontiguousarray(minima).reshape(len(minima), fingerprints.BANDS, 4).astype(np.uint64)
    )
    with np.errstate(over="ignore"):
        state = lanes[:, :, 0]
        for lane in range(1, 4):
            state = (state ^ (state >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
            state = state * np.uint64(0x9E3779B97F4A7C15) + lanes[:, :, lane]
        return state ^ (state >> np.uint64(31))
