"""A plain subset of YAML, read in one pass: nothing is built before it was allowed.

No anchors or aliases, no tags, no key twice, no dates or floats; what is not quoted is a string, a
whole number, true, false or null. So a document means the same to every reader.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

_WORDS: Mapping[str, bool | None] = {"true": True, "false": False, "null": None, "~": None}
_NUMBER = re.compile(r"-?(?:0|[1-9]\d{0,14})")
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_+-]+")

Lines = dict[str, int]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one document may hold, and what it is called where it holds more."""

    octets: int
    values: int
    deepest: int
    noun: str  # "A policy"


class Unreadable(Exception):
    """What keeps a text from being read, with its line and path."""

    def __init__(self, sentence: str, line: int | None, path: str = "") -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.line = line
        self.path = path


def read(text: str, limits: Limits) -> tuple[Any, Lines]:
    """The one value of a text, and the line of each place in it."""
    if len(text.encode("utf-8", "surrogatepass")) > limits.octets:
        raise Unreadable(f"{limits.noun} has at most {limits.octets // 1024} KiB.", None)
    lines: Lines = {}
    try:
        value = _Builder(yaml.parse(text, Loader=yaml.SafeLoader), lines, limits).document()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or "it cannot be read"
        raise Unreadable(
            f"This is not YAML: {problem}.", mark.line + 1 if mark is not None else None
        ) from None
    return value, lines


def step(path: str, key: str) -> str:
    """The place below a place."""
    name = key if _PLAIN_KEY.fullmatch(key) else json.dumps(key)
    return f"{path}.{name}" if path else name


def line_of(lines: Lines, path: str) -> int | None:
    """The line of the place, or of the nearest that stands in the text."""
    while path and path not in lines:
        path = path[: max(path.rfind("."), path.rfind("["), 0)]
    return lines.get(path)


class _Builder:
    """One pass over the events of a text."""

    def __init__(self, events: Iterator[yaml.Event], lines: Lines, limits: Limits) -> None:
        self.events = events
        self.lines = lines
        self.limits = limits
        self.count = 0

    def document(self) -> Any:  # noqa: ANN401 - JSON
        """The one value of the text."""
        self._next()  # the stream
        if isinstance(self._next(), yaml.StreamEndEvent):
            raise Unreadable("There is nothing in it.", 1)
        value = self._value(self._next(), "", 0)
        self._next()  # the document's end
        after = self._next()
        if not isinstance(after, yaml.StreamEndEvent):
            raise Unreadable(f"{self.limits.noun} is one document.", _at(after))
        return value

    def _next(self) -> yaml.Event:
        self.count += 1
        event = next(self.events)
        if self.count > self.limits.values:
            raise Unreadable("It has too many values.", _at(event))
        return event

    def _value(self, event: yaml.Event, path: str, depth: int) -> Any:  # noqa: ANN401 - JSON
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise Unreadable("Anchors and aliases are not read.", _at(event), path)
        if getattr(event, "tag", None):
            raise Unreadable("Tags are not read.", _at(event), path)
        if depth > self.limits.deepest:
            raise Unreadable("It is nested too deeply.", _at(event), path)
        self.lines.setdefault(path, _at(event))
        if isinstance(event, yaml.ScalarEvent):
            return _scalar(event, path)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._list(path, depth)
        return self._table(path, depth)

    def _list(self, path: str, depth: int) -> list[Any]:
        values: list[Any] = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            values.append(self._value(event, f"{path}[{len(values)}]", depth + 1))
        return values

    def _table(self, path: str, depth: int) -> dict[str, Any]:
        table: dict[str, Any] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            key = self._value(event, path, depth + 1)
            if not isinstance(event, yaml.ScalarEvent) or not isinstance(key, str):
                raise Unreadable("A key is a plain word; quote it.", _at(event), path)
            below = step(path, key)
            if key in table:
                raise Unreadable(f"The key {key} stands here twice.", _at(event), below)
            self.lines[below] = _at(event)
            table[key] = self._value(self._next(), below, depth + 1)
        return table


def _scalar(event: yaml.ScalarEvent, path: str) -> Any:  # noqa: ANN401 - JSON
    text: str = event.value
    if event.style is not None:  # quoted, or a block of text
        return text
    if text == "":
        raise Unreadable("A value is missing; write null for none.", _at(event), path)
    if text in _WORDS:
        return _WORDS[text]
    return int(text) if _NUMBER.fullmatch(text) else text


def _at(event: yaml.Event) -> int:
    mark = event.start_mark
    return mark.line + 1 if mark is not None else 1
