"""Dummies: rows that fill an extract up to its number, and tie to nothing.

A dummy has random tokens, and facts drawn from the forum's table of marginals, so that it looks
like any row. It keeps its cluster, tokens and templates for some days or weeks as a group of
accounts does, and ages with them: what changed all of itself each day would be known as a dummy.
All of it follows from the member's secret, so an extract that replaces the day's shows the same.

A dummy never scores as high as what is found alone: it would become a draft about nobody. And it
has no more than the member's groups have: where a log knows no addresses, no dummy names one. Its
clients are the few that are usual in the log, which are everybody's, or one of its own, as a group
with a tool of its own has: how many more a log knows goes with its size, and is not told.
"""

import json
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import lru_cache
from hashlib import sha256, shake_256
from hmac import digest
from pathlib import Path
from typing import Any

from indicators.detection import rules, schema, scorecard
from indicators.detection.values import ClusterRow, Parameters, TemplateRow

Weights = Mapping[str, int]

TRIES = 60
OCTETS = 136  # of a block: one round of SHAKE-256
# Of the most usual clients that dummies have. How many different ones a log has goes with its size.
USUAL_CLIENTS = 8
OWN_CLIENT = 700  # in a thousand groups with one client: it is one that nobody else has
SAMPLE = 1_500  # dummies that tell what dummies are usually like
MOST_SHAPES = 12  # of hours, kept for each evenness
_EVERYBODY = b"weir/dummy/everybody"
_TABLE = Path(__file__).with_name("data") / "marginals.json"
LISTED = ("egress", "client", "templates")
WORDS = ("capabilities", "methods", "surface")
COLUMNS = ("flat", *schema.SHARES, "start_days")
NAMED: Mapping[str, str] = {"payment": "payers", "device": "devices"}
# Columns that a log may know nothing of.
_ALWAYS = frozenset({"mid", "deviced"})
OPTIONAL = frozenset({"mismatch", "pivot", *LISTED, *WORDS})
_NOTHING: Mapping[str, Any] = dict.fromkeys((*LISTED, *WORDS), ()) | {"mismatch": 0, "pivot": 0}
TEMPLATE = ("length_bucket", "sample_bucket")


@dataclass(frozen=True, slots=True)
class Dummy:
    """A row with the templates of its own; `row` and `templates` are numbered by who places it."""

    row: ClusterRow
    templates: tuple[TemplateRow, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """What dummies are made with: the member's secret, the quarter, the table, the scorecard."""

    secret: bytes
    epoch: str
    table: Mapping[str, Any]
    card: Parameters
    limits: rules.Limits = rules.SHIPPED
    carried: frozenset[str] = frozenset()  # of OPTIONAL, what the member's groups have at all
    clients: Mapping[str, int] = field(default_factory=dict)  # in how many of its groups


class Stream(random.Random):
    """Numbers that only the holder of the seed can foretell (SHAKE-256), however many are seen.

    The generator of the standard library gives itself away after 624 numbers, and with it every
    dummy.
    """

    def __init__(self, seed: bytes) -> None:
        self._seed, self._block, self._octets = seed, 0, b""
        super().__init__()

    def getrandbits(self, k: int, /) -> int:
        """So many random bits."""
        count = -(-k // 8)
        while len(self._octets) < count:
            block = self._seed + self._block.to_bytes(8, "big")
            self._octets += shake_256(block).digest(OCTETS)
            self._block += 1
        taken, self._octets = self._octets[:count], self._octets[count:]
        return int.from_bytes(taken, "big") >> (8 * count - k)

    def random(self) -> float:
        """A number from 0 to 1."""
        return self.getrandbits(53) * 2.0**-53

    def seed(self, *_: Any, **__: Any) -> None:  # noqa: ANN401 - as in the base
        """The seed is given once."""

    def hexes(self, digits: int) -> str:
        """So many hex digits."""
        return f"{self.getrandbits(4 * digits):0{digits}x}"


def shipped() -> Mapping[str, Any]:
    """The forum's table of marginals."""
    found: dict[str, Any] = json.loads(_TABLE.read_text(encoding="utf-8"))
    return found


def dummies(source: Source, count: int, *, day: date) -> tuple[Dummy, ...]:
    """The dummies of a day: those of the day before but for the few whose time was over."""
    return tuple(_dummy(source, number, day) for number in range(count))


def usual(source: Source) -> Mapping[str, Any]:
    """The table of what dummies of this table come to, once those found alone are drawn again.

    The same for every member whose log has the same columns: nobody's secret is in it.
    """
    known = json.dumps(source.table, sort_keys=True), tuple(sorted(source.card.items()))
    return _usual(*known, source.limits, source.carried)


@lru_cache(maxsize=8)
def _usual(
    table: str, card: tuple[tuple[str, int], ...], limits: rules.Limits, carried: frozenset[str]
) -> Mapping[str, Any]:
    source = Source(_EVERYBODY, "", json.loads(table), dict(card), limits, carried)
    rows = [_quiet(source, str(number)) for number in range(SAMPLE)]
    return table_of([(date.min, rows, ())], life={})


# --- one dummy -----------------------------------------------------------------------------------


def _dummy(source: Source, number: int, day: date) -> Dummy:
    born = _born(source, number, day)
    name = f"{number}/{born.isoformat()}"
    row = _quiet(source, name)
    ago = int(_one(_stream(source, name, "began"), source.table["began"]))
    row = _today(row, source, name, (born - timedelta(days=ago), day))
    keyed = Stream(_seed(source, "tokens", f"{name}/{source.epoch}"))
    tokens: dict[str, Any] = {kind: _fresh(keyed, getattr(row, kind), 64) for kind in schema.KINDS}
    client = _clients(source, name, len(row.client))
    row = replace(row, cluster=keyed.hexes(16), client=client, **tokens)
    return Dummy(row, tuple(_template(source, f"{name}/{n}", keyed) for n in row.templates))


def _born(source: Source, number: int, day: date) -> date:
    """When the dummy that stands at this number today began to."""
    stream = Stream(_seed(source, "life", str(number)))
    life = int(_one(stream, source.table["life"]))
    return day - timedelta(days=(day.toordinal() + stream.randrange(life)) % life)


def _quiet(source: Source, name: str) -> ClusterRow:
    """A row that may be sent and is not found alone."""
    seen = []
    for number in range(TRIES):
        row = _row(source, f"{name}/{number}")
        row = replace(row, **{column: _NOTHING[column] for column in OPTIONAL - source.carried})
        if _fits(row, source):
            return row
        seen.append(row)
    # The table is of another world than the scorecard: the lowest, with a basis by its facts alone.
    basis = {"flat": source.limits.flat, "fresh": -(-source.limits.fresh // 2) * 2}
    paced = [
        replace(row, methods=(), **{fact: max(getattr(row, fact), basis[fact]) for fact in basis})
        for row in seen
    ]
    return min(paced, key=lambda one: scorecard.score_of(one, source.card))


def _row(source: Source, name: str) -> ClusterRow:
    """Facts from the marginals; what must agree with the number of accounts is drawn below it.

    Each column has a chance of its own: what the day leaves to be filled up changes a little, and
    only the few dummies that lie at an edge change with it.
    """
    table, limits = source.table, source.limits
    size = _one(_stream(source, name, "size"), table["size"])
    accounts = max(limits.accounts, _within(_stream(source, name, "accounts"), size))
    payers = min(accounts, max(limits.payers, _of_size(source, name, "payers", size)))
    devices = _of_size(source, name, "devices", size)
    facts: dict[str, Any] = {
        column: int(_one(_stream(source, name, column), table[column])) for column in COLUMNS
    }
    facts |= {column: _words(_stream(source, name, column), table[column]) for column in WORDS}
    counts = {column: int(_one(_stream(source, name, column), table[column])) for column in LISTED}
    of_payers, of_devices = rules.bucket_of(payers), rules.bucket_of(devices)
    cards = max(limits.payers, _named(source, name, "payment", of_payers))
    known = min(devices, _named(source, name, "device", of_devices))
    return ClusterRow(
        row=0,
        cluster="",
        size=rules.bucket_of(accounts),
        payers=of_payers,
        devices=of_devices,
        first_day=date.min,
        last_day=date.min,
        payment=("",) * min(cards, schema.MOST_TOKENS["payment"]),
        device=("",) * min(known, schema.MOST_TOKENS["device"]),
        egress=("",) * counts["egress"],
        client=("",) * counts["client"],
        templates=tuple(range(counts["templates"])),
        hours=_hours(table, _stream(source, name, "hours"), facts["flat"]),
        **facts,
    )


def _of_size(source: Source, name: str, column: str, size: str) -> int:
    """How many payers or devices a group of this size has."""
    stream = _stream(source, name, column)
    return _within(stream, _one(stream, source.table[column][size]))


def _named(source: Source, name: str, kind: str, bucket: str) -> int:
    """How many tokens are named of a bucket of payers or devices."""
    stream, known = _stream(source, name, kind), source.table.get(kind, {}).get(bucket)
    return int(_one(stream, known)) if known else _within(stream, bucket)


def _fits(row: ClusterRow, source: Source) -> bool:
    """Whether the row would be sent, and would not be found alone."""
    is_quiet = not scorecard.is_found(scorecard.score_of(row, source.card), source.card)
    return is_quiet and rules.has_basis(row, source.limits)


def _today(row: ClusterRow, source: Source, name: str, days: tuple[date, date]) -> ClusterRow:
    """The group as its log would show it today: days on which it was in use stay such days."""
    began, day = days
    window = (day - timedelta(days=back) for back in range(source.limits.days))
    used = [one for one in window if one >= began and _is_used(source, name, one)] or [day]
    week = Stream(_seed(source, "week", f"{name}/{day.toordinal() // 7}"))
    moved: dict[str, Any] = {
        one: _moved(row, week, one) for one in ("mid", "mismatch", "pivot", "deviced")
    }
    moved = {one: value for one, value in moved.items() if one in source.carried | _ALWAYS}
    later = replace(row, **moved)
    row = later if _fits(later, source) else row
    return replace(row, first_day=min(used), last_day=max(used))


def _clients(source: Source, name: str, count: int) -> tuple[str, ...]:
    """One of its own, or clients by how usual they are; whatever others come and go."""
    if count == 1 and _evenly(source, "own client", name) * 1_000 < OWN_CLIENT:
        return (Stream(_seed(source, "named client", name)).hexes(32),)
    usual = sorted(source.clients, key=lambda one: (-source.clients[one], one))[:USUAL_CLIENTS]
    drawn = {
        client: _evenly(source, "client", f"{name}/{client}") ** (1 / source.clients[client])
        for client in usual
    }
    return tuple(sorted(sorted(usual, key=lambda one: -drawn[one])[:count]))


def _is_used(source: Source, name: str, day: date) -> bool:
    ended: Weights = source.table["ended"]
    share = ended.get("0", 1) / sum(ended.values())
    return _evenly(source, "used", f"{name}/{day.isoformat()}") < share


def _moved(row: ClusterRow, drawn: Stream, name: str) -> int:
    step = drawn.choices((-2, 0, 2), (1, 18, 1))[0]
    return min(10, max(0, int(getattr(row, name)) + step))


def _hours(table: Mapping[str, Any], drawn: Stream, flat: int) -> str:
    """A shape of this evenness, somewhere else on the clock."""
    shapes = table["hours"]
    near = min(shapes, key=lambda known: (abs(int(known) - flat), known))
    shape = [int(digit) for digit in drawn.choice(shapes[near])]
    turn = drawn.randrange(schema.HOURS)
    shape = shape[turn:] + shape[:turn]
    shape = [min(9, max(0, digit + drawn.choice((-1, 0, 0, 1)))) for digit in shape]
    shape[shape.index(max(shape))] = 9
    return "".join(map(str, shape))


def _template(source: Source, name: str, keyed: Stream) -> TemplateRow:
    table = source.table["template"]
    facts = {column: _one(_stream(source, name, column), table[column]) for column in TEMPLATE}
    languages = _words(_stream(source, name, "languages"), table["languages"]) or ("en",)
    bands = tuple(keyed.hexes(16) for _ in range(schema.BANDS))
    rate = rules.base_rate(source.limits)
    return TemplateRow(template=0, bands=bands, base_rate_bucket=rate, languages=languages, **facts)


def _fresh(stream: Stream, places: Sequence[str], digits: int) -> tuple[str, ...]:
    return tuple(sorted(stream.hexes(digits) for _ in places))


def _one(stream: Stream, weights: Weights) -> str:
    return stream.choices(list(weights), list(weights.values()))[0]


def _words(stream: Stream, permille: Weights) -> tuple[str, ...]:
    found = (word for word, share in permille.items() if stream.randrange(1_000) < share)
    return tuple(sorted(found))


def _within(stream: Stream, bucket: str) -> int:
    """A number of a bucket; the smaller are the more usual."""
    if bucket == schema.FEW:
        return stream.randrange(schema.SIZE_FLOORS[0])
    floors = (*schema.SIZE_FLOORS, 3_000)
    place = schema.SIZES.index(bucket)
    low, high = floors[place], floors[place + 1] - 1
    return min(stream.randint(low, high), stream.randint(low, high))


def _stream(source: Source, name: str, column: str) -> Stream:
    return Stream(_seed(source, f"facts/{column}", name))


def _evenly(source: Source, use: str, name: str) -> float:
    return int.from_bytes(_seed(source, use, name)[:6], "big") / 2**48


def _seed(source: Source, use: str, name: str) -> bytes:
    return digest(source.secret, f"weir/dummy/{use}/{name}".encode(), sha256)


# --- the table -----------------------------------------------------------------------------------


def table_of(
    days: Iterable[tuple[date, Sequence[ClusterRow], Sequence[TemplateRow]]], *, life: Weights
) -> dict[str, Any]:
    """The table of marginals of real rows: day, clusters, templates of each of some extracts.

    `life` says for how many days groups stand. The numbers are in thousandths, so that the table
    tells nothing of how many rows it was made of.
    """
    found = [(day, row) for day, rows, _ in days for row in rows]
    templates = [one for _, _, listed in days for one in listed]
    rows = [row for _, row in found]
    table: dict[str, Any] = {"version": 1, "life": dict(life)}
    table["size"] = _marginal(row.size for row in rows)
    for name in ("payers", "devices"):
        table[name] = {
            size: _marginal(getattr(row, name) for row in rows if row.size == size)
            for size in table["size"]
        }
    for name, of in NAMED.items():
        table[name] = {
            bucket: _marginal(len(getattr(row, name)) for row in rows if getattr(row, of) == bucket)
            for bucket in sorted({getattr(row, of) for row in rows})
        }
    for name in COLUMNS:
        table[name] = _marginal(getattr(row, name) for row in rows)
    for name in LISTED:
        table[name] = _marginal(len(getattr(row, name)) for row in rows)
    for name in WORDS:
        table[name] = _shares([getattr(row, name) for row in rows])
    table["began"] = _marginal((day - row.first_day).days for day, row in found)
    table["ended"] = _marginal((day - row.last_day).days for day, row in found)
    table["hours"] = {
        str(flat): sorted({row.hours for row in rows if row.flat == flat})[:MOST_SHAPES]
        for flat in sorted({row.flat for row in rows})
    }
    table["template"] = {
        name: _marginal(getattr(one, name) for one in templates) for name in TEMPLATE
    } | {"languages": _shares([one.languages for one in templates])}
    return table


def _marginal(values: Iterable[object]) -> dict[str, int]:
    counts = Counter(map(str, values))
    total = sum(counts.values())
    return {name: max(1, counts[name] * 1_000 // total) for name in sorted(counts)}


def _shares(lists: Sequence[Sequence[str]]) -> dict[str, int]:
    counts = Counter(word for words in lists for word in words)
    return {word: counts[word] * 1_000 // len(lists) for word in sorted(counts)}
