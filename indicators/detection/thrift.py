"""The compact protocol of Thrift, as far as the footer of a Parquet file needs it.

What is read may be hostile: depth, counts and lengths are judged before anything is made of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from exchange.proof.refused import Refused

I32, I64, BINARY, LIST, STRUCT = 5, 6, 8, 9, 12
_TRUE, _FALSE, _BYTE, _I16, _DOUBLE, _SET = 1, 2, 3, 4, 7, 10
_DEEPEST = 12
_MOST = 20_000  # values in all; a footer of ours has some hundred

# A struct to be written: number, type and value of each field, the numbers rising.
Fields = Sequence[tuple[int, int, object]]


@dataclass(frozen=True, slots=True)
class Items:
    """A list to be written: the type of its values."""

    kind: int
    values: Sequence[object]


def struct(fields: Fields) -> bytes:
    """The bytes of a struct."""
    made = bytearray()
    last = 0
    for number, kind, value in fields:
        made.append((number - last) << 4 | kind)
        made += _value(kind, value)
        last = number
    made.append(0)
    return bytes(made)


def varint(number: int) -> bytes:
    """A number of seven bits in each byte, the lowest first."""
    made = bytearray()
    while number > 0x7F:
        made.append(number & 0x7F | 0x80)
        number >>= 7
    made.append(number)
    return bytes(made)


def _value(kind: int, value: object) -> bytes:
    if isinstance(value, int):
        return varint(value << 1)  # zigzag; nothing of ours is negative
    if isinstance(value, str):
        return varint(len(value.encode())) + value.encode()
    if isinstance(value, Items):
        count = len(value.values)
        head = bytes([count << 4 | value.kind]) if count < 15 else bytes([0xF0 | value.kind])
        long = b"" if count < 15 else varint(count)
        return head + long + b"".join(_value(value.kind, one) for one in value.values)
    if isinstance(value, bytes) and kind == STRUCT:
        return value
    raise TypeError("no value of a footer")


class Reader:
    """Reads a struct into a dict by field number; Refused for whatever is too much of anything."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.place = 0
        self._left = _MOST

    def struct(self, depth: int = 0) -> dict[int, object]:
        """One struct with all that is in it."""
        if depth > _DEEPEST:
            raise broken()
        found: dict[int, object] = {}
        number = 0
        while head := self._byte():
            delta = head >> 4
            number = number + delta if delta else self._signed()
            if number in found:
                raise broken()
            found[number] = self._read(head & 0x0F, depth)
        return found

    def _read(self, kind: int, depth: int) -> object:
        self._left -= 1
        if self._left < 0:
            raise broken()
        if kind in (_TRUE, _FALSE):
            return kind == _TRUE
        if kind in (_BYTE, _I16, I32, I64):
            return self._byte() if kind == _BYTE else self._signed()
        if kind in (_DOUBLE, BINARY):
            return self._take(8 if kind == _DOUBLE else self._number())
        if kind in (LIST, _SET):
            return self._list(depth)
        if kind == STRUCT:
            return self.struct(depth + 1)
        raise broken()

    def _list(self, depth: int) -> list[object]:
        if depth > _DEEPEST:
            raise broken()
        head = self._byte()
        count = head >> 4 if head >> 4 < 15 else self._number()
        if count > self._left:
            raise broken()
        return [self._read(head & 0x0F, depth + 1) for _ in range(count)]

    def _signed(self) -> int:
        number = self._number()
        return number >> 1 ^ -(number & 1)

    def _number(self) -> int:
        found = shift = 0
        while shift < 64:
            one = self._byte()
            found |= (one & 0x7F) << shift
            if one < 0x80:
                return found
            shift += 7
        raise broken()

    def _byte(self) -> int:
        return self._take(1)[0]

    def _take(self, count: int) -> bytes:
        found = self.data[self.place : self.place + count]
        if len(found) < count:
            raise broken()
        self.place += count
        return found


def broken() -> Refused:
    """What cannot be read as a Parquet file at all."""
    return Refused("extract.parquet", "This is not a whole Parquet file.")
