"""Seals of the pool: a fresh key for each member and day, wrapped to the pool's public key.

Who seals cannot open: the private key is in the environment of the run's process alone (HPKE, RFC
9180, X25519 with AES-256-GCM). With the wrapped key destroyed, the day's bytes mean nothing.
"""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from exchange.proof.refused import Refused

KEY = 32
NONCE = 12
_TAG = 16
_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


def seal(key: bytes, nonce: bytes, plaintext: bytes, *, aad: bytes) -> bytes:
    """Bytes that only the holder of the key opens, and only for the same `aad`."""
    return nonce + AESGCM(key).encrypt(nonce, plaintext, aad)


def open_seal(key: bytes, sealed: bytes, *, aad: bytes) -> bytes:
    """The plaintext; Refused when key, place or bytes are not those that were sealed."""
    try:
        return AESGCM(key).decrypt(sealed[:NONCE], sealed[NONCE:], aad)
    except (InvalidTag, ValueError):
        raise _broken() from None


def length(sealed: int) -> int:
    """How many octets so many sealed ones hold."""
    return sealed - NONCE - _TAG


def open_into(key: bytes, sealed: memoryview, place: memoryview, *, aad: bytes) -> None:
    """The same as `open_seal`, written in its place."""
    try:
        AESGCM(key).decrypt_into(sealed[:NONCE], sealed[NONCE:], aad, place)
    except (InvalidTag, ValueError):
        raise _broken() from None


def wrap(public: bytes, key: bytes, *, aad: bytes) -> bytes:
    """A key that only the holder of the private key gets back, and only for the same `aad`."""
    return _SUITE.encrypt(key, X25519PublicKey.from_public_bytes(public), aad)


def unwrap(private: bytes, wrapped: bytes, *, aad: bytes) -> bytes:
    """The key again."""
    try:
        return _SUITE.decrypt(wrapped, X25519PrivateKey.from_private_bytes(private), aad)
    except (InvalidTag, ValueError):
        raise _broken() from None


def public_of(private: bytes) -> bytes:
    """The public key that belongs to a private one."""
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def _broken() -> Refused:
    return Refused("seal.broken", "Sealed bytes do not open.")
