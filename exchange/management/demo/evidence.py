"""What the demo proves: the ledger's head, pushes, equal pulls, and an archive checked offline."""

import json
import subprocess
import sys
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson
from django.utils import timezone
from taxii2client.v21 import as_pages

from exchange import ledger
from exchange.management.demo.scene import Scene
from exchange.models import Delivery
from exchange.proof import jcs

ROOT = Path(__file__).resolve().parents[3]
SUBSCRIBED = ("Borealis", "Ember")
_ENDED = ("delivered", "cancelled", "dead")


def ledger_head(scene: Scene) -> None:
    """The signed checkpoint that covers what was told."""
    scene.head("The ledger: one Merkle log of every release, under a signed checkpoint")
    for line in ledger.checkpoint().strip().splitlines():
        scene.say(f"    {line}")
    scene.item(
        "size",
        f"{ledger.published_size()} entries. Padding is among them, so that the size says little.",
    )


def pushed(scene: Scene, started: datetime) -> None:
    """The receivers verified token, manifest and digests before they answered."""
    scene.head("Signed bundles, pushed by the worker")
    rows = Delivery.objects.filter(event="bundle", subscription__url__startswith=scene.parts.hooks)
    done = scene.watch("bundles pushed", rows.filter(state__in=_ENDED).count, goal=rows.count)
    for name in SUBSCRIBED:
        lines = [line for line in _lines(scene, name) if not line["repeat"]]
        lines = [line for line in lines if line["subscription"] == lines[-1]["subscription"]]
        new = [line for line in lines if line["at"] >= started.timestamp()]
        bundles = [line for line in new if line["event"] == "bundle"]
        objects = sum(line["objects"] for line in bundles)
        last = max((line["seq"] for line in lines), default=0)
        missing = "No number is missing" if _is_gapless(lines) else "A NUMBER IS MISSING"
        scene.item(
            name,
            f"verified token, manifest and digests of {len(bundles)} new bundles"
            f" ({objects} objects). {missing} up to delivery {last}.",
        )
    if done:
        scene.say(
            "  The first bundle ever is the exchange's own: markings, extensions, techniques."
        )


def _is_gapless(lines: list[dict[str, Any]]) -> bool:
    return sorted(line["seq"] for line in lines) == list(range(1, len(lines) + 1))


def pulled(scene: Scene, started: datetime, *, has_circle: bool) -> None:
    """The same bytes over TAXII; and what Cirrus cannot see."""
    scene.head("The same, pulled over TAXII 2.1 by taxii2-client")
    held = _pull(scene, "Ben", "holding")
    sent = {
        _key(obj): jcs.encode(obj)
        for path in _bundles(scene, "Borealis", started)
        for obj in orjson.loads(path.read_bytes())["objects"]
    }
    same = sum(1 for key, body in sent.items() if held.get(key) == body)
    scene.item(
        "Borealis",
        f"pulled {len(held)} objects; {same} of the {len(sent)} that were pushed to it"
        " are byte for byte the same.",
    )
    if not has_circle:
        return
    cleo = set(_pull(scene, "Cleo", "holding"))
    alone = set(_pull(scene, "Ben", "circle-relay-watch")) - set(
        _pull(scene, "Ben", "circle-forum")
    )
    scene.item(
        "Cirrus",
        f"sees {len(alone & cleo)} of the {len(alone)} objects of the circle `relay watch`,"
        " and nothing says that there are any.",
    )


def offline(scene: Scene, started: datetime) -> None:
    """Bundle, manifest, openings, proofs and keys in one folder; no server is asked."""
    scene.head("One bundle verified offline, as a member would years later")
    # The exchange's own constants are the largest bundle of a first run, and the dullest.
    new = sorted(
        _bundles(scene, "Borealis", started),
        key=lambda path: (b'"attack-pattern"' not in path.read_bytes(), path.stat().st_size),
    )
    if not new:
        scene.say("  No new bundle came.")
        return
    body = new[-1]
    folder = scene.parts.received / "archive"
    _pack(scene, body, folder)
    scene.say(f"  $ python -m exchange.proof.verify archive {folder}")
    argv = (sys.executable, "-m", "exchange.proof.verify", "archive", str(folder))
    done = subprocess.run(  # noqa: S603 - our own interpreter and module
        argv, capture_output=True, text=True, check=False, cwd=ROOT, env={}
    )
    for line in (done.stdout + done.stderr).strip().splitlines():
        scene.say(f"    {line}")


def _pack(scene: Scene, body: Path, folder: Path) -> None:
    """A folder as a member keeps it."""
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    (folder / body.name).write_bytes(body.read_bytes())
    (folder / f"{body.stem}.jws").write_bytes(body.with_suffix(".jws").read_bytes())
    (folder / "jwks.json").write_text(json.dumps(ledger.jwks()), encoding="utf-8")
    (folder / "vkeys").write_text(ledger.vkeys(now=timezone.now()), encoding="utf-8")
    ben = scene.cast.principal("Ben")
    records: dict[int, str] = {}
    for obj in orjson.loads(body.read_bytes())["objects"]:
        for opening in ledger.openings_of(ben, sha256(jcs.encode(obj)).digest()):
            if opening.slot == "to" and opening.index not in records:
                records[opening.index] = f"{opening.text()}\n{ledger.proof(opening.index)}"
    (folder / f"{body.stem}.proofs").write_text("".join(records.values()), encoding="utf-8")


def _pull(scene: Scene, person: str, alias: str) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for envelope in as_pages(scene.collection(person, alias).get_objects, per_request=500):
        for obj in envelope.get("objects", []):
            found[_key(obj)] = jcs.encode(obj)
    return found


def _key(obj: dict[str, Any]) -> str:
    return f"{obj['id']} {obj.get('modified', '')}"


def _bundles(scene: Scene, name: str, started: datetime) -> list[Path]:
    """What the receiver of a member kept in this run."""
    found = sorted((scene.parts.received / name.lower()).glob("*.json"))
    return [path for path in found if path.stat().st_mtime >= started.timestamp()]


def _lines(scene: Scene, name: str) -> list[dict[str, Any]]:
    path = scene.parts.received / f"{name.lower()}.jsonl"
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
