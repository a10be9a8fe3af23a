"""One contribution the whole way, on real parts: posted, decided, released, recorded, delivered."""

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from joserfc import jws
from joserfc.jwk import KeySet
from taxii2client.v21 import Server, as_pages

from exchange.management.demo import campaign
from exchange.proof import jcs, note, verify
from exchange.proof.entry import parse_opening
from exchange.proof.remote import CREDENTIAL
from tests.running import Running, exchange, wait_for


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with exchange(tmp_path_factory.mktemp("way")) as found:
        yield found


def pull(running: Running, lab: str, alias: str) -> dict[str, dict[str, Any]]:
    """A collection, with the client that is not ours."""
    server = Server(f"{running.base_url}/taxii2/", user="any", password=running.secrets[lab])
    chosen = next(one for one in server.default.collections if one.alias == alias)
    found: dict[str, dict[str, Any]] = {}
    for envelope in as_pages(chosen.get_objects, per_request=100):
        for obj in envelope.get("objects", []):
            found[f"{obj['id']}/{obj.get('modified', '')}"] = obj
    return found


@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
def test_pushed_pulled_and_ledgered_bytes_are_the_same(running: Running) -> None:
    made = campaign.bundle(now=datetime.now(UTC), new_id=lambda kind: f"{kind}--{uuid4()}")
    sent = running.contribute(made["objects"])
    wait_for("complete", lambda: running.state_of(sent)["status"] == "complete")
    wait_for("pushed to Borealis", lambda: len(running.bundles("borealis")) >= 2)
    status = running.state_of(sent)
    assert status["success_count"] + status["failure_count"] == len(made["objects"])

    pulled = pull(running, "Borealis", "holding")
    keys = KeySet.import_key_set(json.loads(running.get("/.well-known/jwks.json")[1]))
    openings = openings_of(running, "Borealis")
    vkeys = [note.parse_vkey(line) for line in running.get("/ledger/keys", by="Borealis")[1]
             .decode().splitlines()]  # fmt: skip
    checked = 0
    for body, manifest in running.bundles("borealis").values():
        token = jws.deserialize_compact(manifest, keys, algorithms=["EdDSA"])
        claims = json.loads(token.payload)
        assert claims["sha256"] == sha256(body).hexdigest()
        for obj in json.loads(body)["objects"]:
            rendition = jcs.encode(obj)
            again = pulled[f"{obj['id']}/{obj.get('modified', '')}"]
            assert jcs.encode(again) == rendition
            index, leaf = openings[sha256(rendition).hexdigest()]
            _, proof = running.get(f"/ledger/proof/{index}", by="Borealis")
            assert note.verify_proof(proof.decode(), leaf, vkeys).index == index
            checked += 1
    assert checked > 200


def openings_of(running: Running, lab: str) -> dict[str, tuple[int, bytes]]:
    """Index and leaf of the entry for each rendition digest of a member."""
    _, answer = running.get("/ledger/openings?slot=to&after=0&limit=1000", by=lab)
    found: dict[str, tuple[int, bytes]] = {}
    for line in json.loads(answer):
        opening = parse_opening(json.dumps(line))
        opening.check()
        for item in opening.renditions():
            found[item.rendition] = (opening.index, opening.rebuilt())
    return found


def test_the_receivers_took_every_delivery_once_and_in_order(running: Running) -> None:
    wait_for("pushed to Ember", lambda: len(running.bundles("ember")) >= 2)
    for name in ("borealis", "ember"):
        lines = running.pushed(name)
        assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
        assert len({line["jti"] for line in lines}) == len(lines)


def test_a_member_compares_what_was_pushed_with_the_ledger(
    running: Running,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(CREDENTIAL, running.secrets["Borealis"])
    pushes = tmp_path / "pushes"
    shutil.copytree(running.room / "received" / "borealis" / "pushes", pushes)
    asked = ["check", "--url", running.base_url, "--pushes", str(pushes), "--state"]
    assert verify.main([*asked, str(tmp_path / "state")]) == 0, capsys.readouterr().out
    said = capsys.readouterr().out
    assert f"4 pushes: {len(list(pushes.glob('*.body')))} of 1 subscriptions" in said
    _, between, *_, last = sorted(pushes.glob("*.body"))
    between.with_suffix(".headers").unlink()
    assert verify.main([*asked, str(tmp_path / "other")]) == 1
    assert "push.gap" in capsys.readouterr().out
    last.write_bytes(last.read_bytes().replace(b'"confidence":', b'"confidence": '))
    assert verify.main([*asked, str(tmp_path / "third")]) == 1
    assert last.stem in capsys.readouterr().out


def test_the_circle_keeps_what_is_its_own(running: Running) -> None:
    made = campaign.relay_watch(now=datetime.now(UTC), new_id=lambda kind: f"{kind}--{uuid4()}")
    running.contribute(made["objects"], alias="inbox-relay-watch")
    before = set(pull(running, "Cirrus", "holding"))
    wait_for(
        "in the circle's collection",
        lambda: any(
            "domain-name" in key for key in pull(running, "Borealis", "circle-relay-watch")
        ),
    )
    held = {key for key in pull(running, "Borealis", "circle-relay-watch") if "domain" in key}
    assert held
    assert set(pull(running, "Cirrus", "holding")) == before
    assert not held & before


def test_no_process_ended_by_itself(running: Running) -> None:
    assert running.supervisor.deaths() == ()
