"""Bytes to objects: what spoils the body, what spoils one object, and what neither may cost."""

import json
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.proof.refused import Refused
from indicators.stix import parse

ANA = {"type": "x-note", "id": "x-note--5d0092c5-5f74-4287-9642-33f4c354e56d"}
ABEL = {"type": "x-note", "id": "x-note--16d2358f-3b0d-4c88-b047-0da2f7ed4471"}
DEEPEST = parse.Limits().depth


def encoded(value: object) -> bytes:
    return json.dumps(value).encode()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"type": "bundle", "id": "bundle--1", "objects": [ANA, ABEL]}, (ANA, ABEL)),
        ({"objects": [ANA], "more": True, "next": "2", "x_unknown": {}}, (ANA,)),
        ({"more": False}, ()),
        ({}, ()),
        ({"type": "bundle", "objects": []}, ()),
        (ANA, (ANA,)),
        (
            {**ANA, "objects": {"0": {"type": "file"}}},
            ({**ANA, "objects": {"0": {"type": "file"}}},),
        ),
        ([ABEL, ANA], (ABEL, ANA)),
        ([], ()),
    ],
)
def test_every_root_that_carries_objects_is_read(body: object, expected: tuple[Any, ...]) -> None:
    assert parse.objects(encoded(body)) == expected


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "body.empty"),
        (b" \n\t", "body.empty"),
        (b"\xef\xbb\xbf{}", "body.bom"),
        ("{}".encode("utf-16"), "body.bom"),
        ("{}".encode("utf-16-le"), "body.json"),
        (b'{"a": "\xff"}', "body.encoding"),
        (b"{", "body.json"),
        (b"[1,]", "body.json"),
        (b"{'a': 1}", "body.json"),
        (b'{"a": "\x01"}', "body.json"),
        (b"{} {}", "body.json"),
        (b"null", "body.form"),
        (b'"objects"', "body.form"),
        (b"3.5", "body.form"),
        (b"NaN", "body.form"),
        (b'{"objects": null}', "body.objects"),
        (b'{"type": "bundle", "objects": {}}', "body.objects"),
        (b'{"objects": [{}], "objects": []}', "json.duplicate-key"),
        (b'{"type": "bundle", "type": "x", "objects": []}', "body.json or one object"),
        (b"[" * 50_000 + b"]" * 50_000, "body.depth"),
        (b"[" * 50_000, "body.depth"),
        (b'{"a":' * 50_000 + b"1" + b"}" * 50_000, "body.depth"),
        (b"[" + b"{}," * 20_000 + b"{}]", "body.objects"),
        (b"[" + b"1," * 2_000_001 + b"1]", "body.values"),
    ],
)
def test_what_spoils_the_body_refuses_all_of_it(body: bytes, code: str) -> None:
    if code == "body.json or one object":  # the last `type` makes it one object, with a fault
        assert parse.items(body)[0].problem is not None
        return
    with pytest.raises(Refused) as refused:
        parse.items(body)
    assert refused.value.code == code


def test_a_body_over_the_limit_is_not_read() -> None:
    with pytest.raises(Refused) as refused:
        parse.items(encoded([ANA]), parse.Limits(octets=20))
    assert refused.value.code == "body.size"
    assert parse.items(encoded([ANA]), parse.Limits(octets=200))[0].problem is None


@pytest.mark.parametrize(
    ("fault", "code", "path"),
    [
        (b'{"a": 1, "a": 2}', "json.duplicate-key", ""),
        (b'{"a": {"b": [{"c": 1, "c": 1}]}}', "json.duplicate-key", "a.b[0]"),
        (b'{"a": "x\\u0000y"}', "json.nul", "a"),
        (b'{"a": ["\\ud800"]}', "json.surrogate", "a[0]"),
        (b'{"a\\u0000": 1}', "json.name", ""),
        (b'{"a": NaN}', "json.number", "a"),
        (b'{"a": -Infinity}', "json.number", "a"),
        (b'{"a": 1e400}', "json.number", "a"),
        (b'{"a": 9007199254740992}', "json.number", "a"),
        (b'{"a": -' + b"9" * 6_000 + b"}", "json.number", "a"),
        (b"7", "object.form", ""),
        (b"null", "object.form", ""),
        (b"[]", "object.form", ""),
    ],
)
def test_what_spoils_one_object_leaves_the_others(fault: bytes, code: str, path: str) -> None:
    body = b'{"objects": [%s, %s, %s]}' % (encoded(ANA), fault, encoded(ABEL))
    first, spoilt, last = parse.items(body)
    assert (first.obj, last.obj) == (ANA, ABEL)
    assert spoilt.problem is not None
    assert (spoilt.position, spoilt.problem.code, spoilt.problem.path) == (1, code, path)
    with pytest.raises(Refused) as refused:
        parse.objects(body)
    assert refused.value.code == code
    assert refused.value.path.startswith("objects[1]")


def test_a_malformed_object_keeps_only_what_names_it() -> None:
    (item,) = parse.items(b'[{"id": "x--1", "type": "x", "name": "private", "a": NaN}]')
    assert item.obj == {"id": "x--1", "type": "x"}
    assert item.problem is not None
    assert "private" not in item.problem.sentence


@pytest.mark.parametrize(
    "text",
    [
        '{"a": "\\\\u0000"}',  # an escaped backslash, then u0000
        '{"a": "\\ud83d\\ude00"}',  # a whole surrogate pair
        '{"a": "NaN Infinity 1e5 1234567890123456"}',
        '{"a": 9007199254740991, "b": -9007199254740991, "c": 1e5, "d": 0.1234567890123456789}',
        '{"a:b": {"c:d": ":"}, "{": "[\\"]"}',
        '{"a": "caf\u00e9 \u2028 \U0001f600"}',
    ],
)
def test_what_only_looks_doubtful_is_taken(text: str) -> None:
    assert parse.objects(f"[{text}]".encode()) == (json.loads(text),)


@pytest.mark.parametrize(("more", "may_pass"), [(0, True), (1, False), (900, False)])
def test_depth_ends_where_the_limit_says(more: int, may_pass: bool) -> None:  # noqa: FBT001 - table
    levels = DEEPEST + more
    body = b'{"objects": [{"a": %s1%s}]}' % (b"[" * levels, b"]" * levels)
    if may_pass:
        assert parse.items(body)[0].problem is None
        return
    with pytest.raises(Refused, match="nests deeper"):
        parse.items(body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": "' + b"x" * 8_000_000 + b'"}',
        b'{"a": "' + b"\\n" * 4_000_000 + b'"}',
        b'"' + b"x" * 8_000_000,
        b'"\\' * 4_000_000,
        b"[" + b"[]," * 2_700_000 + b"[]]",
        b"[}" * 4_000_000,
        b"[" * 8_000_000,
    ],
)
def test_no_body_costs_much_more_than_its_size(body: bytes) -> None:
    tracemalloc.start()
    began = time.process_time()
    try:
        parse.items(body)
    except Refused:
        pass
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 16 * len(body)
    assert time.process_time() - began < 5


def test_real_feeds_are_read_as_the_standard_reader_reads_them(shared_data: Path) -> None:
    for folder in ("oasis", "atlas", "misp-stix21", "stix", "extraction-examples"):
        for path in sorted((shared_data / folder).glob("*.json")):
            document = json.loads(path.read_bytes())
            if document.get("type") == "bundle":
                assert list(parse.objects(path.read_bytes())) == document["objects"], path.name


_TEXT = st.text(st.sampled_from('":\\,[]{}ab\u00e4 '), max_size=6)
_VALUE = st.recursive(
    st.integers(-9, 9) | st.booleans() | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.lists(st.tuples(_TEXT, inner), max_size=3),
    max_leaves=6,
)


def _written(value: Any) -> str:
    """JSON of a value in which a list of pairs stands for an object, its names repeated or not."""
    if isinstance(value, list) and value and all(isinstance(one, tuple) for one in value):
        return "{" + ",".join(f"{json.dumps(key)}: {_written(below)}" for key, below in value) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_written, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


class _Repeated(Exception):
    """A name stands twice in one object."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise _Repeated
    return dict(pairs)


@given(st.lists(st.lists(st.tuples(_TEXT, _VALUE), min_size=1, max_size=3), min_size=1, max_size=3))
def test_a_name_that_stands_twice_is_found_whatever_stands_around_it(
    bodies: list[list[tuple[str, Any]]],
) -> None:
    body = ("[" + ",".join(map(_written, bodies)) + "]").encode()
    for item, pairs in zip(parse.items(body), bodies, strict=True):
        try:
            expected = json.loads(_written(pairs), object_pairs_hook=_once)
        except _Repeated:
            assert item.problem is not None
            assert item.problem.code == "json.duplicate-key"
        else:
            assert (item.problem, item.obj) == (None, expected)


def test_what_was_looked_at_once_is_read_again_as_it_was() -> None:
    body = encoded({"type": "bundle", "objects": [ANA, 7, ABEL]})
    assert parse.look(body) == (3, True)
    assert parse.looked_at(body) == parse.items(body)
    assert parse.look(b'{"objects":[{"a":1,"a":2}]}') == (1, False)
