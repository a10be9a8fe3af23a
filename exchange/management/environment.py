"""A complete environment for a run of one's own: every key derived from one seed of 32 bytes."""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

# Of the keys all but those of the pool, which are a pair.
KEYS = ("WRAPPING_KEY", "INDEX_KEY", "TOKEN_KEY", "LEDGER_SLOT_KEY")
SIGNERS = ("BUNDLE", "DELIVERY", "LEDGER")


def complete(
    seed: bytes, *, base_url: str, directory: Path, addresses: Mapping[str, str]
) -> dict[str, str]:
    """What the settings ask for; the same seed gives the same keys, so a second run can read on.

    Signing keys stand in variables `WEIR_KEY_<PURPOSE>` that `SIGNER_<PURPOSE>` names.
    """
    is_tls = urlsplit(base_url).scheme == "https"
    env = {
        "DJANGO_SETTINGS_MODULE": "exchange.settings",
        "SECRET_KEY": _derived(seed, "SECRET_KEY") + _derived(seed, "SECRET_KEY/2"),
        "WEIR_BASE_URL": base_url,
        "DATABASE_ROLE": "owner",
        "LEDGER_DIR": str(directory / "ledger"),
        "SEALED_DIR": str(directory / "sealed"),
        "FILES_DIR": str(directory / "files"),
        "SECURE_SSL_REDIRECT": str(is_tls).lower(),
        "SECURE_COOKIES": str(is_tls).lower(),
        "SECURE_HSTS_SECONDS": "31536000" if is_tls else "0",
    }
    env |= {name: _derived(seed, name) for name in KEYS}
    pool = hmac.new(seed, b"POOL_KEY", hashlib.sha256).digest()
    public = X25519PrivateKey.from_private_bytes(pool).public_key().public_bytes_raw()
    env["POOL_KEY"] = base64.b64encode(pool).decode()
    env["POOL_PUBLIC_KEY"] = base64.b64encode(public).decode()
    for purpose in SIGNERS:
        env[f"SIGNER_{purpose}"] = f"env:WEIR_KEY_{purpose}"
        env[f"WEIR_KEY_{purpose}"] = _derived(seed, f"WEIR_KEY_{purpose}")
    return env | dict(addresses)


def _derived(seed: bytes, name: str) -> str:
    return base64.b64encode(hmac.new(seed, name.encode(), hashlib.sha256).digest()).decode()
