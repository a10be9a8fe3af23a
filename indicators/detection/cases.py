"""The cases that travel with an algorithm: run on an engine, and shown to be able to fail.

A case that holds whatever the algorithm says is no test. So each is run again on mutants: the
condition negated, and each parameter at the ends of its range. An algorithm is refused if a case
does not hold, if a look-alike would be told apart by nothing, if a parameter changes no case, or if
on all that is shipped it finds one lawful unit and nothing else.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import pyarrow as pa

from exchange.proof.refused import Refused
from indicators.detection import scorecard, sigma, ties
from indicators.detection.arrow import Arrow, Table
from indicators.detection.document import Algorithm, Case, with_values
from indicators.detection.engines import Engine
from indicators.detection.tables import LOG, POOL
from indicators.detection.ties import Source
from indicators.detection.world import scenes

Rows = Mapping[str, tuple[Mapping[str, Any], ...]]
Hit = frozenset[tuple[int, str]]  # (unit, key)

_PLAIN: Mapping[str, object] = {
    "int64": 0,
    "boolean": False,
    "string": "",
    "date": date(2026, 1, 5),
}
_ARROW = {"int64": pa.int64(), "boolean": pa.bool_(), "string": pa.string(), "date": pa.date32()}
# Tables whose rows name an account or a row: what they name is there too.
_MAIN: Mapping[str, tuple[str, str]] = {
    "log": ("account", "account"),
    "pool": ("cluster_row", "row"),
}
_TEMPLATES: Mapping[str, str] = {"log": "template", "pool": "template_row"}
# Parameters that decide what becomes of a hit, not what is hit.
_BESIDE = frozenset({"own_margin"})
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
class Judged:
    """What all cases came to, and every reason to refuse the algorithm."""

    results: tuple[Result, ...]
    problems: tuple[Problem, ...]


def judge(engine: Engine, algorithm: Algorithm) -> Judged:
    """Run all cases, and then see whether they could fail."""
    check(algorithm)
    loaded = [_Loaded(engine, case, index) for index, case in enumerate(algorithm.tests)]
    results = tuple(_result(one, algorithm) for one in loaded)
    problems = tuple(_unheld(results))
    if not problems:
        problems = (
            *_cannot_fail(algorithm, loaded),
            *_idle(algorithm, loaded),
            *_singling(engine, algorithm),
        )
    return Judged(results, problems)


def run(engine: Engine, algorithm: Algorithm) -> tuple[Result, ...]:
    """What each case comes to on an engine."""
    check(algorithm)
    return tuple(
        _result(_Loaded(engine, case, index), algorithm)
        for index, case in enumerate(algorithm.tests)
    )


def check(algorithm: Algorithm) -> None:
    """Refused where the body is no Sigma of the subset, or the detector has no such parameters.

    What a document allows itself lies within what the detector allows.
    """
    if algorithm.kind != "detector":
        sigma.read(algorithm)
        for name, parameter in algorithm.parameters.items():
            for end in (parameter.least, parameter.most):
                try:
                    sigma.read(with_values(algorithm, {name: end}))
                except Refused as refused:
                    raise Refused(refused.code, refused.sentence, f"parameters.{name}") from None
        return
    known = _ranges(algorithm.detector)
    for name, parameter in algorithm.parameters.items():
        least, most = known.get(name, (0, -1))
        if not least <= parameter.least <= parameter.most <= most:
            sentence = (
                f"This range is within {least} to {most}."
                if name in known
                else f"The detector has no such parameter; it has {', '.join(known)}."
            )
            raise Refused("detector.range", sentence, f"parameters.{name}")
    for name in sorted(set(known) - set(algorithm.parameters)):
        sentence = f"The document says each parameter of its detector: {name} is missing."
        raise Refused("detector.parameter", sentence, "parameters")


def find(source: Source, algorithm: Algorithm, *, is_negated: bool = False) -> Table:
    """What an algorithm finds in a log or a pool: (unit, key)."""
    if algorithm.kind != "detector":
        return sigma.find(source, algorithm, is_negated=is_negated)
    if algorithm.detector == "scorecard":
        if source.kind != ties.POOL:
            sentence = "A scorecard looks at rows: its cases run on the pool."
            raise Refused("detector.runs-on", sentence, "tests")
        found = scorecard.marked({name: source.table(name) for name in POOL}, algorithm.values)
    else:
        found = ties.find(source, algorithm.detector, algorithm.values)
    if not is_negated:
        return found
    name, unit = _MAIN[source.kind]
    every = source.table(name)
    every = every.select(unit=every[unit])
    units = source.keep("negated", found.select("unit").distinct())
    return every.filter(~every.unit.isin(units.unit)).select(
        unit="unit", key=every.unit.cast("string")
    )


def hits(source: Source, algorithm: Algorithm, *, is_negated: bool = False) -> Hit:
    """The same as values."""
    found = source.engine.run(find(source, algorithm, is_negated=is_negated), "unit", "key")
    return frozenset(
        zip(*(found.column(name).to_pylist() for name in ("unit", "key")), strict=True)
    )


def _ranges(detector: str) -> Mapping[str, tuple[int, int]]:
    if detector == "scorecard":
        return scorecard.RANGES
    parameters = ties.detector_of(detector).parameters
    return {name: (one.least, one.most) for name, one in parameters.items()}


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
    return scenes.SURFACES[kind](name, seed)


def load(source: Source, arrow: Mapping[str, Arrow]) -> None:
    """Give all tables of a log or a pool to an engine."""
    for name, columns in _columns_of(source.kind).items():
        source.engine.load(source.prefix + name, arrow[name], columns)


def tables_of(kind: str, rows: Rows) -> dict[str, Arrow]:
    """Rows of a case as whole tables: what is not said has a plain value, and what is named is."""
    columns = _columns_of(kind)
    given = {name: [dict(row) for row in rows.get(name, ())] for name in columns}
    for main, key in (_MAIN[kind], (_TEMPLATES[kind], "template")):
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


def _columns_of(kind: str) -> Mapping[str, Mapping[str, str]]:
    return LOG if kind == ties.LOG else POOL


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


def _cannot_fail(algorithm: Algorithm, loaded: Iterable[_Loaded]) -> Iterator[Problem]:
    """A look-alike's case that stays empty, even where the condition is negated, shows nothing."""
    for index, one in enumerate(loaded):
        if not one.case.is_match and not one.hit(algorithm, is_negated=True):
            sentence = "This test cannot fail: there is nothing in it, whatever the algorithm says."
            yield Problem("algorithm.cannot-fail", sentence, f"tests[{index}]")


def _idle(algorithm: Algorithm, loaded: list[_Loaded]) -> Iterator[Problem]:
    """A parameter that no case depends on, at whichever end of its range."""
    for name, parameter in algorithm.parameters.items():
        if name in _BESIDE:
            continue
        ends = {parameter.least, parameter.most} - {parameter.value}
        mutants = [with_values(algorithm, {name: end}) for end in sorted(ends)]
        if all(one.holds(mutant) for mutant in mutants for one in loaded):
            sentence = "These tests cannot fail: all hold with this at the ends of its range."
            yield Problem("algorithm.cannot-fail", sentence, f"parameters.{name}")


def _singling(engine: Engine, algorithm: Algorithm) -> Iterator[Problem]:
    """On all scenes together an algorithm finds nothing, many, or a campaign; never one other."""
    if algorithm.kind == "detector":
        return  # its numbers say how many and how much, never which
    found: set[tuple[str, int]] = set()
    lawful: set[tuple[str, int]] = set()
    for name in scenes.NAMES:
        scene = scenes.SURFACES[algorithm.runs_on](name, _SEED)
        source = Source(engine, algorithm.runs_on, "shipped_")
        load(source, scene.tables)
        units = {unit for unit, _ in hits(source, algorithm)}
        found |= {(name, unit) for unit in units}
        lawful |= {(name, unit) for unit in units - scene.guilty}
    if len(found) == 1 and lawful:
        sentence = "On the shipped world this finds one lawful group or account, and no more."
        yield Problem("algorithm.singles-out", sentence, "body")
