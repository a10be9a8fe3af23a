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
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import re2

LONGEST = 200_000
_DIGIT = re.compile(r"\d")
ENCODED = re.compile(r"[A-Za-z0-9+/=_-]{17,}")
# Letters that look like Latin ones, Cyrillic and Greek: folded before matching.
CONFUSABLE = str.maketrans(
    "АВЕЅІЈКМНОРСТУХаеѕіјорсухһԁԛԝΑΒΕΖΗΙΚΜΝΟΡΤΥΧοαν",
    "ABESIJKMHOPCTYXaesijopcyxhdqwABEZHIKMNOPTYXoav",
)


@dataclass(frozen=True, slots=True)
class Detector:
    """One tripwire: its stable id, and what it looks for in plain words."""

    id: str
    title: str


ATTRIBUTION = "D13-attribution"
SECRET = "D14-secret"  # noqa: S105 - the name of a detector
_ROWS: list[dict[str, Any]] = json.loads(
    Path(__file__).with_name("detectors.json").read_text(encoding="utf-8")
)["detectors"]
DETECTORS = {row["id"]: Detector(row["id"], row["title"]) for row in _ROWS}


def findings(text: str, *, watch: frozenset[str] = frozenset()) -> tuple[str, ...]:
    """The ids of the detectors that a text sets off, in order."""
    return tuple(detector.id for detector in findings_in((text,), watch=watch))


def findings_in(
    texts: Iterable[str], *, watch: frozenset[str] = frozenset()
) -> tuple[Detector, ...]:
    """The detectors that several strings of one object set off, alone or joined."""
    strings = [text for text in texts if text]
    hits: set[str] = set()
    for text in {*strings, " ".join(strings)} if strings else ():
        for form in readings(text[:LONGEST]):
            hits |= _hits(form)
            if names(form, watch):
                hits.add(ATTRIBUTION)
    return tuple(DETECTORS[name] for name in sorted(hits))


def names(text: str, watch: frozenset[str]) -> tuple[str, ...]:
    """The watched company names that stand in a text as words."""
    if not watch:
        return ()
    words = _as_words(text)
    return tuple(name for name, said in _watched(watch) if said in words)


@lru_cache(maxsize=64)
def _watched(watch: frozenset[str]) -> tuple[tuple[str, str], ...]:
    """The names as words, made once: a text is compared with each name of the forum."""
    return tuple((name, _as_words(name)) for name in sorted(watch))


def readings(text: str) -> tuple[str, ...]:
    """A text as it is, folded, decoded, and with encoded runs opened once."""
    folded = html.unescape(unquote(text)) if "%" in text or "&" in text else text
    if not folded.isascii():
        folded = unicodedata.normalize("NFKC", folded)
        folded = "".join(char for char in folded if unicodedata.category(char) != "Cf")
        folded = folded.translate(CONFUSABLE)
    opened = [found for run in ENCODED.findall(folded) for found in decoded(run)]
    return tuple(dict.fromkeys((text, folded, *opened)))


def decoded(run: str) -> Iterator[str]:
    """What a run of characters says if it is base64, base32 or hex of printable text."""
    padded = run + "=" * (-len(run) % 4)
    ways: tuple[Callable[[], bytes], ...] = (
        lambda: base64.b64decode(padded, altchars=b"-_" if "-" in run or "_" in run else None),
        lambda: base64.b32decode(run + "=" * (-len(run) % 8), casefold=True),
        lambda: bytes.fromhex(run),
    )
    for way in ways:
        try:
            text = way().decode("utf-8")
        except (binascii.Error, ValueError):
            continue
        if text.isprintable() and len(text) > 3:
            yield text


def _as_words(name: str) -> str:
    return f" {re.sub(r'[^0-9a-z]+', ' ', name.casefold()).strip()} "


def _hits(text: str) -> set[str]:
    found = [_WHICH[index] for index in _SET.Match(text) or ()]
    return {detector for detector, check in (*found, *_ROUTINES) if check is None or check(text)}


def _luhn(text: str) -> bool:
    return _DIGIT.search(text) is not None and any(
        _luhn_sum(run) for run in re.findall(r"(?<!\w)\d(?:[ -]?\d){12,18}(?!\w)", text)
    )


def _luhn_sum(run: str) -> bool:
    digits = [int(char) for char in run if char.isdigit()]
    doubled = [digit * 2 - 9 * (digit > 4) for digit in digits[-2::-2]]
    return (sum(digits[::-2]) + sum(doubled)) % 10 == 0 and len(set(digits)) > 1


def _iban(text: str) -> bool:
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


def _compiled() -> tuple[Any, list[tuple[str, Check | None]], tuple[tuple[str, Check], ...]]:
    """All patterns as one set, what is asked beside each, and the routines that have none."""
    options = re2.Options()
    options.case_sensitive = False
    options.log_errors = False
    patterns = re2.Set.SearchSet(options)
    which: list[tuple[str, Check | None]] = []
    routines: list[tuple[str, Check]] = []
    named: dict[str, Check] = {"luhn": _luhn, "iban": _iban}
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


_SET, _WHICH, _ROUTINES = _compiled()
