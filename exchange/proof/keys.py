"""Check Ed25519 signatures, and read base64 so that one value has one spelling."""

import base64
import binascii
from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from exchange.proof.refused import Refused


class Signer(Protocol):
    """What signs: a key that may be slow or fail, but never signs something else."""

    @property
    def public(self) -> bytes:
        """The 32 bytes of the Ed25519 public key."""

    @property
    def alg(self) -> str:
        """The JOSE name of the algorithm: EdDSA."""

    @property
    def kid(self) -> str:
        """The RFC 7638 thumbprint of the public key."""

    def sign(self, message: bytes) -> bytes:
        """The 64 bytes of the Ed25519 signature."""


def verify(public: bytes, signature: bytes, message: bytes) -> None:
    """Refuse unless the signature is that of this key over this message."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        raise Refused("signature.bad", "A signature does not verify.") from None


def b64(data: bytes) -> str:
    """Base64 of the standard alphabet, with padding."""
    return base64.b64encode(data).decode()


def unb64(text: str) -> bytes:
    """Read base64 in its only canonical spelling."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Refused("base64.bad", "A text is not base64.") from None
    if b64(data) != text:  # spare bits that are not zero: a second spelling of the same bytes
        raise Refused("base64.bad", "A text is not base64.")
    return data


def b64url(data: bytes) -> str:
    """Base64 of the URL alphabet, without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64url(text: str) -> bytes:
    """Read unpadded base64url in its only canonical spelling."""
    if "+" in text or "/" in text or "=" in text:
        raise Refused("base64.bad", "A text is not base64url.")
    return unb64(text.translate(_TO_STANDARD) + "=" * (-len(text) % 4))


_TO_STANDARD = str.maketrans("-_", "+/")
