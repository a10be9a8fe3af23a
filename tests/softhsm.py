"""A software HSM for tests: a token of their own, with a key for bundles and one for the ledger."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pkcs11
import pytest

from exchange import hsm

MODULES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so")
PIN = "482915"


@contextmanager
def token(folder: Path) -> Iterator[str]:
    """The URI up to the object and its PIN; skips where SoftHSM is missing, but not in CI."""
    module = next((path for path in MODULES if Path(path).exists()), None)
    if module is None or shutil.which("softhsm2-util") is None:
        assert not os.environ.get("CI"), "SoftHSM is missing where CI runs: install softhsm2"
        pytest.skip("SoftHSM is not installed here")
    (folder / "tokens").mkdir()
    config = folder / "softhsm2.conf"
    config.write_text(f"directories.tokendir = {folder / 'tokens'}\nlog.level = ERROR\n")
    patch = pytest.MonkeyPatch()
    patch.setenv("SOFTHSM2_CONF", str(config))
    argv = ["softhsm2-util", "--init-token", "--free", "--label", "weir test"]
    subprocess.run([*argv, "--so-pin", "1234567", "--pin", PIN], check=True, capture_output=True)
    library = pkcs11.lib(module)
    library.reinitialize()  # the token is new since the library was loaded
    make_key(module, "bundle", b"\x01")
    make_key(module, "ledger", b"\x02")
    yield f"pkcs11:token=weir%20test;object={{name}}?module-path={module}"
    patch.undo()


def make_key(module: str, label: str, key_id: bytes) -> None:
    """An Ed25519 key made in the token."""
    with (
        pkcs11.lib(module).get_token(token_label="weir test").open(rw=True, user_pin=PIN) as session
    ):
        parameters = session.create_domain_parameters(
            pkcs11.KeyType.EC_EDWARDS,
            {pkcs11.Attribute.EC_PARAMS: hsm.ED25519},
            local=True,
        )
        parameters.generate_keypair(
            mechanism=pkcs11.Mechanism.EC_EDWARDS_KEY_PAIR_GEN,
            store=True,
            label=label,
            id=key_id,
        )


def pin_file(folder: Path) -> Path:
    """The PIN where only its owner reads it."""
    path = folder / "pin"
    path.write_text(PIN + "\n")
    path.chmod(0o600)
    return path
