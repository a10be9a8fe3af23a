"""Statistics of competitors: k, dominance, age, subtraction, rounding; suppressed by default.

A figure is a sum of the parts of several owners (a member with its affiliates is one). It is
released only if all of these hold (antitrust 3.3), each a rule of the floor:

1. contributors: at least so many owners have a part in it
2. share: none of them has more than its percentage of it
3. age: the youngest datum in it is older than so many months
4. without-one: 1 and 2 hold for the rest, once an owner that reads it takes its own part away
5. subtraction: what is left between released figures is a figure that could be released too
6. rounding: to one significant digit
7. schedule: one table for each measure and quarter, made once, its rows fixed; nobody can ask

Why 5 is exact where figures overlap. A table's rows are disjoint, its total holds them all, and
quarters are disjoint: the released sets are nested or apart, never crossing. Whatever adding and
subtracting such sums can give is made of blocks: each released row, and what a released total
leaves once its released rows are taken away. Every block is judged; and what is put together from
blocks that pass passes too, for a share in a union lies between the shares in its parts. Where
figures do not overlap nothing can be derived, but who assumes that the others stayed as they were
reads one member's change from two quarters of a row: so that difference is judged like a figure,
against every quarter released before. Sums of more than two quarters' changes are not judged.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import Any

from exchange.proof.refused import Refused

Parts = Mapping[str, int]  # the owners that have a part in a figure, and how large each is
TOTAL = "all"
_QUARTER = 3  # months
# How often a figure would be released, in percent, by the number of members and by the spread of
# their sizes: by rules 1 and 2, and with rule 4. From `simulated`, 20,000 draws of each.
SIGMAS = (0.5, 1.0, 1.5)
SIMULATED: Mapping[int, tuple[tuple[float, float], ...]] = {
    5: ((6.1, 0.0), (0.5, 0.0), (0.1, 0.0)),
    6: ((28.4, 1.5), (3.2, 0.1), (0.6, 0.0)),
    8: ((69.8, 33.5), (15.1, 2.5), (3.6, 0.4)),
    10: ((88.7, 69.6), (29.1, 10.1), (8.3, 1.8)),
    15: ((99.0, 97.0), (57.6, 37.0), (21.6, 8.6)),
}
# What a floor cannot undercut: a sum of two tells each of them the other.
_BOUNDS = {"contributors": (3, 1000), "share_percent": (1, 50), "age_months": (1, 120)}


@dataclass(frozen=True, slots=True)
class Rules:
    """The floor's numbers."""

    contributors: int
    share_percent: int
    age_months: int

    @staticmethod
    def parse(document: Mapping[str, Any]) -> "Rules":
        """The rules that a floor's section states; Refused for what is no rule."""
        _check(document, _BOUNDS, "floor.statistics", required=True)
        return Rules(**document)


@dataclass(frozen=True, slots=True)
class Own:
    """What a member asks beyond the floor of every figure that its data are in."""

    contributors: int = 0
    share_percent: int = 100
    age_months: int = 0
    opt_out: bool = False

    @staticmethod
    def parse(document: Mapping[str, Any]) -> "Own":
        """The section of a member policy; what is looser than the floor has no effect."""
        numbers = {name: value for name, value in document.items() if name != "opt_out"}
        loosest = {"contributors": (0, 1000), "share_percent": (1, 100), "age_months": (0, 120)}
        _check(numbers, loosest, "policy.statistics", required=False)
        if not isinstance(document.get("opt_out", False), bool):
            raise Refused("policy.statistics", "This is true or false.", "statistics.opt_out")
        return Own(**document)

    def leaves_out(self, rules: Rules) -> bool:
        """Whether a member's data stay out of a table that is made by the floor's schedule."""
        return self.opt_out or self.age_months > rules.age_months


@dataclass(frozen=True, slots=True)
class Panel:
    """Under what a table is judged: the rules, what owners ask beyond them, and who reads it."""

    rules: Rules
    asks: Mapping[str, Own]
    readers: frozenset[str]

    def rules_for(self, parts: Parts) -> Rules:
        """The strictest of the floor and of what those ask who have a part."""
        asked = [self.asks[owner] for owner, n in parts.items() if n and owner in self.asks]
        floor = self.rules
        return Rules(
            max([floor.contributors, *(one.contributors for one in asked)]),
            min([floor.share_percent, *(one.share_percent for one in asked)]),
            floor.age_months,
        )


@dataclass(frozen=True, slots=True)
class Table:
    """One quarter's table of one measure.

    `cells` are what everybody reads: a rounded figure for each row and for all, or nothing where it
    is suppressed. `blocks` are what they tell, exactly: the sums that the released cells are made
    of or leave between them, with their parts, kept so that later tables can be judged against
    them. Of what is suppressed nothing is kept.
    """

    cells: Mapping[str, int | None]
    blocks: Mapping[str, Parts]


@dataclass(frozen=True, slots=True)
class Period:
    """A quarter of the calendar, in UTC."""

    year: int
    quarter: int

    @property
    def name(self) -> str:
        """As it is written: 2026-Q3."""
        return f"{self.year}-Q{self.quarter}"

    @property
    def start(self) -> datetime:
        """Its first moment."""
        return _month(self.year, (self.quarter - 1) * _QUARTER)

    @property
    def end(self) -> datetime:
        """The first moment after it."""
        return _month(self.year, self.quarter * _QUARTER)

    def due(self, rules: Rules) -> datetime:
        """When its tables are made: so long after its end that all of it is old enough."""
        return _month(self.year, self.quarter * _QUARTER + rules.age_months)

    def next(self) -> "Period":
        """The quarter after it."""
        return Period(self.year + self.quarter // 4, self.quarter % 4 + 1)


def periods(since: datetime, *, rules: Rules, now: datetime) -> tuple[Period, ...]:
    """The quarters that are due by `now`, from the one in which `since` lies."""
    start = since.astimezone(UTC)
    period = Period(start.year, (start.month - 1) // _QUARTER + 1)
    found = []
    while period.due(rules) <= now:
        found.append(period)
        period = period.next()
    return tuple(found)


def table(rows: Mapping[str, Parts], earlier: Mapping[str, Sequence[Parts]], panel: Panel) -> Table:
    """One quarter's table; `earlier` are the blocks of the quarters before, by their names.

    Where the total would tell what the suppressed rows hide, the total is suppressed too.
    """
    blocks = {
        row: parts for row, parts in rows.items() if not _fault(parts, earlier.get(row, ()), panel)
    }
    total = added(rows.values())
    if not _fault(total, earlier.get(TOTAL, ()), panel):
        hidden = {
            row: parts for row, parts in rows.items() if row not in blocks and any(parts.values())
        }
        between, name = added(hidden.values()), "+".join(sorted(hidden))
        if not hidden:
            blocks[TOTAL] = total
        elif not _fault(between, earlier.get(name, ()), panel):
            blocks |= {TOTAL: total, name: between}
    cells = {
        row: rounded(sum(blocks[row].values())) if row in blocks else None for row in (TOTAL, *rows)
    }
    return Table(cells, blocks)


def fault(parts: Parts, panel: Panel) -> str:
    """The first rule that a sum breaks; empty if it may be released as far as it is alone."""
    rules = panel.rules_for(parts)
    sizes = {owner: abs(n) for owner, n in parts.items() if n}
    broken = _broken(list(sizes.values()), rules)
    if broken:
        return broken
    for reader in panel.readers & sizes.keys():
        if _broken([n for owner, n in sizes.items() if owner != reader], rules):
            return "without-one"
    return ""


def added(parts: Iterable[Parts]) -> Parts:
    """Several sums as one."""
    total: dict[str, int] = {}
    for one in parts:
        for owner, n in one.items():
            total[owner] = total.get(owner, 0) + n
    return total


def less(whole: Parts, taken: Parts) -> Parts:
    """What is left of a sum once another is taken from it."""
    return {
        owner: whole.get(owner, 0) - taken.get(owner, 0)
        for owner in sorted(whole.keys() | taken.keys())
    }


def grouped(parts: Parts, owners: Mapping[str, str]) -> Parts:
    """The parts of members as parts of their owners: affiliates count as one."""
    groups: dict[str, int] = {}
    for member, n in parts.items():
        owner = owners.get(member, member)
        groups[owner] = groups.get(owner, 0) + n
    return groups


def strictest(asks: Iterable[Own]) -> Own:
    """What several members of one owner ask together."""
    every = list(asks)
    return Own(
        max((one.contributors for one in every), default=0),
        min((one.share_percent for one in every), default=100),
    )


def rounded(value: int) -> int:
    """One significant digit, a half upwards."""
    step = int(10 ** (len(str(value)) - 1))
    return (value + step // 2) // step * step


def simulated(
    members: int, sigma: float, *, rules: Rules, draws: int, random: Random
) -> tuple[float, float]:
    """How often a figure would be released, in percent: by rules 1 and 2, and with rule 4.

    Members' parts are drawn from a log-normal distribution of this spread, all of them readers.
    """
    plain = full = 0
    for _ in range(draws):
        sizes = [random.lognormvariate(0, sigma) for _ in range(members)]
        if _broken(sizes, rules):
            continue
        plain += 1
        full += not any(
            _broken([*sizes[:place], *sizes[place + 1 :]], rules) for place in range(members)
        )
    return 100 * plain / draws, 100 * full / draws


def _fault(parts: Parts, earlier: Sequence[Parts], panel: Panel) -> str:
    """The first rule that a cell breaks, alone or against the same row of earlier quarters."""
    alone = fault(parts, panel)
    if alone:
        return alone
    for other in earlier:
        change = less(parts, other)
        if any(change.values()) and fault(change, panel):
            return "subtraction"
    return ""


def _broken(sizes: Sequence[float], rules: Rules) -> str:
    if len(sizes) < rules.contributors:
        return "contributors"
    return "share" if 100 * max(sizes) > rules.share_percent * sum(sizes) else ""


def _month(year: int, month: int) -> datetime:
    """The first moment of the month that lies so many months after January of a year."""
    return datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)


def _check(
    document: Mapping[str, Any],
    bounds: Mapping[str, tuple[int, int]],
    code: str,
    *,
    required: bool,
) -> None:
    if not isinstance(document, Mapping):
        raise Refused(code, "This is a table of names.", "statistics")
    for name in document:
        if name not in bounds:
            raise Refused(code, "The statistics have no such setting.", f"statistics.{name}")
    for name, (least, most) in bounds.items():
        if name not in document and not required:
            continue
        number = document.get(name)
        if type(number) is not int or not least <= number <= most:
            sentence = f"This is a whole number from {least} to {most}."
            raise Refused(code, sentence, f"statistics.{name}")
