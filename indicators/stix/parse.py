"""Bytes to checked objects: size, depth, duplicate keys, numbers, surrogates; faults by object.

1. the body's size, encoding, depth and number of values, on the bytes, before memory is spent
2. the root: bundle, envelope, object, list
3. each object by itself: what is wrong with one leaves the others to be taken

orjson reads what is clean. Where it cannot tell (a key twice, NaN, half a surrogate pair) the
slower reader of the standard library finds out which object it is.
"""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from exchange.proof.refused import Refused
from indicators.stix.problems import Problem

_SAFE = 2**53 - 1
_PIECE = 1_048_576
_NO_KEY = (b'\\":', b':":', b',":', b'[":', b'{":')
_NOT_BRACKETS = bytes(code for code in range(256) if code not in b"[]{}")
_ONE_KIND = bytes.maketrans(b"{}", b"[]")  # depth is depth; whether they match, the parser says
# A number too long to be sure of, an exponent, and the words that JSON does not have.
_DOUBTFUL = re.compile(rb"[0-9]{16}|[0-9][eE]|NaN|Infinity")


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one body may hold."""

    octets: int = 33_554_432
    objects: int = 20_000
    depth: int = 64
    values: int = 2_000_000


@dataclass(frozen=True, slots=True)
class Item:
    """One object of a body, or what is wrong with it."""

    position: int
    obj: dict[str, Any] | None
    problem: Problem | None = None


class _Object(dict[str, Any]):
    """A parsed object that remembers what was wrong inside it."""

    fault: tuple[str, str] | None = None


def objects(body: bytes, limits: Limits = Limits()) -> tuple[dict[str, Any], ...]:
    """All objects of a body; Refused at the first that is not well formed."""
    taken: list[dict[str, Any]] = []
    for item in items(body, limits):
        if item.problem is not None or item.obj is None:
            fault = item.problem or Problem("object.form", "", "This is no object.")
            place = f"objects[{item.position}]" + (f".{fault.path}" if fault.path else "")
            raise Refused(fault.code, fault.sentence, place)
        taken.append(item.obj)
    return tuple(taken)


def items(body: bytes, limits: Limits = Limits()) -> tuple[Item, ...]:
    """The objects of a bundle, a TAXII envelope, a list or a single object, each judged alone."""
    found, is_clean = _found(body, limits)
    return _judged(found, is_clean=is_clean)


def look(body: bytes, limits: Limits = Limits()) -> tuple[int, bool]:
    """How many objects a body holds, and whether nothing in it is doubtful: see `looked_at`."""
    found, is_clean = _found(body, limits)
    return len(found), is_clean


def looked_at(body: bytes) -> tuple[Item, ...]:
    """The objects of a body in which `look` found nothing doubtful: it is only read again."""
    return _judged(_members(orjson.loads(body)), is_clean=True)


def _found(body: bytes, limits: Limits) -> tuple[list[Any], bool]:
    outside = _bounded(body, limits)  # 1
    root = _clean(body, outside)
    found = _members(_root(body) if root is None else root)  # 2
    if len(found) > limits.objects:
        raise Refused(
            "body.objects", f"A contribution holds at most {limits.objects:,} objects.", "objects"
        )
    return found, root is not None


def _judged(found: list[Any], *, is_clean: bool) -> tuple[Item, ...]:
    judge = _plain_item if is_clean else _item
    return tuple([judge(position, value) for position, value in enumerate(found)])  # 3


def _bounded(body: bytes, limits: Limits) -> bytes:
    """What of the body stands outside its strings, once that is known to be within the limits."""
    if len(body) > limits.octets:
        raise Refused("body.size", f"A contribution has at most {limits.octets:,} octets.")
    if not body.strip():
        raise Refused("body.empty", "The body is empty.")
    if body.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        raise Refused("body.bom", "The body begins with a byte order mark; JSON has none.")
    try:
        body.decode()
    except UnicodeDecodeError:
        raise Refused("body.encoding", "The body is not UTF-8.") from None
    outside = _outside(body)
    if sum(map(outside.count, (b",", b"[", b"{"))) > limits.values:
        raise Refused("body.values", f"A contribution holds at most {limits.values:,} values.")
    _check_depth(outside.translate(_ONE_KIND, _NOT_BRACKETS), limits.depth)
    return outside


def _outside(body: bytes) -> bytes:
    """A body with its strings left empty: cut at its quotes, those within strings apart.

    Where it is no JSON it may be cut wrongly, but not before the place where any parser ends.
    """
    plain = body
    if b"\\" in body:
        plain = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    parts: list[bytes] = []
    is_inside = False
    # In pieces, so that a body of nothing but quotes costs little memory too.
    for start in range(0, len(plain), _PIECE):
        cut = plain[start : start + _PIECE].split(b'"')
        parts.append(b'""'.join(cut[is_inside::2]))
        is_inside ^= len(cut) % 2 == 0
    return b"".join(parts)


def _check_depth(brackets: bytes, deepest: int) -> None:
    """Take the innermost level away until nothing is left; before any parser recurses."""
    for _ in range(deepest + 3):  # a bundle, its list and the object itself are no nesting
        left = brackets.replace(b"[]", b"")
        if len(left) == len(brackets):
            # What is opened and never closed is as deep for a parser that recurses.
            is_deep = brackets.count(b"[") > deepest + 3
            break
        brackets = left
    else:
        is_deep = bool(brackets)
    if is_deep:
        raise Refused("body.depth", f"The body nests deeper than {deepest} levels.")


def _clean(body: bytes, outside: bytes) -> Any:  # noqa: ANN401 - any JSON value
    """The value of a body in which nothing is doubtful; nothing where something may be."""
    if _DOUBTFUL.search(outside) or b"\\u0000" in body:
        return None
    try:
        root = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    # A key that stands twice leaves fewer keys in the tree than colons in the text.
    return root if _keys(root) == outside.count(b":") else None


def _keys(root: Any) -> int:  # noqa: ANN401 - any JSON value
    """How many keys a tree has, or fewer: those that end in an odd way are not counted.

    Behind a quote that a colon follows ends a key, or it stands in a string: within it, where a
    backslash is before the quote, or at its beginning, where one of four marks is.
    """
    written = orjson.dumps(root)
    return written.count(b'":') - sum(map(written.count, _NO_KEY))


def _root(body: bytes) -> Any:  # noqa: ANN401 - any JSON value
    try:
        # As text: of bytes the reader would guess the encoding, and take UTF-16 too.
        return json.loads(
            body.decode(), object_pairs_hook=_pairs, parse_constant=_constant, parse_int=_whole
        )
    except (ValueError, RecursionError):
        raise Refused("body.json", "The body is not JSON.") from None


def _whole(text: str) -> int:
    """A whole number; one too long to read is anything too large."""
    return int(text) if len(text) < 20 else _SAFE + 1


def _constant(name: str) -> float:
    return float(name.replace("Infinity", "inf"))


def _pairs(pairs: list[tuple[str, Any]]) -> _Object:
    made = _Object(pairs)
    if len(made) != len(pairs):
        made.fault = ("json.duplicate-key", "A property stands twice in one JSON object.")
    return made


def _members(root: Any) -> list[Any]:  # noqa: ANN401 - any JSON value
    if isinstance(root, list):
        return root
    if not isinstance(root, dict):
        raise Refused("body.form", "The body is no bundle, envelope or object.")
    is_container = root.get("type") == "bundle" or "type" not in root
    if not is_container:
        return [root]
    if isinstance(root, _Object) and root.fault is not None:
        raise Refused(*root.fault)
    found = root.get("objects", [])
    if not isinstance(found, list):
        raise Refused("body.objects", "`objects` is not a list.", "objects")
    return found


def _item(position: int, value: Any) -> Item:  # noqa: ANN401 - any JSON value
    if not isinstance(value, dict):
        return Item(position, None, Problem("object.form", "", "This is no JSON object."))
    fault = next(_faults(value, ""), None)
    plain: dict[str, Any] = _plain(value) if fault is None else _named(value)
    return Item(position, plain, fault)


def _plain_item(position: int, value: Any) -> Item:  # noqa: ANN401 - any JSON value
    return Item(position, value) if type(value) is dict else _item(position, value)


def _named(value: dict[str, Any]) -> dict[str, Any]:
    """Of a malformed object only id and version, so that the status can name it."""
    kept = {name: value.get(name) for name in ("id", "type", "created", "modified")}
    return {
        name: text
        for name, text in kept.items()
        if isinstance(text, str) and len(text) < 300 and text.isascii() and text.isprintable()
    }


def _faults(value: Any, path: str) -> Iterator[Problem]:  # noqa: ANN401 - any JSON value
    """What I-JSON (RFC 7493) and a database refuse, with its place."""
    if isinstance(value, _Object):
        if value.fault is not None:
            yield Problem(value.fault[0], path, value.fault[1])
        for key, below in value.items():
            if not _is_storable(key):
                yield Problem("json.name", path, "A property name holds what no text may hold.")
            else:
                yield from _faults(below, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for index, below in enumerate(value):
            yield from _faults(below, f"{path}[{index}]")
    else:
        fault = _scalar_fault(value)
        if fault is not None:
            yield Problem(fault[0], path, fault[1])


def _scalar_fault(value: object) -> tuple[str, str] | None:
    if isinstance(value, str):
        if "\x00" in value:
            return "json.nul", "The text holds a NUL character."
        return (
            None if _is_storable(value) else ("json.surrogate", "The text holds a lone surrogate.")
        )
    if isinstance(value, float) and not math.isfinite(value):
        return "json.number", "JSON has no NaN and no Infinity."
    if isinstance(value, int) and abs(value) > _SAFE:
        return "json.number", "The number is beyond what I-JSON can carry exactly."
    return None


def _is_storable(text: str) -> bool:
    return "\x00" not in text and (
        text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text)
    )


def _plain(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, dict):
        return {key: _plain(below) for key, below in value.items()}
    if isinstance(value, list):
        return [_plain(below) for below in value]
    return value
