"""Blind evaluation on P-256: the pure half of keyed tokens, the same for member and exchange.

    token = SHA-256(x(k * H(value)))

1. the value gets the one spelling of its kind     2. H maps kind and value to a point (RFC 9380)
3. the member sends x(r * H), r random             4. the exchange returns x(k * r * H)
5. the member takes r away and hashes what is left

H is P256_XMD:SHA-256_SSWU_RO_ of RFC 9380, and steps 2 to 4 are the mode OPRF of RFC 9497 (its
published vectors are among the tests) but for two things: only x-coordinates travel, so that the
sign of a point never matters, and the hash at the end is taken of x alone. What it is not:

- It is not verifiable: the exchange could answer with another k, and a member would see only that
  nothing matches. Two members who compare one token would find it out.
- It is put together here, of ECDH from `cryptography` and integers of Python, and it was not yet
  reviewed by anybody else. Integers of Python take a time that depends on their value: the map
  runs where the value is known anyway; k and r pass through OpenSSL alone, but for the inverse
  of r, which its member computes in its own process.
- Who may have many points multiplied by one k gains a little on it (static Diffie-Hellman, RFC
  9497 section 7.2.3): about half the bits of their number, 18 of 128 for 2**36 in a quarter. The
  quota and the new key of each quarter keep it there.
- It hides values from the exchange, not from guessing: who may ask can guess within its quota.

P-256 has cofactor 1 and prime order, so there is no small subgroup, and no product of a point with
1..n-1 is the point at infinity.
"""

import ipaddress
import unicodedata
from collections.abc import Callable, Mapping
from functools import lru_cache
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric import ec

from exchange.proof.refused import Refused

SCHEME = "oprf-p256-sha256"
# RFC 9380 section 3.1: a tag of our own, so that no other protocol ever makes the same point.
TAG = b"WEIR-TOKEN-V01-with-P256_XMD:SHA-256_SSWU_RO_"
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
RAW = "raw-bytes"
NORMALISATIONS: Mapping[str, str] = {
    "email-address": "email-lower-nfkc-v1",
    "recovery-address": "email-lower-nfkc-v1",
    "email-domain": "domain-lower-v1",
    "handle": "handle-lower-nfkc-v1",
    "ip-address": "ip-canonical-v1",
    "phone": "e164-v1",
    "payment-instrument": "network-token-v1",
    "device": RAW,
    "legal-entity": RAW,
    "wallet": RAW,
}
LONGEST_VALUE = 4_096

_P = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
_A = _P - 3
_B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
_Z = _P - 10
_MINUS_B_A = -_B * pow(_A, -1, _P) % _P
_B_ZA = _B * pow(_Z * _A, -1, _P) % _P
_CURVE = ec.SECP256R1()
_ECDH = ec.ECDH()
_INFINITY = "The point at infinity stands for no value."

Point = tuple[int, int]
Multiply = Callable[[bytes], bytes]


# --- the steps -----------------------------------------------------------------------------------


def token(k: int, kind: str, value: str) -> str:
    """The token of a value under a key, for who has the key: 64 hex digits."""
    return sha256(multiplier(k)(point(kind, value))).hexdigest()


def point(kind: str, value: str) -> bytes:
    """H(value): the x-coordinate of the point that a value of a kind is mapped to."""
    text = f"{kind}\x00{normalise(kind, value)}"  # 1
    return hash_to_curve(text.encode("utf-8", "surrogatepass"), TAG)[0].to_bytes(32, "big")  # 2


def blind(kind: str, value: str, r: int) -> bytes:
    """What a member sends for its value: x(r * H(value)), r drawn evenly from 1..ORDER-1."""
    return _times(_private(r), point(kind, value))  # 3


def evaluate(k: int, x: bytes) -> bytes:
    """x(k * P) for a point with this x-coordinate; Refused for what is none."""
    return multiplier(k)(x)  # 4


def multiplier(k: int) -> Multiply:
    """The same for many points: the key is prepared once."""
    private = _prepared(k)
    return lambda x: _times(private, x)


def unblind(x: bytes, r: int) -> str:
    """The token, from the exchange's answer and the member's own r."""
    return sha256(_times(_private(pow(r, -1, ORDER)), x)).hexdigest()  # 5


def _times(private: ec.EllipticCurvePrivateKey, x: bytes) -> bytes:
    try:
        # OpenSSL refuses what is not the x of a point, and x that is not below the prime.
        public = ec.EllipticCurvePublicKey.from_encoded_point(_CURVE, b"\x02" + x)
    except ValueError:
        raise Refused("token.point", "This is not the x-coordinate of a point of P-256.") from None
    return private.exchange(_ECDH, public)


def _private(scalar: int) -> ec.EllipticCurvePrivateKey:
    if not 0 < scalar < ORDER:
        raise Refused("token.scalar", "A factor lies between 1 and the order of the curve.")
    return ec.derive_private_key(scalar, _CURVE)


# The keys of the circles at work; a member's own r is used once and never kept.
_prepared = lru_cache(maxsize=32)(_private)


# --- one spelling --------------------------------------------------------------------------------


def normalise(kind: str, value: str) -> str:
    """One spelling for each value of a kind, the same for every member."""
    change = _CHANGES.get(NORMALISATIONS.get(kind, RAW))
    if change is None:
        return value
    # Once more: where a space fell out, what stood around it may compose.
    changed = change(unicodedata.normalize("NFKC", value).strip())
    return unicodedata.normalize("NFKC", changed)


def checked(kind: str, value: str) -> str:
    """The one spelling of a value that a member asks for; Refused where it cannot be one.

    A token of something malformed would silently match nothing.
    """
    if kind not in NORMALISATIONS:
        raise Refused("token.kind", f"One of {', '.join(NORMALISATIONS)}.", "kind")
    text = normalise(kind, value)
    # Half of a surrogate pair is no text, and a control character was never meant.
    is_odd = any(unicodedata.category(char) in ("Cc", "Cs") for char in text)
    if not text or len(text) > LONGEST_VALUE or is_odd:
        raise Refused("token.value", "A value is empty, too long, or no text.")
    if not _FORMS.get(NORMALISATIONS[kind], bool)(text):
        raise Refused("token.value", f"A value is no {kind}.")
    return text


def _lower(text: str) -> str:
    return unicodedata.normalize("NFKC", text.lower())


def _domain(text: str) -> str:
    return _lower(text).removesuffix(".")


def _phone(text: str) -> str:
    return "+" + "".join(char for char in text if char.isascii() and char.isdigit())


def _payment(text: str) -> str:
    return "".join(char for char in text if char not in " -")


def _address(text: str) -> str:
    try:
        if "/" in text:
            network = ipaddress.ip_network(text, strict=False)
            single = network.prefixlen == network.max_prefixlen
            return str(network.network_address) if single else str(network)
        return str(ipaddress.ip_address(text))
    except ValueError:
        return text.lower()


def _is_address(text: str) -> bool:
    try:
        return bool(ipaddress.ip_address(text))
    except ValueError:  # a range too: a token stands for one address
        return False


_CHANGES: Mapping[str, Callable[[str], str]] = {
    "email-lower-nfkc-v1": _lower,
    "handle-lower-nfkc-v1": _lower,
    "domain-lower-v1": _domain,
    "e164-v1": _phone,
    "ip-canonical-v1": _address,
    "network-token-v1": _payment,
}
_FORMS: Mapping[str, Callable[[str], bool]] = {
    "email-lower-nfkc-v1": lambda text: "@" in text[1:-1] and " " not in text,
    "domain-lower-v1": lambda text: "." in text[1:-1] and "@" not in text and " " not in text,
    "e164-v1": lambda text: 7 <= len(text) - 1 <= 15,
    "ip-canonical-v1": _is_address,
}


# --- RFC 9380 ------------------------------------------------------------------------------------


def hash_to_curve(message: bytes, tag: bytes) -> Point:
    """P256_XMD:SHA-256_SSWU_RO_ (section 8.2): one point for a message, as if drawn evenly."""
    uniform = expand(message, tag, 96)
    first, second = (int.from_bytes(uniform[i : i + 48], "big") % _P for i in (0, 48))
    return add(_swu(first), _swu(second))


def expand(message: bytes, tag: bytes, length: int) -> bytes:
    """expand_message_xmd with SHA-256 (section 5.3.1); tags of ours are short."""
    tag += bytes([len(tag)])
    first = sha256(bytes(64) + message + length.to_bytes(2, "big") + b"\x00" + tag).digest()
    block = sha256(first + b"\x01" + tag).digest()
    made = [block]
    for index in range(2, -(-length // 32) + 1):
        mixed = bytes(a ^ b for a, b in zip(first, block, strict=True))
        block = sha256(mixed + bytes([index]) + tag).digest()
        made.append(block)
    return b"".join(made)[:length]


def add(one: Point, other: Point) -> Point:
    """The sum of two points; Refused for the point at infinity."""
    (x1, y1), (x2, y2) = one, other
    if x1 != x2:
        slope = (y2 - y1) * pow(x2 - x1, -1, _P) % _P
    elif y1 == y2 != 0:
        slope = (3 * x1 * x1 + _A) * pow(2 * y1, -1, _P) % _P
    else:
        raise Refused("token.infinity", _INFINITY)
    x3 = (slope * slope - x1 - x2) % _P
    return x3, (slope * (x1 - x3) - y1) % _P


def _swu(u: int) -> Point:
    """The simplified Shallue-van de Woestijne-Ulas map (section 6.6.2)."""
    zuu = _Z * u * u % _P
    denominator = (zuu * zuu + zuu) % _P
    # u = 0 is the exceptional case.
    x = _MINUS_B_A * (1 + pow(denominator, -1, _P)) % _P if denominator else _B_ZA
    y = _root(x)
    if y * y % _P != _right(x):
        # Where the one is no square, the other is: Z was chosen for that.
        x = zuu * x % _P
        y = _root(x)
    return x, y if y % 2 == u % 2 else _P - y


def _right(x: int) -> int:
    return (x * x * x + _A * x + _B) % _P


def _root(x: int) -> int:
    """A square root of the curve's right side, if it has one; the prime is 3 mod 4."""
    return pow(_right(x), (_P + 1) // 4, _P)
