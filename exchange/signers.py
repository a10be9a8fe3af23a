"""Open the exchange's signing keys, each named by a URI; no message or repr shows a secret."""

import base64
import os
import stat
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from exchange import hsm
from exchange.proof import keys
from exchange.proof.jws import thumbprint
from exchange.proof.refused import Refused

LARGEST = 16_384
STORES = "weir.signers"


@dataclass(frozen=True, slots=True)
class Signer:
    """One Ed25519 key: signs, and says which public key belongs to it."""

    _key: Ed25519PrivateKey = field(repr=False)
    public: bytes
    kid: str
    alg: str = "EdDSA"

    def sign(self, message: bytes) -> bytes:
        """The 64 bytes of the Ed25519 signature over the message."""
        return self._key.sign(message)


def signer_for(uri: str) -> keys.Signer:
    """The signer that a URI names; anything unusual is refused.

    `file:<path>`, `env:<NAME>`, `pkcs11:<uri>`, or a key store that the deployment installed: an
    entry point of the group `weir.signers`, named by its scheme, called with what follows it.
    """
    scheme, _, rest = uri.partition(":")
    if scheme == "file" and rest:
        return signer_of(_from_pem(_private_file(rest)))
    if scheme == "env" and rest:
        return signer_of(_from_variable(rest))
    if scheme == "pkcs11" and rest:
        return hsm.signer_at(rest)
    for store in entry_points(group=STORES, name=scheme):
        found: keys.Signer = store.load()(rest)
        return found
    raise Refused("signer.uri", "A signing key is named file:<path>, env:<NAME> or pkcs11:<uri>.")


def signer_of(key: Ed25519PrivateKey) -> Signer:
    """The signer of a key that is at hand."""
    public = key.public_key().public_bytes_raw()
    return Signer(key, public, thumbprint(public))


def make_key_file(path: str | os.PathLike[str]) -> Signer:
    """Make a new key in a new file that only its owner can read; an existing file is refused."""
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise Refused("signer.exists", f"There is a file already: {os.fspath(path)}") from None
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, 0o600)  # whatever the umask took away
        file.write(pem)
    return signer_of(key)


def _private_file(path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode  # of the open file: the name may change hands
            if not stat.S_ISREG(mode) or stat.S_IMODE(mode) != 0o600:
                raise Refused("signer.mode", f"The key file must have mode 0600: {path}")
            return file.read(LARGEST)
    except OSError:
        raise Refused("signer.file", f"The key file cannot be read: {path}") from None


def _from_variable(name: str) -> Ed25519PrivateKey:
    try:
        data = base64.b64decode(os.environ.get(name, ""), validate=True)
    except ValueError:
        data = b""
    if not data:
        raise Refused("signer.env", f"The variable {name} holds no key in base64.")
    return Ed25519PrivateKey.from_private_bytes(data) if len(data) == 32 else _from_pem(data)


def _from_pem(pem: bytes) -> Ed25519PrivateKey:
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):  # the cause might quote the key
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise Refused("signer.key", "A signing key is an Ed25519 key in PKCS#8 PEM, unencrypted.")
    return key
