"""The closed Parquet: the same rows, the same bytes, read by anyone; and nothing else is read."""

import json
import random
import struct
from collections.abc import Callable, Sequence
from dataclasses import replace
from io import BytesIO
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from exchange import children
from exchange.proof.refused import Refused
from indicators.detection import manifest, parquet, rules, schema, taking, thrift
from indicators.detection.values import Extract
from tests.extracts import TODAY, extract, largest, parts, spoiled

GOOD = extract()
CLUSTERS = parquet.write_clusters(GOOD.clusters)
TEMPLATES = parquet.write_templates(GOOD.templates)
CANARY = "canary-7f1c@aurora.example"
TOKENS_65 = tuple(f"{n:064x}" for n in range(65))
MEMORY = 160 << 20  # octets in which each input below is judged; the promise is 200 MB


def judged(given: tuple[bytes, bytes, bytes]) -> str:
    """What the child says: its code, for the value of what it judges is never in it."""
    feed = taking.packed(TODAY, rules.SHIPPED, given)
    try:
        children.run("indicators.detection.taking", feed, memory=MEMORY, seconds=20)
    except Refused as refused:
        return "content told" if "canary" in refused.sentence + refused.path else refused.code
    return "taken"


def arrow(rows: Sequence[Any], columns: dict[str, str], **options: Any) -> bytes:
    """The same table as another writer makes it."""
    kinds = {
        "u8": pa.uint8(), "u16": pa.uint16(), "date": pa.date32(), "text": pa.string(),
        "texts": pa.list_(pa.string()), "u16s": pa.list_(pa.uint16()),
    }  # fmt: skip
    table = pa.table(
        {
            name: pa.array([getattr(row, name) for row in rows], kinds[kind])
            for name, kind in columns.items()
        }
    )
    out = BytesIO()
    pq.write_table(table, out, compression="zstd", **options)
    return out.getvalue()


def test_what_is_written_is_read_again_and_the_same_rows_give_the_same_bytes() -> None:
    assert parquet.read_clusters(CLUSTERS) == GOOD.clusters
    assert parquet.read_templates(TEMPLATES) == GOOD.templates
    assert parquet.write_clusters(GOOD.clusters) == CLUSTERS
    assert parquet.read_templates(parquet.write_templates(())) == ()
    assert taking.opened(parts(GOOD), today=TODAY).clusters == GOOD.clusters


def test_any_reader_of_parquet_reads_it() -> None:
    table = pq.read_table(BytesIO(CLUSTERS))
    assert table.column_names == list(schema.CLUSTERS)
    for read, row in zip(table.to_pylist(), GOOD.clusters, strict=True):
        for name, value in read.items():
            assert (tuple(value) if isinstance(value, list) else value) == getattr(row, name)
    assert pq.read_table(BytesIO(TEMPLATES)).num_rows == len(GOOD.templates)


def test_no_metadata_of_a_writer_stands_in_it() -> None:
    told = pq.ParquetFile(BytesIO(CLUSTERS)).metadata
    assert (told.created_by, told.metadata, told.num_row_groups) == ("", None, 1)
    column = told.row_group(0).column(7)
    assert (column.compression, column.is_stats_set, column.has_dictionary_page) == (
        "ZSTD", False, False,
    )  # fmt: skip
    for word in (b"arrow", b"parquet-cpp", b"ARROW", b"weir"):
        assert word not in CLUSTERS


def test_a_good_extract_is_taken_by_the_child() -> None:
    assert judged(parts(GOOD)) == "taken"


def test_the_largest_extract_is_taken_in_the_same_memory() -> None:
    assert judged(parts(largest())) == "taken"


def _writer_metadata() -> bytes:
    return arrow(GOOD.clusters, dict(schema.CLUSTERS))


def _extra_column() -> bytes:
    table = pq.read_table(BytesIO(CLUSTERS))
    return _nameless(table.append_column(CANARY, pa.array([CANARY] * 300)))


def _other_order() -> bytes:
    table = pq.read_table(BytesIO(CLUSTERS))
    return _nameless(table.select(table.column_names[::-1]))


def _other_writer() -> bytes:
    return _nameless(pq.read_table(BytesIO(CLUSTERS)))


def _deep() -> bytes:
    kind: Any = pa.int32()
    value: Any = 1
    for _ in range(60):
        kind, value = pa.list_(kind), [value]
    return _nameless(pa.table({"row": pa.array([value], kind)}))


def _nameless(table: Any) -> bytes:
    """As another writer makes it, without that writer's name: so that the rest is judged."""
    out = BytesIO()
    pq.write_table(table, out, compression="zstd", store_schema=False)
    body = out.getvalue()
    (length,) = struct.unpack("<I", body[-8:-4])
    footer = body[-8 - length : -8]
    return _footer_of(body, footer[: footer.index(b"parquet-cpp-arrow") - 2] + b"\x00")


def _footer_of(body: bytes, footer: bytes) -> bytes:
    (length,) = struct.unpack("<I", body[-8:-4])
    return body[: -8 - length] + footer + struct.pack("<I", len(footer)) + b"PAR1"


def _endless_nesting() -> bytes:
    return _footer_of(CLUSTERS, b"\x1c" * 16_000)


def _endless_list() -> bytes:
    return _footer_of(CLUSTERS, b"\x29\xfc" + thrift.varint((1 << 62) - 1))


def _large_footer() -> bytes:
    return _footer_of(CLUSTERS, b"\x00" * 20_000)


def _zeros(length: int) -> bytes:
    """So many zeros, packed without ever being there at once."""
    packer = zstandard.ZstdCompressor(level=1).compressobj(size=length)
    piece = bytes(1 << 20)
    return b"".join(packer.compress(piece) for _ in range(length >> 20)) + packer.flush()


def _with_column(
    place: int, count: int, said: int, page: bytes = b"", packed: bytes = b""
) -> bytes:
    """A file of ours but for one column: so many values, said to be so long, and what it holds."""
    pack = zstandard.ZstdCompressor(level=9).compress
    chunks = []
    for name, kind in schema.CLUSTERS.items():
        values, good = parquet._page(kind, [getattr(row, name) for row in GOOD.clusters])
        chunks.append(parquet._Chunk(values, len(good), pack(good)))
    chunks[place] = parquet._Chunk(count, said, packed or pack(page))
    return parquet._file(schema.CLUSTERS, 300, chunks)


def _many_values(count: int) -> bytes:
    """A list that says in six octets of runs that it has a thousand million values."""
    run = thrift.varint(10**9 << 1) + b"\x01"
    page = (struct.pack("<I", len(run)) + run) * 2
    return _with_column(7, count, len(page), page)


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (_writer_metadata, "extract.metadata"),
        (_extra_column, "extract.columns"),
        (_other_order, "extract.columns"),
        (_other_writer, "extract.columns"),
        (_deep, "extract.columns"),
        (_endless_nesting, "extract.parquet"),
        (_endless_list, "extract.parquet"),
        (_large_footer, "extract.footer"),
        (lambda: _with_column(2, 300, 1 << 29, packed=_zeros(1 << 29)), "extract.unpacked"),
        (lambda: _with_column(2, 300, 3_000, packed=_zeros(1 << 29)), "extract.form"),
        (lambda: _with_column(2, 300, 3_000, bytes(3_000)), "extract.form"),
        (lambda: _many_values(10**9), "extract.values"),
        (lambda: _many_values(300), "extract.form"),
        (lambda: CLUSTERS[:-1], "extract.parquet"),
        (lambda: CLUSTERS[: len(CLUSTERS) // 2], "extract.parquet"),
        (lambda: b"", "extract.parquet"),
        (lambda: b"PAR1" + bytes(range(256)) * 40 + b"PAR1", "extract.parquet"),
        (lambda: CANARY.encode() * 1_000, "extract.parquet"),
        (lambda: CLUSTERS + bytes(4 << 20), "extract.size"),
        (lambda: b"PAR1" + CLUSTERS, "extract.parquet"),
        (lambda: TEMPLATES, "extract.columns"),
    ],
)
def test_no_file_takes_more_memory_or_time_than_it_is_given(
    make: Callable[[], bytes], code: str
) -> None:
    assert judged(parts(GOOD, clusters=make())) == code


@pytest.mark.parametrize(
    ("made", "code"),
    [
        (extract(rows=301), "extract.r3"),
        (extract(rows=299), "extract.r3"),
        (spoiled(GOOD, 9, device=TOKENS_65, devices="1k-up"), "extract.form"),
        (spoiled(GOOD, 9, payers="lt-3"), "extract.r2"),
        (spoiled(GOOD, 9, payment=("01" * 32, "02" * 32)), "extract.r2"),
        (spoiled(GOOD, 9, payment=("01" * 32, "02" * 32, CANARY)), "extract.r7"),
        (spoiled(GOOD, 9, surface=(CANARY,)), "extract.form"),
        (replace(GOOD, manifest=replace(GOOD.manifest, key_epoch="2026Q3")), "extract.epoch"),
    ],
)  # fmt: skip
def test_what_breaks_a_rule_is_refused_by_the_child_too(made: Extract, code: str) -> None:
    assert judged(parts(made)) == code


def test_a_text_longer_than_any_of_ours_is_refused_before_it_is_kept() -> None:
    long = parquet.write_clusters(spoiled(GOOD, 9, cluster=CANARY * 10).clusters)
    assert judged(parts(GOOD, clusters=long)) == "extract.form"


def test_a_file_says_its_rows_and_nothing_else() -> None:
    """A changed octet is either another row or a refusal: there is no room beside the rows."""
    draw = random.Random(5)  # noqa: S311 - test data
    refused = 0
    for _ in range(300):
        body = bytearray(TEMPLATES)
        body[draw.randrange(len(body))] ^= 1 << draw.randrange(8)
        try:
            rows = parquet.read_templates(bytes(body))
        except Refused:
            refused += 1
        else:
            assert parquet.write_templates(rows) != TEMPLATES
    assert refused > 50


def test_the_files_are_those_of_the_manifest() -> None:
    said, clusters, _ = parts(GOOD)
    other = parquet.write_templates(GOOD.templates[:1])
    assert judged((said, clusters, other)) == "extract.digest"


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"{", b"[" * 60_000, b"\xff", b'{"day":1,"day":2}', b" " * 70_000,
        b"null", json.dumps({"schema": CANARY}).encode(),
    ],
)  # fmt: skip
def test_a_manifest_is_closed_json(body: bytes) -> None:
    with pytest.raises(Refused) as caught:
        manifest.read(body)
    assert caught.value.code in ("extract.manifest", "extract.size")
    assert "canary" not in caught.value.sentence


@pytest.mark.parametrize(
    "changed",
    [
        {"day": "2026-11-2"}, {"day": "20261102"}, {"day": 5}, {"schema": "weir-extract/2"},
        {"algorithms": {}}, {"algorithms": [{"id": "x"}]}, {"algorithms": [[]]},
        {"clusters": None}, {"extractor": "x" * 65}, {"note": CANARY},
    ],
)  # fmt: skip
def test_each_member_of_a_manifest_has_its_form(changed: dict[str, object]) -> None:
    good = json.loads(manifest.write(GOOD.manifest))
    assert manifest.read(json.dumps(good).encode()) == GOOD.manifest
    with pytest.raises(Refused) as caught:
        manifest.read(json.dumps(good | changed).encode())
    assert caught.value.code == "extract.manifest"
    assert caught.value.path.startswith("manifest")
