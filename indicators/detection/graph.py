"""From what detectors tie to groups: the graph step, which stays outside the engines (SciPy)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from indicators.detection.arrow import Arrow

GROUPS = {"unit": "int64", "group": "int64"}


@dataclass(frozen=True, slots=True)
class Groups:
    """Units in groups: numbers from 0 on, the group with the smallest unit first."""

    rows: Arrow  # unit, group; ordered by unit
    sizes: tuple[int, ...]  # of group 0, 1, 2 ...

    @property
    def largest(self) -> int:
        """The units of the largest group: a giant one is how ties fail."""
        return max(self.sizes, default=0)


def components(tied: Iterable[Arrow]) -> Groups:
    """The groups of tables (unit, key): equal keys of one table join, and what meets in a unit."""
    units, keys, known = [], [], 0
    for table in tied:
        encoded = table.column("key").combine_chunks().dictionary_encode()
        units.append(table.column("unit").to_numpy())
        keys.append(encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64) + known)
        known += len(encoded.dictionary)
    if not units:
        return _numbered(np.empty(0, np.int64), np.empty(0, np.int64))
    distinct, place = np.unique(np.concatenate(units), return_inverse=True)
    # Units and keys are the two sides of one graph: as many edges as there are rows.
    size = len(distinct) + known
    edges = (place, np.concatenate(keys) + len(distinct))
    graph = coo_array((np.ones(len(place), np.bool_), edges), shape=(size, size))
    _, labels = connected_components(graph, directed=False)
    return _numbered(distinct, labels[: len(distinct)])


def of_pairs(pairs: Arrow, left: str, right: str) -> Groups:
    """The groups that pairs of equals make: of templates, for example."""
    ends = [pairs.column(left).to_numpy(), pairs.column(right).to_numpy()]
    distinct, place = np.unique(np.concatenate(ends), return_inverse=True)
    first, second = np.split(place, 2)
    shape = (len(distinct), len(distinct))
    graph = coo_array((np.ones(len(first), np.bool_), (first, second)), shape=shape)
    _, labels = connected_components(graph, directed=False)
    return _numbered(distinct, labels)


def _numbered(units: Any, labels: Any) -> Groups:  # noqa: ANN401 - arrays of numpy
    """Groups in the order of their smallest unit; `units` is sorted."""
    _, first, place, counts = np.unique(
        labels, return_index=True, return_inverse=True, return_counts=True
    )
    order = np.argsort(first)
    rank: Any = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    columns = {"unit": pa.array(units, pa.int64()), "group": pa.array(rank[place], pa.int64())}
    return Groups(pa.table(columns), tuple(counts[order].tolist()))
