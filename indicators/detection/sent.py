"""Many extracts at once, by columns: the tables of the pool, and the few rows that are asked for.

Nearly all that is in the pool ties to nothing: dummies, and groups that one member alone knows. A
token, or a band of a template, that a single row holds is left out before an engine sees it, unless
a rule asks for just that, and a row becomes a value only when something ties it. Bands are numbers
from the moment at which a file is read: as texts they would take most of the memory of a run. What
is left is the same, whatever the order.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
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
_BITS = 20
_AT_ONCE = 1 << 20
_LOW, _ONES = np.uint64(0x0F0F0F0F0F0F0F0F), np.uint64(0x0101010101010101)
_PAIRS = tuple(
    (np.uint64(shift), np.uint64(mask))
    for shift, mask in (
        (4, 0x00FF00FF00FF00FF),
        (8, 0x0000FFFF0000FFFF),
        (16, 0x00000000FFFFFFFF),
    )
)
_TYPES = {"int64": pa.int64(), "string": pa.string(), "date": pa.date32()}
BANDS = "bands"
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
    templates: Arrow  # but for their bands
    bands: Array  # of each template, as numbers


@dataclass(slots=True)
class Columns(run.Rows):
    """All rows of the pool, those of one group on several days as one."""

    tables: Mapping[str, Arrow]
    _pieces: Sequence[_Piece]
    _rows: "_Rows"
    _listed: Mapping[str, "_Listed"]
    _shared: Mapping[str, Arrow]  # (row, token) of tokens that two rows hold, by kind
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
            for table in self._shared.values():
                rows = table.column("row").to_pylist()
                for row, one in zip(rows, table.column("token").to_pylist(), strict=True):
                    holders[one].add(self.member(row))
            self._holders = dict(holders)
        return bool(self._holders.get(token, set()) - {holder})

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
            lone = {
                kind: _lone(kind, self._listed[kind], group, self._shared[kind]) for kind in kinds
            }
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
        number: TemplateRow(**_plain(row), bands=tuple(map(_hex, piece.bands[number].tolist())))
        for number, row in zip(wanted, told, strict=True)
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


def read(sent: Iterable[Sent], *, threads: int = 2) -> Columns:
    """All extracts as tables.POOL and the rows behind them."""
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
    client = _Listed.of(pieces, "client", _CLIENT)
    own, place = _distinct(rows.group[client.parents], client.keys)
    made["row_client"] = pa.table({"row": own, "client": client.texts(place)})
    made["row_tag"] = pa.concat_tables([_tags(rows, name) for name in _TAGS])
    made |= _of_templates(rows, pieces)  # 5
    tables = {name: made[name].cast(_schema(name)) for name in POOL}
    return Columns(
        tables=tables,
        _pieces=pieces,
        _rows=rows,
        _listed={**listed, "client": client},
        _shared=shared,
    )


def _nothing() -> Columns:
    """A pool in which nothing is."""
    none = np.empty(0, np.int64)
    rows = _Rows(pa.table({}), np.zeros(1, np.int64), none, none, none, none, none, ())
    tables = {name: _schema(name).empty_table() for name in POOL}
    return Columns(tables=tables, _pieces=(), _rows=rows, _listed={}, _shared={})


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
    found.sort(key=lambda one: (one.member, one.day, one.digest))
    # In one place, of which each piece has its part: so they are in memory once.
    bands = np.concatenate([np.empty((0, schema.BANDS), np.uint64), *(one.bands for one in found)])
    first = np.cumsum([0, *(len(one.bands) for one in found)])
    return [replace(one, bands=bands[first[n] : first[n + 1]]) for n, one in enumerate(found)]


def _read(sent: Sent) -> _Piece:
    clusters, templates = _table(sent.clusters), _table(sent.templates)
    _, values = _flat(templates.column(BANDS))
    return _Piece(
        member=sent.member,
        day=sent.day,
        source=sent.source,
        digest=sha256(sent.clusters).digest(),
        clusters=clusters,
        templates=templates.drop_columns([BANDS]),
        bands=_number(_fixed(values, _BAND)).reshape(-1, schema.BANDS),
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
    again = _again(listed.keys)
    own, at = _of_two(group[listed.parents[again]], listed.keys[again])
    return pa.table({"row": own, "token": listed.texts(again[at])})


def _lone(kind: str, listed: _Listed, group: Array, shared: Arrow) -> Arrow:
    """(row, name) for tokens that no other row holds: that they are others is all that counts."""
    again = _again(listed.keys)
    is_once = np.ones(len(listed.keys), bool)
    is_once[again] = False
    # One group's token on several of its days is its own still.
    own, at = _distinct(group[listed.parents[again]], listed.keys[again])
    known = _key(_fixed(shared.column("token"), _TOKEN))
    is_own = ~np.isin(listed.keys[again[at]], known)
    once = np.flatnonzero(is_once)
    rows = np.concatenate((group[listed.parents[once]], own[is_own]))
    return pa.table({"row": rows, "token": _names(kind, np.concatenate((once, again[at[is_own]])))})


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


def _of_templates(rows: _Rows, pieces: Sequence[_Piece]) -> dict[str, Arrow]:
    first = np.cumsum([0, *(len(one.templates) for one in pieces)])
    of = np.repeat(np.arange(len(pieces)), np.diff(first))
    members = np.array([one.member for one in pieces], np.int64)[of]
    # One member's equal templates on several days are one; the newest speaks for it.
    whole = np.concatenate([_folded(one.bands) for one in pieces])
    order = np.lexsort((whole, members))
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
    own, used_at = _distinct(rows.group[parents], held.astype(np.uint64))
    facts = pa.concat_tables([one.templates for one in pieces])
    told = facts.combine_chunks().take(pa.array(last))
    bands = _taken(pieces, first, last).reshape(-1)
    again = _again(bands)
    owners, at = _of_two(again // schema.BANDS, bands[again])
    place = again[at]
    values = pa.array(list(map(_hex, bands[place].tolist())), pa.string())
    return {
        "row_template": pa.table({"row": own, "template": held[used_at]}),
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
        "template_band": pa.table(
            {"template": owners, "band": place % schema.BANDS, "value": values}
        ),
    }


def _taken(pieces: Sequence[_Piece], first: Array, place: Array) -> Array:
    """The bands of the templates at these places."""
    found = np.empty((len(place), schema.BANDS), np.uint64)
    of = np.searchsorted(first[:-1], place, side="right") - 1
    order = np.argsort(of, kind="stable")
    cuts = np.searchsorted(of[order], np.arange(len(pieces) + 1))
    for n, one in enumerate(pieces):
        mine = order[cuts[n] : cuts[n + 1]]
        found[mine] = one.bands[place[mine] - first[n]]
    return found


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
    halves = np.ascontiguousarray(fixed).view(np.uint64)
    # Eight digits at once: each octet becomes its digit, the first digit the highest octet.
    digits = (halves & _LOW) + ((halves >> np.uint64(6)) & _ONES) * np.uint64(9)
    digits = digits.byteswap()
    for shift, mask in _PAIRS:
        digits = (digits | (digits >> shift)) & mask
    return (digits[:, 0] << np.uint64(32)) | digits[:, 1]


def _hex(number: int) -> str:
    return f"{number:016x}"


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


def _again(keys: Array) -> Array:
    """The places of values that stand at more than one."""
    ordered = np.sort(keys)
    many = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    del ordered
    if not len(many):
        return np.empty(0, np.int64)
    # Cheap first, and a piece at a time: what shares its highest digits with none of them.
    high = np.uint64(64 - _BITS)
    is_known = np.zeros(1 << _BITS, bool)
    is_known[(many * _ODD) >> high] = True
    found = []
    for start in range(0, len(keys), _AT_ONCE):
        some = keys[start : start + _AT_ONCE]
        place = np.flatnonzero(is_known[(some * _ODD) >> high])
        at = np.minimum(np.searchsorted(many, some[place]), len(many) - 1)
        found.append(start + place[many[at] == some[place]])
    return np.concatenate(found)


def _of_two(rows: Array, keys: Array) -> tuple[Array, Array]:
    """Each pair once of values that two rows or more hold: its row, and where it stood."""
    place = np.lexsort((rows, keys))
    place = place[_firsts(keys[place], rows[place])]
    starts = np.flatnonzero(_firsts(keys[place]))
    counts = np.diff(np.append(starts, len(place)))
    place = np.sort(place[np.repeat(counts, counts) > 1])
    return rows[place], place
