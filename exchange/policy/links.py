"""What the objects of one contribution lend each other: sensitivity, and what holds depend on."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

from exchange.policy import facts
from exchange.policy.facts import Facts
from exchange.policy.holds import Linked
from exchange.policy.terms import Floor, sensitivity_order, strictest_sensitivity


def neighbours(subjects: Sequence[Facts]) -> tuple[frozenset[int], ...]:
    """For each object the ones it is linked to by a reference, either way, or a relationship.

    Equal values are not in here: a value that ten thousand objects share would make a hundred
    million pairs; `by_value` groups them instead.
    """
    places: dict[str, list[int]] = defaultdict(list)
    for index, subject in enumerate(subjects):
        places[subject.stix_id].append(index)
    linked: list[set[int]] = [set() for _ in subjects]
    for index, subject in enumerate(subjects):
        if not subject.references:
            continue
        others = {place for ref in subject.references for place in places.get(ref, ())}
        linked[index] |= others
        for other in others:
            linked[other].add(index)
        if subject.stix_type == "relationship":
            for one, other in combinations(sorted(others), 2):
                linked[one].add(other)
                linked[other].add(one)
    return tuple(frozenset(others - {index}) for index, others in enumerate(linked))


def by_value(subjects: Sequence[Facts]) -> Mapping[tuple[str, object], tuple[int, ...]]:
    """The objects that state each observable value."""
    groups: dict[tuple[str, object], list[int]] = defaultdict(list)
    for index, subject in enumerate(subjects):
        for value in set(facts.shared_values(subject)):
            groups[value].append(index)
    return {value: tuple(indices) for value, indices in groups.items() if len(indices) > 1}


def inherited(
    own: Sequence[str],
    linked: Sequence[Iterable[int]],
    groups: Mapping[tuple[str, object], tuple[int, ...]],
    floor: Floor,
) -> tuple[str, ...]:
    """The effective sensitivity of each object: one step, from the others' own, capped."""
    most = floor.document["sensitivities"]["inherited_at_most"]
    lent = [min(sensitivity, most, key=sensitivity_order) for sensitivity in own]
    result = [
        strictest_sensitivity([own[index], *(lent[other] for other in others)])
        for index, others in enumerate(linked)
    ]
    for indices in groups.values():
        strictest = strictest_sensitivity(lent[index] for index in indices)
        for index in indices:
            result[index] = strictest_sensitivity((result[index], strictest))
    return tuple(result)


def known_of(
    subjects: Sequence[Facts],
    groups: Mapping[tuple[str, object], tuple[int, ...]],
    floor: Floor,
) -> tuple[Linked, ...]:
    """What equal values elsewhere in the contribution say about each object."""
    rates: set[int] = set()
    shared: set[int] = set()
    few = {index for index, subject in enumerate(subjects) if _few_prompts(subject, floor)}
    for indices in groups.values():
        if any(_has_rate(subjects[index], floor) for index in indices):
            rates.update(indices)
        if any(_is_shared(subjects[index]) for index in indices):
            shared.update(indices)
        if few.intersection(indices):
            few.update(indices)
    return tuple(
        Linked(
            has_base_rate=index in rates,
            is_shared_checked=index in shared,
            few_prompts=index in few,
        )
        for index in range(len(subjects))
    )


def _has_rate(subject: Facts, floor: Floor) -> bool:
    rate = subject.context.get("base_rate_bucket")
    return rate is not None and rate not in floor.document["no_base_rate"]


def _is_shared(subject: Facts) -> bool:
    check = subject.context.get("shared_infrastructure_check", {})
    return bool(check.get("verdict") == "shared")


def _few_prompts(subject: Facts, floor: Floor) -> bool:
    if subject.stix_type != "prompt-template-fingerprint":
        return False
    sample = subject.obj.get("sample_bucket")
    return sample is None or sample in floor.document["fewest_prompts_held"]
