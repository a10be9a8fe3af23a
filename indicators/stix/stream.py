"""The objects of a JSON text of any length, one after another, in bounded memory.

1. the root: a bundle, an envelope, a list, one object   2. each object is found by its brackets
3. what stands around them is checked too; a text that is cut or goes on is refused as a whole

A reading can stop after any object and go on later, from the place and the state that it names.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from exchange.proof.refused import Refused

# Up to and with the next bracket outside a string; possessive, so that nothing is tried again.
_BRACKET = re.compile(rb'(?:[^"{}\[\]]|"(?:[^"\\]++|\\.)*+")*+([{}\[\]])', re.DOTALL)
_SCALAR = re.compile(rb'(?:"(?:[^"\\]++|\\.)*+"|[-+.0-9A-Za-z]++)', re.DOTALL)
_KEY = re.compile(rb'[ \t\n\r]*+("(?:[^"\\]++|\\.)*+")[ \t\n\r]*+:[ \t\n\r]*+', re.DOTALL)
_SPACE = re.compile(rb"[ \t\n\r]*+")
_WIDE = (b"\xff\xfe", b"\xfe\xff", b"\x00")
_MARK = b"\xef\xbb\xbf"
WINDOW = 1 << 20
_LONGEST_NAME = 1_000
_MOST_NAMES = 1_000
_NESTS = 3  # a bundle, its list and the object itself are no nesting


@dataclass(frozen=True, slots=True)
class Bounds:
    """How large one object may be, and how deep."""

    octets: int
    depth: int = 64


@dataclass(frozen=True, slots=True)
class Found:
    """Where an object stands in the text, and its bytes."""

    offset: int
    body: bytes = field(repr=False)


@dataclass(slots=True)
class State:
    """How far a text is read: enough to go on from here."""

    offset: int = 0
    # start, members (of the root object), list, end
    where: str = "start"
    is_bare: bool = False  # the root is a list
    is_first: bool = True  # no object, or no member, came before
    seen: list[str] = field(default_factory=list)
    stix_type: str = ""
    root: int = 0


Read = Callable[[int, int], bytes]


class Reading:
    """One text: read at will from `read(offset, size)`, which gives less only at its end."""

    def __init__(self, read: Read, bounds: Bounds, state: State | None = None) -> None:
        self.state = state or State()
        self._read = read
        self._bounds = bounds
        self._start = self.state.offset
        self._window = b""
        self._at = 0
        self._is_whole = False

    def objects(self) -> Iterator[Found]:
        """Each object in its order; Refused for a text that is not what it should be."""
        state = self.state
        while state.where != "end":
            if state.where == "start":
                self._open()
            elif state.where == "members":
                if (whole := self._member()) is not None:
                    yield whole
            else:
                found = self._element()
                if found is not None:
                    yield found
        self._end()

    # --- the window ---

    def _more(self) -> bool:
        """Take in more of the text; no where there is none."""
        if self._is_whole:
            return False
        self._window = self._window[self._at :]
        self._start += self._at
        self._at = 0
        fresh = self._read(self._start + len(self._window), WINDOW)
        self._is_whole = len(fresh) < WINDOW
        self._window += fresh
        return bool(fresh)

    def _peek(self) -> bytes:
        """The next byte that is no space; nothing at the end."""
        while True:
            found = _SPACE.match(self._window, self._at)
            self._at = found.end() if found else self._at
            if self._at < len(self._window):
                self.state.offset = self._start + self._at
                return self._window[self._at : self._at + 1]
            if not self._more():
                self.state.offset = self._start + self._at
                return b""

    def _step(self) -> None:
        self._at += 1
        self.state.offset = self._start + self._at

    # --- the root ---

    def _open(self) -> None:
        self._more()
        if self._window.startswith(_MARK):
            self._at = len(_MARK)
        first = self._peek()
        if not first:
            raise Refused("file.empty", "The file is empty.", "file")
        if self._window[:64].startswith(_WIDE):
            raise Refused("file.encoding", "The file is not UTF-8.", "file")
        if first not in (b"{", b"["):
            raise _malformed()
        self.state.is_bare = first == b"["
        self.state.root = self.state.offset
        self.state.where = "list" if self.state.is_bare else "members"
        self._step()

    def _member(self) -> Found | None:
        """One property of the root; its objects, and whether it is no container but one object."""
        state = self.state
        here = self._peek()
        if here == b"}":
            self._step()
            state.where = "end"
            return self._close()
        if not state.is_first:
            self._comma(here)
        name = self._name()
        if name in state.seen:
            raise Refused("json.duplicate-key", "A property stands twice in one JSON object.")
        state.seen.append(name)
        state.is_first = False
        here = self._peek()
        if name == "objects" and here == b"[":
            state.where, state.is_first = "list", True
            self._step()
        elif name == "objects":
            raise Refused("body.objects", "`objects` is not a list.", "objects")
        else:
            value = self._value(here)
            if name == "type":
                state.stix_type = _text(value)
            if len(state.seen) > _MOST_NAMES:
                raise _formless()
        return None

    def _close(self) -> Found | None:
        state = self.state
        if state.stix_type in ("", "bundle"):
            if "objects" not in state.seen:
                raise _formless()
            return None
        if "objects" in state.seen:
            raise _formless()
        size = state.offset - state.root
        if size > self._bounds.octets:
            raise self._too_large()
        return Found(state.root, self._read(state.root, size))

    def _end(self) -> None:
        if self._peek():
            raise Refused("body.json", "The file goes on behind its end.", self._place())

    # --- the list ---

    def _element(self) -> Found | None:
        state = self.state
        here = self._peek()
        if here == b"]":
            self._step()
            state.where, state.is_first = ("end" if state.is_bare else "members"), False
            return None
        if not state.is_first:
            self._comma(here)
            here = self._peek()
        state.is_first = False
        offset = state.offset
        return Found(offset, self._value(here))

    def _comma(self, here: bytes) -> None:
        if here != b",":
            raise self._cut() if not here else _malformed(self._place())
        self._step()
        self._peek()

    def _name(self) -> str:
        while True:
            self._peek()
            found = _KEY.match(self._window, self._at)
            if found is not None:
                self._at = found.end()
                self.state.offset = self._start + self._at
                return _text(found[1])
            if len(self._window) - self._at > _LONGEST_NAME:
                raise _malformed(self._place())
            if not self._more():
                raise self._cut() if self._peek() in (b"", b'"') else _malformed(self._place())

    def _value(self, here: bytes) -> bytes:
        """The bytes of one value, by its brackets; a scalar by its form."""
        if not here:
            raise self._cut()
        size = self._nested() if here in (b"{", b"[") else self._scalar()
        body = self._window[self._at : self._at + size]
        self._at += size
        self.state.offset = self._start + self._at
        return body

    def _nested(self) -> int:
        depth, at = 0, self._at
        while True:
            found = _BRACKET.match(self._window, at)
            if found is None:
                done = at - self._at
                if len(self._window) - self._at > self._bounds.octets:
                    raise self._too_large()
                if not self._more():
                    raise self._cut()
                at = self._at + done
                continue
            at = found.end()
            depth += 1 if found[1] in b"{[" else -1
            if depth > self._bounds.depth + _NESTS:
                most = f"An object nests deeper than {self._bounds.depth} levels."
                raise Refused("body.depth", most, self._place())
            if depth == 0:
                if at - self._at > self._bounds.octets:
                    raise self._too_large()
                return at - self._at

    def _scalar(self) -> int:
        while True:
            found = _SCALAR.match(self._window, self._at)
            # One that reaches to the end of the window may go on behind it.
            if found is not None and (found.end() < len(self._window) or self._is_whole):
                return found.end() - self._at
            if len(self._window) - self._at > self._bounds.octets:
                raise self._too_large()
            if not self._more():
                raise (
                    self._cut()
                    if self._window[self._at : self._at + 1] == b'"'
                    else _malformed(self._place())
                )

    def _too_large(self) -> Refused:
        most = f"One object has at most {self._bounds.octets:,} octets."
        return Refused("file.object-size", most, self._place())

    def _cut(self) -> Refused:
        return Refused("file.cut", "The file ends in the middle of something.", self._place())

    def _place(self) -> str:
        return f"octet {self.state.offset}"


def _formless() -> Refused:
    return Refused(
        "body.form", "The file is no bundle, envelope, object or list of objects.", "file"
    )


def _malformed(place: str = "file") -> Refused:
    return Refused("body.json", "The file is not JSON.", place)


def _text(raw: bytes) -> str:
    try:
        value = json.loads(raw)
    except ValueError:
        raise _malformed() from None
    return value if isinstance(value, str) else ""
