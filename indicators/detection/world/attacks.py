"""What extracts give away, by attack: each takes what an attacker has, and is scored by the truth.

- *Inside*: how many ordinary accounts are in rows at all.
- *Firms recognised*: a member with an extract of another finds in it the cards and devices of its
  own customers, who are customers of the other too (P6).
- *Persons singled out*: a row that describes one person and nobody else.
- *Size*: who stole the pool guesses how many accounts a member has, by a regression over all that
  an extract shows, learnt on other forums (P5).
- *Planted rows*: a member ties others' lawful customers to a campaign (P1).
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from indicators.detection import home, schema, scorecard, shipped
from indicators.detection.values import ClusterRow, Extract, Parameters, Pooled
from indicators.detection.world import forum as forums
from indicators.detection.world import log
from indicators.detection.world.crowd import Crowd
from indicators.detection.world.draws import Array

FACTOR = 3  # a guess within it is a hit
_RIDGES = (1.0, 3.0, 10.0, 30.0, 100.0)  # penalties that the attacker tries
_MANY_ACCOUNTS = ("many-accounts", "scheduled-job")


@dataclass(frozen=True, slots=True)
class Sent:
    """One member's extract, with what is true of its rows (a dummy has no accounts)."""

    extract: Extract
    crowd: Crowd
    accounts: Mapping[int, Array]


@dataclass(frozen=True, slots=True)
class Share:
    """So many of so many."""

    part: int
    whole: int

    @property
    def percent(self) -> float:
        """Of a hundred; nothing of nothing is nothing."""
        return 100 * self.part / self.whole if self.whole else 0.0

    def __add__(self, other: "Share") -> "Share":
        return Share(self.part + other.part, self.whole + other.whole)


def inside(sent: Sent) -> Share:
    """The ordinary accounts that are in rows, of all."""
    lawful = ~forums.is_guilty(sent.crowd)
    there: set[int] = set()
    for accounts in sent.accounts.values():
        there.update(accounts[lawful[accounts]].tolist())
    return Share(len(there), int(lawful.sum()))


def persons(crowd: Crowd) -> Array:
    """Who each account is: of several accounts of one person, that person."""
    several = np.isin(crowd.kind, [forums.NAMES.index(name) for name in _MANY_ACCOUNTS])
    return np.where(several, crowd.entity, -1 - np.arange(len(crowd)))


def singled_out(sent: Sent) -> int:
    """Rows that describe one ordinary person and nobody else."""
    who, lawful = persons(sent.crowd), ~forums.is_guilty(sent.crowd)
    return sum(
        len(np.unique(who[accounts])) == 1 and bool(lawful[accounts].all())
        for accounts in sent.accounts.values()
        if len(accounts)
    )


def recognised(one: Sent, other: Sent) -> Share:
    """Firms of both that the one finds in the other's extract by tokens of its own customers."""
    shown = {token for row in other.extract.clusters for token in (*row.payment, *row.device)}
    there = set(other.crowd.group[forums.is_of_two(other.crowd)].tolist())
    mine = forums.is_of_two(one.crowd)[one.crowd.token_account] & (one.crowd.token_kind < 2)
    groups = one.crowd.group[one.crowd.token_account[mine]]
    found: dict[int, bool] = {}
    for group, token in zip(
        groups.tolist(), log.token(one.crowd.token[mine]).to_pylist(), strict=True
    ):
        if group in there:
            found[group] = found.get(group, False) or token in shown
    return Share(sum(found.values()), len(found))


# --- size ----------------------------------------------------------------------------------------


def features(extract: Extract) -> Array:
    """All of an extract that may go with the size of its member, as numbers."""
    rows, templates = extract.clusters, extract.templates
    sizes = np.array([schema.SIZES.index(row.size) for row in rows])
    payers = np.array([schema.SIZES.index(row.payers) for row in rows])
    devices = np.array([-1 if row.devices == schema.FEW else schema.SIZES.index(row.devices)
                        for row in rows])  # fmt: skip
    numbers = [
        *(np.mean(sizes >= bucket) for bucket in range(1, len(schema.SIZES))),
        *(np.mean(payers >= bucket) for bucket in range(1, len(schema.SIZES) - 1)),
        *(np.mean(devices >= bucket) for bucket in range(0, len(schema.SIZES) - 1)),
        *(_mean(len(getattr(row, kind)) for row in rows) for kind in schema.KINDS),
        *(_mean(getattr(row, name) for row in rows) for name in ("flat", *schema.SHARES)),
        _mean(len(row.templates) for row in rows),
        _mean(len(row.client) for row in rows),
        _mean(bool(row.methods) for row in rows),
        np.log1p(len(templates)),
        *_of_templates(extract),
        *_of_lists(rows),
        *_of_suspects(extract),
    ]
    return np.array(numbers, dtype=float)


def learn(known: Iterable[tuple[Extract, int]]) -> "Guess":
    """A guess that was learnt on extracts of members whose size is known."""
    return learnt((features(extract), size) for extract, size in known)


def learnt(known: Iterable[tuple[Array, int]]) -> "Guess":
    """A guess that was learnt on numbers that go with sizes."""
    pairs = [(shown, np.log(size)) for shown, size in known]
    seen = np.stack([shown for shown, _ in pairs])
    sizes = np.array([size for _, size in pairs])
    middle, spread = seen.mean(axis=0), seen.std(axis=0) + 1e-9
    slope = _slope((seen - middle) / spread, sizes - sizes.mean())
    return Guess(middle, spread, slope, float(sizes.mean()), float(np.median(sizes)))


@dataclass(frozen=True, slots=True)
class Guess:
    """What an attacker learnt of how extracts go with sizes."""

    middle: Array
    spread: Array
    slope: Array
    base: float
    median: float

    def hits(self, extract: Extract, size: int) -> bool:
        """Whether the guess from this extract is within the factor."""
        return self.is_right(features(extract), size)

    def is_right(self, shown: Array, size: int) -> bool:
        """Whether the guess from these numbers is within the factor."""
        scaled = np.clip((shown - self.middle) / self.spread, -4, 4)
        return _is_near(self.base + float(scaled @ self.slope), size)

    def median_hits(self, size: int) -> bool:
        """Whether one would have been as near without any extract."""
        return _is_near(self.median, size)


def in_pool(extracts: Sequence[Extract]) -> list[Array]:
    """What of each extract may go with size for one who has all of the day's: ties, and how many.

    A row that has a card, a device or two bands with another member's row is no dummy.
    """
    holders: dict[object, set[int]] = defaultdict(set)
    for number, extract in enumerate(extracts):
        for row in extract.clusters:
            for token in (*row.payment, *row.device):
                holders[token].add(number)
        for template in extract.templates:
            for band in enumerate(template.bands):
                holders[band].add(number)
    return [
        np.append(features(extract), [*_tied(extract, holders), np.log(len(extracts))])
        for extract in extracts
    ]


def _tied(extract: Extract, holders: Mapping[object, Collection[int]]) -> list[float]:
    near = [
        sum(len(holders[band]) > 1 for band in enumerate(template.bands)) > 1
        for template in extract.templates
    ]
    by_token = [
        any(len(holders[token]) > 1 for token in (*row.payment, *row.device))
        for row in extract.clusters
    ]
    by_template = [any(near[one] for one in row.templates) for row in extract.clusters]
    either = sum(a or b for a, b in zip(by_token, by_template, strict=True))
    return [float(np.log1p(n)) for n in (sum(by_token), sum(by_template), either, sum(near))]


def _slope(scaled: Array, wanted: Array) -> Array:
    """The slope of the penalty that foretells best what was left out of the learning."""
    found = []
    for ridge in _RIDGES:
        inverse = np.linalg.inv(scaled.T @ scaled + ridge * np.eye(scaled.shape[1]))
        slope = inverse @ scaled.T @ wanted
        own = np.einsum("ij,jk,ik->i", scaled, inverse, scaled) + 1 / len(wanted)
        off = (wanted - scaled @ slope) / (1 - own)
        found.append((float((off**2).mean()), ridge, slope))
    return min(found, key=lambda one: one[:2])[2]


def _is_near(guess: float, size: int) -> bool:
    return bool(abs(guess - np.log(size)) <= np.log(FACTOR))


def _mean(numbers: Iterable[float]) -> float:
    listed = list(numbers)
    return float(np.mean(listed)) if listed else 0.0


def _of_templates(extract: Extract) -> list[float]:
    """Samples over base rate, and accounts over base rate: both would be the member's size."""
    rates = [schema.BASE_RATES.index(one.base_rate_bucket) for one in extract.templates]
    samples = [schema.SAMPLES.index(one.sample_bucket) for one in extract.templates]
    over = [sample - rate for sample, rate in zip(samples, rates, strict=True)]
    held = [
        schema.SIZES.index(row.size) - 2 * rates[template]
        for row in extract.clusters
        for template in row.templates
    ]
    return [_mean(rates), _mean(samples), _mean(over), _mean(held)]


def _of_lists(rows: Sequence[ClusterRow]) -> list[float]:
    """How many different clients there are, and what several rows name: of a dummy nothing is."""
    made = []
    for name in ("client", "egress", "templates"):
        seen = Counter(value for row in rows for value in getattr(row, name))
        several = [row for row in rows if any(seen[value] > 1 for value in getattr(row, name))]
        made += [len(seen), sum(count == 1 for count in seen.values()), len(several)]
    return [float(np.log1p(count)) for count in made]


def _of_suspects(extract: Extract) -> list[float]:
    """How many rows score as no dummy does, for one who knows the scorecard, and what they are."""
    card = _card()
    scores = np.array([scorecard.score_of(row, card) for row in extract.clusters])
    over = [(scores >= card["threshold"] + more).sum() for more in (-20, 0, 20, 40)]
    found = [row for row, score in zip(extract.clusters, scores, strict=True)
             if score >= card["threshold"]]  # fmt: skip
    templates = [extract.templates[one] for one in sorted({n for r in found for n in r.templates})]
    rates = [schema.BASE_RATES.index(one.base_rate_bucket) for one in templates]
    rarest = [sum(rate <= least for rate in rates) for least in range(3, len(schema.BASE_RATES))]
    return [
        *(float(np.log1p(count)) for count in (*over, *rarest)),
        _mean(rates) if rates else float(len(schema.BASE_RATES) - 1),
        _mean(schema.SAMPLES.index(one.sample_bucket) for one in templates),
        *(_mean(len(getattr(row, name)) for row in found) for name in (*schema.KINDS, "templates")),
        *(_mean(schema.SIZES.index(getattr(row, name)) for row in found)
          for name in ("size", "payers")),
    ]  # fmt: skip


@cache
def _card() -> Parameters:
    return home.setup_of(shipped.algorithms()).card


# --- planted rows --------------------------------------------------------------------------------


def planted(
    lawful: Sequence[Pooled], bait: Sequence[Pooled], pattern: Pooled, *, member: int
) -> list[Pooled]:
    """A row for each lawful one, as guilty as the pattern, that ties it to a row of a campaign."""
    made = []
    for number, victim in enumerate(lawful):
        guilty = bait[number % len(bait)]
        row = replace(
            pattern.row,
            row=number % schema.ROWS,
            cluster=f"{member:08x}{number:08x}",
            templates=tuple(range(len(victim.templates + guilty.templates))),
            payment=_half(victim.row.payment, guilty.row.payment, "payment"),
            device=_half(victim.row.device, guilty.row.device, "device"),
        )
        templates = victim.templates + guilty.templates
        made.append(Pooled(member, victim.day, row, templates[: schema.MOST_TEMPLATES]))
    return made


def _half(one: Sequence[str], other: Sequence[str], kind: str) -> tuple[str, ...]:
    """Tokens of both, half of the list each."""
    most = schema.MOST_TOKENS[kind] // 2
    return tuple(sorted({*one[:most], *other[:most]}))
