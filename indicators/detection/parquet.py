"""The closed Parquet of an extract, both ways: one form, so that a file says its rows and no more.

One row group, one page for each column, PLAIN, zstd; no statistics, no dictionary, no metadata of
a writer. Any reader of Parquet reads it; ours takes nothing else. So there is no room beside the
rows to put anything, and nothing to expand: sizes are judged before a page is opened.

1. size, magic and footer's size     2. the footer is read, and names our columns and no other
3. it says how many rows and values  4. a page says how long it is, before it is unpacked
5. what was read is packed again: the bytes are those that we would have written
"""

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from hashlib import sha256
from typing import Any

import zstandard

from exchange.proof.refused import Refused
from indicators.detection import schema, thrift
from indicators.detection.values import ClusterRow, Extract, Manifest, TemplateRow

MOST_OCTETS: Mapping[str, int] = {"clusters": 4 << 20, "templates": 9 << 20}
_MOST_FOOTER = 16_384
_LONGEST_TEXT = 64
_MAGIC = b"PAR1"
_EPOCH = date(1970, 1, 1)
_LEVEL = 9
# Type, converted type (or none) of the format, and the numbers that may stand in it.
_INT32, _BYTE_ARRAY = 1, 6
_UTF8, _LIST_OF, _DATE, _UINT_8, _UINT_16 = 0, 3, 6, 11, 12
_REQUIRED, _REPEATED = 0, 2
_ZSTD, _PLAIN, _RLE = 6, 0, 3
_KINDS: Mapping[str, tuple[int, int, int]] = {
    "u8": (_INT32, _UINT_8, 1 << 8),
    "u16": (_INT32, _UINT_16, 1 << 16),
    "date": (_INT32, _DATE, 1 << 20),
    "text": (_BYTE_ARRAY, _UTF8, 0),
}
_TABLES: Mapping[str, Mapping[str, str]] = {
    "clusters": schema.CLUSTERS,
    "templates": schema.TEMPLATES,
}
# How many values a list may have; what a row's own list has is judged by the rules.
_MOST_IN_LIST: Mapping[str, int] = {
    **schema.MOST_TOKENS,
    **schema.MOST_WORDS,
    "client": schema.MOST_CLIENTS,
    "templates": schema.MOST_TEMPLATES,
    "bands": schema.BANDS,
    "languages": schema.MOST_LANGUAGES,
}


@dataclass(frozen=True, slots=True)
class _Chunk:
    """One column in the file: how many values (an empty list counts as one), and its page."""

    count: int
    unpacked: int
    packed: bytes


def write_clusters(rows: Sequence[ClusterRow]) -> bytes:
    """The file `clusters`; the same rows give the same bytes."""
    return _write("clusters", rows)


def write_templates(rows: Sequence[TemplateRow]) -> bytes:
    """The file `templates`; the same rows give the same bytes."""
    return _write("templates", rows)


def read_clusters(body: bytes, *, rows: int = schema.ROWS) -> tuple[ClusterRow, ...]:
    """The rows of `clusters`, by form alone; Refused where the file is not exactly ours."""
    columns = _read("clusters", body, rows)
    return tuple(ClusterRow(*values) for values in zip(*columns, strict=True))


def read_templates(body: bytes) -> tuple[TemplateRow, ...]:
    """The rows of `templates`, by form alone; Refused where the file is not exactly ours."""
    columns = _read("templates", body, schema.MOST_FILE_TEMPLATES)
    return tuple(TemplateRow(*values) for values in zip(*columns, strict=True))


def read(
    manifest: Manifest, clusters: bytes, templates: bytes, *, rows: int = schema.ROWS
) -> Extract:
    """An extract of files that are those of its manifest."""
    for name, body in (("clusters", clusters), ("templates", templates)):
        if sha256(body).hexdigest() != getattr(manifest, name):
            said = "The file is not the one that the manifest names by its SHA-256."
            raise Refused("extract.digest", said, f"manifest.{name}")
    return Extract(manifest, read_clusters(clusters, rows=rows), read_templates(templates))


# Writing


def _write(table: str, rows: Sequence[Any]) -> bytes:
    columns = _TABLES[table]
    pack = zstandard.ZstdCompressor(level=_LEVEL, write_content_size=True).compress
    chunks = []
    for name, kind in columns.items():
        count, page = _page(kind, [getattr(row, name) for row in rows])
        chunks.append(_Chunk(count, len(page), pack(page)))
    return _file(columns, len(rows), chunks)


def _file(columns: Mapping[str, str], rows: int, chunks: Sequence[_Chunk]) -> bytes:
    """Where everything stands, given its pages: the same for whoever writes."""
    made = bytearray(_MAGIC)
    described = []
    total = 0
    for (name, kind), chunk in zip(columns.items(), chunks, strict=True):
        head = _page_head(chunk)
        unpacked = len(head) + chunk.unpacked
        total += unpacked
        described.append(_described(name, kind, chunk, (len(made), unpacked, len(head))))
        made += head + chunk.packed
    group = thrift.struct(
        (
            (1, thrift.LIST, thrift.Items(thrift.STRUCT, described)),
            (2, thrift.I64, total),
            (3, thrift.I64, rows),
        )
    )
    footer = thrift.struct(
        (
            (1, thrift.I32, 2),
            (2, thrift.LIST, thrift.Items(thrift.STRUCT, _elements(columns))),
            (3, thrift.I64, rows),
            (4, thrift.LIST, thrift.Items(thrift.STRUCT, [group])),
        )
    )
    return bytes(made) + footer + struct.pack("<I", len(footer)) + _MAGIC


def _page_head(chunk: _Chunk) -> bytes:
    levels = ((3, thrift.I32, _RLE), (4, thrift.I32, _RLE))
    data = thrift.struct(((1, thrift.I32, chunk.count), (2, thrift.I32, _PLAIN), *levels))
    return thrift.struct(
        (
            (1, thrift.I32, 0),
            (2, thrift.I32, chunk.unpacked),
            (3, thrift.I32, len(chunk.packed)),
            (5, thrift.STRUCT, data),
        )
    )


def _described(name: str, kind: str, chunk: _Chunk, sizes: tuple[int, int, int]) -> bytes:
    offset, unpacked, head = sizes
    path = (name, "list", "element") if kind.endswith("s") else (name,)
    meta = thrift.struct(
        (
            (1, thrift.I32, _KINDS[kind.removesuffix("s")][0]),
            (2, thrift.LIST, thrift.Items(thrift.I32, (_PLAIN, _RLE))),
            (3, thrift.LIST, thrift.Items(thrift.BINARY, path)),
            (4, thrift.I32, _ZSTD),
            (5, thrift.I64, chunk.count),
            (6, thrift.I64, unpacked),
            (7, thrift.I64, head + len(chunk.packed)),
            (9, thrift.I64, offset),
        )
    )
    return thrift.struct(((2, thrift.I64, offset), (3, thrift.STRUCT, meta)))


def _elements(columns: Mapping[str, str]) -> list[bytes]:
    """The schema, flat: the root, then each column, a list as group, repetition and element."""
    found = [thrift.struct(((4, thrift.BINARY, "schema"), (5, thrift.I32, len(columns))))]
    for name, kind in columns.items():
        if not kind.endswith("s"):
            found.append(_leaf(name, kind))
            continue
        group = ((3, thrift.I32, _REQUIRED), (4, thrift.BINARY, name), (5, thrift.I32, 1))
        found.append(thrift.struct((*group, (6, thrift.I32, _LIST_OF))))
        repeated = ((3, thrift.I32, _REPEATED), (4, thrift.BINARY, "list"), (5, thrift.I32, 1))
        found += [thrift.struct(repeated), _leaf("element", kind.removesuffix("s"))]
    return found


def _leaf(name: str, kind: str) -> bytes:
    physical, converted, _ = _KINDS[kind]
    return thrift.struct(
        (
            (1, thrift.I32, physical),
            (3, thrift.I32, _REQUIRED),
            (4, thrift.BINARY, name),
            (6, thrift.I32, converted),
        )
    )


def _page(kind: str, values: Sequence[Any]) -> tuple[int, bytes]:
    """How many values stand in a page, and its bytes before they are packed."""
    plain = _PLAIN_OF[kind.removesuffix("s")]
    if not kind.endswith("s"):
        return len(values), b"".join(map(plain, values))
    again = [place > 0 for value in values for place in range(max(1, len(value)))]
    there = [bool(value) for value in values for _ in range(max(1, len(value)))]
    body = b"".join(plain(one) for value in values for one in value)
    return len(again), _levels(again) + _levels(there) + body


def _levels(bits: Sequence[bool]) -> bytes:
    """Runs of equal bits, with the length of all before them."""
    made = bytearray()
    start = 0
    for place in range(1, len(bits) + 1):
        if place == len(bits) or bits[place] != bits[start]:
            made += thrift.varint((place - start) << 1)
            made.append(bits[start])
            start = place
    return struct.pack("<I", len(made)) + bytes(made)


def _text(value: str) -> bytes:
    encoded = value.encode()
    return struct.pack("<I", len(encoded)) + encoded


_PLAIN_OF: Mapping[str, Callable[[Any], bytes]] = {
    "u8": struct.Struct("<i").pack,
    "u16": struct.Struct("<i").pack,
    "date": lambda value: struct.pack("<i", (value - _EPOCH).days),
    "text": _text,
}


# Reading


def _read(table: str, body: bytes, most_rows: int) -> list[Sequence[Any]]:
    try:
        return _columns(table, body, most_rows)
    except Refused as refused:
        place = f"{table}.{refused.path}".rstrip(".")
        raise Refused(refused.code, refused.sentence, place) from None


def _columns(table: str, body: bytes, most_rows: int) -> list[Sequence[Any]]:
    columns = _TABLES[table]
    footer = _footer(body, MOST_OCTETS[table])  # 1
    _check_schema(footer, columns)  # 2
    rows = _count(footer.get(3))
    if rows > most_rows:  # 3
        raise Refused(
            "extract.r3", f"The file has {rows:,} rows, and at most {most_rows:,} may be."
        )
    chunks = []
    found: list[Sequence[Any]] = []
    start = len(_MAGIC)
    for (name, kind), meta in zip(columns.items(), _metas(footer, columns), strict=True):
        most = rows * _MOST_IN_LIST[name] if kind.endswith("s") else rows
        chunk, start = _chunk(body, start, meta, max(rows, most), name)
        chunks.append(chunk)
        page = _unpacked(chunk, name)
        values = _values(kind, page, (rows, chunk.count), name)
        if (chunk.count, page) != _page(kind, values):  # 5
            raise _odd(name)
        found.append(values)
    if _file(columns, rows, chunks) != body:  # 5
        raise _odd("")
    return found


def _footer(body: bytes, most: int) -> dict[int, object]:
    if len(body) > most:
        raise Refused("extract.size", f"The file has more than {most:,} octets.")
    if len(body) < 12 or body[:4] != _MAGIC or body[-4:] != _MAGIC:
        raise thrift.broken()
    (length,) = struct.unpack("<I", body[-8:-4])
    if length > len(body) - 12:
        raise thrift.broken()
    if length > _MOST_FOOTER:
        raise Refused("extract.footer", f"The footer has more than {_MOST_FOOTER:,} octets.")
    return thrift.Reader(body[-8 - length : -8]).struct()


def _check_schema(footer: Mapping[int, object], columns: Mapping[str, str]) -> None:
    if footer.keys() & {5, 6}:
        said = "The file holds metadata of its writer; an extract has none."
        raise Refused("extract.metadata", said)
    elements = _list(footer.get(2))
    wanted = [thrift.Reader(one).struct() for one in _elements(columns)]
    if elements == wanted:
        return
    names = list(columns)
    number = 0
    for place, element in enumerate(elements[1:], start=1):
        if place >= len(wanted) or element != wanted[place]:
            break
        number += isinstance(element, dict) and element.get(4) not in (b"list", b"element")
    at = names[min(number, len(names) - 1)]
    said = f"The columns are not those of an extract, from about `{at}` on: no other, no fewer,"
    raise Refused("extract.columns", said + " in their order and of their types.")


def _metas(footer: Mapping[int, object], columns: Mapping[str, str]) -> list[dict[int, object]]:
    groups = _list(footer.get(4))
    if len(groups) != 1:
        raise Refused("extract.groups", "The file has exactly one row group.")
    metas = [_dict(_dict(chunk).get(3)) for chunk in _list(_dict(groups[0]).get(1))]
    if len(metas) != len(columns):
        raise thrift.broken()
    return metas


def _chunk(
    body: bytes, start: int, meta: Mapping[int, object], most: int, name: str
) -> tuple[_Chunk, int]:
    """A column's page and where the next begins, before anything of it is unpacked."""
    if meta.get(4) != _ZSTD or meta.get(8) or meta.get(11):
        said = "A column is packed with zstd, in one page, without a dictionary."
        raise Refused("extract.pages", said, name)
    reader = thrift.Reader(body[start : start + 64])
    head = reader.struct()
    count, unpacked, packed = _count(meta.get(5)), _count(head.get(2)), _count(head.get(3))
    if count > most:  # 3
        raise Refused("extract.values", "The column has more values than its rows may have.", name)
    if unpacked > 16 + most * (_LONGEST_TEXT + 10):  # 4
        raise Refused("extract.unpacked", "The column would unpack to more than it may hold.", name)
    begin = start + reader.place
    return _Chunk(count, unpacked, body[begin : begin + packed]), begin + packed


def _unpacked(chunk: _Chunk, name: str) -> bytes:
    try:
        said = zstandard.get_frame_parameters(chunk.packed)
        if said.content_size != chunk.unpacked:  # 4
            raise _odd(name)
        unpacker = zstandard.ZstdDecompressor(max_window_size=1 << 24)
        return unpacker.decompress(chunk.packed, chunk.unpacked, allow_extra_data=False)
    except zstandard.ZstdError:
        raise _odd(name) from None


def _values(kind: str, page: bytes, counts: tuple[int, int], name: str) -> list[Any]:
    rows, count = counts
    try:
        if not kind.endswith("s"):
            return list(_plain(kind, page, rows))
        again, page = _bits(page, count)
        there, page = _bits(page, count)
        values = _plain(kind.removesuffix("s"), page, sum(there))
        found: list[list[Any]] = []
        for is_again, is_there in zip(again, there, strict=True):
            if not is_again:
                found.append([])
            if is_there:
                found[-1].append(next(values))
        if len(found) != rows:
            raise _odd(name)
        return [tuple(one) for one in found]
    except (struct.error, ValueError, OverflowError, IndexError, StopIteration):
        raise _odd(name) from None


def _bits(page: bytes, count: int) -> tuple[list[bool], bytes]:
    """So many bits in runs, and what stands behind them; too many are never made."""
    (length,) = struct.unpack_from("<I", page)
    reader = _Runs(page[4 : 4 + length])
    found: list[bool] = []
    while reader.place < len(reader.data):
        run, bit = reader.run()
        if run > count - len(found):
            raise ValueError
        found += [bit] * run
    if len(found) != count:
        raise ValueError
    return found, page[4 + length :]


class _Runs(thrift.Reader):
    """The runs of a page's levels."""

    def run(self) -> tuple[int, bool]:
        """How many equal bits, and which."""
        head = self._number()
        if head & 1:
            raise ValueError
        return head >> 1, bool(self._byte())


def _plain(kind: str, page: bytes, count: int) -> Iterator[Any]:
    most = _KINDS[kind][2]
    if kind == "text":
        place = 0
        for _ in range(count):
            (length,) = struct.unpack_from("<I", page, place)
            if length > _LONGEST_TEXT:
                raise ValueError
            place += 4 + length
            yield page[place - length : place].decode()
        return
    for (number,) in struct.iter_unpack("<i", page[: 4 * count]):
        if not 0 <= number < most:
            raise ValueError
        yield _EPOCH + timedelta(days=number) if kind == "date" else number


def _odd(name: str) -> Refused:
    said = "The file is not in the one form of an extract: write it with weir-extract."
    return Refused("extract.form", said, name)


def _count(value: object) -> int:
    if type(value) is not int or value < 0:
        raise thrift.broken()
    return value


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _dict(value: object) -> dict[int, object]:
    return value if isinstance(value, dict) else {}
