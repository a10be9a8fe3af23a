"""What is missing is filled where it can be: kind, sensitivity and validity, by the floor."""

from datetime import timedelta

from exchange.policy import coarsen, facts
from exchange.policy.facts import Facts, Literal
from exchange.policy.terms import SENSITIVITIES, Floor, strictest_sensitivity

_ADDRESSES = frozenset({"ipv4-addr", "ipv6-addr"})


def kind_of(subject: Facts, floor: Floor) -> str | None:
    """The declared kind, or the one that type or pattern have in the floor."""
    declared = subject.context.get("indicator_kind")
    if declared in floor.document["kinds"]:
        return str(declared)
    by_type: str | None = floor.document["kind_of_type"].get(subject.stix_type)
    if by_type is not None or not subject.literals:
        return by_type
    table = floor.document["kind_of_observable"]
    kinds: set[str | None] = {table.get(literal.object_type) for literal in subject.literals}
    kind = kinds.pop()
    if kinds:
        return None
    if kind is not None and _only_api_keys(subject):
        return str(floor.document["kind_of_api_key"])
    return kind


def _only_api_keys(subject: Facts) -> bool:
    named = {literal.value for literal in subject.literals if literal.place == "keyed-token:kind"}
    return named == {"api-key"}


def own_sensitivity(subject: Facts, kind: str | None, floor: Floor) -> str:
    """The strictest of the floor's for kind and type, of the values stated, and the declared."""
    table = floor.document["sensitivities"]
    sensitivities = [_of_literal(literal, floor) for literal in subject.literals]
    if kind is not None:
        sensitivities.append(floor.document["kinds"][kind]["sensitivity"])
    elif subject.stix_type in _ADDRESSES:
        sensitivities.append(_of_address(subject.obj.get("value"), floor))
    else:
        sensitivities.append(table["types"].get(subject.stix_type, table["default"]))
    declared = subject.context.get("sensitivity")
    if declared in SENSITIVITIES:
        sensitivities.append(declared)
    return strictest_sensitivity(sensitivities)


def _of_literal(literal: Literal, floor: Floor) -> str:
    if literal.entry is not None and literal.entry.field_class == "address":
        return _of_address(literal.value, floor)
    table = floor.document["sensitivities"]
    sensitivity: str = table["types"].get(literal.object_type, "S1")
    return sensitivity


def _of_address(value: object, floor: Floor) -> str:
    table = floor.document["sensitivities"]
    sensitivity: str = table["address_range" if facts.is_range(value) else "address_single"]
    return sensitivity


def valid_until(
    subject: Facts, kind: str | None, floor: Floor, *, most: int | None = None
) -> str | None:
    """The end of an indicator's validity: as declared, at most the kind's time to live, by day.

    `most` is the contributor's own limit in days, if it has one.
    """
    if subject.stix_type != "indicator":
        return None
    document = floor.document
    days = document["kinds"][kind]["days"] if kind else document["default_days"]
    if any(_is_address(literal) for literal in subject.literals):
        days = min(days, document["address_days"])
    if most is not None:
        days = min(days, most)
    try:
        # From the day, not the moment: what is cut off `valid_from` must not show here either.
        start = coarsen.day_down(coarsen.instant(str(subject.obj.get("valid_from"))))
        end = start + timedelta(days=min(days, document["days_at_most"]))
        if "valid_until" in subject.obj:
            end = min(end, coarsen.instant(str(subject.obj["valid_until"])))
        return coarsen.stamp(coarsen.day_up(end))
    except (ValueError, OverflowError):
        return None


def _is_address(literal: Literal) -> bool:
    return literal.entry is not None and literal.entry.field_class == "address"
