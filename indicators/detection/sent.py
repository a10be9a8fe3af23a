"""Many extracts at once, by columns: the tables of the pool, and the few rows that are asked for.

Nearly all that is in the pool ties to nothing: dummies, and groups that one member alone knows. A
token, or a band of a template, that a single row holds is left out before an engine sees it, unless
a rule asks for just that, and a row becomes a value only when something ties it. Tokens and bands
stay the octets that were sealed, where they lie: only what is shared becomes text. What is left is
the same, whatever the order.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from itertools import chain
from typing import Any

import numpy
import pyarrow as pa
import pyarrow.compute as pc

from indicators.detection import packing, run, schema
from indicators.detection.packing import Packed, Sent
from indicators.detection.tables import POOL
from indicators.detection.values import Pooled

Array = Any
np: Any = numpy  # its own types say little of arrays
Arrow = Any  # of pyarrow
_MOST_EGRESS = 8  # addresses that the scorecard counts
_ODD = np.uint64(0x9E3779B97F4A7C15)
_BITS = 20
_HIGH = np.uint64(64 - _BITS)
_AT_ONCE = 1 << 20
_WIDE = {**dict.fromkeys(schema.KINDS, packing.TOKEN), "client": packing.CLIENT}  # octets
_TYPES = {"int64": pa.int64(), "string": pa.string(), "date": pa.date32()}
BANDS = "bands"
_EPOCH = date(1970, 1, 1).toordinal()
_TAGS = {"capabilities": "capability", "methods": "method", "surface": "surface"}


@dataclass(frozen=True, slots=True)
class _Piece:
    """One extract as it was read: its columns where they lie."""

    member: int
    day: date
    source: str
    packed: Packed
    facts: Mapping[str, Array]  # of its rows
    forms: Mapping[str, Array]  # of its templates
    bands: Array  # a row for each template

    def __len__(self) -> int:
        return self.packed.rows

    def of(self, name: str, kind: str) -> Array:
        """A column as numbers."""
        return np.frombuffer(self.packed.sections[name], kind)


@dataclass(slots=True)
class Columns(run.Rows):
    """All rows of the pool, those of one group on several days as one."""

    tables: Mapping[str, Arrow]
    _pieces: Sequence[_Piece]
    _rows: "_Rows"
    _listed: Mapping[str, "_Listed"]
    _shared: Mapping[str, Arrow]  # (row, token) of tokens that two rows hold, by kind
    _made: dict[int, Pooled] = field(default_factory=dict)
    _sources: dict[tuple[int, str], str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._rows.member)

    def __getitem__(self, number: int, /) -> Pooled:
        if number not in self._made:
            self.want([number])
        return self._made[number]

    def member(self, number: int) -> int:
        """Whose row it is; affiliates are one."""
        return int(self._rows.member[number])

    def members(self) -> Mapping[int, int]:
        """How many rows each has."""
        return Counter(self._rows.member.tolist())

    def sources(self, rows: Iterable[Pooled]) -> frozenset[str]:
        """Whose rows these are, of the affiliates that count as one."""
        return frozenset(self._sources[one.member, one.row.cluster] for one in rows)

    def whole(self, names: Collection[str]) -> Mapping[str, Arrow]:
        """The tables with what a single row holds too, under a name of its own, of these lists.

        For rules that count tokens or bands, or ask whether there are any.
        """
        found = dict(self.tables)
        kinds = [kind for kind in self._listed if kind in names and kind in schema.KINDS]
        if kinds:
            # The places of lone addresses stand for them where they are not asked for.
            kept = found["row_token"]
            if "egress" in kinds:
                kept = kept.filter(pc.not_equal(kept["token"], ""))
            group = self._rows.group
            lone = {kind: _lone(kind, self._listed[kind], group) for kind in kinds}
            found["row_token"] = pa.concat_tables([kept, _tokens(lone).cast(kept.schema)])
        if BANDS in names:
            shared = found["template_band"]
            lone_bands = _lone_bands(len(found["template_row"]), shared).cast(shared.schema)
            found["template_band"] = pa.concat_tables([shared, lone_bands])
        return found

    def want(self, numbers: Collection[int]) -> None:
        """Make these rows, all at once: each extract is asked once, each list read once."""
        missing = np.array(sorted(set(numbers) - self._made.keys()), np.int64)
        if not len(missing):
            return
        raw = self._rows.newest[missing]
        of = np.searchsorted(self._rows.first[:-1], raw, side="right") - 1
        newest: dict[int, Pooled] = {}
        for piece in np.unique(of):
            mine = of == piece
            made = _made(self._pieces[piece], raw[mine] - self._rows.first[piece])
            newest |= dict(zip(missing[mine].tolist(), made, strict=True))
            source = self._pieces[piece].source
            self._sources |= {(one.member, one.row.cluster): source for one in made}
        lists = {name: self._union(listed, missing) for name, listed in self._listed.items()}
        lists |= {name: self._tags(kind, missing) for name, kind in _TAGS.items()}
        begun = self.tables["cluster_row"]["first_day"].take(pa.array(missing)).to_pylist()
        for number, first_day in zip(missing.tolist(), begun, strict=True):
            of_all = {name: found.get(number, ()) for name, found in lists.items()}
            one = newest[number]
            self._made[number] = run.with_all(one, first_day, of_all)

    def _union(self, listed: "_Listed", missing: Array) -> dict[int, tuple[str, ...]]:
        """What a list held on any day, of these rows."""
        is_wanted = np.zeros(len(self), bool)
        is_wanted[missing] = True
        own = self._rows.group[listed.parents]
        place = np.flatnonzero(is_wanted[own])
        rows, at = _distinct(own[place], listed.keys[place])
        return _gathered(rows, listed.texts(place[at]))

    def _tags(self, kind: str, missing: Array) -> dict[int, tuple[str, ...]]:
        table = self.tables["row_tag"]
        rows = _ints(table["row"])
        place = np.flatnonzero(np.isin(rows, missing) & pc.equal(table["kind"], kind).to_numpy())
        return _gathered(rows[place], table["tag"].take(pa.array(place)))


def _gathered(rows: Array, values: Arrow) -> dict[int, tuple[str, ...]]:
    found: dict[int, list[str]] = defaultdict(list)
    for row, value in zip(rows.tolist(), values.to_pylist(), strict=True):
        found[row].append(value)
    return {row: tuple(sorted(many)) for row, many in found.items()}


def _made(piece: _Piece, numbers: Array) -> list[Pooled]:
    rows = [piece.packed.row(number) for number in numbers.tolist()]
    used = {number for row in rows for number in row.templates}
    templates = {number: piece.packed.template(number) for number in used}
    return [
        Pooled(piece.member, piece.day, row, tuple(templates[one] for one in row.templates))
        for row in rows
    ]


def read(sent: Iterable[Sent]) -> Columns:
    """All extracts as tables.POOL and the rows behind them."""
    # 1. where each column is   2. rows of one group on several days are one row
    # 3. templates, and their bands, where another template has them too
    # 4. its newest facts       5. its tokens, where another row holds them too
    pieces = sorted(map(_piece, sent), key=lambda one: (one.member, one.day, one.source))  # 1
    if not any(map(len, pieces)):
        return _nothing()
    rows = _Rows.of(pieces)  # 2
    with ThreadPoolExecutor(1) as beside:
        templates = beside.submit(_of_templates, rows, pieces)  # 3
        made: dict[str, Arrow] = {"cluster_row": _facts(rows, pieces)}  # 4
        listed = {kind: _Listed.of(pieces, kind) for kind in (*schema.KINDS, "client")}  # 5
        shared = {kind: _shared(listed[kind], rows.group) for kind in schema.KINDS}
        others = {"egress": _others(listed["egress"], rows, shared["egress"])}
        made["row_token"] = _tokens(shared, others)
        client = listed["client"]
        own, place = _distinct(rows.group[client.parents], client.keys, rows.is_many)
        made["row_client"] = pa.table({"row": own, "client": client.texts(place)})
        made["row_tag"] = pa.concat_tables([_tags(rows, pieces, name) for name in packing.WORDS])
        made |= templates.result()
    tables = {name: made[name].cast(_schema(name)) for name in POOL}
    return Columns(tables=tables, _pieces=pieces, _rows=rows, _listed=listed, _shared=shared)


def _nothing() -> Columns:
    """A pool in which nothing is."""
    none = np.empty(0, np.int64)
    rows = _Rows(np.zeros(1, np.int64), none, none, none, none, none, none, none == 0, none)
    tables = {name: _schema(name).empty_table() for name in POOL}
    return Columns(tables=tables, _pieces=(), _rows=rows, _listed={}, _shared={})


def _piece(sent: Sent) -> _Piece:
    packed = Packed.of(sent.body)
    sections = packed.sections
    facts = np.frombuffer(sections["facts"], np.uint8).reshape(len(packing.FACTS), packed.rows)
    forms = np.frombuffer(sections["forms"], np.uint8).reshape(-1, packed.templates)
    return _Piece(
        member=sent.member,
        day=sent.day,
        source=sent.source,
        packed=packed,
        facts=dict(zip(packing.FACTS, facts, strict=True)),
        forms=dict(zip(packing.FORMS, forms, strict=True)),
        bands=np.frombuffer(sections["bands"], np.uint64).reshape(-1, schema.BANDS),
    )


# --- rows ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Rows:
    """Raw rows, and the group that each belongs to."""

    first: Array  # raw row with which a piece begins, and the number of all
    cluster: Array  # of a raw row
    order: Array  # raw rows by group, the newest of each last
    starts: Array
    group: Array  # of a raw row
    member: Array  # of a group
    newest: Array  # raw row of a group
    is_many: Array  # whether a group has several raw rows
    days: Array  # ordinal of the day of a group's newest row

    @classmethod
    def of(cls, pieces: Sequence[_Piece]) -> "_Rows":
        """Numbered by member and by the name that a member gives its group."""
        first = _firsts_of(map(len, pieces))
        of = np.repeat(np.arange(len(pieces)), np.diff(first))
        members = np.array([one.member for one in pieces], np.int64)[of]
        days = np.array([one.day.toordinal() for one in pieces], np.int64)[of]
        # Octets as the number that they write: in the order of their text.
        cluster = np.concatenate([one.of("cluster", ">u8") for one in pieces]).astype(np.uint64)
        own = np.arange(len(of)) - first[of]
        order = np.lexsort((own, days, cluster, members))
        is_first = _firsts(cluster[order], members[order])
        starts = np.flatnonzero(is_first)
        group = np.empty(len(order), np.int64)
        group[order] = np.cumsum(is_first) - 1
        ends = np.append(starts[1:], len(order))
        newest = order[ends - 1]
        is_many = ends - starts > 1
        return cls(
            first, cluster, order, starts, group, members[newest], newest, is_many, days[newest]
        )


@dataclass(frozen=True, slots=True)
class _Listed:
    """A column of lists over all pieces: of each value whose it is, and a number for its text."""

    parents: Array  # raw rows
    keys: Array
    values: Sequence[Array]  # octets, piece by piece
    first: Array

    @classmethod
    def of(cls, pieces: Sequence[_Piece], name: str) -> "_Listed":
        """One of `packing.LISTS` that holds octets."""
        lengths = np.concatenate([one.facts[name] for one in pieces])
        values = [one.of(name, np.uint8).reshape(-1, _WIDE[name]) for one in pieces]
        keys = np.concatenate([_key(one.view(np.uint64)) for one in values])
        first = _firsts_of(map(len, values))
        return cls(np.repeat(np.arange(len(lengths)), lengths), keys, values, first)

    def texts(self, place: Array) -> Arrow:
        """The texts at these places."""
        order = np.argsort(place, kind="stable")
        wanted = place[order]
        cuts = np.searchsorted(wanted, self.first)
        found = np.empty((len(place), self.values[0].shape[1]), np.uint8)
        for n in np.flatnonzero(np.diff(cuts)):
            mine = slice(cuts[n], cuts[n + 1])
            found[order[mine]] = self.values[n][wanted[mine] - self.first[n]]
        return _hex(found)


def _schema(name: str) -> Arrow:
    return pa.schema([(column, _TYPES[kind]) for column, kind in POOL[name].items()])


def _facts(rows: _Rows, pieces: Sequence[_Piece]) -> Arrow:
    def column(name: str) -> Array:
        return np.concatenate([one.facts[name] for one in pieces])[rows.newest]

    def numbers(name: str, kind: str) -> Array:
        return np.concatenate([one.of(name, kind) for one in pieces])

    begun = np.minimum.reduceat(numbers("first_day", "<i4")[rows.order], rows.starts)
    columns: dict[str, Any] = {
        "row": np.arange(len(rows.newest)),
        "member": rows.member,
        "day": _days(rows.days - _EPOCH),
        "cluster": _hex(rows.cluster[rows.newest].byteswap().view(np.uint8).reshape(-1, 8)),
        "first_day": _days(begun),
        "last_day": _days(numbers("last_day", "<i4")[rows.newest]),
        **{half: numbers(half, "<i8")[rows.newest] for half in ("am", "pm")},
        **{name: column(name) for name in packing.NUMBERS},
    }
    for name in ("size", "payers", "devices"):
        places = columns[name].astype(np.int64)
        columns[name] = np.where(places == len(schema.SIZES), -1, places)  # schema.FEW
    return pa.table({name: columns[name] for name in POOL["cluster_row"]})


def _days(numbers: Array) -> Arrow:
    return pa.array(numbers.astype(np.int32)).cast(pa.date32())


def _of_kind(kind: str, table: Arrow) -> Arrow:
    named = pa.array([kind] * len(table), pa.string())
    columns = {"row": table.column("row"), "kind": named, "token": table.column("token")}
    return pa.table(columns)


def _shared(listed: _Listed, group: Array) -> Arrow:
    """(row, token) where two rows or more hold the token."""
    again = _again(listed.keys)
    own, at = _of_two(group[listed.parents[again]], listed.keys[again])
    return pa.table({"row": own, "token": listed.texts(again[at])})


def _lone(kind: str, listed: _Listed, group: Array) -> Arrow:
    """(row, name) for tokens that no other row holds: that they are others is all that counts."""
    again = _again(listed.keys)
    is_once = np.ones(len(listed.keys), bool)
    is_once[again] = False
    # One group's token on several of its days is its own still.
    held = group[listed.parents[again]], listed.keys[again]
    is_own = np.ones(len(again), bool)
    is_own[np.isin(held[1], held[1][_of_two(*held)[1]])] = False
    again = again[is_own]
    own, at = _distinct(group[listed.parents[again]], listed.keys[again])
    once = np.flatnonzero(is_once)
    rows = np.concatenate((group[listed.parents[once]], own))
    return pa.table({"row": rows, "token": _names(kind, np.concatenate((once, again[at])))})


def _lone_bands(count: int, shared: Arrow) -> Arrow:
    """(template, band, name) for bands that no other of so many templates has."""
    is_lone = np.ones(count * schema.BANDS, bool)
    is_lone[_ints(shared["template"]) * schema.BANDS + _ints(shared["band"])] = False
    lone = np.flatnonzero(is_lone)
    template, band = np.divmod(lone, schema.BANDS)
    return pa.table({"template": template, "band": band, "value": _names("band", lone)})


def _names(kind: str, numbers: Array) -> Arrow:
    """Short: an engine keeps a text of up to twelve octets beside its row."""
    return pc.binary_join_element_wise(kind[0], pa.array(numbers).cast(pa.string()), "")


def _tokens(*parts: Mapping[str, Arrow]) -> Arrow:
    return pa.concat_tables(_of_kind(kind, one) for part in parts for kind, one in part.items())


def _others(egress: _Listed, rows: _Rows, shared: Arrow) -> Arrow:
    """Places for the addresses that no other row holds: how many there are is a fact of a row."""
    count = len(rows.newest)
    own, _ = _distinct(rows.group[egress.parents], egress.keys, rows.is_many)
    counts = np.minimum(np.bincount(own, minlength=count), _MOST_EGRESS)
    counts -= np.minimum(np.bincount(_ints(shared.column("row")), minlength=count), counts)
    found = np.repeat(np.arange(count), counts)
    return pa.table({"row": found, "token": pa.array([""] * len(found), pa.string())})


def _tags(rows: _Rows, pieces: Sequence[_Piece], name: str) -> Arrow:
    lengths = np.concatenate([one.facts[name] for one in pieces])
    codes = np.concatenate([one.of(name, np.uint8) for one in pieces])
    own, place = _distinct(np.repeat(rows.group, lengths), codes, rows.is_many)
    kinds = pa.array([_TAGS[name]] * len(own), pa.string())
    tags = pa.array(packing.WORDS[name], pa.string()).take(pa.array(codes[place]))
    return pa.table({"row": own, "kind": kinds, "tag": tags})


# --- templates -----------------------------------------------------------------------------------


def _of_templates(rows: _Rows, pieces: Sequence[_Piece]) -> dict[str, Arrow]:
    first = _firsts_of(len(one.bands) for one in pieces)
    of = np.repeat(np.arange(len(pieces)), np.diff(first))
    members = np.array([one.member for one in pieces], np.int64)[of]
    # One member's equal templates on several days are one; the newest speaks for it.
    same = np.concatenate([one.of("same", np.uint64) for one in pieces])
    same ^= members.astype(np.uint64) * _ODD
    order = np.argsort(same)
    is_first = _firsts(same[order])
    number = np.empty(len(order), np.int64)
    number[order] = np.cumsum(is_first) - 1
    starts = np.flatnonzero(is_first)
    last = np.maximum.reduceat(order, starts) if len(order) else order
    lengths = np.concatenate([one.facts["templates"] for one in pieces])
    parents = np.repeat(np.arange(len(rows.group)), lengths)
    held = np.concatenate(
        [one.of("templates", "<u2").astype(np.int64) + first[n] for n, one in enumerate(pieces)]
    )
    # A row's templates are those of its newest day, as its other facts are.
    is_newest = np.zeros(len(rows.group), bool)
    is_newest[rows.newest] = True
    is_held = is_newest[parents]
    held, parents = number[held[is_held]], parents[is_held]
    is_used = np.zeros(len(last), bool)
    is_used[held] = True
    # Templates are numbered as they were sent.
    used = np.sort(last[is_used])
    name = np.empty(len(last), np.int64)
    name[number[used]] = np.arange(len(used))
    is_many = np.diff(starts, append=len(order)) > 1
    own, used_at = _distinct(rows.group[parents], held, is_many, by=held)
    told = {kind: np.concatenate([one.forms[kind] for one in pieces]) for kind in packing.BUCKETS}
    owners, bands, values = _shared_bands(pieces, first, used)
    return {
        "row_template": pa.table({"row": own, "template": name[held[used_at]]}),
        "template_row": pa.table(
            {
                "template": np.arange(len(used)),
                "member": members[used],
                "day": _days(np.array([one.day.toordinal() - _EPOCH for one in pieces])[of[used]]),
                "length": told["length_bucket"][used],
                "samples": told["sample_bucket"][used],
                "base_rate": told["base_rate_bucket"][used],
                "languages": _spoken(pieces, used),
            }
        ),
        "template_band": pa.table({"template": owners, "band": bands, "value": values}),
    }


def _spoken(pieces: Sequence[_Piece], used: Array) -> Arrow:
    """The languages of these templates, with a space between."""
    counts = np.concatenate([one.forms["languages"] for one in pieces])
    octets = np.concatenate([one.of("languages", np.uint8) for one in pieces]).reshape(-1, 3)
    # Three small letters, or two and a space, are a number of fifteen bits.
    codes = (octets.astype(np.int32) & 31) @ np.array([1 << 10, 1 << 5, 1], np.int32)
    known = np.flatnonzero(np.bincount(codes))
    names = [_letters(one) for one in known.tolist()]
    each = pa.array(names, pa.string()).take(pa.array(np.searchsorted(known, codes)))
    lists = pa.ListArray.from_arrays(pa.array(_firsts_of(counts), pa.int32()), each)
    return pc.binary_join(lists.take(pa.array(used)), " ")


def _letters(code: int) -> str:
    return "".join(chr(96 + (code >> shift & 31)) for shift in (10, 5, 0)).rstrip("`")


def _shared_bands(
    pieces: Sequence[_Piece], first: Array, used: Array
) -> tuple[Array, Array, Arrow]:
    """Template, place and text of each band that two of the used templates have or more."""
    cuts = np.searchsorted(used, first)
    spans = [(n, used[cuts[n] : cuts[n + 1]] - first[n]) for n in np.flatnonzero(np.diff(cuts))]
    mine = [
        # Nearly always all of them, and then they are read where they lie.
        pieces[n].bands if len(own) == len(pieces[n].bands) else pieces[n].bands[own]
        for n, own in spans
    ]
    if not mine:
        none = np.empty(0, np.int64)
        return none, none, pa.array([], pa.string())
    flat = [one.reshape(-1) for one in mine]
    again = _again(*flat)
    starts = schema.BANDS * cuts[[*(n for n, _ in spans), -1]]
    of = np.searchsorted(again, starts)
    keys = np.concatenate([one[again[of[n] : of[n + 1]] - starts[n]] for n, one in enumerate(flat)])
    owners, at = _of_two(again // schema.BANDS, keys)
    return owners, again[at] % schema.BANDS, _hex(keys[at].view(np.uint8).reshape(-1, 8))


# --- arrays --------------------------------------------------------------------------------------


def _ints(column: Arrow) -> Array:
    return column.to_numpy().astype(np.int64)


def _firsts_of(lengths: Iterable[int]) -> Array:
    """Where each of several begins that lie one behind the other, and where the last ends."""
    return np.cumsum(np.fromiter(chain((0,), lengths), np.int64))


def _hex(octets: Array) -> Arrow:
    """Octets, of one width, as texts."""
    count, width = octets.shape
    offsets = np.arange(count + 1, dtype=np.int64) * (2 * width)
    text = pa.py_buffer(octets.tobytes().hex().encode())
    made = pa.LargeStringArray.from_buffers(count, pa.py_buffer(offsets), text)
    return made.cast(pa.string())


def _key(words: Array) -> Array:
    """A number for each value, of all its octets; who makes two alike has to have both."""
    made = words[:, 0].copy()
    for column in range(1, words.shape[1]):
        made *= _ODD
        made += words[:, column]
    return made


def _firsts(*ordered: Array) -> Array:
    """Where something other begins than stood before."""
    changes = np.ones(len(ordered[0]), bool)
    changes[1:] = False
    for one in ordered:
        changes[1:] |= one[1:] != one[:-1]
    return changes


def _distinct(
    rows: Array, keys: Array, is_many: Array | None = None, *, by: Array | None = None
) -> tuple[Array, Array]:
    """Each pair once: its row, and where it stood first.

    What `is_many` says of the row (or of `by`) is whether a pair may stand more than once at all.
    """
    if is_many is None:
        place = np.arange(len(rows))
        lone = place[:0]
    else:
        may = is_many[rows if by is None else by]
        place, lone = np.flatnonzero(may), np.flatnonzero(~may)
    order = place[np.lexsort((keys[place], rows[place]))]
    place = np.concatenate((lone, order[_firsts(rows[order], keys[order])]))
    return rows[place], place


def _again(*keys: Array) -> Array:
    """The places of values that stand at more than one, in arrays one behind the other."""
    ordered = np.concatenate(keys)
    ordered.sort()
    many = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    del ordered
    if not len(many):
        return np.empty(0, np.int64)
    # Cheap first, and a piece at a time: what shares its highest digits with none of them.
    is_known = np.zeros(1 << _BITS, bool)
    is_known[(many * _ODD) >> _HIGH] = True
    found = []
    begin = 0
    for whole in keys:
        for start in range(0, len(whole), _AT_ONCE):
            some = whole[start : start + _AT_ONCE]
            place = np.flatnonzero(is_known[(some * _ODD) >> _HIGH])
            at = np.minimum(np.searchsorted(many, some[place]), len(many) - 1)
            found.append(begin + start + place[many[at] == some[place]])
        begin += len(whole)
    return np.concatenate(found)


def _of_two(rows: Array, keys: Array) -> tuple[Array, Array]:
    """Each pair once of values that two rows or more hold: its row, and where it stood."""
    place = np.lexsort((rows, keys))
    place = place[_firsts(keys[place], rows[place])]
    starts = np.flatnonzero(_firsts(keys[place]))
    counts = np.diff(np.append(starts, len(place)))
    place = np.sort(place[np.repeat(counts, counts) > 1])
    return rows[place], place
