"""Sealing at rest: a data key for each member that the database does not hold in the clear."""

import hmac
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from secrets import token_bytes
from types import MappingProxyType
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
# Members whose key this process made itself; see for_member.
_MADE_HERE: set[UUID] = set()


class Seal:
    """AES-256-GCM: epoch of the key (2 bytes), nonce (12), ciphertext with its tag.

    Seals under one key; also opens what was sealed under the keys of earlier epochs.
    """

    def __init__(
        self, key: bytes, *, epoch: int = 0, earlier: Mapping[int, bytes] = MappingProxyType({})
    ) -> None:
        keys = {**earlier, epoch: key}
        self._ciphers = {number.to_bytes(_EPOCH): AESGCM(one) for number, one in keys.items()}
        self._epoch = epoch.to_bytes(_EPOCH)
        self._cipher = self._ciphers[self._epoch]

    def seal(self, plaintext: bytes, *, aad: bytes) -> bytes:
        """Bytes that only the holder of the key opens, and only for the same `aad`."""
        nonce = token_bytes(_NONCE)
        return self._epoch + nonce + self._cipher.encrypt(nonce, plaintext, self._epoch + aad)

    def open(self, sealed: bytes, *, aad: bytes) -> bytes:
        """The plaintext; Refused when key, place or bytes are not those that were sealed."""
        epoch, nonce = sealed[:_EPOCH], sealed[_EPOCH : _EPOCH + _NONCE]
        try:
            return self._ciphers[epoch].decrypt(nonce, sealed[_EPOCH + _NONCE :], epoch + aad)
        except (InvalidTag, KeyError, ValueError):
            raise Refused("seal.broken", "Sealed bytes do not open.") from None


def for_member(member_id: UUID) -> Seal:
    """The seal of one member; its data key is made at the first use."""
    if member_id not in _MADE_HERE:
        with suppress(LookupError):
            return _kept_seal(member_id)
        # The transaction that makes the key may roll back. Were the key kept, what is sealed with
        # it later could never be opened, so here its row is read again at each use.
        _MADE_HERE.add(member_id)
    make_data_key(member_id)
    return _stored_seal(member_id)


@lru_cache(maxsize=256)
def _kept_seal(member_id: UUID) -> Seal:
    return _stored_seal(member_id)


def _stored_seal(member_id: UUID) -> Seal:
    keys = {
        row.epoch: _wrapping().open(bytes(row.wrapped), aad=_key_aad(member_id, row.epoch))
        for row in DataKey.objects.filter(member_id=member_id)
    }
    if not keys:
        raise LookupError("no data key")
    newest = max(keys)
    return Seal(keys[newest], epoch=newest, earlier=keys)


@lru_cache(maxsize=1)
def for_forum() -> Seal:
    """The seal of what the forum's own people keep; its key is derived, and in no database."""
    derive = HKDF(SHA256(), 32, salt=None, info=b"weir-forum/v1")
    return Seal(derive.derive(settings.WRAPPING_KEY))


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
    return hmac.digest(_index_key(purpose), scope + b"\n" + value, "sha256")


@lru_cache(maxsize=32)
def _index_key(purpose: str) -> bytes:
    derive = HKDF(SHA256(), 32, salt=None, info=b"weir-index/" + purpose.encode())
    return derive.derive(settings.INDEX_KEY)


@lru_cache(maxsize=1)
def _wrapping() -> Seal:
    return Seal(settings.WRAPPING_KEY)


def _key_aad(member_id: UUID, epoch: int) -> bytes:
    return b"data-key:" + member_id.bytes + b":%d" % epoch
