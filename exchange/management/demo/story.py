"""Tell one contribution's way as it happens, on the running exchange.

Everything is read back from the exchange itself: nothing here is acted out.
"""

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import orjson
from django.db import connection
from django.utils import timezone
from taxii2client.v21 import Collection, Server, as_pages
from tqdm import tqdm

from exchange import contribute, delivery, ledger, lens, review
from exchange.management.demo import campaign, cast
from exchange.models import Delivery, Outcome, ReleaseRecipient, Subscription
from exchange.policy.explain import Line
from exchange.proof import jcs
from indicators.models import Item
from members import credentials, onboarding
from members.auth import Principal

ROOT = Path(__file__).resolve().parents[3]
PATIENCE = 90.0
SUBSCRIBED = ("Borealis", "Ember")
LINKS_LAST = timedelta(hours=12)


@dataclass(frozen=True, slots=True)
class Parts:
    """Where the running parts are."""

    base_url: str
    hooks: str
    received: Path
    bundle: Path | None


@dataclass(frozen=True, slots=True)
class Scene:
    """The cast, the parts, and how to speak."""

    cast: cast.Cast
    parts: Parts
    say: Callable[[str], object]

    def head(self, text: str) -> None:
        """A new part of the story."""
        self.say(f"\n── {text} " + "─" * max(3, 74 - len(text)))


def tell(parts: Parts, *, say: Callable[[str], object]) -> None:
    """The story from contribution to verified archive; then the links of each role."""
    scene = Scene(cast.present(), parts, say)
    _subscribe(scene)
    main = _contribute(scene)
    relay = _contribute_to_circle(scene) if parts.bundle is None else None
    _outcomes(scene, main)
    _counsel(scene, main)
    _windows(scene, [one for one in (main, relay) if one])
    _received_by_whom(scene, main)
    _ledger(scene)
    pushed = _pushed(scene)
    _pulled(scene, pushed, relay)
    _offline(scene, pushed)
    _links(scene)


def _subscribe(scene: Scene) -> None:
    """Borealis and Ember have everything pushed; the endpoint must answer a signed test first."""
    scene.head("Two members subscribe a webhook")
    for name in SUBSCRIBED:
        member = scene.cast.labs[name]
        url = f"{scene.parts.hooks}/{name.lower()}"
        Subscription.objects.filter(member=member).exclude(url=url).update(state="removed")
        if Subscription.objects.filter(member=member, url=url).exists():
            continue
        principal = Principal(
            member_id=member.id, user_id=scene.cast.people["Pia"].id, roles=_ANALYST
        )
        delivery.subscribe(principal, name="SOC", url=url, circle_id=None, now=timezone.now())
    _wait(
        scene,
        "signed test deliveries answered",
        lambda: Subscription.objects.filter(state="active").count(),
        total=len(SUBSCRIBED),
    )


def _contribute(scene: Scene) -> UUID:
    """Ana posts over TAXII, with the client that everybody uses."""
    scene.head("Aurora contributes")
    now = timezone.now()
    if scene.parts.bundle is not None:
        body = scene.parts.bundle.read_bytes()
        scene.say(f"Ana contributes {scene.parts.bundle.name} to the forum by file.")
        made = contribute.submit(
            scene.cast.principal("Ana"),
            body,
            circle_id=scene.cast.forum.id,
            source="file",
            default_basis=("fraudulent-identity",),
            now=now,
        )
        return _taken(scene, made)
    found = campaign.bundle(now=now, new_id=_new_id)
    count = len(found["objects"])
    scene.say(f"Ana posts a campaign of {count} STIX objects over TAXII 2.1 (taxii2-client).")
    collection = _collection(scene, "Ana", "inbox-forum")
    status = collection.add_objects({"objects": found["objects"]}, wait_for_completion=False)
    return _taken(scene, UUID(str(status.id)))


def _contribute_to_circle(scene: Scene) -> UUID:
    made = campaign.relay_watch(now=timezone.now(), new_id=_new_id)
    scene.say("A second, small contribution goes to the circle `relay watch` only:")
    scene.say("Aurora, Borealis, Ember. Cirrus and Fjord are not in it.")
    collection = _collection(scene, "Ana", "inbox-relay-watch")
    status = collection.add_objects({"objects": made["objects"]}, wait_for_completion=False)
    return _taken(scene, UUID(str(status.id)))


def _taken(scene: Scene, contribution_id: UUID) -> UUID:
    ana = scene.cast.principal("Ana")
    _wait(
        scene,
        "the worker takes it in, the ledger records it",
        lambda: int(contribute.status(ana, contribution_id).state == "complete"),
        total=1,
    )
    return contribution_id


def _outcomes(scene: Scene, contribution_id: UUID) -> None:
    """Every object is accounted for."""
    scene.head("What became of each object")
    status = contribute.status(scene.cast.principal("Ana"), contribution_id)
    outcomes: Counter[str] = Counter(
        Outcome.objects.filter(contribution_id=contribution_id).values_list("outcome", flat=True)
    )
    outcomes["refused"] = status.failures
    others = status.total - sum(outcomes.values())
    if others:
        outcomes["a public constant, or held already"] = others
    for name, count in outcomes.items():
        scene.say(f"  {count:4}  {name}")
    scene.say(f"  {sum(outcomes.values()):4}  in all, of {status.total} contributed")
    scene.say("Each with its reason; some of them:")
    seen: set[str] = set()
    for item in status.items:
        if item.message and item.message not in seen and not item.message.startswith("Accepted"):
            seen.add(item.message)
            scene.say(f"  {item.stix_id.partition('--')[0]:28} {item.message[:110]}")
        if len(seen) == 8:
            break


def _counsel(scene: Scene, contribution_id: UUID) -> None:
    """Dora releases what is hers alone; an attribution needs Alma, for the contributor, too."""
    rows = review.queue(scene.cast.principal("Dora"))
    if not rows:
        return
    scene.head("Counsel decides what a machine must not")
    classes = Counter(row.field_class for row in rows)
    queue = ", ".join(f"{name} {count}" for name, count in sorted(classes.items()))
    scene.say(f"Dora, the forum's counsel, sees class and reason, never text: {queue}")
    alone = [row.id for row in rows if row.approvers == (review.FORUM_COUNSEL,)][:3]
    both = [row.id for row in rows if len(row.approvers) > 1 and row.field_class == "C13"][:1]
    reason = "Technical fact; the text that raised it does not leave anyway."
    if alone:
        _act(scene, "Dora", alone, reason)
        scene.say(f"Dora releases {len(alone)} of them, each with a written reason.")
    if both:
        _act(scene, "Dora", both, "The evidence is statistical and names nobody.")
        _act(scene, "Alma", both, "We stand by the evidence.")
        scene.say("One of class C13 needed two: Dora, and Alma for the contributor.")


def _windows(scene: Scene, contributions: list[UUID]) -> None:
    """What waits leaves when its window opens."""
    scene.head("The windows open (every 15 s in this demo, and its floor says so)")
    rows = Outcome.objects.filter(
        contribution_id__in=contributions, outcome=Outcome.Kind.ACCEPTED, replaced=False
    )
    total = rows.count()
    _wait(
        scene,
        "objects released",
        lambda: rows.filter(released_at__isnull=False).count(),
        total=total,
        goal=lambda: rows.count(),
    )
    parts = ReleaseRecipient.objects.filter(release__contribution_id__in=contributions)
    _wait(
        scene,
        "ledger entries under a published checkpoint",
        lambda: parts.filter(added_at__isnull=False).count(),
        total=parts.count(),
    )


def _received_by_whom(scene: Scene, contribution_id: UUID) -> None:
    """What each member gets, and what was removed by which rule."""
    scene.head("What each member got, and what was removed")
    rows = ReleaseRecipient.objects.filter(
        release__contribution_id=contribution_id, recipient__isnull=False
    ).values_list("recipient__name", "release__count")
    got: Counter[str] = Counter()
    for name, count in rows:
        got[name] += count
    for name in cast.LABS:
        scene.say(f"  {name:9} {got[name]:4} objects")
    removed: Counter[tuple[str, str]] = Counter()
    fields = 0
    ana = scene.cast.principal("Ana")
    for version_id in _versions(contribution_id):
        for view in lens.views(ana, version_id, now=timezone.now())[:1]:
            fields += len(view.lines)
            removed.update(_removed(view.lines))
    scene.say(f"Of {fields} fields in the originals, {sum(removed.values())} did not pass as sent:")
    for (rule, basis), count in removed.most_common(10):
        scene.say(f"  {count:4}  {rule:34} {basis[:72]}")


def _removed(lines: tuple[Line, ...]) -> Iterator[tuple[str, str]]:
    for line in lines:
        if line.treatment != "pass":
            yield f"{line.rule} ({line.treatment})", line.basis


def _ledger(scene: Scene) -> None:
    scene.head("The ledger")
    size = ledger.published_size()
    note = ledger.checkpoint()
    scene.say(f"{size} entries (padding among them) under this signed checkpoint:")
    for line in note.strip().splitlines():
        scene.say(f"    {line}")


def _pushed(scene: Scene) -> dict[str, Path]:
    """The receivers verified token, manifest and digests before they answered."""
    scene.head("Signed bundles pushed")
    waiting = Delivery.objects.exclude(state__in=["delivered", "cancelled", "dead"])
    total = Delivery.objects.filter(event="bundle").count()
    _wait(
        scene,
        "bundles delivered",
        lambda: total - waiting.filter(event="bundle").count(),
        total=total,
        goal=lambda: total,
    )
    folders: dict[str, Path] = {}
    for name in SUBSCRIBED:
        lines = _lines(scene.parts.received / f"{name.lower()}.jsonl")
        bundles = [line for line in lines if line["event"] == "bundle"]
        objects = sum(line["objects"] for line in bundles)
        folders[name] = scene.parts.received / name.lower()
        scene.say(
            f"  {name:9} verified {len(bundles)} bundles with {objects} objects,"
            f" seq 1 to {max((line['seq'] for line in lines), default=0)}"
        )
    return folders


def _pulled(scene: Scene, pushed: dict[str, Path], relay: UUID | None) -> None:
    """The same bytes over TAXII; and what Cirrus cannot see."""
    scene.head("The same, pulled over TAXII 2.1")
    held = _pull(scene, "Ben", "holding")
    sent = {
        str(obj["id"]) + str(obj.get("modified", "")): jcs.encode(obj)
        for path in pushed["Borealis"].glob("*.json")
        for obj in orjson.loads(path.read_bytes())["objects"]
    }
    same = sum(1 for key, body in sent.items() if held.get(key) == body)
    scene.say(f"  Borealis pulled {len(held)} objects with taxii2-client;")
    scene.say(f"  {same} of the {len(sent)} that were pushed to it are byte for byte the same.")
    if relay is None:
        return
    ben = set(_pull(scene, "Ben", "circle-relay-watch"))
    cleo = set(_pull(scene, "Cleo", "holding"))
    alone = ben - set(_pull(scene, "Cleo", "circle-forum")) - cleo
    scene.say(f"  {len(alone)} objects of the circle `relay watch` are held by Borealis;")
    scene.say(f"  Cirrus, which is not in it, can see {len(alone & cleo)} of them.")


def _offline(scene: Scene, pushed: dict[str, Path]) -> None:
    """Bundle, manifest, openings, proofs and keys in one folder; no server is asked."""
    scene.head("A bundle verified offline")
    bodies = sorted(pushed["Borealis"].glob("*.json"), key=lambda path: path.stat().st_mtime)
    if not bodies:
        return
    folder = scene.parts.received / "archive"
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    body = bodies[-1]
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
    scene.say(f"  python -m exchange.proof.verify {folder}")
    argv = (sys.executable, "-m", "exchange.proof.verify", str(folder))
    done = subprocess.run(  # noqa: S603 - our own interpreter and module
        argv, capture_output=True, text=True, check=False, cwd=ROOT
    )
    for line in (done.stdout + done.stderr).strip().splitlines():
        scene.say(f"    {line}")


def _links(scene: Scene) -> None:
    scene.head("Sign in")
    now = timezone.now()
    for name, roles, lab in cast.PEOPLE:
        secret = onboarding.sign_in_link(
            scene.cast.people[name], now=now, lasts=LINKS_LAST, uses=100
        )
        who = f"{name}, {roles[0]} {'at ' + lab if lab else 'of the forum'}"
        scene.say(f"  {who:28} {scene.parts.base_url}/sign-in/{secret}/")


def _pull(scene: Scene, person: str, alias: str) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for envelope in as_pages(_collection(scene, person, alias).get_objects, per_request=200):
        for obj in envelope.get("objects", []):
            found[str(obj["id"]) + str(obj.get("modified", ""))] = jcs.encode(obj)
    return found


def _collection(scene: Scene, person: str, alias: str) -> Collection:
    """A collection as a TAXII client finds it: by discovery, with a credential of the member."""
    wanted = credentials.Wanted("demo", ("taxii-read", "taxii-write"), days=1)
    _, secret = credentials.mint(scene.cast.principal(person), wanted, now=timezone.now())
    server = Server(f"{scene.parts.base_url}/taxii2/", user="demo", password=secret)
    for collection in server.default.collections:
        if alias in (_alias(collection), collection.title):
            return collection
    raise LookupError(alias)


def _alias(collection: Collection) -> str:
    return str(collection.alias or "")


def _act(scene: Scene, person: str, holds: list[UUID], reason: str) -> None:
    review.act(
        scene.cast.principal(person), holds, act="release", reason=reason, now=timezone.now()
    )


def _versions(contribution_id: UUID) -> list[int]:
    rows = Outcome.objects.filter(contribution_id=contribution_id).order_by("version_id")
    stored = Item.objects.filter(contribution_id=contribution_id, version__isnull=False)
    ids = set(stored.values_list("version_id", flat=True))
    return [pk for pk in rows.values_list("version_id", flat=True) if pk in ids][:60]


def _lines(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _wait(
    scene: Scene,
    what: str,
    count: Callable[[], int],
    *,
    total: int,
    goal: Callable[[], int] | None = None,
) -> None:
    """Watch a number grow; a bar where somebody looks, one line where nobody does."""
    limit = time.monotonic() + PATIENCE
    with _bar(what, total) as advance:
        done = count()
        while done < (goal() if goal else total):
            if time.monotonic() > limit:
                scene.say(f"  {done} of {total} {what}; the rest takes longer than expected.")
                return
            advance(done)
            time.sleep(0.1)
            connection.close_if_unusable_or_obsolete()
            done = count()
        advance(done)
    scene.say(f"  {done} {what}" if total != 1 else f"  done: {what}")


@contextmanager
def _bar(what: str, total: int) -> Iterator[Callable[[int], None]]:
    with tqdm(
        total=total, desc=f"  {what}", leave=False, disable=not sys.stderr.isatty()
    ) as progress:

        def advance(done: int) -> None:
            progress.n = done
            progress.refresh()

        yield advance


def _new_id(stix_type: str) -> str:
    return f"{stix_type}--{uuid4()}"


_ANALYST = frozenset({"analyst"})
