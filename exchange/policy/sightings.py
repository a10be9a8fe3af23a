"""Fold what one member counts of one thing: what is shown changes once a day, by its decade.

Sightings of one object, and observations of the same objects, by one member in one circle leave as
one. Polled by the minute, separate ones would tell when a member's count crosses a decade.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from exchange.policy import coarsen, facts

# Of each type that counts: how often, from when, until when.
COUNTED = {
    "sighting": ("count", "first_seen", "last_seen"),
    "observed-data": ("number_observed", "first_observed", "last_observed"),
}


@dataclass(frozen=True, slots=True)
class Count:
    """How often something was seen, and between which moments."""

    count: int
    first: str | None = None
    last: str | None = None

    @property
    def decade(self) -> int:
        """All that is ever shown of the number."""
        return coarsen.decade_floor(self.count)


NONE = Count(0)


def key_of(obj: Mapping[str, Any], names: Mapping[str, str]) -> str | None:
    """What a sighting or observation is of, by the names that `names` gives own objects.

    A false positive is another statement than a sighting, so the disposition is part of it.
    """
    stix_type = obj["type"]
    if stix_type == "sighting":
        of = [str(obj["sighting_of_ref"])]
    elif stix_type == "observed-data":
        of = sorted({str(ref) for ref in obj.get("object_refs", ())})
    else:
        return None
    disposition = str(facts.read(obj).context.get("disposition", ""))
    return "\n".join([str(stix_type), disposition, *(names.get(one, one) for one in of)])


def count_of(obj: Mapping[str, Any]) -> Count:
    """What one object counts; without a number it was seen once."""
    count, first, last = COUNTED[obj["type"]]
    return Count(int(obj.get(count, 1)), obj.get(first), obj.get(last))


def put(total: Count, new: Count, *, instead_of: Count = NONE) -> Count:
    """The total with one more, or with a newer state of one; its span only grows."""
    return Count(
        max(0, total.count - instead_of.count + new.count),
        _earlier(total.first, new.first),
        _later(total.last, new.last),
    )


def without(total: Count, gone: Count) -> Count:
    """The total when one was withdrawn."""
    return replace(total, count=max(0, total.count - gone.count))


def next_shown(shown: Count | None, total: Count) -> Count:
    """What is shown from the next day on: nothing new unless the decade is another."""
    if shown is not None and shown.decade == total.decade:
        return shown
    return total


def written(obj: Mapping[str, Any], shown: Count) -> dict[str, Any]:
    """The object that stands for all, with what is shown of them."""
    count, first, last = COUNTED[obj["type"]]
    made = dict(obj)
    if count in obj or shown.count != 1:
        made[count] = shown.count
    for name, moment in ((first, shown.first), (last, shown.last)):
        if moment is not None:
            made[name] = moment
    return made


def _earlier(one: str | None, other: str | None) -> str | None:
    both = [moment for moment in (one, other) if moment is not None]
    return min(both, key=coarsen.instant, default=None)


def _later(one: str | None, other: str | None) -> str | None:
    both = [moment for moment in (one, other) if moment is not None]
    return max(both, key=coarsen.instant, default=None)
