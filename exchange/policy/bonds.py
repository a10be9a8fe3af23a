"""What binds the objects of a file to one another, as far as any of them is decided by another.

A file that is taken in parts is cut by these: `links` and `vouched` decide by nothing else.
"""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any

from exchange.policy import facts, vouched
from exchange.policy.facts import Facts

# Of these the whole but name, times and value says how they lend and vouch.
_KEYED = frozenset({"keyed-token", "prompt-template-fingerprint"})
_VALUES = frozenset({"id", "created", "modified", "value", "bands"})


@dataclass(frozen=True, slots=True)
class Bonds:
    """One object as a knot: its name, the names it refers to, the values it states."""

    name: str
    refers: tuple[str, ...]
    values: tuple[tuple[str, str], ...]
    # It links its ends to one another, not only to itself.
    joins: bool
    # Objects with equal signatures lend the same to whatever they are linked to, under any floor.
    signature: Hashable


def of(subject: Facts) -> Bonds:
    """The bonds of one object."""
    return Bonds(
        name=subject.stix_id,
        refers=tuple(dict.fromkeys(subject.references)),
        values=tuple(dict.fromkeys(_values(subject))),
        joins=subject.stix_type == "relationship",
        signature=_signature(subject),
    )


def _values(subject: Facts) -> Iterator[tuple[str, str]]:
    for kind, value in facts.shared_values(subject):
        yield f"value {kind}", value
    for kind, value in vouched.named(subject):
        yield f"token {kind}", value


def _signature(subject: Facts) -> Hashable:
    """All that kind, sensitivity, rates, checks and prompts are read from (`fill`, `links`)."""
    context = subject.context
    check = context.get("shared_infrastructure_check")
    said = (
        context.get("indicator_kind"),
        context.get("sensitivity"),
        context.get("base_rate_bucket"),
        check.get("verdict") if isinstance(check, dict) else None,
    )
    literals = {
        (
            one.object_type,
            one.entry.field_class if one.entry is not None else None,
            facts.is_range(one.value),
            one.value if one.place == "keyed-token:kind" else None,
        )
        for one in subject.literals
    }
    rest = _rest(subject.obj) if subject.stix_type in _KEYED else None
    own = facts.is_range(subject.obj.get("value"))
    return repr((subject.stix_type, said, sorted(map(repr, literals)), own, rest))


def _rest(obj: Any) -> str:  # noqa: ANN401 - a JSON object
    return repr(sorted((name, repr(value)) for name, value in obj.items() if name not in _VALUES))
