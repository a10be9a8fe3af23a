"""Keyed tokens of a circle and a quarter: which key, which quarters, and which tokens may pass.

What is computed with a key stands in `exchange.proof.oprf`, for members run the same: the exchange
makes a token of a sealed original, a member asks blindly for one of its own values.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from exchange.policy.terms import Floor
from exchange.proof import oprf

SCHEME = oprf.SCHEME
NORMALISATIONS = oprf.NORMALISATIONS
FORUM = "forum"
PLAIN = "sha256"
API_KEY = "api-key"
# Types that name the key they were made with.
_KEYED = ("keyed-token", "prompt-template-fingerprint")


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
        return domain_of(self.circle)


@dataclass(frozen=True, slots=True)
class Quarter:
    """A quarter for which values are turned into tokens, and until when that goes on."""

    epoch: str
    # Contributed tokens pass only with the live one.
    is_live: bool
    until: date


def domain_of(circle: str) -> str:
    """How a keyed token names a circle."""
    return FORUM if circle == FORUM else "circle"


def epoch(moment: datetime) -> str:
    """The quarter of a moment, as `2026Q4`."""
    utc = moment.astimezone(UTC)
    return f"{utc.year:04d}Q{(utc.month + 2) // 3}"


def quarters(now: datetime, floor: Floor) -> tuple[Quarter, ...]:
    """The live quarter, and the one before it until its last token has expired."""
    today = now.astimezone(UTC).date()
    first = today.replace(month=(today.month - 1) // 3 * 3 + 1, day=1)
    life = timedelta(days=longest_life(floor))
    after = (first + timedelta(days=93)).replace(day=1)
    found = [Quarter(epoch(now), is_live=True, until=after + life)]
    if today < first + life:
        before = datetime(first.year, first.month, 1, tzinfo=UTC) - timedelta(days=1)
        found.append(Quarter(epoch(before), is_live=False, until=first + life))
    return tuple(found)


def longest_life(floor: Floor) -> int:
    """For how many days the floor lets an indicator with a keyed token stand."""
    document = floor.document
    carried = (*document["types"]["tokenised"], "keyed-token", "ipv4-addr", "ipv6-addr")
    kinds = {document["kind_of_observable"][name] for name in carried}
    # A pattern of several kinds has none, and the default's days.
    days = [document["kinds"][kind]["days"] for kind in kinds] + [document["default_days"]]
    return int(min(max(days), document["days_at_most"]))


def may_pass(obj: Mapping[str, Any], *, now: datetime) -> bool:
    """Whether a contributed token or template can be matched by its circle, as far as it says.

    It is keyed for the live quarter, or the plain hash of an API key, which has entropy enough.
    One of the quarter before is withheld, though values are still turned into tokens of it: that
    is for matching what was received, and its contributor can key the same values again.
    """
    if obj.get("type") not in _KEYED:
        return True
    if obj["type"] == "keyed-token" and obj.get("token_scheme") == PLAIN:
        return obj.get("kind") == API_KEY
    return bool(obj.get("token_scheme") == SCHEME and obj.get("key_epoch") == epoch(now))


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
    k = int.from_bytes(material[:48], "big") % (oprf.ORDER - 1) + 1
    return Scope(circle=circle, epoch=epoch, k=k, hmac_key=material[48:])


def token(scope: Scope, kind: str, value: str) -> str:
    """The token of a value in a scope: 64 hex digits."""
    return oprf.token(scope.k, kind, value)


def rekeyed(scope: Scope, name: str, value: str) -> str:
    """A contributor's own token under the circle's key, so that it goes nowhere else."""
    return hmac.new(scope.hmac_key, f"{name}\x00{value}".encode(), sha256).hexdigest()
