"""Keyed tokens of a circle and a quarter: token = SHA-256(x(k * H(value))) on P-256.

The same function serves whether the exchange computes a token from a sealed original or a member
asks blindly for one of its own values: the member sends x(r * H(value)), the exchange returns
x(k * r * H(value)), the member takes r away. Only x-coordinates travel, so the sign of a point
never matters. The map to the curve is try-and-increment: its time depends on the value, which
both sides of this exchange already know.
"""

import hmac
import ipaddress
import unicodedata
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

SCHEME = "oprf-p256-sha256"
FORUM = "forum"
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
NORMALISATIONS = {
    "email-address": "email-lower-nfkc-v1",
    "recovery-address": "email-lower-nfkc-v1",
    "email-domain": "domain-lower-v1",
    "handle": "handle-lower-nfkc-v1",
    "ip-address": "ip-canonical-v1",
    "phone": "e164-v1",
}


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a token means something: one circle in one quarter, and the keys for it."""

    circle: str
    epoch: str
    k: int = field(repr=False)
    hmac_key: bytes = field(repr=False)

    @property
    def domain(self) -> str:
        """The word for this scope in the closed schema of a keyed token."""
        return FORUM if self.circle == FORUM else "circle"


def epoch(moment: datetime) -> str:
    """The quarter of a moment, as `2026Q4`."""
    utc = moment.astimezone(UTC)
    return f"{utc.year:04d}Q{(utc.month + 2) // 3}"


def key_for(master: bytes, circle: str, epoch: str) -> Scope:
    """The keys of a circle and quarter, derived from the one master secret."""
    if len(master) < 32:
        raise ValueError("the master secret has at least 32 bytes")
    material = HKDF(
        algorithm=hashes.SHA256(),
        length=80,
        salt=b"weir/token/v1",
        info=f"{circle}\x00{epoch}".encode(),
    ).derive(master)
    # 48 bytes reduced to a 32-byte range: the bias is below 2**-128.
    k = int.from_bytes(material[:48], "big") % (ORDER - 1) + 1
    return Scope(circle=circle, epoch=epoch, k=k, hmac_key=material[48:])


def normalise(kind: str, value: str) -> str:
    """One spelling for each value of a kind, the same for every member."""
    text = unicodedata.normalize("NFKC", value).strip()
    if kind == "ip-address":
        return _canonical_address(text)
    if kind == "phone":
        return "+" + "".join(char for char in text if char.isascii() and char.isdigit())
    if kind in NORMALISATIONS:
        return unicodedata.normalize("NFKC", text.lower())
    return text


def token(scope: Scope, kind: str, value: str) -> str:
    """The token of a value in a scope: 64 hex digits."""
    return sha256(evaluate(scope, point(kind, value))).hexdigest()


def point(kind: str, value: str) -> bytes:
    """H(value): the x-coordinate of the point that a value of a kind is mapped to."""
    text = f"{kind}\x00{normalise(kind, value)}".encode()
    for counter in range(256):
        candidate = sha256(b"weir/h2c/v1\x00" + bytes([counter]) + text).digest()
        if _on_curve(candidate):
            return candidate
    raise ValueError("no point found")  # probability 2**-256


def evaluate(scope: Scope, x: bytes) -> bytes:
    """x(k * P) for the point with this x-coordinate; raises ValueError for what is no point."""
    return _times(scope.k, x)


def blinded(kind: str, value: str, r: int) -> bytes:
    """What a member sends for its value: x(r * H(value)), r random in 1..ORDER-1."""
    return _times(r, point(kind, value))


def unblinded(x: bytes, r: int) -> str:
    """The token, from the exchange's answer and the member's own r."""
    return sha256(_times(pow(r, -1, ORDER), x)).hexdigest()


def rekeyed(scope: Scope, name: str, value: str) -> str:
    """A contributor's own token under the circle's key, so that it goes nowhere else."""
    return hmac.new(scope.hmac_key, f"{name}\x00{value}".encode(), sha256).hexdigest()


def _canonical_address(text: str) -> str:
    try:
        if "/" in text:
            network = ipaddress.ip_network(text, strict=False)
            single = network.prefixlen == network.max_prefixlen
            return str(network.network_address) if single else str(network)
        return str(ipaddress.ip_address(text))
    except ValueError:
        return text.lower()


def _on_curve(x: bytes) -> bool:
    try:
        _public(x)
    except ValueError:
        return False
    return True


def _public(x: bytes) -> ec.EllipticCurvePublicKey:
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x02" + x)


def _times(scalar: int, x: bytes) -> bytes:
    return ec.derive_private_key(scalar, ec.SECP256R1()).exchange(ec.ECDH(), _public(x))
