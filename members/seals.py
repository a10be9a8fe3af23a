"""Sealing at rest: a data key for each member that the database does not hold in the clear."""

import hmac
from functools import lru_cache
from hashlib import sha256
from secrets import token_bytes
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

from exchange.proof.refused import Refused
from members.models import DataKey

_NONCE = 12
_EPOCH = 2


class Seal:
    """AES-256-GCM under one key: epoch (2 bytes), nonce (12), ciphertext with its tag."""

    def __init__(self, key: bytes, *, epoch: int = 0) -> None:
        self._cipher = AESGCM(key)
        self._epoch = epoch.to_bytes(_EPOCH)

    def seal(self, plaintext: bytes, *, aad: bytes) -> bytes:
        """Bytes that only the holder of the key opens, and only for the same `aad`."""
        nonce = token_bytes(_NONCE)
        return self._epoch + nonce + self._cipher.encrypt(nonce, plaintext, self._epoch + aad)

    def open(self, sealed: bytes, *, aad: bytes) -> bytes:
        """The plaintext; Refused when key, place or bytes are not those that were sealed."""
        nonce = sealed[_EPOCH : _EPOCH + _NONCE]
        try:
            return self._cipher.decrypt(nonce, sealed[_EPOCH + _NONCE :], sealed[:_EPOCH] + aad)
        except (InvalidTag, ValueError):
            raise Refused("seal.broken", "Sealed bytes do not open.") from None


def for_member(member_id: UUID) -> Seal:
    """The seal of one member; its data key is made at the first use."""
    return _member_seal(member_id)


@lru_cache(maxsize=256)
def _member_seal(member_id: UUID) -> Seal:
    row = DataKey.objects.filter(member_id=member_id).order_by("-epoch").first()
    if row is None:
        row = make_data_key(member_id)
    key = _wrapping().open(bytes(row.wrapped), aad=_key_aad(member_id, row.epoch))
    return Seal(key, epoch=row.epoch)


def make_data_key(member_id: UUID) -> DataKey:
    """Mint a member's data key, wrapped by the key from the environment."""
    wrapped = _wrapping().seal(token_bytes(32), aad=_key_aad(member_id, 1))
    row, _ = DataKey.objects.get_or_create(
        member_id=member_id, epoch=1, defaults={"wrapped": wrapped}
    )
    return row


def index_digest(purpose: str, member_id: UUID | None, value: bytes) -> bytes:
    """A keyed hash: equal values are found again, a database thief can test no guess."""
    scope = member_id.bytes if member_id else b""
    return hmac.new(_index_key(purpose), scope + b"\n" + value, sha256).digest()


@lru_cache(maxsize=32)
def _index_key(purpose: str) -> bytes:
    derive = HKDF(SHA256(), 32, salt=None, info=b"weir-index/" + purpose.encode())
    return derive.derive(settings.INDEX_KEY)


@lru_cache(maxsize=1)
def _wrapping() -> Seal:
    return Seal(settings.WRAPPING_KEY)


def _key_aad(member_id: UUID, epoch: int) -> bytes:
    return b"data-key:" + member_id.bytes + b":%d" % epoch
