"""What a benchmark measured: ratios within one run first, for only they mean the same elsewhere."""

import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Report:
    """Prints figures, and keeps in mind whether a bar was missed."""

    say: Callable[[str], object]
    missed: list[str]

    def title(self, text: str) -> None:
        """What follows, and on what kind of machine under what load it was measured."""
        one, five, _ = os.getloadavg()
        cores = len(os.sched_getaffinity(0))
        self.say(f"{text}  [{cores} cores, load average {one:.2f} now, {five:.2f} over 5 min]")

    def ratio(self, name: str, value: float, *, beside: str, at_most: float | None = None) -> None:
        """A ratio of two times of this run, the absolute figures beside it."""
        self._line(name, f"{value:8.2f} x", beside, bar=at_most, is_met=_under(value, at_most))

    def share(self, name: str, value: float, *, beside: str, at_least: float | None = None) -> None:
        """What part of a limit of this run was reached."""
        is_met = at_least is None or value >= at_least
        self._line(name, f"{value:8.2f} x", beside, bar=at_least, is_met=is_met)

    def rate(
        self,
        name: str,
        value: float,
        *,
        beside: str,
        at_least: float | None = None,
        unit: str = "s",
    ) -> None:
        """How many in a second, or in another unit of time."""
        is_met = at_least is None or value >= at_least
        self._line(name, f"{value:8,.0f} /{unit}", beside, bar=at_least, is_met=is_met)

    def time(self, name: str, seconds: float, *, beside: str, at_most: float | None = None) -> None:
        """How long it took."""
        is_met = _under(seconds, at_most)
        bar = None if at_most is None else at_most * 1000
        self._line(name, f"{seconds * 1000:8,.1f} ms", beside, bar=bar, is_met=is_met)

    def figure(
        self,
        name: str,
        value: float,
        unit: str,
        *,
        beside: str,
        at_least: float | None = None,
        at_most: float | None = None,
    ) -> None:
        """Something else that was counted, with the bar that it must not be under, or over."""
        is_met = _under(value, at_most) and (at_least is None or value >= at_least)
        bar = at_most if at_least is None else at_least
        self._line(name, f"{value:8,.2f} {unit}", beside, bar=bar, is_met=is_met)

    def _line(
        self, name: str, figure: str, beside: str, *, bar: float | None, is_met: bool
    ) -> None:
        verdict = "" if bar is None else f"  bar {bar:,g}: {'met' if is_met else 'MISSED'}"
        self.say(f"  {name:<48} {figure}{verdict}  ({beside})")
        if not is_met:
            self.missed.append(name)


def _under(value: float, bar: float | None) -> bool:
    return bar is None or value <= bar


def typical(times: Sequence[float]) -> float:
    """The median: what else the machine did for a moment does not count."""
    return statistics.median(times)


def timed(work: Callable[[], object]) -> float:
    """The seconds that a piece of work takes, by the clock."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def computed(work: Callable[[], object]) -> float:
    """The seconds of one core that this process spends on it: others' work does not count."""
    start = time.process_time()
    work()
    return time.process_time() - start
