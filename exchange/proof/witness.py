"""Be a witness: sign a checkpoint only after it grew from the last one that was signed."""

import os
from dataclasses import replace
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from exchange.proof import log, note
from exchange.proof.jws import thumbprint
from exchange.proof.log import Contradiction, View
from exchange.proof.note import WITNESS, Verifier
from exchange.proof.refused import Refused
from exchange.proof.remote import Remote
from exchange.proof.state import State

EVERY = 300  # seconds between two signatures: witnesses sign the same checkpoint at each


class Key:
    """A witness's own key, from a private file."""

    alg = "EdDSA"

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = key.public_key().public_bytes_raw()
        self.kid = thumbprint(self.public)

    def sign(self, message: bytes) -> bytes:
        """The 64 bytes of the signature."""
        return self._key.sign(message)


def load(path: Path) -> Key:
    """The key in a PKCS#8 file of mode 0600."""
    try:
        if path.stat().st_mode & 0o077:
            raise Refused("usage.key", "The key's file must have mode 0600.")
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm):  # the cause might quote the key
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise Refused("usage.key", "A witness's key is an Ed25519 key in PKCS#8 PEM.")
    return Key(key)


def make(path: Path) -> Key:
    """A new key in a new file that only its owner can read."""
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise Refused("usage.key", "There is a file of that name already.") from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
    return Key(key)


def vkey(key: Key, name: str) -> str:
    """What the forum's operator enters for the member."""
    return Verifier(name, WITNESS, key.public).vkey()


def due(remote: Remote, view: View, now: int) -> str:
    """The checkpoint that all witnesses sign in this interval, or the newest where there is none.

    At different moments of an interval they would sign different ones, and none had a quorum.
    """
    start = now - now % EVERY
    try:
        return remote.text(f"/ledger/checkpoint?before={start}")
    except Refused as refused:
        if refused.code != "exchange.404":
            raise
        return view.signed


def sign(view: View, state: State, key: Key, name: str, *, now: int, path: Path) -> str:
    """Sign what is due, where it grew from the last that was signed; says what was signed.

    1. it is the beginning of the newest, which was checked   2. it grew from the last
    3. remember it, whatever becomes of the rest              4. sign and hand it in
    """
    signed = due(view.remote, view, now)
    point = log.parsed(signed)
    if point.origin != view.point.origin:
        raise Contradiction("log.other", "Another log answers.", signed, view.signed)
    log.follow(view, signed)  # 1
    if state.signed:
        if log.parsed(state.signed).size > point.size:
            return ""
        log.follow(View(view.remote, signed, point), state.signed)  # 2
    replace(state, url=view.remote.url, signed=signed, checked_at=now).write(path)  # 3
    line = note.cosignature_line(point.text(), name, key, at=now)
    view.remote.post("/ledger/cosign", f"{point.size}\n{line}".encode())  # 4
    return f"{point.size} entries, root {point.root.hex()}"
