"""What extracts give away, by attack: each takes what an attacker has, and is scored by the truth.

- *Inside*: how many ordinary accounts are in rows at all.
- *Firms recognised*: a member with an extract of another finds in it the cards and devices of its
  own customers, who are customers of the other too (P6).
- *Persons singled out*: a row that describes one person and nobody else.
- *Size*: who stole the pool guesses how many accounts a member has, by a regression over all that
  an extract shows, learnt on other forums (P5).
- *Planted rows*: a member ties others' lawful customers to a campaign (P1).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from indicators.detection import schema
from indicators.detection.values import Extract, Pooled
from indicators.detection.world import forum as forums
from indicators.detection.world import log
from indicators.detection.world.crowd import Crowd
from indicators.detection.world.draws import Array

FACTOR = 3  # a guess within it is a hit
_RIDGE = 3.0
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
        *(np.quantile([row.flat + row.fresh / 10 for row in rows], part) for part in (0.1, 0.5)),
        _mean(len(row.templates) for row in rows),
        _mean(len(row.client) for row in rows),
        _mean(bool(row.methods) for row in rows),
        np.log1p(len(templates)),
        *_of_templates(extract),
    ]
    return np.array(numbers, dtype=float)


def learn(known: Iterable[tuple[Extract, int]]) -> "Guess":
    """A guess that was learnt on extracts of members whose size is known."""
    pairs = [(features(extract), np.log(size)) for extract, size in known]
    seen = np.stack([shown for shown, _ in pairs])
    sizes = np.array([size for _, size in pairs])
    middle, spread = seen.mean(axis=0), seen.std(axis=0) + 1e-9
    scaled = (seen - middle) / spread
    penalty = _RIDGE * np.eye(scaled.shape[1])
    slope = np.linalg.solve(scaled.T @ scaled + penalty, scaled.T @ (sizes - sizes.mean()))
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
        scaled = np.clip((features(extract) - self.middle) / self.spread, -4, 4)
        return _is_near(self.base + float(scaled @ self.slope), size)

    def median_hits(self, size: int) -> bool:
        """Whether one would have been as near without any extract."""
        return _is_near(self.median, size)


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
    lowest = float(min(rates)) if rates else float(len(schema.BASE_RATES))
    highest = float(max(rates)) if rates else float(len(schema.BASE_RATES))
    return [_mean(rates), lowest, highest, _mean(samples), _mean(over), _mean(held)]


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
