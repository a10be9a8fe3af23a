"""Sign and open compact JWS with Ed25519 (RFC 7515, 8037, 9864), by one's own copy of the keys."""

from dataclasses import dataclass
from hashlib import sha256

from exchange.proof import jcs
from exchange.proof import keys as ed25519
from exchange.proof.keys import Signer, b64url, unb64url
from exchange.proof.refused import Refused

MANIFEST = "weir-manifest+json"
DELIVERY = "weir-delivery+jwt"
ARCHIVE = "weir-archive+json"
# Which keys may sign which kind of token.
PURPOSE = {MANIFEST: "bundle", DELIVERY: "delivery", ARCHIVE: "bundle"}
ALGORITHMS = ("EdDSA", "Ed25519")
STATUSES = ("next", "active", "retired", "revoked")
LONGEST = 16_384  # of a token: it travels in an HTTP header


def thumbprint(public: bytes) -> str:
    """The RFC 7638 thumbprint of an Ed25519 key: its `kid`."""
    members = {"crv": "Ed25519", "kty": "OKP", "x": b64url(public)}
    return b64url(sha256(jcs.encode(members)).digest())


@dataclass(frozen=True, slots=True)
class Key:
    """A public key as published; a member that is None is not in its JWK."""

    public: bytes
    purpose: str | None = None
    nbf: int | None = None
    exp: int | None = None
    status: str | None = None
    revoked_at: int | None = None

    @property
    def kid(self) -> str:
        """By this name tokens refer to the key."""
        return thumbprint(self.public)

    def jwk(self) -> dict[str, object]:
        """The key as a member of a JWKS."""
        known = {"kty": "OKP", "crv": "Ed25519", "x": b64url(self.public), "kid": self.kid}
        ours = {
            "weir_purpose": self.purpose,
            "weir_nbf": self.nbf,
            "weir_exp": self.exp,
            "weir_status": self.status,
            "weir_revoked_at": self.revoked_at,
        }
        given = {name: value for name, value in ours.items() if value is not None}
        return {**known, "alg": "EdDSA", "use": "sig", **given}

    def check(self, *, typ: str, iat: int | None = None, cosigned_at: int | None = None) -> None:
        """Refuse the key for a token of this kind, issued then, its entries cosigned then."""
        if self.purpose not in (None, PURPOSE.get(typ)):
            raise Refused("jws.purpose", "The key is not for this kind of token.")
        early = iat is not None and self.nbf is not None and iat < self.nbf
        late = iat is not None and self.exp is not None and iat > self.exp
        if early or late:
            raise Refused("jws.key-time", "The token was not issued while its key was valid.")
        # Only what witnesses saw before the revocation cannot be a thief's work.
        limit = self.revoked_at or 0
        if self.status == "revoked" and not (cosigned_at is not None and cosigned_at < limit):
            raise Refused("jws.revoked", "The key is revoked.")


@dataclass(frozen=True, slots=True)
class KeySet:
    """One's own copy of the exchange's public keys."""

    keys: tuple[Key, ...]

    def key(self, kid: str) -> Key:
        """The key of that name; for an unknown one, the caller fetches the JWKS again."""
        for key in self.keys:
            if key.kid == kid:
                return key
        raise Refused("jws.unknown-key", "The token names a key that is not in the key set.")

    def document(self) -> dict[str, object]:
        """The JWKS."""
        return {"keys": [key.jwk() for key in self.keys]}

    @classmethod
    def parse(cls, document: bytes) -> "KeySet":
        """Read a JWKS; keys of other algorithms are passed over."""
        value = jcs.decode(document)
        found = value.get("keys") if isinstance(value, dict) else None
        if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
            raise Refused("jwks.form", "This is not a JWKS.")
        return cls(tuple(parse_jwk(each) for each in found if _is_ours(each)))


def parse_jwk(jwk: dict[str, object]) -> Key:
    """Read one Ed25519 key; its `kid` must be its thumbprint."""
    if "d" in jwk:
        raise Refused("jwks.private", "A private key stands in the JWKS.")
    x = jwk.get("x")
    key = Key(
        public=unb64url(x) if isinstance(x, str) else b"",
        purpose=_text(jwk, "weir_purpose"),
        nbf=_seconds(jwk, "weir_nbf"),
        exp=_seconds(jwk, "weir_exp"),
        status=_text(jwk, "weir_status"),
        revoked_at=_seconds(jwk, "weir_revoked_at"),
    )
    if len(key.public) != 32 or jwk.get("kid") != key.kid:
        raise Refused("jwks.form", "A key does not carry its own thumbprint.")
    if key.status not in (None, *STATUSES):
        raise Refused("jwks.form", "A key has a status that is not known.")
    return key


def _is_ours(jwk: dict[str, object]) -> bool:
    kind = (jwk.get("kty"), jwk.get("crv"))
    return kind == ("OKP", "Ed25519") and jwk.get("alg", "EdDSA") in ALGORITHMS


def _text(jwk: dict[str, object], name: str) -> str | None:
    value = jwk.get(name)
    if value is None or isinstance(value, str):
        return value
    raise Refused("jwks.form", f"A key's {name} is not a text.")


def _seconds(jwk: dict[str, object], name: str) -> int | None:
    value = jwk.get(name)
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise Refused("jwks.form", f"A key's {name} is not a number of seconds.")


def sign(payload: bytes, *, typ: str, signer: Signer) -> str:
    """The compact JWS of a payload; its header says algorithm, key and kind, nothing else."""
    header = jcs.encode({"alg": signer.alg, "kid": signer.kid, "typ": typ})
    signed = f"{b64url(header)}.{b64url(payload)}"
    return f"{signed}.{b64url(signer.sign(signed.encode()))}"


@dataclass(frozen=True, slots=True)
class Token:
    """A token whose signature is good, and the key that made it."""

    payload: bytes
    key: Key


def read(token: str, keys: KeySet, *, typ: str, longest: int = LONGEST) -> Token:
    """Check form, kind and signature; whether the key may sign this is for `Key.check`."""
    # 1. three parts of canonical base64url     2. a header of exactly alg, kid, typ
    # 3. an algorithm that we use; the kind that is expected     4. the key, from our own set
    # 5. the signature     6. (the caller) the claims, and the key's purpose, time and revocation
    parts = token.split(".") if len(token) <= longest else []
    if len(parts) != 3:  # 1
        raise Refused("jws.form", "This is not a compact JWS.")
    header = _header(unb64url(parts[0]))  # 2
    if header["alg"] not in ALGORITHMS:  # 3
        raise Refused("jws.alg", "The token is signed with an algorithm that is not accepted.")
    if header["typ"] != typ:  # 3
        raise Refused("jws.typ", "The token is of another kind than expected.")
    key = keys.key(header["kid"])  # 4
    ed25519.verify(key.public, unb64url(parts[2]), f"{parts[0]}.{parts[1]}".encode())  # 5
    return Token(unb64url(parts[1]), key)


def kid_of(token: str) -> str:
    """The key that a token of our own names; nothing of it is checked."""
    return _header(unb64url(token.partition(".")[0]))["kid"]


def open(token: str, keys: KeySet, *, typ: str) -> bytes:
    """The payload of a token of that kind; the claims in it are still to be checked (`claims`)."""
    opened = read(token, keys, typ=typ)
    opened.key.check(typ=typ)
    return opened.payload


def _header(data: bytes) -> dict[str, str]:
    header = jcs.decode(data)
    if not isinstance(header, dict):
        raise Refused("jws.header", "The token's header is not an object.")
    if header.keys() & {"jwk", "jku", "x5u", "x5c"}:
        raise Refused("jws.own-key", "The token brings its own key.")
    if header.keys() != {"alg", "kid", "typ"}:
        raise Refused("jws.header", "The token's header is not exactly alg, kid and typ.")
    if not all(isinstance(value, str) for value in header.values()):
        raise Refused("jws.header", "The token's header holds something other than texts.")
    return header
