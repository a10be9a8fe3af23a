"""Tripwires behind the allow-list: text to findings. They raise and explain holds, never release.

Measured on text not written for them they catch next to nothing, so nothing leans on a clean
result. RE2 has no backtracking: a hostile text costs time in proportion to its length.
"""

import base64
import binascii
import html
import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import phonenumbers
import re2

SHORT = 200
LONGEST = 200_000
_DIGIT = re.compile(r"\d")
_BASE32 = re.compile(r"[A-Za-z2-7]*=*")
ENCODED = re.compile(r"[A-Za-z0-9+/=_-]{17,}")
# The same run, found by an engine that reads a text several times as fast.
_RUN = r"[A-Za-z0-9+/=_-]{17}"
_LONG_RUN = re2.compile(_RUN)
SEAM = 200  # characters of a text that are read with those beside it
TOGETHER = "several texts read as one"
MOST_PHONES = 64  # of one text: a telephone book is found by its first numbers
# Letters set apart, as in "p r i c e": at least five, so that "a b c" stays a list.
_LETTERS = r"(?:^|\s)(?:\S ){4,}\S(?:\s|$)"
_APART = re2.compile(_LETTERS)
_PHONE = re2.compile(r"(?:^|[^\w.-])((?:\+|00)[1-9][\d ()./-]{6,20}\d)(?:\D|$)")


@dataclass(frozen=True, slots=True)
class Detector:
    """One tripwire: its stable id, and what it looks for in plain words."""

    id: str
    title: str


@dataclass(frozen=True, slots=True)
class Found:
    """A tripwire that was set off, and the places of the strings that did it; never the strings."""

    detector: Detector
    places: tuple[str, ...]


ATTRIBUTION = "D13-attribution"
SECRET = "D14-secret"  # noqa: S105 - the name of a detector
_DATA: dict[str, Any] = json.loads(
    Path(__file__).with_name("detectors.json").read_text(encoding="utf-8")
)
_ROWS: list[dict[str, Any]] = _DATA["detectors"]
# Letters that look like Latin ones, folded before matching.
_CONFUSABLE = str.maketrans(_DATA["confusables"]["from"], _DATA["confusables"]["to"])
DETECTORS = {row["id"]: Detector(row["id"], row["title"]) for row in _ROWS}


def findings(text: str, *, watch: frozenset[str] = frozenset()) -> tuple[str, ...]:
    """The ids of the detectors that a text sets off, in order."""
    return tuple(detector.id for detector in findings_in((text,), watch=watch))


def findings_in(
    texts: Iterable[str], *, watch: frozenset[str] = frozenset()
) -> tuple[Detector, ...]:
    """The detectors that several strings of one object set off, alone or joined."""
    return tuple(found.detector for found in found_at((("", text) for text in texts), watch=watch))


def found_at(
    texts: Iterable[tuple[str, str]], *, watch: frozenset[str] = frozenset()
) -> tuple[Found, ...]:
    """The detectors that the strings of one object set off, each with the places of those strings.

    What no string shows alone may stand in several that follow one another: those are read as one.
    """
    strings = [(place, text) for place, text in texts if text]
    if not strings or not _may_find([text for _, text in strings], watch):
        return ()
    places: dict[str, set[str]] = {}
    for place, text in strings:
        for name in _found(text, watch):
            places.setdefault(name, set()).add(place)
    if len(strings) > 1:
        ends = [_ends(text) for _, text in strings]
        for between in (" ", ""):
            for name in _found(between.join(ends), watch):
                places.setdefault(name, {TOGETHER})
    return tuple(Found(DETECTORS[name], tuple(sorted(places[name]))) for name in sorted(places))


def _may_find(texts: Sequence[str], watch: frozenset[str]) -> bool:
    """Whether anything at all may be found: most objects are read once, all strings on end.

    A line for each string, then all of them in a row as they are read together. Whatever one of
    them sets off, the whole does: lines bound words, and `^` means each line here.
    """
    ends = [_ends(text) for text in texts]
    whole = "\n".join((*texts, " ".join(ends), "".join(ends)))
    if len(whole) > LONGEST or "+" in whole or "00" in whole:  # telephone numbers span lines
        return True
    if _is_plain(whole) and not _ANYTHING.Match(whole):
        return bool(names(whole, watch))
    return any(
        _GATE.Match(form) or names(form, watch) or any(check(form) for _, check in _ROUTINES)
        for form in readings(whole)
    )


def may_be_secret(text: str) -> bool:
    """Whether a text may hold a credential, in any of its readings: one cheap look.

    A text of plain letters in which no run is long enough to be encoded has one reading.
    """
    return not _is_plain(text) or bool(_SECRETS.Match(text))


def _is_plain(text: str) -> bool:
    """Whether nothing in a text is written in signs: then only runs can have other readings."""
    return text.isascii() and "%" not in text and "&" not in text


def _ends(text: str) -> str:
    """What of a text may belong to its neighbours: the middle of a long one was read already."""
    return text if len(text) <= 2 * SEAM else f"{text[:SEAM]}\n{text[-SEAM:]}"


def names(text: str, watch: frozenset[str]) -> tuple[str, ...]:
    """The watched company names that stand in a text as words."""
    if not watch:
        return ()
    first, watched = _watched(watch)
    if text.isascii() and first.isdisjoint(text.encode().translate(_IN_WORDS).split()):
        return ()
    words = _as_words(text)
    return tuple(name for name, said in watched if said in words)


@lru_cache(maxsize=64)
def _watched(watch: frozenset[str]) -> tuple[frozenset[bytes], tuple[tuple[str, str], ...]]:
    """The names as words, made once, and how each begins: few texts have a word of those."""
    watched = tuple((name, _as_words(name)) for name in sorted(watch))
    return frozenset(word for _, said in watched for word in said.encode().split()[:1]), watched


def readings(text: str) -> tuple[str, ...]:
    """A text as it is, folded, drawn together, and with encoded runs opened once."""
    folded = _folded(html.unescape(unquote(text)) if "%" in text or "&" in text else text)
    runs = ENCODED.findall(folded) if _LONG_RUN.search(folded) else ()
    opened = [_folded(found) for run in runs for found in decoded(run)]
    drawn = folded
    if _APART.search(folded):
        drawn = _APART.sub(lambda run: f" {run.group().replace(' ', '')} ", folded)
    return tuple(dict.fromkeys((text, folded, drawn, *opened)))


def _folded(text: str) -> str:
    """Plain letters for what looks like them: forms, marks, invisible characters, other scripts."""
    if text.isascii():
        return text
    bare = unicodedata.normalize("NFKD", text)
    bare = "".join(char for char in bare if unicodedata.category(char) not in ("Cf", "Mn"))
    return unicodedata.normalize("NFKC", bare).translate(_CONFUSABLE)


def decoded(run: str) -> Iterator[str]:
    """What a run of characters says if it is base64, base32 or hex of printable text."""
    padded = run + "=" * (-len(run) % 4)
    ways: tuple[Callable[[], bytes], ...] = (
        lambda: base64.b64decode(padded, altchars=b"-_" if "-" in run or "_" in run else None),
        lambda: _base32(run),
        lambda: bytes.fromhex(run),
    )
    for way in ways:
        try:
            text = way().decode("utf-8")
        except (binascii.Error, ValueError):
            continue
        if text.isprintable() and len(text) > 3:
            yield text


def _base32(run: str) -> bytes:
    """Written in Python by the library: what has another letter in it is not given to it."""
    if not _BASE32.fullmatch(run):
        raise ValueError("another alphabet")
    return base64.b32decode(run + "=" * (-len(run) % 8), casefold=True)


def _found(text: str, watch: frozenset[str]) -> Set[str]:
    # Labels and a tool's phrases come again in object after object; long texts do not.
    return _known(text, watch) if len(text) <= SHORT else _looked_at(text, watch)


@lru_cache(maxsize=1_024)
def _known(text: str, watch: frozenset[str]) -> Set[str]:
    return frozenset(_looked_at(text, watch))


def _looked_at(text: str, watch: frozenset[str]) -> set[str]:
    hits: set[str] = set()
    for form in readings(text[:LONGEST]):
        hits |= _hits(form)
        if names(form, watch):
            hits.add(ATTRIBUTION)
    return hits


# Every plain letter is a small one, and every character that stands in no word becomes a space.
_IN_WORDS = bytes(ord(chr(n).lower()) if n < 128 and chr(n).isalnum() else 32 for n in range(256))


def _as_words(name: str) -> str:
    return f" {re.sub(r'[^0-9a-z]+', ' ', name.casefold()).strip()} "


def _hits(text: str) -> set[str]:
    found = [_WHICH[index] for index in _SET.Match(text) or ()]
    return {detector for detector, check in (*found, *_ROUTINES) if check is None or check(text)}


def _phone(text: str) -> bool:
    """Whether a number is written with its country's code and is one that can be dialled there."""
    if "+" not in text and "00" not in text:
        return False
    candidates = islice(_PHONE.finditer(text), MOST_PHONES)
    return any(_is_dialled(found.group(1)) for found in candidates)


def _is_dialled(candidate: str) -> bool:
    written = f"+{candidate.removeprefix('00').removeprefix('+')}"
    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(written, None))
    except phonenumbers.NumberParseException:
        return False


# What the exact patterns match in plain text begins so: nearly no text has it.
_CARD = r"\d(?:[ -]?\d){12}"
_IBAN = r"[A-Z]{2}\d{2}(?: ?[A-Z0-9]{2}){3}"
_LIKE_CARD = re2.compile(_CARD)
_LIKE_IBAN = re2.compile(_IBAN)


def _luhn(text: str) -> bool:
    if text.isascii() and not _LIKE_CARD.search(text):
        return False
    return _DIGIT.search(text) is not None and any(
        _luhn_sum(run) for run in re.findall(r"(?<!\w)\d(?:[ -]?\d){12,18}(?!\w)", text)
    )


def _luhn_sum(run: str) -> bool:
    digits = [int(char) for char in run if char.isdigit()]
    doubled = [digit * 2 - 9 * (digit > 4) for digit in digits[-2::-2]]
    return (sum(digits[::-2]) + sum(doubled)) % 10 == 0 and len(set(digits)) > 1


def _iban(text: str) -> bool:
    if text.isascii() and not _LIKE_IBAN.search(text):
        return False
    if _DIGIT.search(text) is None:
        return False
    runs = re.findall(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{2,4}){3,8}\b", text)
    return any(_iban_sum(run.replace(" ", "")) for run in runs)


def _iban_sum(run: str) -> bool:
    number = "".join(str(int(char, 36)) for char in run[4:] + run[:4])
    return 15 <= len(run) <= 34 and int(number) % 97 == 1


Check = Callable[[str], bool]


def _conditional(row: dict[str, str]) -> Check:
    """What must hold beside the pattern, around one of its matches."""
    hit = re2.compile(f"(?i){row['pattern']}")
    unless = re2.compile(f"(?i){row['unless_after']}") if "unless_after" in row else None
    needed = re2.compile(f"(?i){row['with_after']}") if "with_after" in row else None
    ending = row.get("unless_ends")

    def check(text: str) -> bool:
        for match in hit.finditer(text):
            after = text[match.end() :]
            if ending and match.group(0).lower().endswith(ending):
                continue
            if unless is not None and unless.search(after):
                continue
            if needed is None or needed.search(after):
                return True
        return False

    return check


def _options() -> Any:  # noqa: ANN401 - re2 has no types
    options = re2.Options()
    options.case_sensitive = False
    options.log_errors = False
    return options


def _compiled() -> tuple[Any, list[tuple[str, Check | None]], tuple[tuple[str, Check], ...]]:
    """All patterns as one set, what is asked beside each, and the routines that have none."""
    patterns = re2.Set.SearchSet(_options())
    which: list[tuple[str, Check | None]] = []
    routines: list[tuple[str, Check]] = []
    named: dict[str, Check] = {"phone": _phone, "luhn": _luhn, "iban": _iban}
    for row in _ROWS:
        for pattern in row["patterns"]:
            if isinstance(pattern, str):
                patterns.Add(pattern)
                which.append((row["id"], None))
            elif "routine" in pattern:
                routines.append((row["id"], named[pattern["routine"]]))
            else:
                patterns.Add(pattern["pattern"])
                which.append((row["id"], _conditional(pattern)))
    patterns.Compile()
    return patterns, which, tuple(routines)


def _gate(rows: Iterable[dict[str, Any]], *more: str) -> Any:  # noqa: ANN401 - re2 has no types
    """The same patterns, with `^` and `$` for each line and no conditions beside them."""
    patterns = re2.Set.SearchSet(_options())
    for pattern in more:
        patterns.Add(f"(?m){pattern}")
    for row in rows:
        for pattern in row["patterns"]:
            plain = pattern if isinstance(pattern, str) else pattern.get("pattern")
            if plain is not None:
                patterns.Add(f"(?m){plain}")
    patterns.Compile()
    return patterns


_SET, _WHICH, _ROUTINES = _compiled()
_GATE = _gate(_ROWS)
# And whatever has a text read in another way or looked at by a routine: in nearly all is nothing.
_SECRETS = _gate((row for row in _ROWS if row["id"] == SECRET), _RUN, _LETTERS)
_ANYTHING = _gate(_ROWS, _RUN, _LETTERS, f"(?-i:{_CARD})", f"(?-i:{_IBAN})")
