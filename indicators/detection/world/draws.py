"""Numbers and texts that a world is drawn from: deterministic, of one seed, by numpy alone."""

from typing import Any

import numpy as np
import pyarrow as pa

# numpy and pyarrow are not typed here: an Array is `numpy.ndarray`, a Table `pyarrow.Table`.
Array = Any
Table = Any

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def mixed(numbers: Array, salt: int) -> Array:
    """A 64-bit number for each number (SplitMix64): the same for the same number and salt."""
    with np.errstate(over="ignore"):
        state = np.asarray(numbers).astype(np.uint64) + _GOLDEN * np.uint64(2 * salt + 1)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return state ^ (state >> np.uint64(31))


def hexes(numbers: Array, salt: int, digits: int) -> Table:
    """A text of so many hex digits (a multiple of 16) for each number, as an Arrow array."""
    lanes = [mixed(mixed(numbers, salt), 101 + lane) for lane in range(digits // 16)]
    octets = np.stack(lanes, axis=1).astype(">u8").tobytes()
    offsets: Array = np.arange(len(lanes[0]) + 1, dtype=np.int64) * digits
    text = pa.py_buffer(octets.hex().encode())
    large = pa.LargeStringArray.from_buffers(len(lanes[0]), pa.py_buffer(offsets), text)
    return large.cast(pa.string())


def between(rng: Array, low: Array, high: Array, count: int) -> Array:
    """Whole numbers from low to high, both included."""
    return rng.integers(low, np.asarray(high) + 1, count)


def skewed(rng: Array, middle: float, spread: float, count: int) -> Array:
    """Log-normal numbers around a median."""
    return middle * np.exp(spread * rng.standard_normal(count))


def sizes(rng: Array, span: tuple[float, float, int, int], total: int) -> Array:
    """Sizes of groups of about so many accounts in all; span is (median, spread, least, most)."""
    middle, spread, least, most = span
    count = max(1, int(2 * total / max(middle, 1)) + 8)
    drawn = np.clip(skewed(rng, middle, spread, count), least, most).astype(np.int64)
    enough = int(np.searchsorted(np.cumsum(drawn), total, side="left"))
    # The group that crosses the mark stays with the probability of its part below it.
    before = int(drawn[:enough].sum())
    keep = enough < count and rng.random() * drawn[enough] < total - before
    return drawn[: enough + int(keep)]
