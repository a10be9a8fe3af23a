"""The pool's rows and what the algorithms tied together: findings, the same for the same inputs.

1. rows of one member's group on several days are one row: its newest facts, all of its tokens
2. rows without evidence of their own are in no group, whoever ties them to it
3. a member whose own rows hang together as no honest rows do is left out; the others go on
4. a group that holds more than a tenth of all rows ends the run: it would name everybody
5. a group that touches what is disputed says nothing while the dispute is open
6. groups of two or more members are findings, those of one member drafts of that member

Values in, values out: no engine is needed here. `Ran` is what an engine made of each algorithm.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Protocol

from indicators.detection import schema, scorecard
from indicators.detection.values import Finding, Parameters, Pooled, TemplateRow

Algorithm = tuple[str, int]  # id and version

GIANT_PERCENT = 10  # of all rows: no group is so large
GIANT_LEAST = 30  # rows; a group of fewer is no giant, however small the pool
MOST_RELEASED = 64  # tokens of a kind, clients and families of one finding
# What a row holds of all days of its group; everything else is as on the newest.
OF_ALL_DAYS = ("payment", "device", "egress", "client", "capabilities", "methods", "surface")
MIN_BANDS = 2  # that two templates share, to be of one family
NEAR_HOURS = 1  # how far two rows' hours may differ and still agree
PACED = 4  # `flat` from which on hours say something
_DECADES = ((2, "2-9"), (10, "10-99"), (100, "100-999"), (1_000, "1k-9k"), (10_000, "10k-99k"))


@dataclass(frozen=True, slots=True)
class Ran:
    """What one algorithm said: units (numbers of rows) with a key; equal keys are one group."""

    algorithm: Algorithm
    is_tie: bool  # its groups tie rows together; all else marks what was tied
    pairs: tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class Card:
    """An active scorecard."""

    algorithm: Algorithm
    parameters: Parameters


class Rows(Protocol):
    """The run's rows by number, in their order; made on demand, for few of many are asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int, /) -> Pooled: ...

    def member(self, number: int) -> int:
        """Whose row it is; affiliates are one."""

    def members(self) -> Mapping[int, int]:
        """How many rows each has."""

    def want(self, numbers: Collection[int]) -> None:
        """These are asked for next."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a run says."""

    findings: tuple[Finding, ...]  # of two or more members, and of one: its drafts
    rows: int
    largest: int  # rows of the largest group
    is_stopped: bool = False  # by that group: there are no findings then
    left_out: tuple[int, ...] = ()  # members whose rows hang together too much


@dataclass(frozen=True, slots=True)
class Held(Rows):
    """Rows that are all at hand."""

    rows: tuple[Pooled, ...]

    @classmethod
    def of(cls, pooled: Iterable[Pooled]) -> "Held":
        """One row for each member's group, in an order that says nothing of arrival."""
        return cls(merged(pooled))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: int, /) -> Pooled:
        return self.rows[number]

    def member(self, number: int) -> int:
        """Whose row it is; affiliates are one."""
        return self.rows[number].member

    def members(self) -> Mapping[int, int]:
        """How many rows each has."""
        return Counter(one.member for one in self.rows)

    def want(self, numbers: Collection[int]) -> None:
        """They are there."""


def merged(pooled: Iterable[Pooled]) -> tuple[Pooled, ...]:
    """One row for each member's group: its newest facts, and the tokens of all its days."""
    groups: dict[tuple[int, str], list[Pooled]] = defaultdict(list)
    for one in pooled:
        groups[(one.member, one.row.cluster)].append(one)
    return tuple(as_one(groups[name]) for name in sorted(groups))


def as_one(days: Sequence[Pooled]) -> Pooled:
    """The rows of one group on several days as one."""
    ordered = sorted(days, key=lambda one: (one.day, one.row.row))
    newest = ordered[-1]
    if len(ordered) == 1:
        return newest
    lists = {name: _union(getattr(one.row, name) for one in ordered) for name in OF_ALL_DAYS}
    return with_all(newest, min(one.row.first_day for one in ordered), lists)


def with_all(newest: Pooled, first_day: date, lists: Mapping[str, tuple[str, ...]]) -> Pooled:
    """The newest row of a group, with when it was first seen and what it held on any day."""
    changed: dict[str, Any] = {"first_day": first_day, **lists}
    return replace(newest, row=replace(newest.row, **changed))


def found(
    rows: Rows,
    ran: Iterable[Ran],
    cards: Sequence[Card],
    *,
    alone: Collection[int] = (),
    is_disputed: Callable[[Pooled], bool] = lambda _: False,
) -> Found:
    """What the algorithms' groups and marks come to; `alone` are rows that a scorecard names."""
    said = sorted(ran, key=lambda one: one.algorithm)
    rows.want({unit for one in said if one.is_tie for unit, _ in one.pairs}.union(alone))
    judge = _Judge(rows, cards)
    ties = _ties(said, judge)
    left_out = _crowded(rows, ties)
    ties = [[unit for unit in units if rows.member(unit) not in left_out] for units in ties]
    groups = _components(ties, [unit for unit in alone if rows.member(unit) not in left_out])
    largest = max(map(len, groups), default=0)
    if _is_giant(largest, len(rows)):
        return Found((), len(rows), largest, is_stopped=True, left_out=left_out)
    marks = _marks(said)
    findings = [
        finding
        for group in groups
        if not any(is_disputed(rows[unit]) for unit in group)
        for finding in judge.findings(group, marks)
    ]
    return Found(tuple(findings), len(rows), largest, left_out=left_out)


# --- groups --------------------------------------------------------------------------------------


def _ties(said: Iterable[Ran], judge: "_Judge") -> list[list[int]]:
    """Rows with evidence that one key of one algorithm ties, at least two."""
    groups: dict[tuple[Algorithm, str], set[int]] = defaultdict(set)
    for one in said:
        if one.is_tie:
            for unit, key in one.pairs:
                if judge.holds(unit):
                    groups[(one.algorithm, key)].add(unit)
    return [sorted(units) for _, units in sorted(groups.items()) if len(units) > 1]


def _components(ties: Iterable[Sequence[int]], alone: Iterable[int] = ()) -> list[tuple[int, ...]]:
    """What hangs together, each group sorted, the groups by their first row."""
    parent: dict[int, int] = {}

    def root(unit: int) -> int:
        parent.setdefault(unit, unit)
        while parent[unit] != unit:
            parent[unit] = parent[parent[unit]]
            unit = parent[unit]
        return unit

    for unit in alone:
        root(unit)
    for units in ties:
        for unit in units:
            one, other = root(units[0]), root(unit)
            parent[max(one, other)] = min(one, other)
    groups: dict[int, list[int]] = defaultdict(list)
    for unit in sorted(parent):
        groups[root(unit)].append(unit)
    return [tuple(units) for _, units in sorted(groups.items())]


def _crowded(rows: Rows, ties: Iterable[Sequence[int]]) -> tuple[int, ...]:
    """Members of whose rows too many hang together by themselves.

    Else one member could make the largest group too large, and so end everybody's run.
    """
    own: dict[int, list[list[int]]] = defaultdict(list)
    for units in ties:
        mine: dict[int, list[int]] = defaultdict(list)
        for unit in units:
            mine[rows.member(unit)].append(unit)
        for member, tied in mine.items():
            own[member].append(tied)
    have = rows.members()
    return tuple(
        member
        for member, tied in sorted(own.items())
        if _is_giant(max(map(len, _components(tied)), default=0), have[member])
    )


def _is_giant(largest: int, rows: int) -> bool:
    return largest > GIANT_LEAST and largest * 100 > rows * GIANT_PERCENT


def _marks(said: Iterable[Ran]) -> dict[int, set[Algorithm]]:
    """Which algorithms hit each row."""
    marks: dict[int, set[Algorithm]] = defaultdict(set)
    for one in said:
        for unit, _ in one.pairs:
            marks[unit].add(one.algorithm)
    return marks


class _Judge:
    """Scores of rows and groups under the active scorecards."""

    def __init__(self, rows: Rows, cards: Sequence[Card]) -> None:
        self._rows = rows
        self._cards = sorted(cards, key=lambda card: card.algorithm)
        self._evidence: dict[int, bool] = {}

    def holds(self, unit: int) -> bool:
        """Whether a row has evidence of its own."""
        if unit not in self._evidence:
            facts = scorecard.facts_of(self._rows[unit].row)
            self._evidence[unit] = any(
                scorecard.is_evidence(scorecard.score(facts, card.parameters), card.parameters)
                for card in self._cards
            )
        return self._evidence[unit]

    def findings(
        self, group: Sequence[int], marks: Mapping[int, Collection[Algorithm]]
    ) -> Iterable[Finding]:
        """The finding of a group of several members; else what each member's rows say alone."""
        by_member: dict[int, list[int]] = defaultdict(list)
        for unit in group:
            by_member[self._rows.member(unit)].append(unit)
        whole = self._finding(group, marks)
        if len(by_member) > 1 and whole is not None:
            return [whole, *self._untold(group, marks, whole)]
        return [
            part for _, units in sorted(by_member.items()) for part in self._parts(units, marks)
        ]

    def _parts(
        self, units: Sequence[int], marks: Mapping[int, Collection[Algorithm]]
    ) -> Iterable[Finding]:
        """What a member's rows say together, else each: what is tied to a row unsays nothing."""
        together = self._finding(units, marks)
        if together is not None:
            return [together]
        each = [self._finding([unit], marks) for unit in units]
        return [one for one in each if one is not None]

    def _untold(
        self, group: Sequence[int], marks: Mapping[int, Collection[Algorithm]], whole: Finding
    ) -> Iterable[Finding]:
        """Drafts of rows that a scorecard names alone, with what the finding leaves out of them.

        A finding has what two members share, so whoever plants a row beside another's would take
        from all what they match by: its member is asked for the rest.
        """
        bands = {band for family in whole.templates for band in family.bands}
        tokens = {*whole.payment, *whole.device}
        each = [self._finding([unit], marks) for unit in group]
        return [
            one
            for one in each
            if one is not None
            and (
                any(bands.isdisjoint(family.bands) for family in one.templates)
                or not tokens.issuperset((*one.payment, *one.device))
            )
        ]

    def _finding(
        self, group: Sequence[int], marks: Mapping[int, Collection[Algorithm]]
    ) -> Finding | None:
        rows = tuple(self._rows[unit] for unit in group)
        facts = scorecard.facts_of_group([one.row for one in rows])
        best: tuple[int, int, Card] | None = None
        for card in self._cards:
            points = scorecard.score(facts, card.parameters)
            if scorecard.is_found(points, card.parameters):
                over = (points - card.parameters["threshold"]) * 100
                percent = over // max(1, card.parameters["threshold"])
                if best is None or percent > best[0]:
                    best = (percent, points, card)
        if best is None:
            return None
        percent, points, card = best
        by = {card.algorithm}.union(*(marks.get(unit, ()) for unit in group))
        made = summary(rows)
        return replace(
            made, score=points, confidence=_confidence(percent), algorithms=tuple(sorted(by))
        )


# --- what a finding says -------------------------------------------------------------------------


def summary(rows: tuple[Pooled, ...]) -> Finding:
    """What may be said of a group of rows, before it is scored.

    Of several members that is what two of them vouch for, of cards and devices as of all else: what
    one alone holds may be a customer whom it planted, and leaves in its own name, as its draft. Of
    one member it is what it sent, if its accounts have several payers, whatever others sent: else
    whoever planted the same would silence it.
    """
    facts = scorecard.facts_of_group([one.row for one in rows])
    tokens = {kind: _tokens(rows, kind) for kind in ("payment", "device")}
    clients = _shared(rows, lambda one: one.row.client)
    families = _families(rows)
    linkage = _linkage(rows, facts, clients, families)
    return Finding(
        rows=rows,
        score=0,
        accounts=_decade(sum(_floor(one.row.size) for one in rows)),
        strength=("weak", "moderate", "strong")[min(2, len(linkage) - 1)],
        linkage=linkage,
        payment=tokens["payment"],
        device=tokens["device"],
        egress=_of_two_members(rows, lambda one: one.row.egress),
        clients=clients,
        templates=families,
        hours=_hours(rows),
        flat=facts["flat"],
        first_day=min(one.row.first_day for one in rows),
        last_day=max(one.row.last_day for one in rows),
        start_peak=facts["start_peak"],
        pivot=facts["pivot"],
        capabilities=_union(one.row.capabilities for one in rows),
        methods=_union(one.row.methods for one in rows),
        surface=_union(one.row.surface for one in rows),
        confidence=0,
        algorithms=(),
    )


def _tokens(rows: Sequence[Pooled], kind: str) -> tuple[str, ...]:
    if len({one.member for one in rows}) > 1:
        return _of_two_members(rows, lambda one: getattr(one.row, kind))
    said = {
        token
        for one in rows
        if one.row.payers in schema.SIZES  # R2
        for token in getattr(one.row, kind)
    }
    return tuple(sorted(said)[:MOST_RELEASED])


def _of_two_members(
    rows: Sequence[Pooled], values: Callable[[Pooled], Iterable[str]]
) -> tuple[str, ...]:
    members: dict[str, set[int]] = defaultdict(set)
    for one in rows:
        for value in values(one):
            members[value].add(one.member)
    said = sorted(value for value, whose in members.items() if len(whose) > 1)
    return tuple(said[:MOST_RELEASED])


def _witnesses(rows: Sequence[Pooled]) -> tuple[tuple[int, ...], int]:
    """Who vouches for what each row holds, and how many of them it takes for it to be said.

    Of several members each is one, however many rows it sent: else two planted rows would say of a
    lawful customer what no other has seen. Of one member each row is one; of one row, that row.
    """
    members = tuple(one.member for one in rows)
    whose = members if len(set(members)) > 1 else tuple(range(len(rows)))
    return whose, min(2, len(rows))


def _shared(rows: Sequence[Pooled], values: Callable[[Pooled], Iterable[str]]) -> tuple[str, ...]:
    """Of several members what two of them have; of one, what two of its rows have."""
    whose, least = _witnesses(rows)
    held: dict[str, set[int]] = defaultdict(set)
    for witness, one in zip(whose, rows, strict=True):
        for value in values(one):
            held[value].add(witness)
    said = sorted(value for value, witnesses in held.items() if len(witnesses) >= least)
    return tuple(said[:MOST_RELEASED])


def _families(rows: Sequence[Pooled]) -> tuple[TemplateRow, ...]:
    """One template for each family, with the bands that two members share (or two rows of one)."""
    whose, least = _witnesses(rows)
    templates = [
        (witness, one) for witness, row in zip(whose, rows, strict=True) for one in row.templates
    ]
    holders: dict[tuple[int, str], list[int]] = defaultdict(list)
    for index, (_, template) in enumerate(templates):
        for place, band in enumerate(template.bands):
            holders[(place, band)].append(index)
    shared: Counter[tuple[int, int]] = Counter()
    for held in holders.values():
        for place, one in enumerate(held):
            for other in held[place + 1 :]:
                shared[(one, other)] += 1
    near = [pair for pair, count in shared.items() if count >= MIN_BANDS]
    made = []
    for group in _components(near, range(len(templates))):
        of_group = [templates[index] for index in group]
        if len({witness for witness, _ in of_group}) >= least:
            family = _family(of_group, least)
            if len(family.bands) >= MIN_BANDS:
                made.append(family)
    made.sort(key=lambda one: (-len(one.bands), one.bands))
    return tuple(
        replace(one, template=number) for number, one in enumerate(made[: schema.MOST_TEMPLATES])
    )


def _family(templates: Sequence[tuple[int, TemplateRow]], least: int) -> TemplateRow:
    held: dict[str, set[int]] = defaultdict(set)
    for witness, template in templates:
        for band in template.bands:
            held[band].add(witness)
    each = [template for _, template in templates]
    return TemplateRow(
        template=0,
        bands=tuple(sorted(band for band, whose in held.items() if len(whose) >= least))[
            : schema.BANDS
        ],
        length_bucket=max((one.length_bucket for one in each), key=schema.LENGTHS.index),
        sample_bucket=max((one.sample_bucket for one in each), key=schema.SAMPLES.index),
        base_rate_bucket=max((one.base_rate_bucket for one in each), key=schema.BASE_RATES.index),
        languages=_union(one.languages for one in each)[:16],
    )


def _linkage(
    rows: Sequence[Pooled],
    facts: scorecard.Facts,
    clients: Sequence[str],
    families: Sequence[TemplateRow],
) -> tuple[str, ...]:
    features = {
        "shared-payment-token": bool(_shared(rows, lambda one: one.row.payment)),
        "shared-device-token": bool(_shared(rows, lambda one: one.row.device)),
        "shared-client-fingerprint": bool(clients),
        "shared-egress": bool(_shared(rows, lambda one: one.row.egress)),
        "identical-template-set": len(families) > 1,
        "synchronised-start": facts["start_peak"] >= 6,
    }
    said = tuple(sorted(name for name, is_so in features.items() if is_so))
    return said or ("identical-template-set",)


def _hours(rows: Sequence[Pooled]) -> str:
    """The hours where all rows agree on them, and are paced by a machine; else nothing."""
    if any(one.row.flat < PACED for one in rows):
        return ""
    digits = [[int(digit) for digit in one.row.hours] for one in rows]
    columns = list(zip(*digits, strict=True))
    if any(max(column) - min(column) > NEAR_HOURS for column in columns):
        return ""
    return "".join(str(sum(column) // len(column)) for column in columns)


def _confidence(percent: int) -> int:
    """Steps of five from 50 to 90, by how far a group is over what is asked: no weight is in it."""
    return min(90, 50 + percent // 5 * 5)


def _floor(size: str) -> int:
    return schema.SIZE_FLOORS[schema.SIZES.index(size)]


def _decade(accounts: int) -> str:
    return [word for least, word in _DECADES if accounts >= least][-1]


def _union(lists: Iterable[Iterable[str]]) -> tuple[str, ...]:
    return tuple(sorted({value for values in lists for value in values}))
