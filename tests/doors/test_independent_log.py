"""Others' code reads our log: Go's sumdb packages, over HTTP and as files, and pymerkle."""

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pymerkle
import pytest
from django.core.management import call_command
from django.utils import timezone
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from exchange import ledger
from exchange.models import FloorPolicy, LedgerEntry
from exchange.proof import keys, merkle, note
from members import credentials
from tests.cast import Cast, make_cast
from tests.shell.ledger_material import NOON, SIGNER, Labs, release_to, sequence

pytestmark = pytest.mark.django_db

PROGRAM = Path(__file__).parents[1] / "data" / "tlogcheck"
GO_PACKAGES = Path("/usr/share/gocode")
VKEY = note.Verifier("testserver/ledger", note.LOG, SIGNER.public).vkey()
# Entries of four batches: 16, 256, 16 and 64 with their padding.
ROUNDS = (1, 70, 1, 20)
Check = Callable[..., subprocess.CompletedProcess[str]]


@dataclass(frozen=True, slots=True)
class Told:
    """A log of several checkpoints, and an early one that somebody kept."""

    cast: Cast
    early: Path


@pytest.fixture
def told(settings: Settings, tmp_path: Path) -> Told:
    settings.LEDGER_DIR = tmp_path / "ledger"
    cast = make_cast(NOON)
    floor = FloorPolicy.objects.order_by("-id")[0]
    labs = Labs(cast.aurora, cast.borealis, cast.cirrus, cast.forum, floor)
    early = tmp_path / "early"
    for n, count in enumerate(ROUNDS):
        release_to(labs, [cast.borealis, cast.cirrus, *[None] * count])
        sequence()
        if n == 0:
            early.write_text(ledger.checkpoint())
    return Told(cast, early)


@pytest.fixture(scope="module")
def tlogcheck(tmp_path_factory: pytest.TempPathFactory) -> Check:
    """The small Go program beside the tests, built with the packages that Debian ships."""
    go = shutil.which("go")
    if go is None or not (GO_PACKAGES / "src/golang.org/x/mod/sumdb").is_dir():
        reason = "go and golang-golang-x-mod-dev are not installed"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    room = tmp_path_factory.mktemp("go")
    binary = room / "tlogcheck"
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(room),
        "GOCACHE": str(room / "cache"),
        "GO111MODULE": "off",
        "GOPATH": str(GO_PACKAGES),
        "GOFLAGS": "",
    }
    build = [go, "build", "-o", str(binary), "main.go"]
    subprocess.run(build, cwd=PROGRAM, env=env, check=True, capture_output=True)

    def check(base: object, *more: object, secret: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(binary), VKEY, str(base), *map(str, more)],
            env={"TLOG_AUTHORIZATION": f"Bearer {secret}"},
            capture_output=True,
            text=True,
            check=False,
        )

    return check


@pytest.mark.django_db(transaction=True)
def test_go_reads_the_log_over_http(told: Told, tlogcheck: Check, live_server: LiveServer) -> None:
    wanted = credentials.Wanted("verifier", ("ledger-read",))
    _, secret = credentials.mint(told.cast.as_(told.cast.cleo), wanted, now=timezone.now())
    done = tlogcheck(f"{live_server.url}/ledger", told.early, secret=secret)
    size = ledger.signed_size()
    assert size > merkle.WIDTH  # a full tile, and a level above it
    proofs = len(range(0, size, 61))
    assert done.stdout.startswith(f"{size} entries, {proofs} proofs of the log, root ")
    assert done.returncode == 0


def test_go_reads_the_export(told: Told, tlogcheck: Check, tmp_path: Path) -> None:
    call_command("ledger_export", str(tmp_path / "export"))
    done = tlogcheck(tmp_path / "export", told.early)
    assert done.stdout.startswith(f"{ledger.signed_size()} entries, 0 proofs of the log, root ")


def test_go_refuses_an_export_with_one_bit_changed(
    told: Told, tlogcheck: Check, tmp_path: Path
) -> None:
    folder = tmp_path / "export"
    call_command("ledger_export", str(folder))
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    assert len(files) == 6  # the checkpoint, two tiles of leaves, one above, two of entries
    for path in files:
        whole = path.read_bytes()
        for at in (0, len(whole) // 2, len(whole) - 2):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
            done = tlogcheck(folder, told.early)
            assert (done.returncode, done.stdout[:8]) == (1, "REFUSED:"), (path.name, at)
        path.write_bytes(whole)
    assert tlogcheck(folder, told.early).returncode == 0


def test_go_refuses_an_earlier_checkpoint_of_another_tree(
    told: Told, tlogcheck: Check, tmp_path: Path
) -> None:
    call_command("ledger_export", str(tmp_path / "export"))
    text = note.Checkpoint("testserver/ledger", 100, b"\x01" * 32).text()
    told.early.write_text(note.sign_note(text, "testserver/ledger", SIGNER))
    assert tlogcheck(tmp_path / "export", told.early).returncode == 1


def test_pymerkle_takes_our_roots_and_proofs(told: Told) -> None:
    tree = pymerkle.InmemoryTree(algorithm="sha256")
    for leaf in LedgerEntry.objects.order_by("idx").values_list("leaf", flat=True):
        tree.append_entry(bytes(leaf))
    head, _ = note.open_checkpoint(ledger.checkpoint(), [note.parse_vkey(VKEY)])
    assert tree.get_state(head.size) == head.root
    for index in range(0, head.size, 13):
        ours = note.parse_proof(ledger.proof(index)).path
        theirs = tree.prove_inclusion(index + 1, head.size)
        leaf = tree.get_leaf(index + 1)
        assert ours == tuple(theirs.path[1:])
        theirs.path[1:] = ours
        pymerkle.verify_inclusion(leaf, head.root, theirs)
    early, _ = note.open_checkpoint(told.early.read_text(), [note.parse_vkey(VKEY)])
    assert tree.get_state(early.size) == early.root
    lines = ledger.consistency(early.size, head.size).split()
    merkle.verify_consistency(
        early.size, head.size, [keys.unb64(line) for line in lines], early.root, head.root
    )
    theirs = tree.prove_consistency(early.size, head.size)
    pymerkle.verify_consistency(early.root, head.root, theirs)
