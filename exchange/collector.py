"""The collector of cycles, at rest while many objects are worked on that all live to the end."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def at_rest() -> Iterator[None]:
    """Ten thousand objects are half a million values: to walk them again and again frees nothing.

    It took a fifth of the time of intake. What was off before stays off.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
