"""`python -m indicators.detection.world.bars [MEMBERS ...]`: the figures to reach, and their bars.

Measures the worlds of the evaluation seeds, two at a time, and prints each figure as one line of
JSON: what `manage.py bench pool` shows. The bars are those of the project, set before anything was
measured; a figure that misses one is printed as missed.
"""

import json
import multiprocessing
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass

from indicators.detection.world import evaluate, measure
from indicators.detection.world.attacks import Share
from indicators.detection.world.evaluate import Result
from indicators.detection.world.forum import EVEN, UNEVEN
from indicators.detection.world.measure import Measured

WORKERS = 2
ALONE, LOOSE = 1e-4, 1e-3  # false alarms of one alone
GAINS = {4: 1.10, 8: 1.4, 16: 1.7}  # of all steps over alone at 1 in 10,000
WARNED = {4: 0.94}
MOST_ALARMS = 2.5  # in 10,000
MOST_FIRMS, MOST_INSIDE, MOST_SIZE = 9.0, 3.0, 84.0  # in a hundred
MOST_LOSS = 0.1  # points of recall, for planted rows
AIMS = {"firms": 3.0, "inside": 1.0, "size": 10.0}


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table."""

    name: str
    value: float
    unit: str
    beside: str
    at_least: float | None = None
    at_most: float | None = None

    @property
    def is_met(self) -> bool:
        """Whether it is on the right side of its bars."""
        low = self.at_least is None or self.value >= self.at_least
        return low and (self.at_most is None or self.value <= self.at_most)


def figures(worlds: Sequence[Measured]) -> Iterator[Figure]:
    """The whole table, of worlds of one number of members or several."""
    for members in sorted({one.members for one in worlds}):
        yield from found([one for one in worlds if one.members == members])
    yield from given_away(worlds)
    yield from poisoned(worlds)
    longest = max(one.seconds for one in worlds)
    beside = "core seconds of the longest run over one day's extracts, findings made"
    yield Figure("run of the pool", longest, "s", beside, at_most=5.0)


def found(worlds: Sequence[Measured]) -> Iterator[Figure]:
    """Recall and warning of worlds with one number of members."""
    members = worlds[0].members
    groups, clear = (
        evaluate.joined([getattr(one, name) for one in worlds]) for name in ("alone", "clear")
    )
    (alone, _), (loose, _) = (evaluate.at_rate(groups, rate) for rate in (ALONE, LOOSE))
    (best, _), (easy, _) = (evaluate.at_rate(clear, rate) for rate in (ALONE, MOST_ALARMS / 10_000))
    steps, rows = (total(getattr(one, name) for one in worlds) for name in ("steps", "rows"))
    said = (
        f"all steps {steps.recall:.3f}, alone {alone.recall:.3f}, rows alone {rows.recall:.3f},"
        f" in clear {best.recall:.3f} ({easy.recall:.3f} at 2.5 in 10,000),"
        f" {len(worlds)} seeds, {steps.ordinary:,} ordinary accounts"
    )
    over = max(alone.recall, 1e-9)
    name = f"{members} members: recall over alone, 1 in 10,000"
    yield Figure(name, steps.recall / over, "x", said, at_least=GAINS.get(members))
    yield Figure("  the same with all logs in clear", best.recall / over, "x", "what could be had")
    beside = f"alone {loose.recall:.3f} with {loose.alarms:.1f} false alarms in 10,000"
    name = "  over alone at 1 in 1,000"
    yield Figure(name, steps.recall / max(loose.recall, 1e-9), "x", beside, at_least=1.0)
    beside = f"alone {alone.seen:.3f}, in clear {best.seen:.3f}; {steps.holding} hold three or more"
    yield Figure("  members warned", steps.seen, "", beside, at_least=WARNED.get(members))
    beside = f"alone {alone.alarms:.2f}, rows alone {rows.alarms:.2f}, in clear {best.alarms:.2f}"
    name = "  false alarms in 10,000"
    yield Figure(name, steps.alarms, "", beside, at_most=MOST_ALARMS)


def unevenly(worlds: Sequence[Measured]) -> Figure:
    """What is found where campaigns keep to one member rather: no bar, for nobody knows which."""
    groups = evaluate.joined([one.alone for one in worlds])
    clear = evaluate.joined([one.clear for one in worlds])
    alone, best = (evaluate.at_rate(one, ALONE)[0] for one in (groups, clear))
    steps = total(one.steps for one in worlds)
    name = f"{worlds[0].members} members, campaigns that lie unevenly: recall over alone"
    beside = (
        f"all steps {steps.recall:.3f} with {steps.alarms:.1f} false alarms in 10,000, alone"
        f" {alone.recall:.3f}, in clear {best.recall:.3f}; {steps.seen:.3f} of members warned"
    )
    return Figure(name, steps.recall / max(alone.recall, 1e-9), "x", beside)


def given_away(worlds: Sequence[Measured]) -> Iterator[Figure]:
    """What the extracts of these worlds tell an attacker."""
    count = sum(one.members for one in worlds)
    singled = sum(one.singled_out for one in worlds)
    beside = f"rows about one person alone, in {count} extracts"
    yield Figure("persons singled out", singled, "", beside, at_most=0)
    for name, bar in (("firms", MOST_FIRMS), ("inside", MOST_INSIDE)):
        share = sum((getattr(one, name) for one in worlds), Share(0, 0))
        told = {"firms": "firms recognised", "inside": "ordinary accounts inside"}[name]
        beside = f"{share.part:,} of {share.whole:,}; aim {AIMS[name]:g} %"
        yield Figure(told, share.percent, "%", beside, at_most=bar)
    if len({one.seed for one in worlds}) > 1:
        shown = [(one.seed, one.shown) for one in worlds]
        guess, median = measure.size_attack(shown)
        whole, _ = measure.size_attack(shown, of_pool=True)
        beside = (
            f"{guess.whole} extracts; median guess {median.percent:.0f} %, aim"
            f" {median.percent + AIMS['size']:.0f} %; {whole.percent:.0f} % with all extracts"
            " of the day, by their ties"
        )
        name = "size guessed within a factor of 3"
        yield Figure(name, guess.percent, "%", beside, at_most=MOST_SIZE)


def poisoned(worlds: Sequence[Measured]) -> Iterator[Figure]:
    """What planted rows do."""
    planted = sum(one.poison.planted for one in worlds)
    named = sum(one.poison.named for one in worlds)
    beside = f"of {planted} that a row was planted for"
    yield Figure("lawful groups named by planted rows", named, "", beside, at_most=0)
    before, after = (total(steps) for steps in _before_and_after(worlds))
    loss = 100 * (before.recall - after.recall)
    beside = f"recall {before.recall:.4f} before, {after.recall:.4f} after"
    yield Figure("recall that planted rows cost", loss, "points", beside, at_most=MOST_LOSS)


def total(results: Iterator[Result]) -> Result:
    """The sum of several worlds."""
    return sum(results, Result(0, 0, 0, 0, 0, 0))


def _before_and_after(worlds: Sequence[Measured]) -> tuple[Iterator[Result], Iterator[Result]]:
    return (one.steps for one in worlds), (one.poison.steps for one in worlds)


def main(arguments: Sequence[str]) -> None:
    """Measure, and print a line for each figure."""
    chosen = [int(one) for one in arguments] or list(measure.MEMBERS)
    # The largest first, so that both cores are busy to the end.
    worlds_of = [(count, EVEN) for count in sorted(chosen, reverse=True)]
    worlds_of.append((min(chosen), UNEVEN))
    asked = [(seed, count, lie) for count, lie in worlds_of for seed in measure.SEEDS]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(WORKERS, mp_context=context) as workers:
        worlds = list(workers.map(measure.of, asked))
    even, uneven = worlds[: -len(measure.SEEDS)], worlds[-len(measure.SEEDS) :]
    for figure in (*figures(even), unevenly(uneven)):
        sys.stdout.write(json.dumps(asdict(figure)) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
