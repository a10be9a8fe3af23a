"""Say and check what a manifest and a delivery token claim (sections 3 and 5 of the format)."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any

from exchange.proof import jcs, jws
from exchange.proof.keys import Signer, unb64url
from exchange.proof.refused import Refused

MEDIA = "application/stix+json;version=2.1"
WINDOW = 300  # seconds that a delivery token lasts
LEEWAY = 60
LATEST = 253_402_300_799  # the last second that a date can show
EVENTS = ("bundle", "recall", "notice", "test")

_HEX = re.compile(r"[0-9a-f]{64}")
_RANGE = re.compile(r"([1-9][0-9]{0,17})(?:-([1-9][0-9]{0,17}))?")


@dataclass(frozen=True, slots=True)
class Manifest:
    """What the exchange says of a bundle; nothing in it depends on the recipient."""

    iss: str
    id: str
    iat: int
    size: int
    sha256: str
    count: int
    objects_sha256: str
    ledger: str
    media: str = MEDIA
    v: int = 1

    def payload(self) -> bytes:
        """The bytes that are signed."""
        return jcs.encode(asdict(self))

    def sign(self, signer: Signer) -> str:
        """The manifest as a token."""
        return jws.sign(self.payload(), typ=jws.MANIFEST, signer=signer)


@dataclass(frozen=True, slots=True)
class Delivery:
    """What the exchange says of one attempt to deliver a body to one endpoint."""

    iss: str
    aud: str
    sub: str
    jti: str
    iat: int
    exp: int
    seq: int
    seqs: str
    event: str
    sha256: str
    size: int

    def payload(self) -> bytes:
        """The bytes that are signed."""
        return jcs.encode(asdict(self))

    def sign(self, signer: Signer) -> str:
        """The delivery token."""
        return jws.sign(self.payload(), typ=jws.DELIVERY, signer=signer)


@dataclass(frozen=True, slots=True)
class Receiver:
    """Whom an endpoint expects to hear from, and the exact URL that it registered."""

    iss: str
    aud: str


def digest_of(digests: Iterable[bytes]) -> str:
    """A manifest's `objects_sha256`: over the raw rendition digests in bundle order."""
    return sha256(b"".join(digests)).hexdigest()


def manifest(
    body: bytes, digests: Sequence[bytes], *, iss: str, bundle_id: str, iat: int, ledger: str
) -> Manifest:
    """Describe bundle bytes made of renditions with these digests."""
    return Manifest(
        iss=iss,
        id=bundle_id,
        iat=iat,
        size=len(body),
        sha256=sha256(body).hexdigest(),
        count=len(digests),
        objects_sha256=digest_of(digests),
        ledger=ledger,
    )


def open_manifest(token: str, keys: jws.KeySet, *, cosigned_at: int | None = None) -> Manifest:
    """Check a manifest token. One of a revoked key stands if its entries were cosigned before."""
    opened = jws.read(token, keys, typ=jws.MANIFEST)
    value = _claims(opened.payload, "manifest")
    if value.keys() != Manifest.__annotations__.keys():
        raise Refused("manifest.claims", "The manifest has other claims than it should.")
    found = Manifest(**_typed(value, Manifest.__annotations__, "manifest"))
    if (
        (found.v, found.media) != (1, MEDIA)
        or found.iat > LATEST
        or not _HEX.fullmatch(found.objects_sha256)
    ):
        raise Refused("manifest.claims", "The manifest is of a form that is not known.")
    opened.key.check(typ=jws.MANIFEST, iat=found.iat, cosigned_at=cosigned_at)
    return found


def open_delivery(token: str, keys: jws.KeySet, receiver: Receiver, *, now: int) -> Delivery:
    """Check a delivery token: issuer, exact audience, window; claims unheard of are passed over."""
    opened = jws.read(token, keys, typ=jws.DELIVERY)
    found = Delivery(
        **_typed(_claims(opened.payload, "delivery"), Delivery.__annotations__, "delivery")
    )
    opened.key.check(typ=jws.DELIVERY, iat=found.iat)
    if found.iss != receiver.iss:
        raise Refused("delivery.iss", "The token is not from the exchange that is expected here.")
    if found.aud != receiver.aud:
        raise Refused("delivery.aud", "The token is meant for another endpoint.")
    if not 0 < found.exp - found.iat <= WINDOW:
        raise Refused("delivery.window", "The token lasts longer than a token may.")
    if not found.iat - LEEWAY <= now <= found.exp + LEEWAY:
        raise Refused("delivery.time", "The token is not of this time.")
    if found.event not in EVENTS or found.seq < 1:
        raise Refused("delivery.claims", "The token announces something that is not known.")
    parse_ranges(found.seqs)
    return found


def stated_delivery(token: str) -> tuple[str, int]:
    """Whom a token says that it is for and when it was issued, before anything of it is checked."""
    parts = token.split(".")
    value = _claims(unb64url(parts[1]) if len(parts) == 3 else b"{}", "delivery")
    named = _typed(value, {"aud": str, "iat": int}, "delivery")
    return named["aud"], named["iat"]


def spell_ranges(numbers: Iterable[int]) -> str:
    """Ledger numbers as ranges: `41-43,47`."""
    spans: list[tuple[int, int]] = []
    for number in sorted(set(numbers)):
        if spans and spans[-1][1] == number - 1:
            spans[-1] = (spans[-1][0], number)
        else:
            spans.append((number, number))
    return ",".join(str(lo) if lo == hi else f"{lo}-{hi}" for lo, hi in spans)


def parse_ranges(text: str) -> tuple[tuple[int, int], ...]:
    """Read ranges of numbers, rising and apart; an empty text has none."""
    spans: list[tuple[int, int]] = []
    for part in text.split(",") if text else ():
        match = _RANGE.fullmatch(part)
        lo, hi = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not (spans[-1][1] if spans else 0) < lo <= hi:
            raise Refused("delivery.seqs", "The ledger numbers are not rising ranges.")
        spans.append((lo, hi))
    return tuple(spans)


def _claims(payload: bytes, what: str) -> dict[str, object]:
    value = jcs.decode(payload)
    if not isinstance(value, dict):
        raise Refused(f"{what}.claims", f"The {what} is not an object.")
    return value


def _typed(value: Mapping[str, object], kinds: Mapping[str, object], what: str) -> dict[str, Any]:
    found = {name: value.get(name) for name in kinds}
    for name, kind in kinds.items():
        claim = found[name]
        if kind is str:  # printable: claims end up on terminals and in logs
            fits = isinstance(claim, str) and claim.isprintable()
        else:
            fits = type(claim) is int and claim >= 0
        if not fits or (name == "sha256" and not _HEX.fullmatch(str(claim))):
            raise Refused(f"{what}.claims", f"The {what}'s claim {name} is missing or malformed.")
    return found
