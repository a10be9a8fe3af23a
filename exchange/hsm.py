"""Sign with a key that never leaves its store: PKCS#11, named by a URI of RFC 7512.

    pkcs11:token=weir;object=bundle?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/etc/weir/pin

The PIN stands in the file (mode 0600) or the variable that `pin-source` names (`file:` or `env:`),
never in the URI itself. No message shows it.
"""

import os
import stat
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

from exchange.proof import keys
from exchange.proof.jws import thumbprint
from exchange.proof.refused import Refused

try:
    import pkcs11
    from pkcs11.exceptions import PKCS11Error, UserAlreadyLoggedIn
except ImportError:  # the extra `hsm` is not installed: then nothing below is reached
    IS_HERE = False
else:
    IS_HERE = True

ED25519 = bytes.fromhex("06032b6570")  # EC_PARAMS: the object identifier 1.3.101.112
_NAMES = (ED25519, b"\x13\x0cedwards25519")  # PKCS#11 3.0 allows the curve's name as well
_OF_TOKEN = {"token": "token_label", "serial": "serial"}
_OF_KEY = {"object": "label", "id": "id"}
_KNOWN = {*_OF_TOKEN, *_OF_KEY, "type", "manufacturer", "model", "slot-id"}
_QUERY = {"module-path", "pin-source"}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a key is: the module, its token, the key on it, and where the PIN stands."""

    module: str
    token: tuple[tuple[str, Any], ...]
    key: tuple[tuple[str, Any], ...]
    pin_source: str


def parse(uri: str) -> Place:
    """Read a URI of RFC 7512 as far as it is needed here; anything unusual is refused."""
    path, _, query = uri.partition("?")
    named = _attributes(path, ";", _KNOWN)
    asked = _attributes(query, "&", _QUERY)
    if named.pop("type", b"private") != b"private":
        raise _bad("The key of a PKCS#11 URI is the private one.")
    if "module-path" not in asked or "pin-source" not in asked:
        raise _bad("A PKCS#11 URI names module-path and pin-source.")
    token = {_OF_TOKEN[name]: value for name, value in named.items() if name in _OF_TOKEN}
    key = {_OF_KEY[name]: value for name, value in named.items() if name in _OF_KEY}
    if not token or not key or named.keys() - {*_OF_TOKEN, *_OF_KEY}:
        raise _bad("A PKCS#11 URI names the token (token or serial) and the key (object or id).")
    return Place(
        _text(asked["module-path"]),
        tuple((name, _text(v) if name == "token_label" else v) for name, v in token.items()),
        tuple((name, _text(v) if name == "label" else v) for name, v in key.items()),
        _text(asked["pin-source"]),
    )


class HsmSigner:
    """One Ed25519 key of a token; a session that broke is opened again at the next signature."""

    alg = "EdDSA"

    def __init__(self, place: Place) -> None:
        self._place = place
        self._lock = threading.Lock()  # a session does one thing at a time
        self._key: Any = None
        self.public: bytes = self._asked(_public)
        self.kid = thumbprint(self.public)

    def sign(self, message: bytes) -> bytes:
        """The signature, which was checked: a faulty store signs nothing."""
        signature: bytes = self._asked(
            lambda key: key.sign(message, mechanism=pkcs11.Mechanism.EDDSA)
        )
        keys.verify(self.public, signature, message)
        return signature

    def _asked(self, ask: Any) -> Any:  # noqa: ANN401 - python-pkcs11 has no types
        with self._lock:
            try:
                if self._key is None:
                    self._key = _opened(self._place)
                return ask(self._key)
            except (PKCS11Error, OSError, RuntimeError) as error:
                self._key = None
                name = type(error).__name__
                raise Refused("signer.away", f"The key store does not sign: {name}.") from None


def signer_at(uri: str) -> HsmSigner:
    """The signer that a URI (without its scheme) names."""
    if not IS_HERE:
        raise Refused("signer.hsm", "PKCS#11 needs the extra `hsm`: pip install weir[hsm].")
    return HsmSigner(parse(uri))


def _opened(place: Place) -> Any:  # noqa: ANN401 - python-pkcs11 has no types
    token = pkcs11.lib(place.module).get_token(**dict(place.token))
    try:
        session = token.open(user_pin=_pin(place.pin_source))
    except UserAlreadyLoggedIn:  # all sessions of a process with a token share one log-in
        session = token.open()
    key = session.get_key(
        object_class=pkcs11.ObjectClass.PRIVATE_KEY,
        key_type=pkcs11.KeyType.EC_EDWARDS,
        **dict(place.key),
    )
    if bytes(key[pkcs11.Attribute.EC_PARAMS]) not in _NAMES:
        raise Refused("signer.key", "The key of the token is no Ed25519 key.")
    return key


def _public(key: Any) -> bytes:  # noqa: ANN401 - python-pkcs11 has no types
    """The 32 bytes of the public key beside the private one, which is found by the same id."""
    beside = key.session.get_key(
        object_class=pkcs11.ObjectClass.PUBLIC_KEY,
        key_type=pkcs11.KeyType.EC_EDWARDS,
        id=key[pkcs11.Attribute.ID],
    )
    point = bytes(beside[pkcs11.Attribute.EC_POINT])
    # PKCS#11 3.0: a DER octet string; some stores give the point bare.
    public = point[2:] if point[:2] == b"\x04\x20" and len(point) == 34 else point
    if len(public) != 32:
        raise Refused("signer.key", "The public key beside it is not in its form.")
    return public


def _pin(source: str) -> str:
    scheme, _, rest = source.partition(":")
    if scheme == "env" and rest:
        pin = os.environ.get(rest, "")
    elif scheme == "file" and rest:
        pin = _private(rest)
    else:
        raise _bad("pin-source is file:<path> or env:<NAME>.")
    if not pin:
        raise Refused("signer.pin", "There is no PIN where pin-source says.")
    return pin


def _private(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode) or stat.S_IMODE(mode) & 0o077:
                raise Refused("signer.mode", f"The PIN's file must have mode 0600: {path}")
            return file.read(4096).decode().strip()
    except (OSError, UnicodeDecodeError):
        raise Refused("signer.pin", f"The PIN's file cannot be read: {path}") from None


def _attributes(text: str, by: str, known: set[str]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for part in text.split(by) if text else ():
        name, is_there, value = part.partition("=")
        if name == "pin-value":
            raise _bad("A PIN does not stand in a URI: name its pin-source.")
        if not is_there or name not in known or name in found:
            raise _bad("A PKCS#11 URI has an attribute that is not known here.")
        found[name] = unquote_to_bytes(value)
    return found


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise _bad("A PKCS#11 URI is UTF-8.") from None


def _bad(sentence: str) -> Refused:
    return Refused("signer.uri", sentence)
