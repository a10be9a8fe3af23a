"""Many extracts at once, by columns: the tables of the pool, and the few rows that are asked for.

Nearly all that is in the pool ties to nothing: dummies, and groups that one member alone knows. A
token, or a band of a template, that a single row holds is left out before an engine sees it, and a
row becomes a value only when something ties it. What is left is the same, whatever the order.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from hashlib import sha256
from typing import Any

import numpy
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from indicators.detection import run, schema
from indicators.detection.tables import POOL
from indicators.detection.values import ClusterRow, Pooled, TemplateRow

Array = Any
np: Any = numpy  # its own types say little of arrays
Arrow = Any  # of pyarrow
_TOKEN, _CLIENT, _BAND, _CLUSTER = 64, 32, 16, 16  # hex digits
_MOST_EGRESS = 8  # addresses that the scorecard counts
_ODD = np.uint64(0x9E3779B97F4A7C15)
_BITS = 24
_NIBBLES = np.zeros(256, np.uint64)
_NIBBLES[[*b"0123456789abcdef"]] = np.arange(16)
_TYPES = {"int64": pa.int64(), "string": pa.string(), "date": pa.date32()}
_TAGS = {"capabilities": "capability", "methods": "method", "surface": "surface"}


@dataclass(frozen=True, slots=True)
class Sent:
    """One member's day as it was sent: two Parquet files that were checked when they came in."""

    member: int  # affiliates are one
    day: date
    clusters: bytes
    templates: bytes
    source: str = ""  # whose of the affiliates it is


@dataclass(frozen=True, slots=True)
class _Piece:
    """One extract as it was read."""

    member: int
    day: date
    source: str
    digest: bytes
    clusters: Arrow
    templates: Arrow


@dataclass(slots=True)
class Columns(run.Rows):
    """All rows of the pool, those of one group on several days as one."""

    tables: Mapping[str, Arrow]
    whole: Mapping[str, Arrow]  # with what single rows hold, if that was asked for
    _pieces: Sequence[_Piece]
    _rows: "_Rows"
    _listed: Mapping[str, "_Listed"]
    _shared: Sequence[Arrow]  # (row, token) of tokens that two rows hold
    _made: dict[int, Pooled] = field(default_factory=dict)
    _holders: dict[str, set[int]] = field(default_factory=dict)
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

    def doubted(self, token: str, holder: int) -> bool:
        """Whether a row of another member holds this token too."""
        if not self._holders:
            holders: dict[str, set[int]] = defaultdict(set)
            for table in self._shared:
                rows = table.column("row").to_pylist()
                for row, one in zip(rows, table.column("token").to_pylist(), strict=True):
                    holders[one].add(self.member(row))
            self._holders = dict(holders)
        return bool(self._holders.get(token, set()) - {holder})

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
            made = _rows(self._pieces[piece], raw[mine] - self._rows.first[piece])
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


def _rows(piece: _Piece, numbers: Array) -> list[Pooled]:
    rows = piece.clusters.take(pa.array(numbers)).to_pylist()
    wanted = sorted({one for row in rows for one in row["templates"]})
    told = piece.templates.take(pa.array(wanted, pa.int64())).to_pylist()
    templates = {
        number: TemplateRow(**_plain(row)) for number, row in zip(wanted, told, strict=True)
    }
    return [
        Pooled(
            piece.member,
            piece.day,
            ClusterRow(**_plain(row)),
            tuple(templates[one] for one in row["templates"]),
        )
        for row in rows
    ]


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(one) if isinstance(one, list) else one for name, one in row.items()}


def read(sent: Iterable[Sent], *, is_whole: bool = False, threads: int = 2) -> Columns:
    """All extracts as tables.POOL and the rows behind them.

    `is_whole`: what a single row holds is in the tables too, under a name of its own, for rules
    that count tokens or bands, or ask whether there are any.
    """
    # 1. the files, each let go when it is read   2. rows of one group on several days are one row
    # 3. its newest facts                         4. its tokens, where another row holds them too
    # 5. templates, and their bands, where another template has them too
    pieces = _pieces(sent, threads)  # 1
    if not any(len(one.clusters) for one in pieces):
        return _nothing()
    rows = _Rows.of(pieces)  # 2
    made: dict[str, Arrow] = {"cluster_row": _facts(rows)}  # 3
    listed = {kind: _Listed.of(pieces, kind, _TOKEN) for kind in schema.KINDS}  # 4
    shared = {kind: _shared(one, rows.group) for kind, one in listed.items()}
    others = {"egress": _others(listed["egress"], rows, shared["egress"])}
    made["row_token"] = _tokens(shared, others)
    whole: dict[str, Arrow] = {}
    if is_whole:
        lone = {kind: _lone(kind, one, rows.group, shared[kind]) for kind, one in listed.items()}
        whole["row_token"] = _tokens(shared, lone)
    client = _Listed.of(pieces, "client", _CLIENT)
    own, place = _distinct(rows.group[client.parents], client.keys)
    made["row_client"] = pa.table({"row": own, "client": client.texts(place)})
    made["row_tag"] = pa.concat_tables([_tags(rows, name) for name in _TAGS])
    made |= _of_templates(rows, pieces, is_whole=is_whole)  # 5
    if is_whole:
        whole["template_band"] = made.pop("whole_band")
    tables = {name: made[name].cast(_schema(name)) for name in POOL}
    return Columns(
        tables=tables,
        whole=tables | {name: one.cast(_schema(name)) for name, one in whole.items()},
        _pieces=pieces,
        _rows=rows,
        _listed={**listed, "client": client},
        _shared=tuple(shared.values()),
    )


def _nothing() -> Columns:
    """A pool in which nothing is."""
    none = np.empty(0, np.int64)
    rows = _Rows(pa.table({}), np.zeros(1, np.int64), none, none, none, none, none, ())
    tables = {name: _schema(name).empty_table() for name in POOL}
    return Columns(tables=tables, whole=tables, _pieces=(), _rows=rows, _listed={}, _shared=())


def _pieces(sent: Iterable[Sent], threads: int) -> list[_Piece]:
    """Read side by side; of those that wait to be read there are a few at a time."""
    found: list[_Piece] = []
    waiting: deque[Future[_Piece]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for one in sent:
            waiting.append(pool.submit(_read, one))
            if len(waiting) > 4 * threads:
                found.append(waiting.popleft().result())
        found += [one.result() for one in waiting]
    return sorted(found, key=lambda one: (one.member, one.day, one.digest))


def _read(sent: Sent) -> _Piece:
    clusters, templates = _table(sent.clusters), _table(sent.templates)
    return _Piece(
        sent.member, sent.day, sent.source, sha256(sent.clusters).digest(), clusters, templates
    )


def _table(file: bytes) -> Arrow:
    return pq.ParquetFile(pa.BufferReader(file)).read(use_threads=False)


# --- rows ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Rows:
    """Raw rows, and the group that each belongs to."""

    raw: Arrow  # of every column that is no list of tokens or templates
    first: Array  # raw row with which a piece begins, and the number of all
    days_of: Array
    starts: Array
    group: Array  # of a raw row
    member: Array  # of a group
    newest: Array  # raw row of a group
    days: Sequence[date]  # of a group's newest row

    @classmethod
    def of(cls, pieces: Sequence[_Piece]) -> "_Rows":
        """Numbered by member and by the name that a member gives its group."""
        lists = (*schema.KINDS, "client", "templates")
        raw = pa.concat_tables([one.clusters.drop_columns(list(lists)) for one in pieces])
        raw = raw.combine_chunks()
        first = np.cumsum([0, *(len(one.clusters) for one in pieces)])
        source = np.repeat(np.arange(len(pieces)), np.diff(first))
        members = np.array([one.member for one in pieces], np.int64)[source]
        days = np.array([one.day.toordinal() for one in pieces], np.int64)[source]
        key = _number(_fixed(raw.column("cluster"), _CLUSTER))
        order = np.lexsort((_ints(raw.column("row")), days, key, members))
        is_first = _firsts(key[order], members[order])
        starts = np.flatnonzero(is_first)
        group = np.empty(len(order), np.int64)
        group[order] = np.cumsum(is_first) - 1
        newest = order[np.append(starts[1:], len(order)) - 1]
        told = [pieces[one].day for one in source[newest]]
        return cls(raw, first, order, starts, group, members[newest], newest, told)


@dataclass(frozen=True, slots=True)
class _Listed:
    """A column of lists over all pieces: of each value whose it is, and a number for its text."""

    parents: Array  # raw rows
    keys: Array
    values: Sequence[Arrow]  # texts, piece by piece
    first: Array

    @classmethod
    def of(cls, pieces: Sequence[_Piece], name: str, width: int) -> "_Listed":
        """Read from `clusters`."""
        each = [_flat(one.clusters.column(name)) for one in pieces]
        lengths = np.concatenate([lengths for lengths, _ in each])
        values = [values for _, values in each]
        return cls(
            np.repeat(np.arange(len(lengths)), lengths),
            np.concatenate([_key(_fixed(one, width)) for one in values]),
            values,
            np.cumsum([0, *map(len, values)]),
        )

    def texts(self, place: Array) -> Arrow:
        """The texts at these places."""
        return _texts(self.values, self.first, place)


def _schema(name: str) -> Arrow:
    return pa.schema([(column, _TYPES[kind]) for column, kind in POOL[name].items()])


def _facts(rows: _Rows) -> Arrow:
    facts = rows.raw.take(pa.array(rows.newest))
    begun = rows.raw.column("first_day").cast(pa.int32()).to_numpy()[rows.days_of]
    columns: dict[str, Any] = {
        "row": np.arange(len(rows.newest)),
        "member": rows.member,
        "day": pa.array(rows.days, pa.date32()),
        "cluster": facts.column("cluster"),
        "first_day": pa.array(np.minimum.reduceat(begun, rows.starts)).cast(pa.date32()),
        "last_day": facts.column("last_day"),
        "flat": facts.column("flat"),
        "start_days": facts.column("start_days"),
        **{name: facts.column(name) for name in schema.SHARES},
    }
    sizes = pa.array(schema.SIZES)
    for name in ("size", "payers", "devices"):
        columns[name] = pc.fill_null(pc.index_in(facts.column(name), value_set=sizes), -1)
    digits = _fixed(facts.column("hours"), schema.HOURS).astype(np.int64) - ord("0")
    places = 10 ** np.arange(11, -1, -1)
    columns["am"], columns["pm"] = digits[:, :12] @ places, digits[:, 12:] @ places
    return pa.table({name: columns[name] for name in POOL["cluster_row"]})


def _of_kind(kind: str, table: Arrow) -> Arrow:
    named = pa.array([kind] * len(table), pa.string())
    columns = {"row": table.column("row"), "kind": named, "token": table.column("token")}
    return pa.table(columns)


def _shared(listed: _Listed, group: Array) -> Arrow:
    """(row, token) where two rows or more hold the token."""
    own, place = _of_two(group[listed.parents], listed.keys)
    return pa.table({"row": own, "token": listed.texts(place)})


def _lone(kind: str, listed: _Listed, group: Array, shared: Arrow) -> Arrow:
    """(row, name) for tokens that no other row holds: that they are others is all that counts."""
    own, place = _distinct(group[listed.parents], listed.keys)
    known = _key(_fixed(shared.column("token"), _TOKEN)) if len(shared) else np.empty(0, np.uint64)
    is_lone = ~np.isin(listed.keys[place], known)
    return pa.table({"row": own[is_lone], "token": _names(kind, place[is_lone])})


def _names(kind: str, numbers: Array) -> Arrow:
    """Short: an engine keeps a text of up to twelve octets beside its row."""
    return pc.binary_join_element_wise(kind[0], pa.array(numbers).cast(pa.string()), "")


def _tokens(*parts: Mapping[str, Arrow]) -> Arrow:
    return pa.concat_tables(_of_kind(kind, one) for part in parts for kind, one in part.items())


def _others(egress: _Listed, rows: _Rows, shared: Arrow) -> Arrow:
    """Places for the addresses that no other row holds: how many there are is a fact of a row."""
    count = len(rows.newest)
    own, _ = _distinct(rows.group[egress.parents], egress.keys)
    counts = np.minimum(np.bincount(own, minlength=count), _MOST_EGRESS)
    counts -= np.minimum(np.bincount(_ints(shared.column("row")), minlength=count), counts)
    found = np.repeat(np.arange(count), counts)
    return pa.table({"row": found, "token": pa.array([""] * len(found), pa.string())})


def _tags(rows: _Rows, name: str) -> Arrow:
    lengths, values = _flat(rows.raw.column(name))
    encoded = values.dictionary_encode()
    codes = encoded.indices.to_numpy(zero_copy_only=False).astype(np.uint64)
    own, place = _distinct(np.repeat(rows.group, lengths), codes)
    kinds = pa.array([_TAGS[name]] * len(own), pa.string())
    return pa.table({"row": own, "kind": kinds, "tag": values.take(pa.array(place))})


# --- templates -----------------------------------------------------------------------------------


def _of_templates(rows: _Rows, pieces: Sequence[_Piece], *, is_whole: bool) -> dict[str, Arrow]:
    first = np.cumsum([0, *(len(one.templates) for one in pieces)])
    of = np.repeat(np.arange(len(pieces)), np.diff(first))
    members = np.array([one.member for one in pieces], np.int64)[of]
    bands = [_flat(one.templates.column("bands"))[1] for one in pieces]
    keys = np.concatenate([_key(_fixed(one, _BAND)) for one in bands]).reshape(-1, schema.BANDS)
    # One member's equal templates on several days are one; the newest speaks for it.
    whole = _folded(keys)
    order = np.lexsort((np.arange(len(whole)), whole, members))
    is_first = _firsts(whole[order], members[order])
    number = np.empty(len(whole), np.int64)
    number[order] = np.cumsum(is_first) - 1
    last = order[np.append(np.flatnonzero(is_first)[1:], len(order)) - 1] if len(order) else order
    each = [_flat(one.clusters.column("templates")) for one in pieces]
    parents = np.repeat(np.arange(len(rows.group)), np.concatenate([many for many, _ in each]))
    held = np.concatenate([_ints(one) + first[n] for n, (_, one) in enumerate(each)])
    # A row's templates are those of its newest day, as its other facts are.
    is_newest = np.zeros(len(rows.group), bool)
    is_newest[rows.newest] = True
    held, parents = held[is_newest[parents]], parents[is_newest[parents]]
    used, held = np.unique(number[held], return_inverse=True)
    last = last[used]
    own, place = _distinct(rows.group[parents], held.astype(np.uint64))
    facts = pa.concat_tables([one.templates.drop_columns(["bands"]) for one in pieces])
    told = facts.combine_chunks().take(pa.array(last))
    owners, at = _of_two(np.repeat(np.arange(len(last)), schema.BANDS), keys[last].reshape(-1))
    band = at % schema.BANDS
    starts = first * schema.BANDS
    values = _texts(bands, starts, last[at // schema.BANDS] * schema.BANDS + band)
    found: dict[str, Arrow] = {}
    if is_whole:
        lone = np.setdiff1d(np.arange(len(last) * schema.BANDS), at)
        found["whole_band"] = pa.table(
            {
                "template": np.concatenate((owners, lone // schema.BANDS)),
                "band": np.concatenate((band, lone % schema.BANDS)),
                "value": pa.concat_arrays([values, _names("band", lone)]),
            }
        )
    return found | {
        "row_template": pa.table({"row": own, "template": held[place]}),
        "template_row": pa.table(
            {
                "template": np.arange(len(last)),
                "member": members[last],
                "day": pa.array([pieces[n].day for n in of[last]], pa.date32()),
                "length": pc.index_in(told["length_bucket"], value_set=pa.array(schema.LENGTHS)),
                "samples": pc.index_in(told["sample_bucket"], value_set=pa.array(schema.SAMPLES)),
                "base_rate": pc.index_in(
                    told["base_rate_bucket"], value_set=pa.array(schema.BASE_RATES)
                ),
                "languages": pc.binary_join(told["languages"].cast(pa.list_(pa.string())), " "),
            }
        ),
        "template_band": pa.table({"template": owners, "band": band, "value": values}),
    }


def _folded(keys: Array) -> Array:
    """One number for each row of numbers."""
    made = np.zeros(len(keys), np.uint64)
    for column in range(keys.shape[1]):
        made = (made ^ keys[:, column]) * _ODD
        made ^= made >> np.uint64(29)
    return made


# --- arrays --------------------------------------------------------------------------------------


def _ints(column: Arrow) -> Array:
    return column.to_numpy().astype(np.int64)


def _flat(column: Arrow) -> tuple[Array, Arrow]:
    """Of a column of lists: how long each is, and the values."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return pc.list_value_length(whole).to_numpy(zero_copy_only=False), whole.flatten()


def _texts(values: Sequence[Arrow], first: Array, place: Array) -> Arrow:
    """The texts at these places of arrays that lie one behind the other."""
    order = np.argsort(place, kind="stable")
    wanted = place[order]
    cuts = np.searchsorted(wanted, first)
    found = [
        one.take(pa.array(wanted[cuts[n] : cuts[n + 1]] - first[n]))
        for n, one in enumerate(values)
        if cuts[n + 1] > cuts[n]
    ]
    if not found:
        return pa.array([], pa.string())
    back = np.empty(len(order), np.int64)
    back[order] = np.arange(len(order))
    return pa.concat_arrays(found).take(pa.array(back))


def _fixed(column: Arrow, width: int) -> Array:
    """Texts of one width as their octets."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if not len(whole):
        return np.empty((0, width), np.uint8)
    offsets = np.frombuffer(whole.buffers()[1], np.int32)
    first, last = offsets[whole.offset], offsets[whole.offset + len(whole)]
    return np.frombuffer(whole.buffers()[2], np.uint8)[first:last].reshape(-1, width)


def _key(fixed: Array) -> Array:
    """A number for each text, by its first sixteen digits."""
    halves = np.ascontiguousarray(fixed[:, :16]).view(np.uint64)
    made = halves[:, 0] * _ODD + halves[:, 1]
    made ^= made >> np.uint64(31)
    return made * _ODD


def _number(fixed: Array) -> Array:
    """Sixteen hex digits as the number that they write: in the order of the texts."""
    digits = _NIBBLES[fixed]
    made = np.zeros(len(fixed), np.uint64)
    for place in range(16):
        made = (made << np.uint64(4)) | digits[:, place]
    return made


def _firsts(*ordered: Array) -> Array:
    """Where something other begins than stood before."""
    changes = np.ones(len(ordered[0]), bool)
    changes[1:] = False
    for one in ordered:
        changes[1:] |= one[1:] != one[:-1]
    return changes


def _distinct(rows: Array, keys: Array) -> tuple[Array, Array]:
    """Each pair once: its row, and where it stood first."""
    order = np.lexsort((keys, rows))
    place = order[_firsts(rows[order], keys[order])]
    return rows[place], place


def _of_two(rows: Array, keys: Array) -> tuple[Array, Array]:
    """Each pair once of values that two rows or more hold: its row, and where it stood."""
    place = np.arange(len(keys))
    # Cheap first: what falls alone into a bin of many is held once.
    bits = min(_BITS, len(keys).bit_length() + 1)
    for shift in (64 - bits, 64 - 2 * bits):
        bins = ((keys[place] >> np.uint64(shift)) & np.uint64((1 << bits) - 1)).astype(np.int64)
        place = place[np.bincount(bins, minlength=1 << bits)[bins] > 1]
    place = place[np.lexsort((rows[place], keys[place]))]
    place = place[_firsts(keys[place], rows[place])]
    starts = np.flatnonzero(_firsts(keys[place]))
    counts = np.diff(np.append(starts, len(place)))
    place = np.sort(place[np.repeat(counts, counts) > 1])
    return rows[place], place
