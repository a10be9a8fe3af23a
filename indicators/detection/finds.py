"""What an algorithm finds in a log or a pool, whatever its kind: a table (unit, key).

Units are accounts of a log or rows of a pool; units with an equal key are one group.
"""

from collections.abc import Mapping

from exchange.proof.refused import Refused
from indicators.detection import scorecard, sigma, ties
from indicators.detection.arrow import Table
from indicators.detection.document import Algorithm, with_values
from indicators.detection.sources import Source
from indicators.detection.tables import POOL

Hit = frozenset[tuple[int, str]]  # (unit, key)

# The table whose rows are the units, and their column.
UNITS: Mapping[str, tuple[str, str]] = {
    "log": ("account", "account"),
    "pool": ("cluster_row", "row"),
}


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
    name, unit = UNITS[source.kind]
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
