"""The officer's reading: what became of what was given, who got what, when, under which rule.

Whoever asks gets answers about its own member's contributions and entries only.
"""

from exchange.audit.contributions import (
    Became,
    ContributionRow,
    ContributionView,
    Needs,
    Waiting,
    contribution,
    contributions,
    needs,
    waiting,
)
from exchange.audit.entries import EntryRow, Outflow, entries, outflow
from exchange.audit.forum import (
    CircleCard,
    Health,
    Person,
    Policies,
    circles,
    health,
    people,
    policies,
)
from exchange.audit.objects import OwnObject, Told, own_object, reads, received
from exchange.audit.page import PAGE, Page

__all__ = [
    "PAGE",
    "Became",
    "CircleCard",
    "ContributionRow",
    "ContributionView",
    "EntryRow",
    "Health",
    "Needs",
    "Outflow",
    "OwnObject",
    "Page",
    "Person",
    "Policies",
    "Told",
    "Waiting",
    "circles",
    "contribution",
    "contributions",
    "entries",
    "health",
    "needs",
    "outflow",
    "own_object",
    "people",
    "policies",
    "reads",
    "received",
    "waiting",
]
