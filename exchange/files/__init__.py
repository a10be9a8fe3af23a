"""Contributions by file: larger than one body, taken in parts under one status.

A file is sealed while it comes in (`asking`, `sealed`), read whole and checked by form before
anything is stored (`reading`), then contributed part by part (`taking`), each part as any other
contribution; `report` tells what became of every object.
"""

from exchange.files.asking import (
    discard,
    hand_in,
    keep,
    kind_of,
    open_body,
    receive,
    recent,
    send,
)
from exchange.files.mappings import (
    COLUMNS,
    Look,
    Mapping,
    change,
    columns_of,
    forget,
    look,
    one,
    remember,
    remembered,
)
from exchange.files.report import report, status
from exchange.files.sealed import Writer
from exchange.files.taking import standing_still, sweep, work
from exchange.files.words import Line, Page, Sent, Status

__all__ = [
    "COLUMNS",
    "Line",
    "Look",
    "Mapping",
    "Page",
    "Sent",
    "Status",
    "Writer",
    "change",
    "columns_of",
    "discard",
    "forget",
    "hand_in",
    "keep",
    "kind_of",
    "look",
    "one",
    "open_body",
    "receive",
    "recent",
    "remember",
    "remembered",
    "report",
    "send",
    "standing_still",
    "status",
    "sweep",
    "work",
]
