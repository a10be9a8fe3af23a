"""The detectors: a closed set of functions, each an Ibis expression over tables.LOG or tables.POOL.

Each gives a table `(unit int64, key string)`: the unit is an account of a log or a row of the pool,
and units with an equal key are one group. What *ties* may join accounts into groups; what only
*marks* says something of groups that others have tied. Integers, booleans, dates and text alone,
and no function that only one engine has: so the rows are equal on DuckDB, ClickHouse and Spark.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from exchange.proof.refused import Refused
from indicators.detection import graph
from indicators.detection.arrow import Arrow, Table
from indicators.detection.engines import Engine

LOG = "log"
POOL = "pool"
# R5: a card or device of more accounts says nothing (carriers, site licences).
POPULAR_TOKEN = 500


@dataclass(frozen=True, slots=True)
class Parameter:
    """A whole number that a document sets: where it starts, and its range, ends included."""

    start: int
    least: int
    most: int


@dataclass(frozen=True, slots=True)
class Source:
    """The tables of one log, or of one pool, as an engine holds them under their names."""

    engine: Engine
    kind: str  # LOG or POOL
    prefix: str = ""  # before each name: the narrowed tables of a minute (`minute.narrowed`)

    def table(self, name: str) -> Table:
        """One of tables.LOG or tables.POOL."""
        return self.engine.table(self.prefix + name)

    def keep(self, name: str, expression: Table) -> Table:
        """A stage, computed once: its plan would be computed again for each use."""
        return self.engine.keep(f"{self.prefix}stage_{name}", expression)


Values = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Detector:
    """One of the closed set; `groups` is None where it needs none."""

    name: str
    runs_on: frozenset[str]
    is_tie: bool  # whether accounts or rows with an equal key belong together
    parameters: Mapping[str, Parameter]
    find: Callable[[Source, Values, Table], Table]
    needs_groups: bool = False


def find(
    source: Source, name: str, given: Values | None = None, *, groups: Table | None = None
) -> Table:
    """What a detector finds, as an expression (unit, key), each row once.

    Parameters that are not given have their start. `groups` (unit, group) is what was tied before,
    for detectors that mark groups; where it is not given, the ties with their starts make it.
    """
    detector = detector_of(name)
    if source.kind not in detector.runs_on:
        where = " and ".join(sorted(detector.runs_on))
        raise Refused("detector.runs-on", f"The detector {name} runs on {where}.", "runs_on")
    values = values_of(detector, given or {})
    if detector.needs_groups and groups is None:
        groups = grouped(source)
    return detector.find(source, values, groups)


def detector_of(name: str) -> Detector:
    """The detector of this name."""
    if name not in DETECTORS:
        sentence = f"A detector is one of {', '.join(DETECTORS)}."
        raise Refused("detector.unknown", sentence, "detector")
    return DETECTORS[name]


def values_of(detector: Detector, given: Values) -> Values:
    """All parameters of a detector: those given, checked, and the starts of the others."""
    for name, value in given.items():
        if name not in detector.parameters:
            known = ", ".join(detector.parameters) or "none"
            sentence = f"The detector {detector.name} has no parameter {name}; it has {known}."
            raise Refused("detector.parameter", sentence, f"parameters.{name}")
        allowed = detector.parameters[name]
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        if not is_whole or not allowed.least <= value <= allowed.most:
            sentence = f"{name} is a whole number from {allowed.least} to {allowed.most}."
            raise Refused("detector.range", sentence, f"parameters.{name}")
    return {name: given.get(name, each.start) for name, each in detector.parameters.items()}


def tied(source: Source, chosen: Mapping[str, Values] | None = None) -> graph.Groups:
    """The groups that these detectors (name: parameters) tie together; without a choice, all."""
    if chosen is None:
        chosen = {
            name: {}
            for name, detector in DETECTORS.items()
            if detector.is_tie and source.kind in detector.runs_on
        }
    return graph.components(
        source.engine.run(find(source, name, given), "unit") for name, given in chosen.items()
    )


def grouped(source: Source, groups: graph.Groups | None = None) -> Table:
    """Groups as a table (unit, group) of the engine, for detectors that mark."""
    rows: Arrow = (groups or tied(source)).rows
    return source.engine.load(f"{source.prefix}stage_grouped", rows, graph.GROUPS)


def shared_token(source: Source, values: Values, _: Table) -> Table:
    """Accounts or rows on one card or device; never on one egress, which made one giant group."""
    name, unit, least = (
        ("account_token", "account", values["min"])
        if source.kind == LOG
        else ("row_token", "row", values["rows"])
    )
    held = source.table(name)
    held = held.filter(held.kind.isin(("payment", "device")))
    counted = held.group_by("kind", "token").agg(holders=held.count())
    fit = counted.filter(counted.holders >= least, counted.holders <= values["cap"])
    shared = source.keep("shared_token", fit.select("kind", "token"))
    found = held.inner_join(shared, ["kind", "token"])
    return found.select(unit=found[unit], key=found.kind + ":" + found.token)


_EVERYWHERE = frozenset({LOG, POOL})
DETECTORS: Mapping[str, Detector] = {
    detector.name: detector
    for detector in (
        Detector(
            "shared-token",
            _EVERYWHERE,
            is_tie=True,
            # `min` counts accounts in a log; a row is a group already, and two of them may do.
            parameters={
                "min": Parameter(3, 2, 20),
                "rows": Parameter(2, 2, 20),
                "cap": Parameter(500, 50, 2_000),
            },
            find=shared_token,
        ),
    )
}
