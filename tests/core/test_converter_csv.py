"""Tables of values: what each row becomes, and what is wrong with those that become nothing."""

import json
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.proof.refused import Refused
from indicators.converters import csv, rows
from indicators.stix.validate import problems

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
AURORA, BOREALIS = UUID(int=1), UUID(int=2)
JA4 = "t13d1516h2_8daaf6152771_b186095e22b6"


def read(text: str | bytes, *, member: UUID = AURORA) -> csv.Table:
    body = text if isinstance(text, bytes) else text.encode()
    return csv.read(body, namespace=member, now=NOW)


def test_every_row_of_a_table_is_a_valid_indicator() -> None:
    table = read(
        "\ufeffIOC;Kind;Kill-chain phase;Base rate;confidence;First seen;Expires;Remark\r\n"
        "203.0.113.7;ip;resale;;40;2026-11-01;2026-12-01;=HYPERLINK(1)\r\n"
        '"198[.]51.100.0/24";;;;;;;\r\n'
        "\r\n"
        f"{JA4};ja4;;lt-1e-5;;2026-11-01T10:00:00Z;;\r\n"
    )
    assert table.faults == ()
    assert table.unread == 1
    assert dict(table.kinds) == {"address": 1, "address range": 1, "client fingerprint (JA4)": 1}
    objects = json.loads(table.body(UUID(int=9)))["objects"]
    assert [problems(obj) for obj in objects] == [()] * 3
    first = objects[0]
    assert first["pattern"] == "[ipv4-addr:value = '203.0.113.7']"
    assert (first["confidence"], first["valid_from"]) == (40, "2026-11-01T00:00:00Z")
    assert first["kill_chain_phases"][0]["phase_name"] == "resale"
    assert "HYPERLINK" not in json.dumps(objects)


@pytest.mark.parametrize(
    ("row", "column"),
    [
        ("=cmd|' /C calc'!A0,,,", "value"),
        ("+1234,,,", "value"),
        (",domain,,", "value"),
        ("relay.example,ja4,,", "value"),
        ("relay.example,wallet,,", "type"),
        ("relay.example,,101,", "confidence"),
        ("relay.example,,4\u0661,", "confidence"),
        ("relay.example,,,2026-02-30", "valid_until"),
        ("relay.example,,,2026-11-24", "valid_until"),
        ("relay.example,,,yesterday", "valid_until"),
        ("good.example,,,", "value"),
        ("relay.example,,,,,", "row"),
    ],
)
def test_a_row_that_cannot_be_read_is_named_and_the_others_stand(row: str, column: str) -> None:
    table = read(f"value,type,confidence,valid_until\ngood.example,,,\n{row}\nlast.example,,,\n")
    assert [(fault.row, fault.column) for fault in table.faults] == [(3, column)]
    assert len(table.objects) == 2


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "csv.columns"),
        (b"name,remark\na,b\n", "csv.columns"),
        (b"value,ioc\na.example,b.example\n", "csv.columns"),
        (b"value\n\x81\n", "csv.encoding"),
        (b"value\na\x00b\n", "csv.nul"),
        (b'value\n"cut in the mid', "csv.form"),
        (b"value\n" + b"a" * 2_001, "csv.cell"),
        (b"value\n" + b"a" * 200_000, "csv.form"),
        (b"value\n" + b"\n" * 20_001, "csv.rows"),
        (b"PK\x03\x04zip", "csv.columns"),
    ],
    ids=["empty", "no value", "two", "no text", "nul", "cut", "long", "huge", "rows", "zip"],
)
def test_what_is_no_table_is_refused_whole(body: bytes, code: str) -> None:
    with pytest.raises(Refused) as refused:
        read(body)
    assert refused.value.code == code


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("between", [",", ";", "\t", "|"])
def test_encoding_and_mark_between_cells_are_seen(encoding: str, between: str) -> None:
    text = between.join(("Größe", "value", "type")) + "\r\n" + between.join(("é", "203.0.113.0/24"))
    table = read((text + between + "range\r\n").encode(encoding))
    assert (table.columns, table.unread, table.faulty) == (("value", "type"), 1, 0)
    assert len(table.objects) == 1


def test_rows_are_found_again_where_they_stand() -> None:
    text = 'value,note\n203.0.113.0/24,"two\nlines, ""quoted"""\n\nrelay.example,ü\n'
    for encoding in ("utf-8", "utf-16"):
        body = text.encode(encoding)
        form = rows.form_of(body)

        def piece(start: int, size: int, body: bytes = body) -> bytes:
            return body[start : start + size]

        found = list(rows.rows(piece, form))
        assert [one.number for one in found] == [1, 2, 3, 4]
        again = [rows.row_of(piece(one.offset, one.octets), form) for one in found]
        assert again == [one.cells for one in found]
        late = list(rows.rows(piece, form, offset=found[2].offset, number=2))
        assert late == found[2:]


def test_columns_may_be_chosen_otherwise_than_they_are_called() -> None:
    body = b"a,b,value\n1,relay.example,x\n"
    table = csv.read(body, namespace=AURORA, now=NOW, columns=("confidence", "value", ""))
    assert table.objects[0]["confidence"] == 1
    for wrong in (("value",), ("", "", ""), ("value", "value", ""), ("value", "odd", "")):
        with pytest.raises(Refused):
            csv.read(body, namespace=AURORA, now=NOW, columns=wrong)


def test_the_same_value_is_the_same_object_and_another_members_is_another() -> None:
    ids = [
        read("value\nrelay.example\n", member=member).objects[0]["id"]
        for member in (AURORA, AURORA, BOREALIS)
    ]
    assert ids[0] == ids[1] != ids[2]


@pytest.mark.parametrize(
    ("name", "body", "is_table"),
    [
        ("list.csv", b"value\n", True),
        ("LIST.TSV", b"value\n", True),
        ("list.csv", b' {"type":"bundle"}', False),
        ("list.json", b"value\n", False),
    ],
)
def test_a_table_is_known_by_its_name(name: str, body: bytes, is_table: bool) -> None:  # noqa: FBT001
    assert csv.is_table(name, body) is is_table


@given(st.text(max_size=60))
def test_no_table_breaks_the_reader_and_faults_never_repeat_a_cell(text: str) -> None:
    try:
        table = read(f"value\n{text}\n".encode(errors="replace"))
    except Refused:
        return
    assert all(problems(obj) == () for obj in table.objects)
    told = "".join(fault.sentence for fault in table.faults)
    assert len(text.strip()) < 12 or text.strip() not in told
