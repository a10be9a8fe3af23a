"""Write a value as the one byte string of RFC 8785 (JCS), and read JSON without surprises."""

import json
import math
from decimal import Decimal

from exchange.proof.refused import Refused

LARGEST = 2**53 - 1  # RFC 8785 leans on IEEE doubles: beyond this an integer has no exact one
DEEPEST = 200

# The C encoder writes strings and integers exactly as RFC 8785 wants them. Circles end at DEEPEST.
_FAST = json.JSONEncoder(
    ensure_ascii=False,
    check_circular=False,
    allow_nan=False,
    sort_keys=True,
    separators=(",", ":"),
)


def encode(value: object) -> bytes:
    """The JCS form of a value made of dict, list, tuple, str, int, float, bool and None."""
    text = _FAST.encode(value) if _is_plain(value, 0) else _written(value)
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise Refused("jcs.surrogate", "A text holds half of a surrogate pair.") from None


def decode(data: bytes) -> object:
    """Read JSON in UTF-8; refuses duplicate keys, NaN and whatever has no JCS form."""
    try:
        value = json.loads(
            data.decode(),
            object_pairs_hook=_once,
            parse_constant=_no_constant,
            parse_int=_whole,
        )
    except (ValueError, RecursionError):  # also UnicodeDecodeError and JSONDecodeError
        raise Refused("jcs.json", "This is not JSON in UTF-8.") from None
    encode(value)
    return value


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Refused("jcs.duplicate", "An object has the same key twice.")
    return found


def _whole(text: str) -> int | float:
    """A whole number; beyond 2^53-1 only a float can be meant, and only in its own spelling."""
    value = int(text)
    if LARGEST < abs(value) < 10**21 and _number(float(value)) == text:
        return float(value)
    return value


def _no_constant(_name: str) -> object:
    raise Refused("jcs.number", "A number is not finite.")


def _is_plain(value: object, depth: int) -> bool:
    """Check a value; true where the fast encoder equals JCS: no float, keys in ASCII."""
    if type(value) is str:  # most values are
        return True
    if depth > DEEPEST:
        raise Refused("jcs.depth", f"The value is nested deeper than {DEEPEST} levels.")
    if isinstance(value, dict):
        is_plain = True
        for key, item in value.items():  # to the end: each one is checked
            is_plain &= _is_plain_key(key)
            if type(item) is not str:
                is_plain &= _is_plain(item, depth + 1)
        return is_plain
    if isinstance(value, list | tuple):
        return all([_is_plain(item, depth + 1) for item in value])  # a list: each one is checked
    return _is_plain_scalar(value)


def _is_plain_key(key: object) -> bool:
    if not isinstance(key, str):
        raise Refused("jcs.key", "A key of an object is not a text.")
    return key.isascii()


def _is_plain_scalar(value: object) -> bool:
    if isinstance(value, float):
        if not math.isfinite(value):
            raise Refused("jcs.number", "A number is not finite.")
        return False
    if isinstance(value, int):
        if not -LARGEST <= value <= LARGEST:
            raise Refused("jcs.integer", "An integer is beyond 2^53-1.")
        return True
    if value is None or isinstance(value, str):
        return True
    raise Refused("jcs.type", "A value is of a kind that JSON does not know.")


def _written(value: object) -> str:
    if isinstance(value, dict):
        # RFC 8785 3.2.3 sorts by UTF-16 units, where astral characters stand before U+E000.
        keys = sorted(value, key=lambda key: str(key).encode("utf-16-be", "surrogatepass"))
        return "{" + ",".join(f"{_FAST.encode(key)}:{_written(value[key])}" for key in keys) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(_written(item) for item in value) + "]"
    return _number(value) if isinstance(value, float) else _FAST.encode(value)


def _number(value: float) -> str:
    """ECMAScript Number::toString: repr finds the same shortest digits, only the layout differs."""
    if value == 0:
        return "0"
    sign = "-" if value < 0 else ""
    _, every_digit, exponent = Decimal(repr(abs(value))).as_tuple()
    digits = "".join(map(str, every_digit))
    point = len(digits) + int(exponent)  # n of the standard: where the decimal point stands
    digits = digits.rstrip("0")
    if not -6 < point <= 21:
        rest = f".{digits[1:]}" if len(digits) > 1 else ""
        return f"{sign}{digits[0]}{rest}e{point - 1:+d}"
    if point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    if len(digits) <= point:
        return sign + digits.ljust(point, "0")
    return f"{sign}{digits[:point]}.{digits[point:]}"
