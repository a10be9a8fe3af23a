"""The detectors: a closed set of functions, each an Ibis expression over tables.LOG or tables.POOL.

Each gives a table `(unit int64, key string)`: the unit is an account of a log or a row of the pool,
and units with an equal key are one group. What *ties* may join accounts into groups; what only
*marks* says something of groups that others have tied. Integers, booleans, dates and text alone,
and no function that only one engine has: so the rows are equal on DuckDB, ClickHouse and Spark.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from exchange.proof.refused import Refused
from indicators.detection import graph, marking, tying
from indicators.detection.arrow import Arrow, Table
from indicators.detection.sources import LOG, POOL, Source, Values

__all__ = ["DETECTORS", "LOG", "POOL", "Detector", "Parameter", "Source", "Values"]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A whole number that a document sets: where it starts, and its range, ends included."""

    start: int
    least: int
    most: int


@dataclass(frozen=True, slots=True)
class Detector:
    """One of the closed set."""

    name: str
    runs_on: frozenset[str]
    is_tie: bool  # whether accounts or rows with an equal key belong together
    parameters: Mapping[str, Parameter]
    find: Callable[[Source, Values, Table], Table]
    needs_groups: frozenset[str] = frozenset()  # where it marks groups that others tied


def find(
    source: Source, name: str, given: Values | None = None, *, groups: Table | None = None
) -> Table:
    """What a detector finds, as an expression (unit, key), each row once.

    It rests on stages of the engine: run or keep it before the same detector is asked again.
    Parameters that are not given have their start. `groups` (unit, group) is what was tied before,
    for detectors that mark groups; where it is not given, the ties with their starts make it.
    """
    detector = detector_of(name)
    if source.kind not in detector.runs_on:
        where = " and ".join(sorted(detector.runs_on))
        raise Refused("detector.runs-on", f"The detector {name} runs on {where}.", "runs_on")
    values = values_of(detector, given or {})
    if groups is None and source.kind in detector.needs_groups:
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


_EVERYWHERE = frozenset({LOG, POOL})
DETECTORS: Mapping[str, Detector] = {
    detector.name: detector
    for detector in (
        Detector(
            "shared-token",
            runs_on=_EVERYWHERE,
            is_tie=True,
            # `min` counts accounts of a log; a row of the pool is a group, and `rows` counts those.
            parameters={
                "min": Parameter(3, 2, 20),
                "rows": Parameter(2, 2, 20),
                "cap": Parameter(500, 50, 2_000),
            },
            find=tying.shared_token,
        ),
        Detector(
            "template-family",
            runs_on=frozenset({LOG}),
            is_tie=True,
            parameters={
                "together": Parameter(3, 2, 20),
                "lift": Parameter(20, 5, 100),
                "cap": Parameter(3_000, 50, 10_000),
            },
            find=tying.template_family,
        ),
        Detector(
            "near-template",
            runs_on=_EVERYWHERE,
            is_tie=False,  # one template in common is no tie
            parameters={"min_bands": Parameter(2, 2, 8), "band_cap": Parameter(200, 20, 1_000)},
            find=tying.near_template,
        ),
        Detector(
            "row-pair",
            runs_on=frozenset({POOL}),
            is_tie=True,
            parameters={"rare": Parameter(20, 2, 50), "together": Parameter(2, 2, 8)},
            find=tying.row_pair,
        ),
        Detector(
            "synchronised-start",
            runs_on=_EVERYWHERE,
            is_tie=False,
            # In tenths of the group, and in days.
            parameters={"peak": Parameter(5, 2, 10), "waves": Parameter(3, 1, 32)},
            find=marking.synchronised_start,
            needs_groups=frozenset({LOG}),
        ),
        Detector(
            "rate-shape",
            runs_on=_EVERYWHERE,
            is_tie=False,
            parameters={"distance": Parameter(1, 0, 3)},  # of each hour's digit from the group's
            find=marking.rate_shape,
            needs_groups=_EVERYWHERE,
        ),
        Detector(
            "pivot",
            runs_on=_EVERYWHERE,
            is_tie=False,
            parameters={"excess": Parameter(2, 1, 10)},  # tenths
            find=marking.pivot,
            needs_groups=frozenset({LOG}),
        ),
    )
}
