"""Close the references of what is due: nobody gets one that leads nowhere.

Within a contribution: take all that is due, remove what lacks an end, repeat until nothing
changes. What is removed is found by names first, so that nearly everything is rendered once.
Pure; done once for recipients with equal terms that resolve the same names.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from exchange.policy import facts, render
from exchange.policy.decide import Verdict
from exchange.policy.facts import Facts
from exchange.policy.outcomes import Standing
from exchange.policy.tokens import Scope
from indicators.stix import ids


@dataclass(frozen=True, slots=True)
class Due:
    """One version that may leave, as this audience is to see it."""

    key: int
    obj: Mapping[str, Any] | Facts
    standing: Standing
    verdict: Verdict
    # The id under which the forum knows it; observables get theirs from their content.
    forum_id: str
    name: str
    # The contributor, where it is named; else nobody.
    by: str = ""


@dataclass(frozen=True, slots=True)
class Closed:
    """What leaves, and for what stays behind the original ids that it lacks."""

    shapes: Mapping[int, render.Shape]
    lacking: Mapping[int, tuple[str, ...]]
    # Of what leaves: the ends that its lists leave out; regained, they make a new version.
    left_out: Mapping[int, tuple[str, ...]]


# What was rendered, by object, verdict and where its references lead.
Made = dict[tuple[int, int, tuple[str | None, ...]], render.Shape | None]


@dataclass(frozen=True, slots=True)
class _Passing:
    """One that is due and of which something may pass, with its original name."""

    due: Due
    subject: Facts

    def shape(self, refs: Mapping[str, str], tokens: Scope, made: Made) -> render.Shape | None:
        due = self.due
        # What it says hangs on the verdict and on where its own references lead, on nothing else.
        ends = tuple([refs.get(name) for name in due.verdict.references])
        key = (due.key, id(due.verdict), ends)
        if key not in made:
            made[key] = self._rendered(refs, tokens)
        return made[key]

    def _rendered(self, refs: Mapping[str, str], tokens: Scope) -> render.Shape | None:
        due = self.due
        return render.shape(
            self.subject,
            due.verdict,
            due.standing,
            refs=refs,
            tokens=tokens,
            name=due.name,
            by=due.by,
        )

    def refers_to(self, names: frozenset[str]) -> bool:
        return not names.isdisjoint(self.due.verdict.references)


def close(
    due: Sequence[Due],
    *,
    resolvable: Mapping[str, str],
    tokens: Scope,
    rendered: Made | None = None,
) -> Closed:
    """The shapes of all that can leave together; `resolvable` is what was released before.

    `rendered` is what was made for other audiences of the same act: equal verdicts and ends make
    equal shapes, once. It lives as long as the verdicts do.
    """
    kept = {} if rendered is None else rendered
    passing = [_Passing(one, facts.read(one.obj)) for one in due if one.verdict.withheld is None]
    observables = [one for one in passing if _is_observable(one.subject)]
    refs = dict(resolvable)
    shapes = _observables(observables, refs, tokens, kept)
    known = dict(refs)
    others = [one for one in passing if not _is_observable(one.subject)]
    made: dict[int, render.Shape | None] = {}
    while True:
        refs = known | {one.subject.stix_id: one.due.forum_id for one in others}
        stuck = {one.due.key for one in others if one.due.verdict.missing(refs)}
        if not stuck:
            fresh = [one for one in others if one.due.key not in made]
            made |= {one.due.key: one.shape(refs, tokens, kept) for one in fresh}
            stuck = {one.due.key for one in others if made[one.due.key] is None}
        if not stuck:
            break
        gone = frozenset(one.subject.stix_id for one in others if one.due.key in stuck)
        others = [one for one in others if one.due.key not in stuck]
        made = {one.due.key: made[one.due.key] for one in others if _still(one, made, gone)}
    shapes |= {key: shape for key, shape in made.items() if shape is not None}
    lacking = {
        one.due.key: one.due.verdict.missing(refs) for one in passing if one.due.key not in shapes
    }
    left_out = {
        one.due.key: tuple(name for name in one.due.verdict.references if name not in refs)
        for one in others
    }
    return Closed(
        shapes,
        {key: names for key, names in lacking.items() if names},
        {key: names for key, names in left_out.items() if names},
    )


def _still(one: _Passing, made: Mapping[int, object], gone: frozenset[str]) -> bool:
    return one.due.key in made and not one.refers_to(gone)


def _observables(
    passing: Iterable[_Passing], refs: dict[str, str], tokens: Scope, made: Made
) -> dict[int, render.Shape]:
    """Observables from the leaves up: an id that is made of its content must come first.

    In a circle of references nobody can be first: its members are made without them.
    """
    shapes: dict[int, render.Shape] = {}
    waiting = list(passing)
    while waiting:
        names = frozenset(one.subject.stix_id for one in waiting)
        ready = [one for one in waiting if not one.refers_to(names - {one.subject.stix_id})]
        for one in ready or waiting:
            shape = one.shape(refs, tokens, made)
            if shape is not None:
                shapes[one.due.key] = shape
                refs[one.subject.stix_id] = ids.forum_sco_id(shape.content)
        done = {one.due.key for one in ready or waiting}
        waiting = [one for one in waiting if one.due.key not in done]
    return shapes


def _is_observable(subject: Facts) -> bool:
    return "created" not in subject.obj
