"""Which tokens in a pattern are keyed for this circle and quarter, as far as can be known.

A pattern names a token without its scheme. It is believed where a token object of the same
contribution that may pass has the same value, or where the same observation says that the quarter
is the live one, or that the value is the plain hash of an API key. Everything else may be a plain
hash of a value that can be guessed, so it does not pass: any doubt means not sent.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime

from exchange.policy import facts, tokens
from exchange.policy.facts import Facts
from indicators.stix import patterns

_BAND = 16  # hexadecimal digits of a band that travel
# What a pattern compares with a token, and where it may say of which quarter that is.
_TOKENS = {
    "keyed-token:value": "keyed-token:key_epoch",
    "prompt-template-fingerprint:bands.[]": "prompt-template-fingerprint:key_epoch",
    "prompt-template-fingerprint:value": "prompt-template-fingerprint:key_epoch",
}
Said = frozenset[tuple[str, object]]


def values(subjects: Iterable[Facts], *, now: datetime) -> frozenset[tuple[str, str]]:
    """The tokens that the token objects of a contribution state, of those that may pass."""
    return frozenset(
        (subject.stix_type, str(value)[:_BAND] if _is_cut(subject.stix_type) else str(value))
        for subject in subjects
        if subject.stix_type in ("keyed-token", "prompt-template-fingerprint")
        and tokens.may_pass(subject.obj, now=now)
        for value in _stated(subject)
    )


def named(subject: Facts) -> Iterator[tuple[str, str]]:
    """Every token that an object states or names in its pattern: equal ones concern each other."""
    if subject.stix_type in ("keyed-token", "prompt-template-fingerprint"):
        for value in _stated(subject):
            text = str(value)
            yield subject.stix_type, text[:_BAND] if _is_cut(subject.stix_type) else text
    for literal in subject.literals:
        if literal.place in _TOKENS:
            yield literal.object_type, _cut(literal)


def doubtful(subject: Facts, known: frozenset[tuple[str, str]], *, now: datetime) -> frozenset[int]:
    """The literals of a pattern that are tokens of which nothing says that they may pass."""
    if subject.pattern is None or not any(one.place in _TOKENS for one in subject.literals):
        return frozenset()
    said = [beside for beside in _beside(subject.pattern.root, frozenset())]
    live = tokens.epoch(now)
    return frozenset(
        literal.index
        for literal in subject.literals
        if literal.place in _TOKENS
        and (literal.object_type, _cut(literal)) not in known
        and not _is_said(literal.place, said[literal.index], live)
    )


def _is_said(place: str, said: Said, live: str) -> bool:
    scheme = dict(said).get("keyed-token:token_scheme")
    if place == "keyed-token:value" and ("keyed-token:kind", tokens.API_KEY) in said:
        return scheme in (None, tokens.PLAIN, tokens.SCHEME)
    return (_TOKENS[place], live) in said and scheme in (None, tokens.SCHEME)


def _stated(subject: Facts) -> Iterator[object]:
    yield subject.obj.get("value")
    bands = subject.obj.get("bands")
    yield from bands if isinstance(bands, list) else ()


def _is_cut(object_type: str) -> bool:
    return object_type == "prompt-template-fingerprint"


def _cut(literal: facts.Literal) -> str:
    value = str(literal.value)
    return value[:_BAND] if _is_cut(literal.object_type) else value


def _beside(node: patterns.Node, said: Said) -> Iterator[Said]:
    """For each literal in the order of the text, what else must be equal in its observation."""
    if isinstance(node, patterns.Comparison):
        for _ in facts.values_of(node):
            yield said
    elif isinstance(node, patterns.Joined):
        if node.operator == "AND":
            said = said | frozenset(_equalities(node.parts))
        for part in node.parts:
            yield from _beside(part, said)
    else:
        yield from _beside(node.inside, said)


def _equalities(parts: Iterable[patterns.Node]) -> Iterator[tuple[str, object]]:
    for part in parts:
        if isinstance(part, patterns.Comparison) and part.operator == "=" and not part.negated:
            yield facts.place_in_words(part), part.values[0]
