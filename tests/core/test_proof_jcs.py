"""RFC 8785: one byte string for one value."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.proof import jcs
from exchange.proof.refused import Refused


@pytest.mark.parametrize(
    ("bits", "text"),
    [  # RFC 8785, appendix B
        ("0000000000000000", "0"),
        ("8000000000000000", "0"),
        ("0000000000000001", "5e-324"),
        ("8000000000000001", "-5e-324"),
        ("7fefffffffffffff", "1.7976931348623157e+308"),
        ("ffefffffffffffff", "-1.7976931348623157e+308"),
        ("4340000000000000", "9007199254740992"),
        ("c340000000000000", "-9007199254740992"),
        ("4430000000000000", "295147905179352830000"),
        ("44b52d02c7e14af5", "9.999999999999997e+22"),
        ("44b52d02c7e14af6", "1e+23"),
        ("44b52d02c7e14af7", "1.0000000000000001e+23"),
        ("444b1ae4d6e2ef4e", "999999999999999700000"),
        ("444b1ae4d6e2ef4f", "999999999999999900000"),
        ("444b1ae4d6e2ef50", "1e+21"),
        ("3eb0c6f7a0b5ed8c", "9.999999999999997e-7"),
        ("3eb0c6f7a0b5ed8d", "0.000001"),
        ("41b3de4355555553", "333333333.3333332"),
        ("41b3de4355555554", "333333333.33333325"),
        ("becbf647612f3696", "-0.0000033333333333333333"),
        ("43143ff3c1cb0959", "1424953923781206.2"),
    ],
)
def test_floats_are_written_as_ecmascript_writes_them(bits: str, text: str) -> None:
    (value,) = struct.unpack(">d", bytes.fromhex(bits))
    assert jcs.encode(value) == text.encode()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (100.0, "100"),
        (1e-07, "1e-7"),
        (-0.0, "0"),
        (1.5, "1.5"),
        (-20.0, "-20"),
        (2**53 - 1, "9007199254740991"),
        (True, "true"),
        (None, "null"),
        ({"b": [1, (2.0, "x")], "a": {}}, '{"a":{},"b":[1,[2,"x"]]}'),
        (
            {"a": 'é\u2028\x7f/"\\\b\t\n\f\r\x01'},
            '{"a":"é\u2028\x7f/\\"\\\\\\b\\t\\n\\f\\r\\u0001"}',
        ),
        # by UTF-16 unit the astral key comes first, by code point last
        ({"\ufb33": 1, "\U0001f600": 2, "é": 3}, '{"é":3,"\U0001f600":2,"\ufb33":1}'),
    ],
)
def test_values_have_one_form(value: object, text: str) -> None:
    assert jcs.encode(value) == text.encode()


def deep(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (float("nan"), "jcs.number"),
        ([float("inf")], "jcs.number"),
        (2**53, "jcs.integer"),
        ({"a": -(2**53)}, "jcs.integer"),
        ("\ud800", "jcs.surrogate"),
        ({"\udfff": 1}, "jcs.surrogate"),
        ([1.5, "\ud800"], "jcs.surrogate"),
        ({1: 2}, "jcs.key"),
        ({None: 2}, "jcs.key"),
        (b"bytes", "jcs.type"),
        ({"a", "b"}, "jcs.type"),
        (deep(201), "jcs.depth"),
    ],
)
def test_what_has_no_canonical_form_is_refused(value: object, code: str) -> None:
    with pytest.raises(Refused) as refused:
        jcs.encode(value)
    assert refused.value.code == code


def test_two_hundred_levels_are_written() -> None:
    assert jcs.encode(deep(200)) == b"[" * 200 + b"1" + b"]" * 200


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b'{"a":1,"a":2}', "jcs.duplicate"),
        (b"NaN", "jcs.number"),
        (b"[-Infinity]", "jcs.number"),
        (b"1e999", "jcs.number"),
        (b"9007199254740993", "jcs.integer"),
        (b"65448863740355981", "jcs.integer"),  # no float is written so
        (b"1" * 4000, "jcs.integer"),
        (b"1" * 5000, "jcs.json"),
        (b'"\\ud800"', "jcs.surrogate"),
        (b"\xff", "jcs.json"),
        (b"\xef\xbb\xbf{}", "jcs.json"),
        (b"{} {}", "jcs.json"),
        (b"", "jcs.json"),
        (b"[" * 100_000, "jcs.json"),
    ],
)
def test_json_that_could_be_read_in_two_ways_is_refused(data: bytes, code: str) -> None:
    with pytest.raises(Refused) as refused:
        jcs.decode(data)
    assert refused.value.code == code


def test_a_refusal_does_not_quote_its_input() -> None:
    with pytest.raises(Refused) as refused:
        jcs.decode(b'{"secret":')
    assert "secret" not in str(refused.value)
    assert refused.value.__cause__ is None


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-jcs.LARGEST, jcs.LARGEST)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(json_values)
def test_what_is_written_reads_back_equal_and_is_written_the_same(value: object) -> None:
    written = jcs.encode(value)
    assert jcs.decode(written) == value
    assert jcs.encode(jcs.decode(written)) == written
