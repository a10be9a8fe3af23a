"""What a first reading keeps of a file, sealed: where each object stands, and what binds it.

No object is kept: names and values as digests of 64 bits that mean nothing outside this file.
"""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any
from uuid import UUID

import orjson

from exchange.files import sealed
from exchange.policy import bonds, facts
from exchange.policy.parts import Knots, Numbers

_PREFIX = "index-"
_ARRAYS = "names signatures joins octets leaves refs referring values stating".split()


@dataclass(slots=True)
class Index:
    """One file as far as it is read, and the state from which to read on."""

    file_id: UUID
    knots: Knots = field(default_factory=Knots)
    offsets: Numbers = field(default_factory=lambda: array("Q"))
    places: Numbers = field(default_factory=lambda: array("I"))
    state: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        """How many objects were found."""
        return len(self.offsets)

    def add(self, obj: object, *, offset: int, octets: int, leaves: int, place: int) -> None:
        """One object more."""
        knots, n = self.knots, len(self)
        self.offsets.append(offset)
        self.places.append(place)
        bond = bonds.of(facts.read(obj if isinstance(obj, dict) else {}))
        # What has no name is bound to nothing by it.
        knots.names.append(self._number("name", bond.name if bond.name else f"\x00{n}"))
        knots.signatures.append(self._number("sort", repr(bond.signature)))
        knots.joins.append(bond.joins)
        knots.octets.append(octets)
        knots.leaves.append(leaves)
        for name in bond.refers:
            knots.refs.append(self._number("name", name))
            knots.referring.append(n)
        for kind, value in bond.values:
            knots.values.append(self._number(kind, value))
            knots.stating.append(n)

    def _number(self, kind: str, text: str) -> int:
        data = f"{kind}\x00{text}".encode("utf-8", "surrogatepass")
        return int.from_bytes(blake2b(data, digest_size=8, key=self.file_id.bytes).digest())


def load(file_id: UUID, member_id: UUID, *, read: int) -> Index:
    """The index as it was when so much was read; others were left by who died before a commit."""
    index = Index(file_id)
    sealed.drop_others(file_id, keep=_suffix(read))
    kept = sealed.get(file_id, member_id, _suffix(read)) if read else None
    if kept is None:
        return index
    head, _, rest = kept.partition(b"\n")
    said = orjson.loads(head)
    index.state = said["state"]
    start = 0
    for column, size in zip(_columns(index), said["sizes"], strict=True):
        column.frombytes(rest[start : start + size])
        start += size
    return index


def save(index: Index, member_id: UUID) -> None:
    """Keep it beside what was kept before, which stands until the row says that more is read."""
    columns = [column.tobytes() for column in _columns(index)]
    head = orjson.dumps({"state": index.state, "sizes": [len(one) for one in columns]})
    body = b"\n".join((head, b"".join(columns)))
    sealed.put(index.file_id, member_id, _suffix(index.state["offset"]), body)


def _suffix(read: int) -> str:
    return f"{_PREFIX}{read}"


def _columns(index: Index) -> Iterator[Numbers]:
    yield index.offsets
    yield index.places
    for name in _ARRAYS:
        yield getattr(index.knots, name)
