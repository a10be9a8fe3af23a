"""Bytes to checked objects: size, depth, duplicate keys, numbers, surrogates; faults by object.

1. the body's size, encoding and depth, on the bytes     2. the root: bundle, envelope, object, list
3. each object by itself: what is wrong with one leaves the others to be taken
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from exchange.proof.refused import Refused
from indicators.stix.problems import Problem

_SAFE = 2**53 - 1
# A string may end with the body: else text full of quotes would be read again from each of them.
_BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*"?|[\[\]{}]', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one body may hold."""

    octets: int = 33_554_432
    objects: int = 20_000
    depth: int = 64


@dataclass(frozen=True, slots=True)
class Item:
    """One object of a body, or what is wrong with it."""

    position: int
    obj: dict[str, Any] | None
    problem: Problem | None = None


class _Object(dict[str, Any]):
    """A parsed object that remembers what was wrong inside it."""

    fault: tuple[str, str] | None = None


def objects(body: bytes, limits: Limits = Limits()) -> tuple[dict[str, Any], ...]:  # noqa: B008 - frozen
    """All objects of a body; Refused at the first that is not well formed."""
    taken: list[dict[str, Any]] = []
    for item in items(body, limits):
        if item.problem is not None or item.obj is None:
            fault = item.problem or Problem("object.form", "", "This is no object.")
            place = f"objects[{item.position}]" + (f".{fault.path}" if fault.path else "")
            raise Refused(fault.code, fault.sentence, place)
        taken.append(item.obj)
    return tuple(taken)


def items(body: bytes, limits: Limits = Limits()) -> tuple[Item, ...]:  # noqa: B008 - frozen
    """The objects of a bundle, a TAXII envelope, a list or a single object, each judged alone."""
    root = _root(_text(body, limits))  # 1
    found = _members(root)  # 2
    if len(found) > limits.objects:
        raise Refused(
            "body.objects", f"A contribution holds at most {limits.objects:,} objects.", "objects"
        )
    return tuple(_item(position, value) for position, value in enumerate(found))  # 3


def _text(body: bytes, limits: Limits) -> str:
    if len(body) > limits.octets:
        raise Refused("body.size", f"A contribution has at most {limits.octets:,} octets.")
    if not body.strip():
        raise Refused("body.empty", "The body is empty.")
    if body.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        raise Refused("body.bom", "The body begins with a byte order mark; JSON has none.")
    _check_depth(body, limits.depth)
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise Refused("body.encoding", "The body is not UTF-8.") from None


def _check_depth(body: bytes, deepest: int) -> None:
    """On the bytes, before any parser recurses: bounded in time and memory."""
    depth = 0
    for match in _BRACKETS.finditer(body):
        mark = match[0]
        if mark in (b"[", b"{"):
            depth += 1
            if depth > deepest + 3:
                raise Refused("body.depth", f"The body nests deeper than {deepest} levels.")
        elif mark in (b"]", b"}"):
            depth -= 1


def _root(text: str) -> Any:  # noqa: ANN401 - any JSON value
    try:
        return json.loads(text, object_pairs_hook=_pairs, parse_constant=_constant)
    except (ValueError, RecursionError):
        raise Refused("body.json", "The body is not JSON.") from None


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
            place = f"{path}.{key}" if path else key
            if not _is_storable(key):
                yield Problem("json.name", path, "A property name holds what no text may hold.")
            else:
                yield from _faults(below, place)
    elif isinstance(value, list):
        for index, below in enumerate(value):
            yield from _faults(below, f"{path}[{index}]")
    elif isinstance(value, str):
        if "\x00" in value:
            yield Problem("json.nul", path, "The text holds a NUL character.")
        elif not _is_storable(value):
            yield Problem("json.surrogate", path, "The text holds a lone surrogate.")
    elif isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            yield Problem("json.number", path, "JSON has no NaN and no Infinity.")
    elif isinstance(value, int) and abs(value) > _SAFE:
        yield Problem("json.number", path, "The number is beyond what I-JSON can carry exactly.")


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
