"""What may become of one contributed object, the same for all recipients: the plain values."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from exchange.policy.lattice import Ruling
from exchange.policy.terms import MemberPolicy

ACCEPTED, INCOMPLETE, HELD, WITHHELD = "accepted", "incomplete", "held", "withheld"


@dataclass(frozen=True, slots=True)
class Contributed:
    """One object as it was contributed."""

    obj: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Context:
    """The circumstances of one contribution, the same for each of its objects."""

    contributor: str
    circle: str
    default_basis: tuple[str, ...]
    now: datetime
    watch: frozenset[str] = frozenset()  # names of companies that may not be named (C13)
    constants: frozenset[str] = frozenset()  # ids that the exchange publishes itself
    issued: frozenset[str] = frozenset()  # forum ids that the contributor holds
    policy: MemberPolicy = field(default_factory=MemberPolicy.none)  # the contributor's own
    # Given by who judges the same objects under two floors: what was found in their texts, which
    # no floor changes; by the identity of their facts, which are kept beside it.
    found: dict[int, tuple[Any, Any]] | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class HoldReason:
    """One reason for which a person must judge an object, and who that is."""

    field_class: str  # "C13"
    rule: str  # "floor/1/hold/C13/named-actor"
    reason: str
    basis: str
    approvers: tuple[str, ...]
    places: tuple[str, ...] = ()  # of the texts that set a tripwire off; known names only

    @property
    def name(self) -> str:
        """What an approval names: the reason without the floor's version."""
        return self.rule.split("/hold/", 1)[-1]


@dataclass(frozen=True, slots=True)
class Standing:
    """What holds of one object for all recipients alike."""

    outcome: str
    holds: tuple[HoldReason, ...]
    own_sensitivity: str
    sensitivity: str  # with what is inherited: sets window and reach
    kind: str | None
    threat_basis: tuple[str, ...]
    valid_until: str | None
    tlp: str  # the mark that travels
    reach: str  # with what is inherited: whom it may reach
    sentence: str
    withheld: Ruling | None = None
    # Literals of the pattern that are tokens nobody vouches for.
    doubtful: frozenset[int] = frozenset()


def cleared(standing: Standing, reasons: frozenset[str]) -> Standing:
    """An approval clears the reasons that it names (by name or rule) and nothing else."""
    # An approval outlives the floor's version under which it was given.
    named = {reason.split("/hold/", 1)[-1] for reason in reasons}
    left = tuple(hold for hold in standing.holds if hold.name not in named)
    if left or standing.outcome != HELD:
        return replace(standing, holds=left)
    if standing.withheld is not None:
        sentence = f"Released by its approvers, but withheld: {standing.withheld.reason}"
        return replace(standing, outcome=WITHHELD, holds=(), sentence=sentence)
    sentence = "Accepted: its approvers have released it."
    return replace(standing, outcome=ACCEPTED, holds=(), sentence=sentence)
