"""One world measured whole: what is found in each arm, what extracts give away, what poison does.

`manage.py bench pool` prints it for the evaluation seeds (`bars`); the tests assert the same bars
on smaller worlds.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from indicators.detection import home, scorecard
from indicators.detection.document import Algorithm
from indicators.detection.home import Setup
from indicators.detection.run import Found
from indicators.detection.values import Extract, Parameters, Pooled
from indicators.detection.world import attacks, evaluate
from indicators.detection.world.attacks import Sent, Share
from indicators.detection.world.draws import Array
from indicators.detection.world.evaluate import Member, Result, Scored
from indicators.detection.world.forum import EVEN, Lie, forum

SEEDS = (1, 2, 3, 4, 5)  # no weight was fitted on them
MEMBERS = (4, 8, 16)
PLANTED = 600

Shown = tuple[tuple[Extract, int], ...]  # each extract, and how large its member is


@dataclass(frozen=True, slots=True)
class Poison:
    """What planted rows do to lawful groups, and to recall."""

    planted: int
    named: int  # lawful groups that are named for them
    steps: Result


@dataclass(frozen=True, slots=True)
class Measured:
    """All of one world."""

    seed: int
    members: int
    alone: Scored
    clear: Scored
    rows: Result
    steps: Result
    inside: Share
    firms: Share
    singled_out: int
    shown: Shown
    poison: Poison
    is_stopped: bool
    seconds: float  # of the pool's run, on one core


def world(
    seed: int,
    members: int,
    card: Parameters | None = None,
    *,
    middle: int | None = None,
    campaigns: int | None = None,
    lie: Lie = EVEN,
) -> Measured:
    """Measure one world, with the shipped algorithms, or another scorecard among them."""
    sizes = {"middle": middle, "campaigns": campaigns}
    chosen = {name: one for name, one in sizes.items() if one is not None}
    made = forum(seed, members, lie=lie, **chosen)
    active = evaluate.algorithms(card)
    setup = home.setup_of(active)
    homes = list(evaluate.worked(made, setup))
    sents = [evaluate.sent(member, setup) for member in homes]
    pool = evaluate.pooled(one.extract for one in sents)
    start = time.process_time()
    found = evaluate.run(pool, active)
    seconds = time.process_time() - start
    named = _named(homes, found, setup)
    return Measured(
        seed=seed,
        members=members,
        alone=evaluate.scored(homes),
        clear=evaluate.in_clear(made, homes, setup),
        rows=evaluate.result_of(homes, evaluate.in_rows(sents, found.findings)),
        steps=evaluate.result_of(homes, named),
        inside=_total(attacks.inside(one) for one in sents),
        firms=_total(attacks.recognised(a, b) for a in sents for b in sents if a is not b),
        singled_out=sum(attacks.singled_out(one) for one in sents),
        shown=_shown(sents),
        poison=_poison(homes, sents, pool, named, active),
        is_stopped=found.is_stopped,
        seconds=seconds,
    )


def of(chosen: tuple[int, int, Lie]) -> Measured:
    """One world of this seed, members and lie, at its full size, with the scorecard as shipped."""
    seed, members, lie = chosen
    return world(seed, members, lie=lie)


def _total(shares: Iterable[Share]) -> Share:
    return sum(shares, Share(0, 0))


def _named(homes: Sequence[Member], found: Found, setup: Setup) -> dict[int, Array]:
    """All steps: own detection, and the look at home with findings and drafts."""
    told = evaluate.released(found.findings)
    return {
        member.number: np.union1d(evaluate.own(member), evaluate.looked(member, told, setup))
        for member in homes
    }


def _poison(
    homes: Sequence[Member],
    sents: Sequence[Sent],
    pool: Sequence[Pooled],
    before: Mapping[int, Array],
    active: Sequence[Algorithm],
) -> Poison:
    """A further member plants a row for each lawful group, tied to a campaign's row."""
    setup = home.setup_of(active)
    bait = [
        one
        for one in pool
        if (accounts := sents[one.member].accounts.get(one.row.row)) is not None
        and homes[one.member].guilty[accounts].any()
    ]
    if not bait:
        return Poison(0, 0, evaluate.result_of(homes, before))
    pattern = max(bait, key=lambda one: scorecard.score_of(one.row, setup.card))
    victims = _victims(homes, sents, setup)
    rows = attacks.planted([one for one, _ in victims], bait, pattern, member=len(homes))
    found = evaluate.run([*pool, *rows], active)
    # Its own drafts are contributions in its own name, which it could make without a pool.
    others = [one for one in found.findings if one.members != {len(homes)}]
    after = _named(homes, replace(found, findings=tuple(others)), setup)
    named = 0
    for victim, accounts in victims:
        new = np.isin(accounts, after[victim.member]) & ~np.isin(accounts, before[victim.member])
        named += bool(new.any())
    return Poison(len(rows), named, evaluate.result_of(homes, after))


def _victims(
    homes: Sequence[Member], sents: Sequence[Sent], setup: Setup
) -> list[tuple[Pooled, Array]]:
    """Lawful groups that a member does not name itself, as rows, with their accounts.

    Those that are in extracts come first, then those that come nearest to a campaign: a planter may
    know of a customer's cards from its own books, whether or not the customer's row is in the pool.
    """
    made: list[tuple[bool, int, Pooled, Array]] = []
    for member, sent in zip(homes, sents, strict=True):
        at = {frozenset(accounts.tolist()): row for row, accounts in sent.accounts.items()}
        for cluster in member.found.clusters:
            accounts = np.array(cluster.accounts, dtype=np.int64)
            is_large = len(accounts) >= setup.limits.accounts and bool(cluster.row.payment)
            if cluster.is_found or not is_large or member.guilty[accounts].any():
                continue
            row = at.get(frozenset(cluster.accounts))
            if row is None:
                templates = evaluate.forms(member, cluster)
                pooled = Pooled(member.number, member.log.last, cluster.row, templates)
            else:
                (pooled,) = evaluate.pooled_of(member.number, sent.extract, [row])
            made.append((row is None, -cluster.score, pooled, accounts))
    made.sort(key=lambda one: one[:2])
    return [(pooled, accounts) for _, _, pooled, accounts in made[:PLANTED]]


def _shown(sents: Iterable[Sent]) -> Shown:
    return tuple((one.extract, len(one.crowd)) for one in sents)


def size_attack(
    worlds: Iterable[tuple[int, Shown]], *, of_pool: bool = False
) -> tuple[Share, Share]:
    """Guesses within a factor of three, learnt on all other seeds; and those of the median.

    `of_pool`: by one who has all extracts of the day, and sees which rows tie to other members'.
    """
    listed = [(seed, _seen(shown, of_pool=of_pool)) for seed, shown in worlds]
    guessed, median = Share(0, 0), Share(0, 0)
    for seed in sorted({seed for seed, _ in listed}):
        guess = attacks.learnt(pair for other, pairs in listed if other != seed for pair in pairs)
        for numbers, size in (pair for one, pairs in listed if one == seed for pair in pairs):
            guessed += Share(int(guess.is_right(numbers, size)), 1)
            median += Share(int(guess.median_hits(size)), 1)
    return guessed, median


def _seen(shown: Shown, *, of_pool: bool) -> list[tuple[Array, int]]:
    extracts = [extract for extract, _ in shown]
    numbers = attacks.in_pool(extracts) if of_pool else map(attacks.features, extracts)
    return [(one, size) for one, (_, size) in zip(numbers, shown, strict=True)]
