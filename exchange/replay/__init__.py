"""Preview and replay: what a draft policy would release and remove, beside the policy in force.

Asked for by a person (`asking`), decided by workers part by part (`working`, `deciding`), read in
pages (`reading`). What is kept names objects, paths, classes and rules, and never a value.
"""

from exchange.replay.asking import (
    DAYS,
    FLOOR,
    MEMBER,
    Estimate,
    Finished,
    cancel,
    digest_of,
    estimate,
    finished_for,
    finished_of,
    of_today,
    start,
)
from exchange.replay.reading import (
    Asked,
    Audience,
    Count,
    Filters,
    Line,
    Opened,
    Page,
    lines,
    may_read,
    open_line,
    overview,
    recent,
)
from exchange.replay.working import standing_still, work

__all__ = [
    "DAYS",
    "FLOOR",
    "MEMBER",
    "Asked",
    "Audience",
    "Count",
    "Estimate",
    "Filters",
    "Finished",
    "Line",
    "Opened",
    "Page",
    "cancel",
    "digest_of",
    "estimate",
    "finished_for",
    "finished_of",
    "lines",
    "may_read",
    "of_today",
    "open_line",
    "overview",
    "recent",
    "standing_still",
    "start",
    "work",
]
