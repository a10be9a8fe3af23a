"""Cut the objects of a file into parts, each decided as it would be in the whole.

What an object is linked to lends it sensitivity, and more. So what hangs together stays together,
as long as it is no more than a part may hold. Where more hangs together, it is cut at the objects
that many others are linked to: such a hub goes along with every part that is linked to it, given
again with the same content, which changes nothing. In the first part of its knot, where it is
decided, it has beside it a witness of each sort of object that it is linked to anywhere; a value
that many state has its witnesses along in each part. What cannot be cut so is refused.
"""

from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TypeAlias

from exchange.proof.refused import Refused

Numbers: TypeAlias = "array[int]"

HUB = 200  # links from which on an object, or a value, is one that many hang on
_JOINS_AT_MOST = 8
_SHELVES = 64


@dataclass(slots=True)
class Knots:
    """The bonds of a file as numbers; names and values are digests of 64 bits.

    A digest that two names share ties them together, which is never too little.
    """

    names: Numbers = field(default_factory=lambda: array("Q"))
    signatures: Numbers = field(default_factory=lambda: array("Q"))
    joins: Numbers = field(default_factory=lambda: array("B"))
    octets: Numbers = field(default_factory=lambda: array("I"))
    # How many values stand in each, at most.
    leaves: Numbers = field(default_factory=lambda: array("I"))
    refs: Numbers = field(default_factory=lambda: array("Q"))
    referring: Numbers = field(default_factory=lambda: array("I"))
    values: Numbers = field(default_factory=lambda: array("Q"))
    stating: Numbers = field(default_factory=lambda: array("I"))

    def __len__(self) -> int:
        """How many objects."""
        return len(self.names)


@dataclass(frozen=True, slots=True)
class Most:
    """How much one part may hold, and with how much it is full enough."""

    objects: int
    octets: int
    leaves: int
    full: int


@dataclass(frozen=True, slots=True)
class Part:
    """Objects that are decided here, and those that are given again beside them.

    `after` is the part that has to be stored before, if any.
    """

    own: tuple[int, ...]
    beside: tuple[int, ...] = ()
    after: int | None = None


def cut(knots: Knots, most: Most, *, hub: int = HUB) -> tuple[Part, ...]:
    """The parts of a file, in its own order as far as may be; each object is decided once."""
    first = _first_of_each_name(knots)
    sets = _Sets(array("I", range(len(knots))))
    for one, other in _edges(knots, first):
        sets.join(one, other)
    for group in _stated_by(knots, first):
        for other in group[1:]:
            sets.join(group[0], other)
    for n in range(len(knots)):
        sets.join(first[n], n)
    weigh = _Scale(knots, most)
    large: dict[int, _Bunch] = {}
    small = _small(sets, weigh, large)
    found = [Part(tuple(one)) for one in _packed(small, weigh)]
    if large:
        _tie(large, knots, first, sets)
        for bunch in large.values():
            found += _divided(bunch, weigh, hub, start=len(found))
    return tuple(found)


def _small(sets: "_Sets", weigh: "_Scale", large: dict[int, "_Bunch"]) -> Iterator[list[int]]:
    """What hangs together, in the order of the file; what is too much for a part is put aside."""
    order = sorted(range(len(weigh.knots)), key=sets.root)
    for root, bunch in groupby(order, key=sets.root):
        objects = list(bunch)
        if weigh.fits(objects):
            yield objects
        else:
            large[root] = _Bunch(weigh.knots, objects)


def _tie(large: Mapping[int, "_Bunch"], knots: Knots, first: Numbers, sets: "_Sets") -> None:
    """Give the large bunches their links."""
    for bunch in large.values():
        for n in bunch.given:
            bunch.versions[first[n]].append(n)
    for owner, holder in _edges(knots, first):
        bunch_of = large.get(sets.root(owner))
        if bunch_of is not None:
            bunch_of.link(owner, holder)
    for group in _stated_by(knots, first):
        bunch_of = large.get(sets.root(group[0]))
        if bunch_of is not None:
            bunch_of.groups.append(group)


def _first_of_each_name(knots: Knots) -> Numbers:
    """All versions of an object are one knot: the first of them stands for all."""
    first = array("I", range(len(knots)))
    for group in _alike(knots.names, first):
        for n in group[1:]:
            first[n] = group[0]
    return first


def _alike(keys: Sequence[int], holders: Sequence[int]) -> Iterator[list[int]]:
    """The holders of each key, in their order; shelf by shelf, so that no table holds all keys."""
    shelves = [array("I") for _ in range(_SHELVES)]
    for place, key in enumerate(keys):
        shelves[key % _SHELVES].append(place)
    for shelf in shelves:
        found: dict[int, list[int]] = defaultdict(list)
        for place in shelf:
            found[keys[place]].append(holders[place])
        yield from (group for group in found.values() if len(group) > 1)


def _edges(knots: Knots, first: Numbers) -> Iterator[tuple[int, int]]:
    """Who is referred to, and by whom: only what stands in the file links anything."""
    keys = knots.names + knots.refs
    owners = len(knots)
    places = array("Q", range(len(keys)))
    for group in _alike(keys, places):
        if group[0] >= owners:
            continue  # nobody here has that name
        owner = first[group[0]]
        for place in group:
            if place >= owners:
                holder = first[knots.referring[place - owners]]
                if holder != owner:
                    yield owner, holder


def _stated_by(knots: Knots, first: Numbers) -> Iterator[list[int]]:
    for group in _alike(knots.values, knots.stating):
        knot = list(dict.fromkeys(first[n] for n in group))
        if len(knot) > 1:
            yield knot


class _Sets:
    """Which knots hang together."""

    def __init__(self, above: "Numbers | dict[int, int]") -> None:
        self.above = above

    def root(self, n: int) -> int:
        """What stands for all that hangs together with this."""
        above = self.above
        while above[n] != n:
            above[n] = above[above[n]]
            n = above[n]
        return n

    def join(self, one: int, other: int) -> None:
        """These hang together."""
        one, other = self.root(one), self.root(other)
        if one != other:
            # The earlier stands for both, so that parts keep the order of the file.
            self.above[max(one, other)] = min(one, other)


class _Scale:
    """What objects weigh, and whether they fit into one part."""

    def __init__(self, knots: Knots, most: Most) -> None:
        self.knots = knots
        self.most = most

    def weight(self, objects: Iterable[int]) -> tuple[int, int, int]:
        """Objects, octets, values."""
        count = octets = leaves = 0
        for n in objects:
            count += 1
            octets += self.knots.octets[n] + 1
            leaves += self.knots.leaves[n] + 1
        return count, octets, leaves

    def holds(self, weight: tuple[int, int, int]) -> bool:
        """Whether so much is allowed in one part."""
        count, octets, leaves = weight
        most = self.most
        return count <= most.objects and octets <= most.octets and leaves <= most.leaves

    def fits(self, objects: Iterable[int]) -> bool:
        """Whether these are allowed in one part."""
        return self.holds(self.weight(objects))

    def is_full(self, weight: tuple[int, int, int]) -> bool:
        """Whether nothing needs to be put to so much."""
        return weight[0] >= self.most.full or weight[1] >= self.most.octets // 2


def _packed(bunches: Iterable[list[int]], weigh: _Scale) -> Iterator[list[int]]:
    """Bunches put together until a part is full enough."""
    part: list[int] = []
    weight = (0, 0, 0)
    for bunch in bunches:
        more = weigh.weight(bunch)
        both = _sum(weight, more)
        if part and (weigh.is_full(weight) or not weigh.holds(both) or both[0] > weigh.most.full):
            yield sorted(part)
            part, both = [], more
        part += bunch
        weight = both
    if part:
        yield sorted(part)


def _sum(one: tuple[int, int, int], other: tuple[int, int, int]) -> tuple[int, int, int]:
    return one[0] + other[0], one[1] + other[1], one[2] + other[2]


# --- more hangs together than a part may hold ----------------------------------------------------


class _Bunch:
    """Objects that hang together, as knots with their links."""

    def __init__(self, knots: Knots, given: list[int]) -> None:
        self.knots = knots
        self.given = given
        self.versions: dict[int, list[int]] = defaultdict(list)
        self.links: dict[int, set[int]] = defaultdict(set)
        # Of what joins its ends: those ends.
        self.ends: dict[int, set[int]] = defaultdict(set)
        self.groups: list[list[int]] = []

    def link(self, owner: int, holder: int) -> None:
        """One refers to the other."""
        self.links[owner].add(holder)
        self.links[holder].add(owner)
        if any(self.knots.joins[n] for n in self.versions[holder]):
            self.ends[holder].add(owner)

    def sort_of(self, knot: int) -> tuple[int, ...]:
        """What a knot lends, whatever the floor."""
        return tuple(sorted({self.knots.signatures[n] for n in self.versions[knot]}))

    def objects(self, knots: Iterable[int]) -> list[int]:
        """All versions of some knots."""
        return [n for knot in knots for n in self.versions[knot]]


@dataclass(slots=True)
class _Plan:
    """How a bunch falls apart without its hubs, and what each piece needs beside it."""

    hubs: frozenset[int]
    wide: list[list[int]]  # values that many state
    pieces: dict[int, list[int]]
    piece_of: dict[int, int]
    # For each of `wide`: one knot of each sort.
    witnesses: list[list[int]]
    core: set[int]


def _divided(bunch: _Bunch, weigh: _Scale, hub: int, *, start: int) -> Iterator[Part]:
    plan = _plan(bunch, hub)
    core = sorted(bunch.objects(k for piece in sorted(plan.core) for k in plan.pieces[piece]))
    if not weigh.fits(core):
        raise _entangled(weigh)
    yield Part(tuple(core))
    wide_of: dict[int, list[int]] = defaultdict(list)
    for place, group in enumerate(plan.wide):
        for knot in group:
            wide_of[knot].append(place)
    part: list[int] = []
    beside: set[int] = set()
    weight = (0, 0, 0)
    for piece, knots in sorted(plan.pieces.items()):
        if piece in plan.core:
            continue
        needed = _needed(bunch, plan, knots, wide_of)
        objects = bunch.objects(knots)
        more = weigh.weight(objects)
        # Weighed piece by piece: a knot of a million objects may fall into half a million.
        both = _sum(_sum(weight, more), weigh.weight(bunch.objects(needed - beside)))
        is_full = len(part) + len(objects) > weigh.most.full
        if part and (is_full or not weigh.holds(both)):
            yield Part(tuple(sorted(part)), tuple(sorted(bunch.objects(beside))), start)
            part, beside = [], set()
            both = _sum(more, weigh.weight(bunch.objects(needed)))
        if not weigh.holds(both):
            raise _entangled(weigh)
        part += objects
        beside |= needed
        weight = both
    if part:
        yield Part(tuple(sorted(part)), tuple(sorted(bunch.objects(beside))), start)


def _plan(bunch: _Bunch, hub: int) -> _Plan:
    hubs = frozenset(
        knot
        for knot, links in bunch.links.items()
        # What joins a crowd makes all of it neighbours: that is no hub, it cannot be taken out.
        if len(links) > hub and len(bunch.ends.get(knot, ())) <= _JOINS_AT_MOST
    )
    wide = [group for group in bunch.groups if len(group) > hub]
    piece_of = _pieces(bunch, hubs, hub)
    pieces: dict[int, list[int]] = defaultdict(list)
    for knot in sorted(piece_of):
        pieces[piece_of[knot]].append(knot)
    witnesses = [list({bunch.sort_of(k): k for k in reversed(group)}.values()) for group in wide]
    beside = {knot for found in witnesses for knot in found} | hubs
    for one in hubs:
        beside |= bunch.ends.get(one, set()) | set(_witnesses(bunch, one))
    return _Plan(hubs, wide, pieces, piece_of, witnesses, {piece_of[knot] for knot in beside})


def _pieces(bunch: _Bunch, hubs: frozenset[int], hub: int) -> dict[int, int]:
    """What still hangs together without the hubs, and without the values that many state."""
    sets = _Sets({knot: knot for knot in bunch.versions})
    for knot, links in bunch.links.items():
        for other in links if knot not in hubs else ():
            if other not in hubs:
                sets.join(knot, other)
    for group in bunch.groups:
        for other in group[1:] if len(group) <= hub else ():
            sets.join(group[0], other)
    return {knot: sets.root(knot) for knot in bunch.versions}


def _witnesses(bunch: _Bunch, one: int) -> Iterable[int]:
    """Of each sort of knot that a hub is linked to the first; what joins, by its ends too."""
    found: dict[tuple[object, ...], int] = {}
    for other in sorted(bunch.links[one]):
        ends = sorted(bunch.sort_of(end) for end in bunch.ends.get(other, ()) if end != one)
        found.setdefault((bunch.sort_of(other), *ends), other)
    return found.values()


def _needed(
    bunch: _Bunch, plan: _Plan, knots: Iterable[int], wide_of: Mapping[int, Sequence[int]]
) -> set[int]:
    """What has to stand beside a piece: its hubs, and witnesses of its values."""
    found: set[int] = set()
    for knot in knots:
        found |= bunch.links.get(knot, set()) & plan.hubs
        for place in wide_of.get(knot, ()):
            found.update(plan.witnesses[place])
    return found - set(knots)


def _entangled(weigh: _Scale) -> Refused:
    return Refused(
        "file.entangled",
        f"More than {weigh.most.objects:,} objects of this file hang together by references or "
        "equal values, so that they cannot be judged in parts. Send it as several files.",
    )
