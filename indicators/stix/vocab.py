"""The closed vocabularies of extraction campaigns, read from the published schemas."""

from collections.abc import Mapping
from typing import Any

from indicators.stix.extensions import CONTEXT_SCHEMA

KILL_CHAIN = "model-extraction"


def _enum(name: str) -> tuple[str, ...]:
    schema: Mapping[str, Any] = CONTEXT_SCHEMA["properties"][name]
    words: Mapping[str, Any] = schema.get("items", schema)
    return tuple(words["enum"])


INDICATOR_KINDS = _enum("indicator_kind")
THREAT_BASES = _enum("threat_basis")
PHASES = _enum("phases_observed")
BASE_RATES = _enum("base_rate_bucket")
COUNTS = _enum("count_bucket")


def floor_of(number: int) -> int:
    """The lower edge of a count's decade; 1 stands alone, and 2 to 9 begin with 2."""
    if number < 10:
        return min(max(number, 0), 2)
    return int(10 ** min(len(str(number)) - 1, 8))


def bucket_of(number: int) -> str:
    """The decade of a count as the vocabulary writes it: `10-99`."""
    edges = [0, 1, 2, *(10**n for n in range(1, 9))]
    index = edges.index(floor_of(number)) - 1
    return COUNTS[max(0, min(index, len(COUNTS) - 1))]
