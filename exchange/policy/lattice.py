"""Treatments, their order and their join: joining can only tighten."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import IntEnum


class Treatment(IntEnum):
    """What is done with a field, from the most open to the strictest."""

    PASS = 0
    COARSEN = 1
    TOKEN = 2
    DROP = 3


@dataclass(frozen=True, slots=True)
class Parameter:
    """How coarse: a step on a named scale, where a larger step says less."""

    scale: str
    step: int


@dataclass(frozen=True, slots=True)
class Ruling:
    """What is done with one field, and why."""

    treatment: Treatment
    field_class: str  # what the field gives away: "volume", "narrative", "unknown" ...
    rule: str  # "floor/1/volume"
    reason: str  # one sentence that counsel can read
    basis: str  # what the rule rests on: a class of the catalogue, a section of a law
    parameter: Parameter | None = None


ALL = frozenset(Treatment)


def join(one: Ruling, other: Ruling) -> Ruling:
    """The stricter of two rulings.

    Two ways of coarsening that do not compare give the least treatment above both, a token;
    where the field class has none, `strictest` makes that a drop.
    """
    if _scales_differ(one, other):
        return _irreconcilable(one, other)
    return max(one, other, key=_strictness)


def strictest(rulings: Iterable[Ruling], *, can: frozenset[Treatment] = ALL) -> Ruling:
    """The join of several; where the field class cannot do what came out of it, drop."""
    joined: Ruling | None = None
    for ruling in rulings:
        joined = ruling if joined is None else join(joined, ruling)
    if joined is None:
        raise ValueError("a field without any ruling does not exist")
    if joined.treatment in can:
        return joined
    return replace(joined, treatment=Treatment.DROP, parameter=None)


def at_least(one: Ruling, other: Ruling) -> bool:
    """Whether the first ruling says no more than the second."""
    return effect(join(one, other)) == effect(one)


def effect(ruling: Ruling) -> tuple[Treatment, Parameter | None]:
    """What a ruling does, its reason apart."""
    return ruling.treatment, ruling.parameter


def _scales_differ(one: Ruling, other: Ruling) -> bool:
    if one.treatment != Treatment.COARSEN or other.treatment != Treatment.COARSEN:
        return False
    return _scale(one) != _scale(other)


def _scale(ruling: Ruling) -> str:
    return ruling.parameter.scale if ruling.parameter else ""


def _irreconcilable(one: Ruling, other: Ruling) -> Ruling:
    named = max(one, other, key=_strictness)
    return replace(named, treatment=Treatment.TOKEN, parameter=None)


def _strictness(ruling: Ruling) -> tuple[int, int, bool, str, str, str]:
    # A total order, so that the join does not depend on who came first. Of equal effects the
    # floor's is named before a member's own rule: the reason must not tell more than it has to.
    step = ruling.parameter.step if ruling.parameter else 0
    from_floor = ruling.rule.startswith("floor/")
    scale = _scale(ruling)
    return int(ruling.treatment), step, from_floor, ruling.rule, ruling.reason, scale
