"""The algorithms that come with the product: one for each detector, and three Sigma rules.

They are documents like all others, with look-alikes and cases; nothing is active before the floor's
two roles have said so. They name no date: each acts half a year from its activation.
"""

from functools import lru_cache
from pathlib import Path

from indicators.detection import document
from indicators.detection.document import Algorithm

_FOLDER = Path(__file__).with_name("shipped")


@lru_cache(maxsize=1)
def texts() -> tuple[tuple[str, bytes], ...]:
    """Name and text of each, in the order of the names."""
    return tuple((file.stem, file.read_bytes()) for file in sorted(_FOLDER.glob("*.yaml")))


@lru_cache(maxsize=1)
def algorithms() -> tuple[Algorithm, ...]:
    """All of them, read."""
    return tuple(document.parse(text) for _, text in texts())
