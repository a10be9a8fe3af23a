"""The child that reads an extract: three parts in, out what they said in the form to be sealed.

`exchange.children` starts it, without keys or settings, in so much memory and time.
"""

import json
import struct
from datetime import date

from exchange import children
from exchange.proof.refused import Refused
from indicators.detection import manifest, packing, parquet, rules
from indicators.detection.values import Extract


def packed(today: date, limits: rules.Limits, parts: tuple[bytes, bytes, bytes]) -> bytes:
    """What the child is given: the day, the floor's limits, and manifest and files as they came."""
    head = json.dumps([today.isoformat(), limits.as_numbers()]).encode()
    return framed((head, *parts))


def framed(parts: tuple[bytes, ...]) -> bytes:
    """Several parts in one, each behind its length."""
    return b"".join(struct.pack("<I", len(part)) + part for part in parts)


def unframed(data: bytes) -> tuple[bytes, ...]:
    """The parts again."""
    found = []
    place = 0
    while place < len(data):
        (length,) = struct.unpack_from("<I", data, place)
        place += 4 + length
        found.append(data[place - length : place])
    return tuple(found)


def judge(given: bytes) -> bytes:
    """The extract, packed; or the first problem as Refused: with place and rule, no value."""
    head, *parts = unframed(given)
    day, numbers = json.loads(head)
    extract = opened(
        (parts[0], parts[1], parts[2]),
        today=date.fromisoformat(day),
        limits=rules.Limits(**numbers),
    )
    return packing.pack(extract)


def opened(
    parts: tuple[bytes, bytes, bytes], *, today: date, limits: rules.Limits = rules.SHIPPED
) -> Extract:
    """The extract of a manifest and two files, as it may be sent today; Refused if it may not."""
    said = manifest.read(parts[0])
    # What is wrong with the day is said before what is wrong with a file of it.
    for problem in rules.check_manifest(said, today=today, limits=limits):
        raise refusal((problem,))
    extract = parquet.read(said, *parts[1:], rows=limits.rows)
    if found := rules.check(extract, today=today, limits=limits):
        raise refusal(found)
    return extract


def refusal(problems: tuple[rules.Problem, ...]) -> Refused:
    """The first problem, and how many more are told by `weir-extract check`."""
    first, *others = problems
    rule = f"{first.rule}: " if first.rule else ""
    more = f" {len(others)} or more other places are wrong, too." if others else ""
    return Refused(first.code, f"{rule}{first.sentence}{more}", first.path)


if __name__ == "__main__":
    children.answer(judge)
