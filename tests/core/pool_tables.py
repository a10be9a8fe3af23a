"""Small tables of a log or a pool in an engine: what is not said has a plain value."""

from collections.abc import Iterable, Mapping
from typing import Any

from indicators.detection import cases
from indicators.detection.ties import Source


def load(source: Source, rows: Mapping[str, Iterable[Mapping[str, Any]]]) -> Source:
    """Every table of the source, with these rows in it."""
    given = {name: tuple(some) for name, some in rows.items()}
    cases.load(source, cases.tables_of(source.kind, given))
    return source


def units(found: Iterable[tuple[int, str]]) -> set[int]:
    """The units of what was found."""
    return {unit for unit, _ in found}
