"""The cases that travel with an algorithm: run on an engine, and shown to be able to fail.

A case that holds whatever the algorithm says is no test. So each is run again on mutants: the
condition negated, and each parameter at the ends of its range. An algorithm is refused if a case
does not hold, if a look-alike would be told apart by nothing, if a parameter changes no case, or if
on all that is shipped it finds one lawful unit and nothing else.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any

import pyarrow as pa

from exchange.proof.refused import Refused
from indicators.detection.arrow import Arrow
from indicators.detection.document import Algorithm, Case, with_values
from indicators.detection.engines import Engine
from indicators.detection.finds import UNITS, Hit, check, hits
from indicators.detection.sources import LOG as AT_HOME
from indicators.detection.sources import Source
from indicators.detection.tables import LOG, POOL
from indicators.detection.world import scenes

Rows = Mapping[str, tuple[Mapping[str, Any], ...]]

_PLAIN: Mapping[str, object] = {
    "int64": 0,
    "boolean": False,
    "string": "",
    "date": date(2026, 1, 5),
}
_ARROW = {"int64": pa.int64(), "boolean": pa.bool_(), "string": pa.string(), "date": pa.date32()}
_TEMPLATES: Mapping[str, str] = {"log": "template", "pool": "template_row"}
# Parameters that no case can depend on: one decides what becomes of a hit, not what is hit; the
# other comes into play in a log of more accounts than any case has.
_BESIDE = frozenset({("scorecard", "own_margin"), ("template-family", "cap")})
_NOT_RUN = frozenset({("scorecard", "log")})  # at home it looks at groups, which are no table there
_SEED = 1


@dataclass(frozen=True, slots=True)
class Result:
    """What a case came to: whether it held, and the units and keys that were hit."""

    case: Case
    hit: Hit
    fault: Refused | None = None

    @property
    def holds(self) -> bool:
        """Whether it is as the document says."""
        return self.fault is None and bool(self.hit) == self.case.is_match


@dataclass(frozen=True, slots=True)
class Problem:
    """Why an algorithm is refused by its cases, in a sentence, and where."""

    code: str
    sentence: str
    path: str


@dataclass(frozen=True, slots=True)
class Mutant:
    """One way to spoil an algorithm, and whether a case noticed."""

    what: str
    is_noticed: bool
    path: str


@dataclass(frozen=True, slots=True)
class Seen:
    """What an algorithm finds in one scene of the shipped world."""

    scene: str
    runs_on: str
    is_campaign: bool
    subject: int  # units that the scene is about
    hit: int  # of those
    others: int  # of all other units, how many were hit


@dataclass(frozen=True, slots=True)
class Judged:
    """What all cases came to, and every reason to refuse the algorithm."""

    results: tuple[Result, ...]
    mutants: tuple[Mutant, ...]
    seen: tuple[Seen, ...]
    problems: tuple[Problem, ...]


def judge(engine: Engine, algorithm: Algorithm, *, everywhere: bool = False) -> Judged:
    """Run all cases, see whether they could fail, and what is found in the shipped world.

    Its detectors say how many and how much, never which: only where `everywhere` is asked for is
    the whole world looked through for them too.
    """
    check(algorithm)
    loaded = [_Loaded(engine, case, index) for index, case in enumerate(algorithm.tests)]
    results = tuple(_result(one, algorithm) for one in loaded)
    unheld = tuple(_unheld(results))
    if unheld:
        return Judged(results, (), (), unheld)
    mutants = (*_turned_round(algorithm, loaded), *_at_the_ends(algorithm, loaded))
    is_sigma = algorithm.kind != "detector"
    seen = tuple(_seen(engine, algorithm)) if is_sigma or everywhere else ()
    idle = (
        Problem(
            "algorithm.cannot-fail", f"This test cannot fail: it holds with {one.what}.", one.path
        )
        for one in mutants
        if not one.is_noticed
    )
    return Judged(results, mutants, seen, (*idle, *(_singling(seen) if is_sigma else ())))


def run(engine: Engine, algorithm: Algorithm) -> tuple[Result, ...]:
    """What each case comes to on an engine."""
    check(algorithm)
    return tuple(
        _result(_Loaded(engine, case, index), algorithm)
        for index, case in enumerate(algorithm.tests)
    )


# --- one case ------------------------------------------------------------------------------------


class _Loaded:
    """A case whose tables an engine holds, under names of their own."""

    def __init__(self, engine: Engine, case: Case, index: int) -> None:
        self.case = case
        self.source = Source(engine, case.runs_on, f"case{index}_")
        self.subject: frozenset[int] | None = None
        if case.scene:
            scene = scene_of(case.scene, case.seed, case.runs_on, path=f"tests[{index}].scene")
            self.subject = scene.subject
            load(self.source, scene.tables)
        else:
            load(self.source, tables_of(case.runs_on, case.rows))

    def hit(self, algorithm: Algorithm, *, is_negated: bool = False) -> Hit:
        """What of the case is hit: of a scene its subject, whoever else is in it."""
        found = hits(self.source, algorithm, is_negated=is_negated)
        if self.subject is None:
            return found
        return frozenset((unit, key) for unit, key in found if unit in self.subject)

    def holds(self, algorithm: Algorithm) -> bool:
        """Whether the case is as the document says."""
        return bool(self.hit(algorithm)) == self.case.is_match


def scene_of(name: str, seed: int, kind: str, *, path: str) -> scenes.Scene:
    """A named scene, as a log or as a pool shows it."""
    if name not in scenes.NAMES:
        raise Refused("algorithm.scene", f"A scene is one of {', '.join(scenes.NAMES)}.", path)
    return _scene(name, seed, kind)


@lru_cache(maxsize=64)
def _scene(name: str, seed: int, kind: str) -> scenes.Scene:
    return scenes.SURFACES[kind](name, seed)


def load(source: Source, arrow: Mapping[str, Arrow]) -> None:
    """Give all tables of a log or a pool to an engine."""
    for name, columns in columns_of(source.kind).items():
        source.engine.load(source.prefix + name, arrow[name], columns)


def tables_of(kind: str, rows: Rows) -> dict[str, Arrow]:
    """Rows of a case as whole tables: what is not said has a plain value, and what is named is."""
    columns = columns_of(kind)
    given = {name: [dict(row) for row in rows.get(name, ())] for name in columns}
    for main, key in (UNITS[kind], (_TEMPLATES[kind], "template")):
        named = {
            int(row.get(key, 0)) for name in given for row in given[name] if key in columns[name]
        }
        missing = named - {int(row.get(key, 0)) for row in given[main]}
        given[main] += [{key: number} for number in sorted(missing)]
    return {
        name: pa.table(
            {
                column: pa.array(
                    [_value(row.get(column), form) for row in given[name]], _ARROW[form]
                )
                for column, form in columns[name].items()
            }
        )
        for name in columns
    }


def columns_of(kind: str) -> Mapping[str, Mapping[str, str]]:
    """The tables of a log or a pool, with their columns."""
    return LOG if kind == AT_HOME else POOL


def _value(value: object, form: str) -> object:
    if value is None:
        return _PLAIN[form]
    return date.fromisoformat(str(value)) if form == "date" else value


def _result(loaded: _Loaded, algorithm: Algorithm) -> Result:
    try:
        return Result(loaded.case, loaded.hit(algorithm))
    except Refused as refused:
        return Result(loaded.case, frozenset(), refused)


# --- whether they could fail ---------------------------------------------------------------------


def _unheld(results: Iterable[Result]) -> Iterator[Problem]:
    for index, result in enumerate(results):
        path = f"tests[{index}]"
        if result.fault is not None:
            yield Problem(result.fault.code, result.fault.sentence, path)
        elif not result.holds:
            said = "matches" if result.hit else "does not match"
            yield Problem("algorithm.case-fails", f"This case {said}.", path)


def _turned_round(algorithm: Algorithm, loaded: Iterable[_Loaded]) -> Iterator[Mutant]:
    """A look-alike's case that stays empty, even where the condition is negated, shows nothing."""
    for index, one in enumerate(loaded):
        if not one.case.is_match:
            is_noticed = bool(one.hit(algorithm, is_negated=True))
            what = f"the condition negated ({one.case.name})"
            yield Mutant(what, is_noticed, f"tests[{index}]")


def _at_the_ends(algorithm: Algorithm, loaded: list[_Loaded]) -> Iterator[Mutant]:
    """A parameter that no case depends on, at neither end of its range, is not tested."""
    for name, parameter in algorithm.parameters.items():
        if (algorithm.detector, name) in _BESIDE:
            continue
        ends = sorted({parameter.least, parameter.most} - {parameter.value})
        mutants = [with_values(algorithm, {name: end}) for end in ends]
        is_noticed = not all(one.holds(mutant) for mutant in mutants for one in loaded)
        yield Mutant(f"{name} at {' or '.join(map(str, ends))}", is_noticed, f"parameters.{name}")


# --- the shipped world ---------------------------------------------------------------------------


def _seen(engine: Engine, algorithm: Algorithm) -> Iterator[Seen]:
    for kind in ("log", "pool"):
        if algorithm.runs_on not in ("both", kind) or (algorithm.detector, kind) in _NOT_RUN:
            continue
        source = Source(engine, kind, "shipped_")
        for name in scenes.NAMES:
            scene = _scene(name, _SEED, kind)
            load(source, scene.tables)
            found = {unit for unit, _ in hits(source, algorithm)}
            yield Seen(
                name,
                kind,
                is_campaign=bool(scene.guilty),
                subject=len(scene.subject),
                hit=len(found & scene.subject),
                others=len(found - scene.subject),
            )


def _singling(seen: Iterable[Seen]) -> Iterator[Problem]:
    """In the whole world an algorithm finds nothing, several, or a campaign; never one other."""
    found = [one for one in seen if one.hit or one.others]
    lawful = sum(one.others if one.is_campaign else one.hit + one.others for one in found)
    if lawful == 1 and not any(one.hit for one in found if one.is_campaign):
        sentence = "In the shipped world this finds one lawful group or account, and nothing else."
        yield Problem("algorithm.singles-out", sentence, "body")
