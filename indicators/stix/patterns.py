"""STIX patterns: text to tree and back; the literals inside (STIX 2.1, section 9).

The parser is a recursive descent over a token list with a bounded depth, so no input makes it
explode: at most `LONGEST` characters and `DEEPEST` nested parentheses.

It takes what the grammar of OASIS takes, less what section 9 forbids beside it: WITHIN and REPEATS
of nothing, a STOP that is not after its START, numbers beyond 64 bits.
"""

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Literal as OneOf
from typing import NamedTuple

from exchange.proof.refused import Refused

LONGEST = 200_000
DEEPEST = 64

# White space of the grammar; Python's own takes four control characters more.
_SPACE = " \t\r\n\x0b\x0c\x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)
_TOKEN = re.compile(
    rf"""[{_SPACE}]*(?:
    (?P<typed>[thb]'[^'\\]*')
  | (?P<string>'(?:[^'\\]++|\\['\\])*+')
  | (?P<float>[-+]?[0-9]*\.[0-9]+)
  | (?P<int>[-+]?(?:0|[1-9][0-9]*)(?![0-9]))
  | (?P<op><=|>=|!=|<>|==|=|<|>)
  | (?P<punct>[\[\]():.,*])
  | (?P<word>[A-Za-z_][A-Za-z0-9_-]*)
    )""",
    re.VERBOSE | re.DOTALL,
)
# A comment may end with the text: else each of many openings would be read to the end again.
_HIDDEN = re.compile(r"'(?:[^'\\]++|\\.)*+'|//[^\r\n]*|/\*.*?(?:\*/|\Z)", re.DOTALL)
_TIME = re.compile(
    r"(\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])T(?:[01]\d|2[0-3]):[0-5]\d:(?:[0-5]\d|60))"
    r"(?:\.(\d+))?Z",
    re.ASCII,
)
_BASE64 = re.compile(
    r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)"
)
# A name with a hyphen, or one that is a word of the language, stands in quotes.
_PLAIN_STEP = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RESERVED = frozenset(
    "AND OR NOT FOLLOWEDBY LIKE MATCHES ISSUPERSET ISSUBSET EXISTS LAST IN START STOP SECONDS "
    "true false WITHIN REPEATS TIMES".split()
)
_LARGEST = 2**63 - 1
_SETS = ("LIKE", "MATCHES", "ISSUBSET", "ISSUPERSET")


@dataclass(frozen=True, slots=True)
class Typed:
    """A timestamp, hexadecimal or binary constant: `t'…'`, `h'…'`, `b'…'`."""

    kind: OneOf["t", "h", "b"]
    text: str

    def __str__(self) -> str:
        return self.text


Value = str | int | float | bool | Typed


@dataclass(frozen=True, slots=True)
class Comparison:
    """One comparison: the object path, the operator and the values it names.

    `path` holds property names, list indexes as integers and `*` for any item.
    """

    object_type: str
    path: tuple[str | int, ...]
    operator: str
    values: tuple[Value, ...]
    negated: bool = False

    @property
    def is_negative(self) -> bool:
        """Whether it says what must not be: then leaving one of its values out would match more."""
        return self.negated or self.operator == "!="

    def text(self) -> str:
        """Its canonical form."""
        left = f"{self.object_type}:{_path_text(self.path)}"
        if self.operator == "EXISTS":
            return f"{'NOT ' if self.negated else ''}EXISTS {left}"
        middle = f"{'NOT ' if self.negated else ''}{self.operator}"
        if self.operator == "IN":
            return f"{left} {middle} ({', '.join(_literal(value) for value in self.values)})"
        return f"{left} {middle} {_literal(self.values[0])}"


@dataclass(frozen=True, slots=True)
class Joined:
    """Expressions joined by one operator; on both levels, of comparisons and of observations."""

    operator: str
    parts: tuple["Node", ...]

    def text(self) -> str:
        """Its canonical form; parts that are joined themselves stand in parentheses."""
        return f" {self.operator} ".join(
            f"({part.text()})" if isinstance(part, Joined) else part.text() for part in self.parts
        )


@dataclass(frozen=True, slots=True)
class Observation:
    """What must hold of one observation: `[ … ]`."""

    inside: "Node"

    def text(self) -> str:
        """Its canonical form."""
        return f"[{self.inside.text()}]"


@dataclass(frozen=True, slots=True)
class Qualified:
    """An observation expression with a qualifier, such as `WITHIN 300 SECONDS`."""

    inside: "Node"
    qualifier: str

    def text(self) -> str:
        """Its canonical form."""
        inner = self.inside.text()
        if isinstance(self.inside, Joined) or self._is_repeated():
            return f"({inner}) {self.qualifier}"
        return f"{inner} {self.qualifier}"

    def _is_repeated(self) -> bool:
        """Whether one like it stands inside: two in a row are not in the language."""
        word, inner = self.qualifier.split(" ", 1)[0], self.inside
        while isinstance(inner, Qualified):
            if inner.qualifier.startswith(word):
                return True
            inner = inner.inside
        return False


Node = Comparison | Joined | Observation | Qualified


@dataclass(frozen=True, slots=True)
class Pattern:
    """A whole pattern."""

    root: Node

    def text(self) -> str:
        """The canonical text: equal trees have equal texts."""
        return self.root.text()

    def comparisons(self) -> Iterator[Comparison]:
        """Every comparison in the order of the text."""
        yield from _comparisons(self.root)


@lru_cache(maxsize=1)
def parse(text: str) -> Pattern:
    """The tree of a pattern; Refused with a place when it is none, too long or too deep.

    The last one is kept: whoever judges an object asks for its pattern several times in a row.
    """
    if len(text) > LONGEST:
        raise Refused("pattern.long", f"The pattern is longer than {LONGEST:,} characters.")
    plain = _plain(text)
    if plain is not None:
        return Pattern(plain)
    reader = _Reader(_tokens(text))
    root = reader.observations(0)
    if not reader.at_end():
        raise reader.unexpected()
    return Pattern(root)


# What nearly all patterns are: one observation, of plain comparisons with texts, joined by OR.
_PLAIN_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_PLAIN_TEXT = r"'[^'\\]*'"
_PLAIN = re.compile(
    rf"([A-Za-z_][A-Za-z0-9_-]*):({_PLAIN_NAME}(?:\.{_PLAIN_NAME})*)"
    rf"(?: ?= ?({_PLAIN_TEXT})| IN ?\(({_PLAIN_TEXT}(?:, ?{_PLAIN_TEXT})*)\))(\]\Z| OR )"
)
_TEXTS = re.compile(r"'([^']*)'")


def _plain(text: str) -> Node | None:
    """The tree of a pattern in which nothing is unusual; nothing of any other, right or wrong."""
    if not text.startswith("["):
        return None
    parts: list[Node] = []
    place, end = 1, " OR "
    while end == " OR ":
        match = _PLAIN.match(text, place)
        if match is None:
            return None
        object_type, steps, value, values, end = match.groups()
        path = tuple(steps.split("."))
        if object_type in _RESERVED or not _RESERVED.isdisjoint(path):
            return None
        if value is not None:
            parts.append(Comparison(object_type, path, "=", (value[1:-1],)))
        else:
            parts.append(Comparison(object_type, path, "IN", tuple(_TEXTS.findall(values))))
        place = match.end()
    return Observation(parts[0] if len(parts) == 1 else Joined("OR", tuple(parts)))


def rewrite(pattern: Pattern, change: Callable[[Comparison], Node | None]) -> Pattern | None:
    """The pattern with each comparison replaced, or left out where `change` gives nothing.

    An alternative may go; a part of a conjunction may not, since what is left would match more:
    then the whole conjunction goes. The same holds for FOLLOWEDBY and observations joined by AND.
    `change` is called once for each comparison, in the order of the text.
    """
    root = _rewritten(pattern.root, change)
    return Pattern(root) if root is not None else None


def _rewritten(node: Node, change: Callable[[Comparison], Node | None]) -> Node | None:
    if isinstance(node, Comparison):
        return change(node)
    if isinstance(node, Joined):
        parts = [_rewritten(part, change) for part in node.parts]
        left = [part for part in parts if part is not None]
        if not left or (node.operator != "OR" and len(left) < len(parts)):
            return None
        return left[0] if len(left) == 1 else Joined(node.operator, tuple(left))
    inside = _rewritten(node.inside, change)
    if inside is None:
        return None
    if isinstance(node, Observation):
        return Observation(inside)
    return Qualified(inside, node.qualifier)


def _comparisons(node: Node) -> Iterator[Comparison]:
    if isinstance(node, Comparison):
        yield node
    elif isinstance(node, Joined):
        for part in node.parts:
            yield from _comparisons(part)
    else:
        yield from _comparisons(node.inside)


class _Token(NamedTuple):
    kind: str
    text: str
    at: int


def _tokens(text: str) -> list[_Token]:
    clean = _HIDDEN.sub(_blank, text) if "//" in text or "/*" in text else text
    tokens: list[_Token] = []
    place, end = 0, len(clean.rstrip(_SPACE))
    while place < end:
        match = _TOKEN.match(clean, place)
        if match is None or match.lastgroup is None:
            raise Refused("pattern.syntax", f"The pattern cannot be read at character {place + 1}.")
        tokens.append(_Token(match.lastgroup, match[match.lastgroup], match.start(match.lastgroup)))
        place = match.end()
    return tokens


def _blank(match: re.Match[str]) -> str:
    if match[0].startswith("'"):
        return match[0]
    if match[0].startswith("/*") and (len(match[0]) < 4 or not match[0].endswith("*/")):
        raise Refused("pattern.syntax", "A comment in the pattern does not end.")
    return " " * len(match[0])


class _Reader:
    """Reads the grammar's rules from a list of tokens."""

    def __init__(self, tokens: Sequence[_Token]) -> None:
        self.tokens = tokens
        self.place = 0

    def at_end(self) -> bool:
        return self.place >= len(self.tokens)

    def unexpected(self) -> Refused:
        if self.at_end():
            return Refused("pattern.syntax", "The pattern ends too early.")
        at = self.tokens[self.place].at
        return Refused("pattern.syntax", f"The pattern cannot be read at character {at + 1}.")

    def is_next(self, *texts: str) -> bool:
        if self.place >= len(self.tokens):
            return False
        token = self.tokens[self.place]
        return token.text in texts and token.kind in ("word", "punct", "op")

    def take(self, *texts: str) -> str:
        if not self.is_next(*texts):
            raise self.unexpected()
        self.place += 1
        return self.tokens[self.place - 1].text

    def take_kind(self, *kinds: str) -> _Token:
        if self.at_end() or self.tokens[self.place].kind not in kinds:
            raise self.unexpected()
        self.place += 1
        return self.tokens[self.place - 1]

    def observations(self, depth: int) -> Node:
        """FOLLOWEDBY binds weakest, then OR, then AND."""
        return self._joined(("FOLLOWEDBY", "OR", "AND"), self._observation, depth)

    def _joined(self, operators: tuple[str, ...], leaf: Callable[[int], Node], depth: int) -> Node:
        first, rest = operators[0], operators[1:]
        parts = [self._joined(rest, leaf, depth) if rest else leaf(depth)]
        while self.is_next(first):
            self.place += 1
            parts.append(self._joined(rest, leaf, depth) if rest else leaf(depth))
        return parts[0] if len(parts) == 1 else Joined(first, tuple(parts))

    def _observation(self, depth: int) -> Node:
        self._check(depth)
        node: Node
        is_simple = not self.is_next("(")
        if not is_simple:
            self.take("(")
            node = self.observations(depth + 1)
            self.take(")")
        else:
            self.take("[")
            node = Observation(self.comparisons(depth + 1))
            self.take("]")
        words: list[str] = []
        while self.is_next("WITHIN", "REPEATS", "START"):
            word = self.tokens[self.place].text
            if is_simple and word in words:
                raise Refused("pattern.qualifier", f"An observation has one {word} at most.")
            words.append(word)
            self._check(len(words))
            node = Qualified(node, self._qualifier())
        return node

    def _qualifier(self) -> str:
        word = self.take("WITHIN", "REPEATS", "START")
        if word == "WITHIN":
            seconds = _value(self.take_kind("int", "float"))
            self.take("SECONDS")
            if not isinstance(seconds, int | float) or seconds <= 0:
                raise Refused("pattern.within", "WITHIN asks for a positive number of seconds.")
            return f"WITHIN {_literal(seconds)} SECONDS"
        if word == "REPEATS":
            times = _whole(self.take_kind("int").text)
            self.take("TIMES")
            if times < 1:
                raise Refused("pattern.repeats", "REPEATS asks for a positive number of times.")
            return f"REPEATS {times} TIMES"
        start = _value(self._moment())
        self.take("STOP")
        stop = _value(self._moment())
        if _instant(str(start)) >= _instant(str(stop)):
            raise Refused("pattern.start-stop", "START lies before STOP.")
        return f"START {_literal(start)} STOP {_literal(stop)}"

    def _moment(self) -> _Token:
        token = self.take_kind("typed")
        if not token.text.startswith("t"):
            raise Refused("pattern.time", "START and STOP name timestamps.")
        return token

    def comparisons(self, depth: int) -> Node:
        """OR binds weaker than AND."""
        return self._joined(("OR", "AND"), self._comparison, depth)

    def _comparison(self, depth: int) -> Node:
        self._check(depth)
        if self.is_next("("):
            self.take("(")
            node = self.comparisons(depth + 1)
            self.take(")")
            return node
        if self.is_next("EXISTS") or (self.is_next("NOT") and self._peek("EXISTS")):
            negated = self.is_next("NOT")
            if negated:
                self.take("NOT")
            self.take("EXISTS")
            return Comparison(*self._object_path(), "EXISTS", (), negated)
        object_type, path = self._object_path()
        negated = self.is_next("NOT")
        if negated:
            self.take("NOT")
        operator, values = self._tested()
        return Comparison(object_type, path, operator, values, negated)

    def _peek(self, text: str) -> bool:
        following = self.place + 1
        return following < len(self.tokens) and self.tokens[following].text == text

    def _tested(self) -> tuple[str, tuple[Value, ...]]:
        if self.is_next("IN"):
            self.take("IN")
            self.take("(")
            values: list[Value] = []
            while not self.is_next(")"):
                values.append(self._literal())
                if not self.is_next(")"):
                    self.take(",")
                    if self.is_next(")"):
                        raise self.unexpected()
            self.take(")")
            return "IN", tuple(values)
        if self.is_next(*_SETS):
            operator = self.take(*_SETS)
            return operator, (str(_value(self.take_kind("string"))),)
        operator = self.take("=", "==", "!=", "<>", "<", ">", "<=", ">=")
        if operator in ("<", ">", "<=", ">="):
            return operator, (_value(self.take_kind("string", "typed", "int", "float")),)
        return {"==": "=", "<>": "!="}.get(operator, operator), (self._literal(),)

    def _literal(self) -> Value:
        if self.is_next("true", "false"):
            return self.take("true", "false") == "true"
        return _value(self.take_kind("string", "typed", "int", "float"))

    def _object_path(self) -> tuple[str, tuple[str | int, ...]]:
        object_type = self.take_kind("word").text
        if object_type in _RESERVED:
            self.place -= 1
            raise self.unexpected()
        self.take(":")
        path: list[str | int] = [self._step()]
        while self.is_next(".", "["):
            if self.take(".", "[") == ".":
                path.append(self._step())
                continue
            path.append(self.take("*") if self.is_next("*") else self._index())
            self.take("]")
        return object_type, tuple(path)

    def _index(self) -> int:
        index = _whole(self.take_kind("int").text)
        if index < 0 or self.tokens[self.place - 1].text.startswith("-"):
            raise Refused("pattern.index", "A list index is not negative.")
        return index

    def _step(self) -> str:
        token = self.take_kind("word", "string")
        if token.kind == "word":
            if token.text in _RESERVED or not _PLAIN_STEP.fullmatch(token.text):
                raise Refused(
                    "pattern.name", f"A property name asks for quotes at character {token.at + 1}."
                )
            return token.text
        name = str(_value(token))
        if name == "*":
            raise Refused("pattern.name", "No property is named by an asterisk in quotes.")
        return name

    def _check(self, depth: int) -> None:
        if depth > DEEPEST:
            raise Refused("pattern.deep", f"The pattern nests deeper than {DEEPEST} levels.")


def _value(token: _Token) -> Value:
    if token.kind == "int":
        return _whole(token.text)
    if token.kind == "float":
        return _real(token.text)
    if token.kind == "string":
        return re.sub(r"\\(.)", r"\1", token.text[1:-1], flags=re.DOTALL)
    kind, text = token.text[0], token.text[2:-1]
    if kind == "t" and not _TIME.fullmatch(text):
        raise Refused("pattern.time", "A timestamp constant is no timestamp.")
    if kind == "h" and not re.fullmatch(r"(?:[0-9A-Fa-f]{2})*", text):
        raise Refused("pattern.hex", "A hexadecimal constant is none.")
    if kind == "b" and not _BASE64.fullmatch(text):
        raise Refused("pattern.binary", "A binary constant is no Base64.")
    return Typed("t" if kind == "t" else "h" if kind == "h" else "b", text)


def _whole(text: str) -> int:
    # The length first: Python refuses to read a number of some thousand digits at all.
    if len(text) > 20 or abs(int(text)) > _LARGEST:
        raise Refused("pattern.number", "A whole number is beyond 64 bits.")
    return int(text)


def _real(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise Refused("pattern.number", "A number is beyond what 64 bits hold.")
    return value


def _instant(text: str) -> tuple[str, str]:
    """What to compare timestamps by, whatever the number of their digits."""
    match = _TIME.fullmatch(text)
    return (match[1], (match[2] or "").rstrip("0")) if match else ("", "")


def _literal(value: Value) -> str:
    if isinstance(value, Typed):
        return f"{value.kind}'{value.text}'"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        # The shortest digits that mean this number, but never with an exponent.
        text = format(Decimal(repr(value)), "f")
        return text if "." in text else f"{text}.0"
    if isinstance(value, int):
        return str(value)
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _path_text(path: Sequence[str | int]) -> str:
    text = ""
    for step in path:
        if isinstance(step, int) or step == "*":
            text += f"[{step}]"
        else:
            is_plain = _PLAIN_STEP.fullmatch(step) and step not in _RESERVED
            plain = step if is_plain else _literal(step)
            text += f".{plain}" if text else plain
    return text
