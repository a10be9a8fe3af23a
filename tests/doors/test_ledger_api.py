"""The log over HTTP: all of it for each member, openings for those whom they concern."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from exchange import ledger
from exchange.api import ledger as door
from exchange.ledger import witnesses
from exchange.models import FloorPolicy
from exchange.proof import jcs, jws, keys, merkle, note
from exchange.proof.entry import Opening, parse_opening
from exchange.signers import signer_of
from members import credentials
from members.models import User
from tests.cast import Cast, make_cast
from tests.shell.ledger_material import NOON, SIGNER, Labs, release_to, sequence

pytestmark = pytest.mark.django_db

VERIFIERS = [note.Verifier("testserver/ledger", note.LOG, SIGNER.public)]
ADDRESSES = (
    "/ledger/checkpoint",
    "/ledger/tile/0/000.p/32",
    "/ledger/tile/entries/000.p/32",
    "/ledger/proof/3",
    "/ledger/consistency?from=16&to=32",
    "/ledger/openings?slot=to",
    "/ledger/keys",
)
REFUSED = (
    ("/ledger/tile/0/000", 404),
    ("/ledger/tile/0/000.p/33", 404),
    ("/ledger/tile/9/000.p/1", 404),
    ("/ledger/tile/0/x000/000", 422),
    ("/ledger/tile/0/0", 422),
    ("/ledger/tile/0/000.p/256", 422),
    ("/ledger/tile/entries/001.p/1", 404),
    ("/ledger/proof/32", 404),
    ("/ledger/proof/99999999999999999999999", 404),
    ("/ledger/proof/3?size=17", 404),
    ("/ledger/consistency?from=32&to=16", 404),
    ("/ledger/consistency?from=1&to=33", 404),
    ("/ledger/openings?slot=audit", 422),
    ("/ledger/openings?slot=x", 422),
    ("/ledger/openings?after=x", 422),
    ("/ledger/openings?digest=00", 422),
)
Ask = Callable[..., Any]


@pytest.fixture
def cast(settings: Settings, tmp_path: Path) -> Cast:
    """Aurora gave one object to Borealis and Cirrus, then three to Borealis."""
    settings.LEDGER_DIR = tmp_path / "ledger"
    made = make_cast(NOON)
    floor = FloorPolicy.objects.order_by("-id")[0]
    labs = Labs(made.aurora, made.borealis, made.cirrus, made.forum, floor)
    ledger.announce("ledger", SIGNER.public, now=timezone.now())
    ledger.announce("bundle", b"\x02" * 32, now=timezone.now())
    release_to(labs, [made.borealis, made.cirrus])
    sequence()
    release_to(labs, [made.borealis], count=3)
    sequence()
    return made


@pytest.fixture
def ask(cast: Cast) -> Ask:
    """Ask as a machine of somebody's member."""

    def answer(
        user: User,
        address: str,
        scope: str = "ledger-read",
        body: bytes | None = None,
        **headers: str,
    ) -> Any:
        wanted = credentials.Wanted("verifier", (scope,))
        _, secret = credentials.mint(cast.as_(user), wanted, now=timezone.now())
        client = Client(headers={"Authorization": f"Bearer {secret}", **headers})
        if body is not None:
            return client.post(address, body, content_type="text/plain; charset=utf-8")
        return client.get(address)

    return answer


def opened(response: Any) -> list[Opening]:
    assert response.status_code == 200
    assert response["Cache-Control"] == "private, no-store"
    return [parse_opening(jcs.encode(each).decode()) for each in response.json()]


def test_only_who_may_read_the_ledger_reads_it(cast: Cast, ask: Ask) -> None:
    for address in ADDRESSES:
        assert ask(cast.cleo, address).status_code == 200
        assert ask(cast.cleo, address, scope="taxii-read").status_code == 403
        assert Client().get(address).status_code == 401
        assert Client(headers={"Authorization": "Bearer x"}).get(address).status_code == 401
        assert ask(cast.cleo, address, Accept="text/plain").status_code == 200


def test_a_person_reads_it_in_the_browser(cast: Cast) -> None:
    client = Client()
    client.force_login(cast.cleo, backend="django.contrib.auth.backends.ModelBackend")
    for address in ADDRESSES:
        assert client.get(address).status_code == 200
        assert client.post(address).status_code in (401, 403, 405)


def test_the_checkpoint_is_a_note_of_the_newest_size(cast: Cast, ask: Ask) -> None:
    response = ask(cast.cleo, "/ledger/checkpoint")
    assert response["Content-Type"] == "text/plain; charset=utf-8"
    assert response["Cache-Control"] == "no-cache"
    checkpoint, _ = note.open_checkpoint(response.content.decode(), VERIFIERS)
    assert (checkpoint.origin, checkpoint.size) == ("testserver/ledger", 32)
    assert ask(cast.cleo, "/ledger/checkpoint?cosigned=1").status_code == 404


def test_a_witness_hands_in_its_signature(cast: Cast, ask: Ask) -> None:
    signer = signer_of(Ed25519PrivateKey.from_private_bytes(sha256(b"witness").digest()))
    verifier = note.Verifier("cirrus.example/witness", note.WITNESS, signer.public)
    witnesses.add(cast.cirrus, verifier.vkey(), now=timezone.now())
    text = ask(cast.cleo, "/ledger/checkpoint").content.decode().partition("\n\n")[0] + "\n"

    def signed(text: str, size: object = 32) -> str:
        now = int(timezone.now().timestamp())
        return f"{size}\n{note.cosignature_line(text, verifier.name, signer, at=now)}"

    def hand_in(user: User, body: str) -> int:
        return int(ask(user, "/ledger/cosign", body=body.encode()).status_code)

    old = ledger.checkpoint(16).partition("\n\n")[0] + "\n"
    assert hand_in(cast.cleo, signed(text, 31)) == 404
    assert hand_in(cast.ben, signed(text)) == 403
    assert hand_in(cast.cleo, signed(text.replace("32", "33"))) == 422
    assert hand_in(cast.cleo, "32\n") == 422
    assert hand_in(cast.cleo, "x") == 422
    assert hand_in(cast.cleo, "x" * 9000) == 413
    assert hand_in(cast.cleo, signed(text)) == 200
    assert hand_in(cast.cleo, signed(old, 16)) == 409
    assert Client().post("/ledger/cosign", b"32\n", content_type="text/plain").status_code == 401
    answer = ask(cast.ben, "/ledger/checkpoint?cosigned=1").content.decode()
    known = note.parse_vkeys(ask(cast.ben, "/ledger/keys").content.decode())
    head, signatures = note.open_checkpoint(answer, known)
    assert (head.size, len(signatures)) == (32, 2)
    long_ago = ask(cast.ben, "/ledger/checkpoint?before=1")
    assert long_ago.status_code == 404


def test_who_walks_the_log_too_fast_is_asked_to_wait(
    cast: Cast, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "BURST", 2.0)
    monkeypatch.setattr(door, "RATE", 0.0)
    monkeypatch.setattr(door, "_spent", {})
    answers = [ask(cast.cleo, "/ledger/checkpoint") for _ in range(3)]
    assert [each.status_code for each in answers] == [200, 200, 429]
    assert answers[2]["Retry-After"] == "1"
    assert ask(cast.ben, "/ledger/checkpoint").status_code == 200  # each has its own share


def test_tiles_and_entries_lead_to_the_checkpoint(cast: Cast, ask: Ask) -> None:
    tile = ask(cast.cleo, "/ledger/tile/0/000.p/32")
    entries = ask(cast.cleo, "/ledger/tile/entries/000.p/32").content
    assert tile["Content-Type"] == "application/octet-stream"
    assert "immutable" in tile["Cache-Control"]
    hashes = [merkle.leaf_hash(entries[at + 2 : at + 34]) for at in range(0, len(entries), 34)]
    assert tile.content == b"".join(hashes)
    text = ask(cast.cleo, "/ledger/checkpoint").content.decode()
    assert note.open_checkpoint(text, VERIFIERS)[0].root == merkle.root(hashes)
    assert ask(cast.cleo, "/ledger/tile/0/000.p/16").content == b"".join(hashes[:16])


def test_what_is_not_there_is_refused(cast: Cast, ask: Ask) -> None:
    for address, status in REFUSED:
        assert (address, ask(cast.cleo, address).status_code) == (address, status)


def test_each_sees_its_own_openings_and_proves_them(cast: Cast, ask: Ask) -> None:
    ben, cleo = (
        opened(ask(user, "/ledger/openings?slot=to&after=0&limit=9"))
        for user in (cast.ben, cast.cleo)
    )
    assert [len(one.renditions()) for one in ben] == [1, 3]
    assert [len(one.renditions()) for one in cleo] == [1]
    assert opened(ask(cast.cleo, "/ledger/openings?slot=from")) == []
    given = opened(ask(cast.ana, "/ledger/openings?slot=from"))
    assert {one.check()["to"] for one in given} == {str(cast.borealis.id), str(cast.cirrus.id)}
    for one in (*ben, *cleo, *given):
        text = ask(cast.ben, f"/ledger/proof/{one.index}?size=32").content.decode()
        assert note.verify_proof(text, one.leaf, VERIFIERS).index == one.index
    later = opened(ask(cast.ben, "/ledger/openings?slot=to&after=1"))
    assert [one.check()["seq"] for one in later] == [2]


def test_keys_are_told_to_all(cast: Cast, ask: Ask) -> None:
    told = opened(ask(cast.cleo, "/ledger/openings?slot=all"))
    assert {one.check()["purpose"] for one in told} == {"ledger", "bundle"}
    text = ask(cast.cleo, "/ledger/keys").content.decode()
    assert note.parse_vkeys(text) == tuple(VERIFIERS)


def test_nobody_finds_the_opening_of_another_by_its_digest(cast: Cast, ask: Ask) -> None:
    assert opened(ask(cast.cleo, f"/ledger/openings?digest={'00' * 32}")) == []


def test_sizes_are_consistent(cast: Cast, ask: Ask) -> None:
    lines = ask(cast.cleo, "/ledger/consistency?from=16&to=32").content.decode().split()
    heads = [note.parse_checkpoint(ledger.checkpoint(size).partition("\n\n")[0] + "\n")
             for size in (16, 32)]  # fmt: skip
    path = [keys.unb64(line) for line in lines]
    merkle.verify_consistency(16, 32, path, heads[0].root, heads[1].root)


def test_the_key_set_is_for_anyone(cast: Cast) -> None:
    response = Client().get("/.well-known/jwks.json")
    assert response["Cache-Control"] == "public, max-age=3600"
    (key,) = jws.KeySet.parse(response.content).keys
    assert (key.public, key.purpose, key.status) == (b"\x02" * 32, "bundle", "active")
    again = Client().get("/.well-known/jwks.json", headers={"If-None-Match": response["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
