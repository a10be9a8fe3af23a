"""Keys in a store that does not give them out, tried with SoftHSM."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from exchange import hsm
from exchange.proof import claims, keys, note
from exchange.proof.jws import Key, KeySet, thumbprint
from exchange.proof.note import LOG, Checkpoint, Verifier
from exchange.proof.refused import Refused
from exchange.signers import signer_for
from tests import softhsm

ROOT = Path(hsm.__file__).parents[1]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URI of the bundle key up to its softhsm.PIN."""
    with softhsm.token(tmp_path_factory.mktemp("softhsm")) as uri:
        yield uri.format(name="bundle")


@pytest.fixture
def uri(store: str, tmp_path: Path) -> str:
    return f"{store}&pin-source=file:{softhsm.pin_file(tmp_path)}"


def test_manifests_and_checkpoints_are_signed_in_the_store(uri: str) -> None:
    signer = signer_for(uri)
    assert signer.kid == thumbprint(signer.public)
    body = b'{"id":"bundle--x","objects":[],"type":"bundle"}'
    made = claims.manifest(body, [], iss="https://x", bundle_id="b", iat=1, ledger="x/ledger")
    known = KeySet((Key(signer.public, "bundle"),))
    assert claims.open_manifest(made.sign(signer), known) == made
    ledger = signer_for(uri.replace("object=bundle", "object=ledger"))
    assert ledger.public != signer.public
    checkpoint = Checkpoint("x/ledger", 7, bytes(32))
    signed = note.sign_note(checkpoint.text(), "x/ledger", ledger)
    log = Verifier("x/ledger", LOG, ledger.public)
    assert note.open_checkpoint(signed, [log])[0] == checkpoint


def test_the_pin_may_stand_in_the_environment(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEIR_TEST_PIN", softhsm.PIN)
    signer = signer_for(f"{store}&pin-source=env:WEIR_TEST_PIN")
    keys.verify(signer.public, signer.sign(b"message"), b"message")


def test_a_session_that_broke_is_opened_again(uri: str) -> None:
    signer = signer_for(uri)
    assert isinstance(signer, hsm.HsmSigner)
    signer._key.session.close()
    with pytest.raises(Refused) as refused:
        signer.sign(b"message")
    assert refused.value.code == "signer.away"
    keys.verify(signer.public, signer.sign(b"message"), b"message")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (("token=weir%20test", "token=another"), "signer.away"),
        (("object=bundle", "object=none"), "signer.away"),
        (("libsofthsm2.so", "none.so"), "signer.away"),
    ],
)
def test_what_is_not_in_the_store_is_refused(uri: str, change: tuple[str, str], code: str) -> None:
    with pytest.raises(Refused) as refused:
        signer_for(uri.replace(*change))
    assert refused.value.code == code


def test_a_wrong_pin_is_refused_and_never_shown(store: str, tmp_path: Path) -> None:
    """In a process of its own: where one is logged in already, no softhsm.PIN is asked for."""
    path = tmp_path / "pin"
    path.write_text("111222")
    path.chmod(0o600)
    code = (
        "import sys\nfrom exchange.signers import signer_for\n"
        "try:\n    signer_for(sys.argv[1])\n"
        "except Exception as error:\n    print(type(error).__name__, error.code, error)\n"
    )
    argv = [sys.executable, "-c", code, f"{store}&pin-source=file:{path}"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("Refused signer.away"), done.stderr
    assert "111222" not in done.stdout + done.stderr


def test_a_pin_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pin"
    for mode, text, code in ((0o644, softhsm.PIN, "signer.mode"), (0o600, "", "signer.pin")):
        path.write_text(text)
        path.chmod(mode)
        with pytest.raises(Refused) as refused:
            hsm._pin(f"file:{path}")
        assert refused.value.code == code
    for source, code in (
        ("env:NONE", "signer.pin"),
        ("x", "signer.uri"),
        ("file:/no", "signer.pin"),
    ):
        with pytest.raises(Refused) as refused:
            hsm._pin(source)
        assert refused.value.code == code


@pytest.mark.parametrize(
    "uri",
    [
        "token=x;object=y",
        "token=x;object=y?module-path=/m.so",
        "token=x;object=y?pin-source=file:/p",
        "object=y?module-path=/m.so&pin-source=file:/p",
        "token=x?module-path=/m.so&pin-source=file:/p",
        "token=x;object=y?module-path=/m.so&pin-value=1234",
        "token=x;object=y;type=public?module-path=/m.so&pin-source=file:/p",
        "token=x;token=z;object=y?module-path=/m.so&pin-source=file:/p",
        "token=x;object=%ff?module-path=/m.so&pin-source=file:/p",
        "token=x;colour=red;object=y?module-path=/m.so&pin-source=file:/p",
    ],
)
def test_a_uri_that_says_too_little_or_too_much_is_refused(uri: str) -> None:
    with pytest.raises(Refused) as refused:
        hsm.parse(uri)
    assert refused.value.code == "signer.uri"
    assert "1234" not in str(refused.value)
