"""An extract as it is sealed: every column in one place, so that a run has to read no file.

It is made once, where the extract is judged, and says what its manifest and files said, no more and
no less: an extract of it has the same rows. Columns lie one behind the other, each at a multiple of
eight octets; tokens and bands are octets instead of digits, closed words their places in the lists
of `schema`, and of each list its length stands by its row. Standard library only.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from hashlib import blake2b
from itertools import accumulate, chain
from typing import Any

from exchange.proof.refused import Refused
from indicators.detection import manifest, schema
from indicators.detection.values import ClusterRow, Extract, Manifest, TemplateRow

MAGIC = b"WeirX\x00\x00\x01"
TOKEN, CLIENT, BAND = 32, 16, 8  # octets
_LANGUAGE = 3
_HALF = schema.HOURS // 2
_EPOCH = date(1970, 1, 1).toordinal()
SIZES = (*schema.SIZES, schema.FEW)
WORDS: Mapping[str, Sequence[str]] = {
    "capabilities": schema.CAPABILITIES,
    "methods": schema.METHODS,
    "surface": schema.SURFACES,
}
LISTS = (*schema.KINDS, "client", "templates", *WORDS)
# What a row says in one octet each, and how long its lists are.
NUMBERS = ("size", "payers", "devices", "flat", "start_days", *schema.SHARES)
FACTS = (*NUMBERS, *LISTS)
BUCKETS: Mapping[str, Sequence[str]] = {
    "length_bucket": schema.LENGTHS,
    "sample_bucket": schema.SAMPLES,
    "base_rate_bucket": schema.BASE_RATES,
}
FORMS = (*BUCKETS, "languages")
# `same` is a digest of a template's bands: equal where all of them are.
SECTIONS = (
    *("bands", "same", "cluster", "am", "pm", "first_day", "last_day", *LISTS),
    *("facts", "forms", "languages", "manifest"),
)
_HEAD = struct.Struct(f"<8s{len(SECTIONS)}I")
_STEP = 8


@dataclass(frozen=True, slots=True)
class Sent:
    """One member's day as it was sealed."""

    member: int  # affiliates are one
    day: date
    body: bytes | memoryview = field(repr=False)
    source: str = ""  # whose of the affiliates it is


@dataclass(slots=True)
class Opened:
    """The extracts of this quarter, and by which name each owner is known in every run."""

    sent: list[Sent] = field(default_factory=list)
    owners: dict[int, str] = field(default_factory=dict)


def pack(extract: Extract) -> bytes:
    """The extract; one that rules took."""
    rows, templates = extract.clusters, extract.templates
    bands = [_octets(one.bands) for one in templates]
    made = {
        "bands": b"".join(bands),
        "same": b"".join(blake2b(one, digest_size=BAND).digest() for one in bands),
        "cluster": _octets(row.cluster for row in rows),
        "am": _numbers("q", (int(row.hours[:_HALF]) for row in rows)),
        "pm": _numbers("q", (int(row.hours[_HALF:]) for row in rows)),
        "first_day": _numbers("i", (row.first_day.toordinal() - _EPOCH for row in rows)),
        "last_day": _numbers("i", (row.last_day.toordinal() - _EPOCH for row in rows)),
        "templates": _numbers("H", chain.from_iterable(row.templates for row in rows)),
        "facts": b"".join(bytes(_fact(name, row) for row in rows) for name in FACTS),
        "forms": b"".join(bytes(_form(name, one) for one in templates) for name in FORMS),
        "languages": b"".join(
            word.encode().ljust(_LANGUAGE) for one in templates for word in one.languages
        ),
        "manifest": manifest.write(extract.manifest),
    }
    for name in (*schema.KINDS, "client"):
        made[name] = _octets(chain.from_iterable(getattr(row, name) for row in rows))
    for name, words in WORDS.items():
        made[name] = bytes(words.index(word) for row in rows for word in getattr(row, name))
    body = b"".join(made[name] + bytes(-len(made[name]) % _STEP) for name in SECTIONS)
    return _HEAD.pack(MAGIC, *(len(made[name]) for name in SECTIONS)) + body


def unpack(body: bytes) -> Extract:
    """The extract again."""
    packed = Packed.of(body)
    return Extract(
        packed.manifest,
        tuple(map(packed.row, range(packed.rows))),
        tuple(map(packed.template, range(packed.templates))),
    )


@dataclass(frozen=True)
class Packed:
    """A packed extract, of which single rows may be asked."""

    sections: Mapping[str, memoryview] = field(repr=False)

    @classmethod
    def of(cls, body: bytes | memoryview) -> "Packed":
        """Where each column is; Refused where this is no packed extract."""
        if len(body) < _HEAD.size or body[: len(MAGIC)] != MAGIC:
            raise _odd()
        _, *lengths = _HEAD.unpack_from(body)
        ends = list(accumulate((one + -one % _STEP for one in lengths), initial=_HEAD.size))
        if ends[-1] != len(body):
            raise _odd()
        view = memoryview(body)
        starts = zip(SECTIONS, ends[:-1], lengths, strict=True)
        return cls({name: view[start : start + length] for name, start, length in starts})

    @property
    def rows(self) -> int:
        """How many rows of clusters there are."""
        return len(self.sections["cluster"]) // BAND

    @property
    def templates(self) -> int:
        """How many templates."""
        return len(self.sections["same"]) // BAND

    @property
    def manifest(self) -> Manifest:
        """What stood beside the files."""
        return manifest.read(bytes(self.sections["manifest"]))

    def row(self, number: int) -> ClusterRow:
        """One row of clusters."""
        told: dict[str, Any] = {name: self._fact(name, number) for name in NUMBERS}
        for name in ("size", "payers", "devices"):
            told[name] = SIZES[told[name]]
        for name in ("first_day", "last_day"):
            told[name] = date.fromordinal(_EPOCH + self._number(name, "i", number))
        for name in (*schema.KINDS, "client"):
            told[name] = self._texts(name, CLIENT if name == "client" else TOKEN, number)
        for name, words in WORDS.items():
            told[name] = tuple(words[one] for one in self._listed(name, 1, number))
        held = self._listed("templates", 2, number)
        return ClusterRow(
            row=number,
            cluster=self._octets("cluster", BAND, number).hex(),
            hours="".join(f"{self._number(half, 'q', number):0{_HALF}d}" for half in ("am", "pm")),
            templates=struct.unpack(f"<{len(held) // 2}H", held),
            **told,
        )

    def template(self, number: int) -> TemplateRow:
        """One row of templates."""
        bands = self._octets("bands", BAND * schema.BANDS, number).hex()
        first, last = self._spoken[number : number + 2]
        spoken = bytes(self.sections["languages"][first * _LANGUAGE : last * _LANGUAGE]).decode()
        return TemplateRow(
            template=number,
            bands=_cut(bands, BAND * 2),
            length_bucket=schema.LENGTHS[self._form("length_bucket", number)],
            sample_bucket=schema.SAMPLES[self._form("sample_bucket", number)],
            base_rate_bucket=schema.BASE_RATES[self._form("base_rate_bucket", number)],
            languages=tuple(one.strip() for one in _cut(spoken, _LANGUAGE)),
        )

    def _fact(self, name: str, number: int) -> int:
        return self.sections["facts"][FACTS.index(name) * self.rows + number]

    def _form(self, name: str, number: int) -> int:
        return self.sections["forms"][FORMS.index(name) * self.templates + number]

    def _number(self, name: str, code: str, number: int) -> int:
        return int(struct.unpack_from(f"<{code}", self.sections[name], number * _WIDE[code])[0])

    def _octets(self, name: str, width: int, number: int) -> bytes:
        return bytes(self.sections[name][number * width : (number + 1) * width])

    def _listed(self, name: str, width: int, number: int) -> bytes:
        first, last = self._starts[name][number : number + 2]
        return bytes(self.sections[name][first * width : last * width])

    def _texts(self, name: str, width: int, number: int) -> tuple[str, ...]:
        return _cut(self._listed(name, width, number).hex(), width * 2)

    @cached_property
    def _starts(self) -> Mapping[str, Sequence[int]]:
        """Where the list of each row begins."""
        facts, rows = self.sections["facts"], self.rows
        return {
            name: list(accumulate(facts[place * rows : (place + 1) * rows], initial=0))
            for place, name in enumerate(FACTS)
            if name in LISTS
        }

    @cached_property
    def _spoken(self) -> Sequence[int]:
        place = FORMS.index("languages") * self.templates
        return list(accumulate(self.sections["forms"][place:], initial=0))


_WIDE: Mapping[str, int] = {"q": 8, "i": 4, "H": 2}


def _fact(name: str, row: ClusterRow) -> int:
    value = getattr(row, name)
    if name in LISTS:
        return len(value)
    return SIZES.index(value) if name in ("size", "payers", "devices") else int(value)


def _form(name: str, template: TemplateRow) -> int:
    value = getattr(template, name)
    return BUCKETS[name].index(value) if name in BUCKETS else len(value)


def _octets(texts: Iterable[str]) -> bytes:
    return bytes.fromhex("".join(texts))


def _numbers(code: str, values: Iterable[int]) -> bytes:
    every = list(values)
    return struct.pack(f"<{len(every)}{code}", *every)


def _cut(text: str, width: int) -> tuple[str, ...]:
    return tuple(text[start : start + width] for start in range(0, len(text), width))


def _odd() -> Refused:
    return Refused("seal.broken", "What was sealed is no extract.")
