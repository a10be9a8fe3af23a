"""The tables of one log, or of one pool, as detectors see them in an engine."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from indicators.detection import schema
from indicators.detection.arrow import Table
from indicators.detection.engines import Engine

LOG = "log"
POOL = "pool"
Values = Mapping[str, int]  # of a detector's parameters


@dataclass(frozen=True, slots=True)
class Source:
    """Tables under the names of tables.LOG or tables.POOL."""

    engine: Engine
    kind: str  # LOG or POOL
    prefix: str = ""  # before each name: the narrowed tables of a minute (`minute.narrowed`)

    def table(self, name: str) -> Table:
        """One of tables.LOG or tables.POOL."""
        return self.engine.table(self.prefix + name)

    def keep(self, name: str, expression: Table) -> Table:
        """A stage, computed once: its plan would be computed again for each use."""
        return self.engine.keep(f"{self.prefix}stage_{name}", expression)

    def window(self) -> date | None:
        """The first of the days that a log looks back on, counted from the last with any use."""
        days = self.table("account_day")
        last = self.engine.run(days.order_by(days.day.desc()).limit(1).select("day"))
        found = last.column("day").to_pylist()
        return found[0] - timedelta(days=schema.DAYS - 1) if found else None
