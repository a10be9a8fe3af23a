"""Signing keys: from a private file or the environment, and never shown."""

import base64
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from exchange.proof import keys
from exchange.proof.jws import thumbprint
from exchange.proof.refused import Refused
from exchange.signers import make_key_file, signer_for

SEED = bytes(range(32))


def pem(key: object, encryption: serialization.KeySerializationEncryption) -> bytes:
    assert hasattr(key, "private_bytes")
    data = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    )
    assert isinstance(data, bytes)
    return data


PLAIN = serialization.NoEncryption()
PEM = pem(Ed25519PrivateKey.from_private_bytes(SEED), PLAIN)


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def written(path: Path, data: bytes, mode: int = 0o600) -> str:
    path.write_bytes(data)
    path.chmod(mode)
    return f"file:{path}"


def test_a_new_key_file_is_private_and_signs(folder: Path) -> None:
    before = os.umask(0o277)  # a umask that would leave the owner without a right
    try:
        made = make_key_file(folder / "bundle.pem")
    finally:
        os.umask(before)
    assert stat.S_IMODE((folder / "bundle.pem").stat().st_mode) == 0o600
    signer = signer_for(f"file:{folder / 'bundle.pem'}")
    assert (signer.public, signer.kid, signer.alg) == (made.public, made.kid, "EdDSA")
    assert signer.kid == thumbprint(signer.public)
    keys.verify(made.public, signer.sign(b"message"), b"message")


def test_an_existing_key_is_never_written_over(folder: Path) -> None:
    uri = written(folder / "key.pem", PEM)
    with pytest.raises(Refused) as refused:
        make_key_file(folder / "key.pem")
    assert refused.value.code == "signer.exists"
    assert (
        signer_for(uri).public
        == Ed25519PrivateKey.from_private_bytes(SEED).public_key().public_bytes_raw()
    )


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o700, 0o400])
def test_a_key_file_of_another_mode_is_refused(folder: Path, mode: int) -> None:
    with pytest.raises(Refused) as refused:
        signer_for(written(folder / "key.pem", PEM, mode))
    assert refused.value.code == "signer.mode"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"nonsense",
        PEM.replace(b"MC4C", b"MC5C"),
        pem(Ed25519PrivateKey.generate(), serialization.BestAvailableEncryption(b"secret")),
        pem(generate_private_key(SECP256R1()), PLAIN),
    ],
)
def test_what_is_not_an_open_ed25519_key_is_refused(folder: Path, data: bytes) -> None:
    with pytest.raises(Refused) as refused:
        signer_for(written(folder / "key.pem", data))
    assert refused.value.code == "signer.key"
    assert refused.value.__cause__ is None


def test_a_missing_file_is_refused(folder: Path) -> None:
    for path in (folder / "none.pem", folder):
        with pytest.raises(Refused) as refused:
            signer_for(f"file:{path}")
        assert refused.value.code == "signer.file"


@pytest.mark.parametrize("data", [SEED, PEM])
def test_the_environment_holds_a_seed_or_a_pem(
    monkeypatch: pytest.MonkeyPatch, data: bytes
) -> None:
    monkeypatch.setenv("WEIR_TEST_KEY", base64.b64encode(data).decode())
    signer = signer_for("env:WEIR_TEST_KEY")
    assert signer.sign(b"m") == Ed25519PrivateKey.from_private_bytes(SEED).sign(b"m")


@pytest.mark.parametrize("text", ["", "?", "not base64", "é"])
def test_a_variable_without_a_key_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("WEIR_TEST_KEY", text)
    with pytest.raises(Refused) as refused:
        signer_for("env:WEIR_TEST_KEY")
    assert refused.value.code == "signer.env"
    monkeypatch.delenv("WEIR_TEST_KEY")
    with pytest.raises(Refused):
        signer_for("env:WEIR_TEST_KEY")


@pytest.mark.parametrize("uri", ["", "file:", "env:", "pkcs11:", "pkcs11:token=x", "/etc/key.pem"])
def test_other_uris_are_refused(uri: str) -> None:
    with pytest.raises(Refused) as refused:
        signer_for(uri)
    assert refused.value.code == "signer.uri"


def test_neither_repr_nor_refusal_shows_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    seed = base64.b64encode(SEED).decode()
    monkeypatch.setenv("WEIR_TEST_KEY", seed)
    assert "_key" not in repr(signer_for("env:WEIR_TEST_KEY"))
    monkeypatch.setenv("WEIR_TEST_KEY", seed[:-8])
    with pytest.raises(Refused) as refused:
        signer_for("env:WEIR_TEST_KEY")
    assert seed[:-8] not in str(refused.value)
