"""Extracts: taken in, checked again, sealed for each member and day, erased with the key.

No row of an extract is shown to anybody: what opens a seal is the process of a run, and it gives a
member nothing but its own extract in words. These rooms and `exchange.runs` alone touch the rows.
"""

from exchange.pool.kept import (
    Day,
    Input,
    due,
    erase,
    forget,
    held,
    inputs,
    limits,
    standing,
)
from exchange.pool.sending import TRIES, Sent, is_on, my_extracts, send
from exchange.pool.viewing import LASTS, Shown, ask, clear, make, show, waiting

__all__ = [
    "LASTS",
    "TRIES",
    "Day",
    "Input",
    "Sent",
    "Shown",
    "ask",
    "clear",
    "due",
    "erase",
    "forget",
    "held",
    "inputs",
    "is_on",
    "limits",
    "make",
    "my_extracts",
    "send",
    "show",
    "standing",
    "waiting",
]
