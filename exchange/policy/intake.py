"""What is refused by form beyond the rules of STIX: content, secrets, canaries, our own objects."""

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from exchange.policy import catalogue, detectors, facts
from exchange.policy.catalogue import Leaf
from exchange.policy.facts import Facts
from exchange.policy.terms import shipped_floor
from indicators.stix.problems import Problem

CONTENT_TYPES = frozenset(shipped_floor()["types"]["refused"])
ENTROPY = 3.5  # bits for a character
RUN = re.compile(r"[A-Za-z0-9+/_-]{24,}={0,2}")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_HEX = re.compile(r"[0-9a-fA-F]+")
_SECRET_NAME = re.compile(r"(?i)(?:^|[_-])(?:password|passwd|pwd|secret|api[_-]?key|credential)$")
_CANARY = re.compile(
    r"(?i)canary[ _-]?(?:guid|string|text|prompt|phrase)|canary\s*[:=]|BENCHMARK DATA SHOULD NEVER"
)
_EVIDENCE = "model-provenance-evidence"
# Grammars that let nearly any text through.
_FREE = frozenset({"text", "any", "url"})
_FORMAL = frozenset({"id", "type", "spec_version", "created", "modified", "pattern"})


def problems(obj: Mapping[str, Any] | Facts) -> tuple[Problem, ...]:
    """Why an object is refused and not stored; the sentences never repeat what they found."""
    subject = facts.read(obj)
    if subject.stix_type in CONTENT_TYPES:
        sentence = "Objects of this type are content, and content is not exchanged."
        return (Problem("policy.content", "type", sentence),)
    found = [*_secrets(subject)]
    if _is_evidence(subject):
        found += _canaries(subject)
    return tuple(found)


def looped(obj: Mapping[str, Any], *, issuer: str, held: frozenset[str]) -> Problem | None:
    """Why an object that the exchange itself issued is refused, if it is one (a looped feed)."""
    stix_type = str(obj.get("type", ""))
    if catalogue.is_observable(stix_type):
        return None
    if obj.get("created_by_ref") == issuer or obj.get("id") in held:
        sentence = "The exchange issued this object. To say that you saw it, send a sighting."
        return Problem("policy.issued", "id", sentence)
    return None


def _secrets(subject: Facts) -> Iterator[Problem]:
    sentence = "This looks like a credential or key. It was not kept; please rotate it."
    strings = list(_strings(subject))
    # Nearly every object is clean: then its strings are read once, all on end. A line for each:
    # what one of them sets off the whole does, for lines bound words, and no run crosses them.
    if not _may_hide("\n".join([text for _, text in strings])):
        return
    for path, text in strings:
        if is_secret(text):
            yield Problem("policy.secret", path, sentence)


def _may_hide(text: str) -> bool:
    """Whether a closer look may find a credential: never no where `is_secret` says yes."""
    return len(text) > detectors.LONGEST or detectors.may_be_secret(text)


def is_secret(text: str) -> bool:
    """Whether a text holds a credential, by its form or by its randomness."""
    if not _may_hide(text):
        return False
    for form in detectors.readings(text[: detectors.LONGEST]):
        if detectors.SECRET in detectors.findings(form):
            return True
        if any(is_random(run) for run in RUN.findall(form)):
            return True
    return False


def is_random(run: str) -> bool:
    """Whether a run of characters is as mixed as a key: hashes, ids and plain words are not.

    Entropy alone calls every long word and path a key: three kinds of character must meet too.
    """
    text = _UUID.sub("", run).rstrip("=")
    if len(text) < 24 or _HEX.fullmatch(text):
        return False
    # A key has a long run between separators, where a page's address has words.
    chunk = max(re.split(r"[-_/]", text), key=len)
    return len(chunk) >= 16 and _is_mixed(chunk) and _is_mixed(text)


def _is_mixed(text: str) -> bool:
    kinds = (str.isupper, str.islower, str.isdigit)
    if not all(sum(map(kind, text)) >= 2 for kind in kinds):
        return False
    counts = Counter(text)
    bits = -sum(n / len(text) * math.log2(n / len(text)) for n in counts.values())
    return bits > ENTROPY


def _strings(subject: Facts) -> Iterator[tuple[str, str]]:
    for leaf in subject.leaves:
        if isinstance(leaf.value, str) and not _is_formal(leaf):
            yield leaf.path, _named(leaf) if leaf.entry is None else leaf.value
        if leaf.entry is None:  # else the catalogue knows each of its names
            yield from ((leaf.path, part) for part in leaf.parts if isinstance(part, str))
    yield from _pattern_strings(subject)


def _named(leaf: Leaf) -> str:
    # {"x_api_key": "..."} is a secret by its name, as `api_key = ...` in a text would be.
    key = str(leaf.parts[-1])
    return f"secret: {leaf.value}" if _SECRET_NAME.search(key) else str(leaf.value)


def _is_formal(leaf: Leaf) -> bool:
    entry = leaf.entry
    if leaf.parts[0] in _FORMAL:
        return True
    if entry is None or entry.grammar in _FREE:
        return catalogue.is_reference(leaf.value)
    return leaf.fits


def _pattern_strings(subject: Facts) -> Iterator[tuple[str, str]]:
    text = str(subject.obj.get("pattern", ""))
    if subject.stix_type != "indicator" or not text:
        return
    for literal in subject.literals:
        value = str(literal.value)
        entry = literal.entry
        formal = entry is not None and entry.grammar not in _FREE
        if not (formal and entry is not None and entry.fits(literal.value)):
            yield f"pattern[{literal.index}]", value
        # What is judged as a literal is taken out of the text, so that `cluster_token = '…'`
        # does not read as a password, and so is a path that the catalogue knows, for
        # `token:key_epoch` would too; what is left (comments, paths) is judged as text.
        text = text.replace(f"'{value}'", "")
        if entry is not None:
            text = text.replace(literal.place, "")
    yield "pattern", text


def _is_evidence(subject: Facts) -> bool:
    kind = subject.context.get("indicator_kind")
    return subject.stix_type == _EVIDENCE or kind == "provenance-evidence"


def _canaries(subject: Facts) -> Iterator[Problem]:
    sentence = "Evidence must not carry the canary string itself: keep it at home."
    for leaf in subject.leaves:
        entry = catalogue.entry(subject.stix_type, leaf.parts)
        unknown_name = entry is None and any("canary" in str(p).lower() for p in leaf.parts)
        said = isinstance(leaf.value, str) and _CANARY.search(leaf.value)
        if unknown_name or said:
            yield Problem("policy.canary", leaf.path, sentence)
