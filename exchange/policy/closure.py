"""Close the references of what is due: nobody gets one that leads nowhere.

Within a contribution: take all that is due, remove what lacks an end, repeat until nothing
changes. Pure; done once for recipients with equal terms that resolve the same names.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from exchange.policy import render
from exchange.policy.decide import Verdict
from exchange.policy.outcomes import Standing
from exchange.policy.tokens import Scope
from indicators.stix import ids, references


@dataclass(frozen=True, slots=True)
class Due:
    """One version that may leave, as this audience is to see it."""

    key: int
    obj: Mapping[str, Any]
    standing: Standing
    verdict: Verdict
    # The id under which the forum knows it; observables get theirs from their content.
    forum_id: str
    name: str


@dataclass(frozen=True, slots=True)
class Closed:
    """What leaves, and for what stays behind the original ids that it lacks."""

    shapes: Mapping[int, render.Shape]
    lacking: Mapping[int, tuple[str, ...]]
    # Of what leaves: the ends that its lists leave out; regained, they make a new version.
    left_out: Mapping[int, tuple[str, ...]]


def close(due: Sequence[Due], *, resolvable: Mapping[str, str], tokens: Scope) -> Closed:
    """The shapes of all that can leave together; `resolvable` is what was released before."""
    passing = [one for one in due if one.verdict.withheld is None]
    refs = dict(resolvable)
    observables = [one for one in passing if _is_observable(one.obj)]
    shapes = _observables(observables, refs, tokens)
    others = [one for one in passing if not _is_observable(one.obj)]
    refs.update({str(one.obj["id"]): one.forum_id for one in others})
    while True:
        made = {one.key: _shape(one, refs, tokens) for one in others}
        stuck = [one for one in others if made[one.key] is None]
        if not stuck:
            break
        others = [one for one in others if made[one.key] is not None]
        for one in stuck:
            refs.pop(str(one.obj["id"]), None)
            if str(one.obj["id"]) in resolvable:
                refs[str(one.obj["id"])] = resolvable[str(one.obj["id"])]
    shapes.update({key: shape for key, shape in made.items() if shape is not None})
    lacking = {one.key: _lacks(one, refs) for one in passing if one.key not in shapes}
    left_out = {one.key: _leaves_out(one, refs) for one in others}
    return Closed(
        shapes,
        {key: names for key, names in lacking.items() if names},
        {key: names for key, names in left_out.items() if names},
    )


def _observables(
    due: Iterable[Due], refs: dict[str, str], tokens: Scope
) -> dict[int, render.Shape]:
    """Observables from the leaves up: an id that is made of its content must come first."""
    shapes: dict[int, render.Shape] = {}
    waiting = list(due)
    names = {str(one.obj["id"]) for one in waiting}
    while waiting:
        ready = [one for one in waiting if not _refers_to(one.obj, names)] or waiting
        for one in ready:
            names.discard(str(one.obj["id"]))
            shape = _shape(one, refs, tokens)
            if shape is not None:
                shapes[one.key] = shape
                refs[str(one.obj["id"])] = ids.forum_sco_id({**shape.content, "type": shape.type})
        waiting = [one for one in waiting if one not in ready]
    return shapes


def _refers_to(obj: Mapping[str, Any], names: set[str]) -> bool:
    return any(target in names for _, target in references.of(obj) if target != obj["id"])


def _shape(one: Due, refs: Mapping[str, str], tokens: Scope) -> render.Shape | None:
    return render.shape(one.obj, one.verdict, one.standing, refs=refs, tokens=tokens, name=one.name)


def _lacks(one: Due, refs: Mapping[str, str]) -> tuple[str, ...]:
    return one.verdict.missing(frozenset(refs))


def _leaves_out(one: Due, refs: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(name for name in one.verdict.references if name not in refs)


def _is_observable(obj: Mapping[str, Any]) -> bool:
    return "created" not in obj
