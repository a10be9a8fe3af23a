"""A14, A15: what the broker carries and the logs say; what of a delivery can be altered."""

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import psycopg
import pytest
import redis
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings
from django.db import transaction
from django.test import override_settings
from django.utils import timezone
from pytest_django import DjangoDbBlocker

from exchange import delivery, ledger, release
from exchange.management.demo import receiver
from exchange.models import SigningKey, Subscription
from exchange.policy import detectors
from exchange.proof import claims, jcs, note, verify
from exchange.proof.claims import Receiver
from exchange.proof.jws import KeySet
from exchange.proof.refused import Refused
from exchange.proof.verify import Trust
from exchange.signers import signer_for, signer_of
from members.models import Member
from tests.cast import Cast, make_cast
from tests.running import Running, exchange, free_port, wait_for
from tests.shell.sharing import Way, analyst_of, campaign, range_indicator

pytestmark = pytest.mark.django_db
MARK = "cnry"
ENOUGH = "that is enough"

# --- A14: broker and logs of a running exchange --------------------------------------------------


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with exchange(tmp_path_factory.mktemp("ways-out")) as found:
        yield found


@contextmanager
def overheard(running: Running) -> Iterator[list[str]]:
    """Every command that the broker is given meanwhile, also what is taken off at once."""
    heard: list[str] = []
    # Celery's spelling of a socket is not that of the client.
    path = urlsplit(running.env["REDIS_URL"]).path
    is_listening = threading.Event()

    def listen() -> None:
        with redis.Redis(unix_socket_path=path) as client, client.monitor() as monitor:
            is_listening.set()
            while ENOUGH not in (heard or [""])[-1]:
                heard.append(str(monitor.next_command()["command"]))

    ear = threading.Thread(target=listen, daemon=True)
    ear.start()
    assert is_listening.wait(10)
    try:
        yield heard
    finally:
        with redis.Redis(unix_socket_path=path) as client:
            client.echo(ENOUGH)
        ear.join(10)


@contextmanager
def database_that_quotes(running: Running) -> Iterator[None]:
    """Meanwhile the database refuses every version, and quotes what it refused in its error."""
    with psycopg.connect(running.env["DATABASE_URL"], autocommit=True) as connection:
        connection.execute(
            "CREATE FUNCTION quotes() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION "
            "'refused CNRY9001Q: %', NEW USING DETAIL = 'CNRY9002Q', HINT = 'CNRY9003Q'; END $$"
        )
        connection.execute(
            "CREATE TRIGGER quotes BEFORE INSERT ON indicators_version "
            "FOR EACH ROW EXECUTE FUNCTION quotes()"
        )
        try:
            yield
        finally:
            connection.execute("DROP FUNCTION quotes() CASCADE")


def logs(running: Running) -> str:
    return "\n".join(
        path.read_text(encoding="utf-8", errors="replace")
        for path in (running.room / "log").rglob("*")
        if path.is_file()
    )


def dirty(shared_data: Path) -> list[list[dict[str, Any]]]:
    text = (shared_data / "antitrust" / "dirty-objects.jsonl").read_text(encoding="utf-8")
    return [json.loads(line)["objects"] for line in text.splitlines()]


def test_a14_the_broker_and_the_logs_of_a_failing_run_hold_ids_only(
    running: Running, shared_data: Path
) -> None:
    with overheard(running) as heard:
        with database_that_quotes(running):
            sent = [running.contribute(objects) for objects in dirty(shared_data)]
            wait_for("the worker failed", lambda: "RaiseException" in logs(running))
        wait_for("all taken in", lambda: all(is_complete(running, one) for one in sent))
        pushed = len(running.pushed("borealis"))
        running.contribute([range_indicator("198.51.100.128/25", at=datetime.now(UTC))])
        wait_for("pushed", lambda: len(running.pushed("borealis")) > pushed)
    commands = [form for command in heard for form in (command, *decoded(command))]
    assert any("exchange.tasks.accept" in command for command in commands)
    assert any(one in command for one in sent for command in commands)
    assert not any(MARK in command.lower() for command in commands)
    assert not any("198.51.100.128" in command for command in commands)
    said = logs(running).lower()
    assert MARK not in said
    assert "198.51.100.128" not in said
    assert running.supervisor.deaths() == ()


def is_complete(running: Running, contribution: str) -> bool:
    return str(running.state_of(contribution)["status"]) == "complete"


def decoded(command: str) -> Iterator[str]:
    """What Celery wrapped in base64."""
    for run in detectors.ENCODED.findall(command):
        yield from detectors.decoded(run)


# --- A15: bundles, tokens and proofs as a member checks them -------------------------------------


@dataclass(frozen=True, slots=True)
class Came:
    """One request as a receiver got it."""

    path: str
    headers: dict[str, str]
    body: bytes


class Catching(BaseHTTPRequestHandler):
    """Takes everything and keeps it."""

    caught: list[Came]

    def do_POST(self) -> None:
        """One delivery."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.caught.append(Came(self.path, dict(self.headers.items()), body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@dataclass(frozen=True, slots=True)
class Pushed:
    """Two releases as they came to Borealis and Ember, and how each of them checks."""

    cast: Cast
    origin: str
    borealis: tuple[Came, ...]
    ember: tuple[Came, ...]

    def keys(self) -> KeySet:
        """What is published now."""
        return KeySet.parse(jcs.encode(ledger.jwks()))

    def receiver(self, name: str) -> Receiver:
        """Whom an endpoint expects to hear from."""
        return Receiver(iss=settings.WEIR_BASE_URL, aud=f"{self.origin}/{name}")

    def check(self, came: Came, name: str = "borealis", *, later: int = 0, **changes: Any) -> str:
        """The code of the refusal; empty where it verifies."""
        headers = {**came.headers, **changes.get("headers", {})}
        now = int(timezone.now().timestamp()) + later
        keys = changes.get("keys") or self.keys()
        try:
            verify.verify_delivery(
                changes.get("body", came.body), headers, keys, self.receiver(name), now=now
            )
        except Refused as refused:
            return refused.code
        return ""


@pytest.fixture(scope="module")
def pushed(
    django_db_setup: None,
    django_db_blocker: DjangoDbBlocker,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Pushed]:
    """Pushed once for the module; taken back when it is done."""
    folder = tmp_path_factory.mktemp("pushed")
    port = free_port()
    certificate = receiver.make_certificate(folder / "hook", now=datetime.now(UTC))
    changed = override_settings(
        LEDGER_DIR=folder / "ledger", OUTBOUND_EXEMPT={f"127.0.0.1:{port}": str(certificate)}
    )
    Catching.caught = []
    with django_db_blocker.unblock(), changed, transaction.atomic():
        with catching(port, folder / "hook"):
            cast = publish(f"https://127.0.0.1:{port}")
        by_path = {
            path: tuple(one for one in Catching.caught if one.path == path)
            for path in ("/borealis", "/ember")
        }
        yield Pushed(cast, f"https://127.0.0.1:{port}", by_path["/borealis"], by_path["/ember"])
        transaction.set_rollback(True)


@contextmanager
def catching(port: int, folder: Path) -> Iterator[None]:
    server = HTTPServer(("127.0.0.1", port), Catching)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "ca.pem", folder / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def publish(origin: str) -> Cast:
    """Aurora gives twice to the relay watch; Borealis and Ember have it pushed."""
    start = timezone.now() - timedelta(hours=1)
    cast = make_cast(start)
    for purpose in ("bundle", "delivery", "ledger"):
        uri = getattr(settings, f"SIGNER_{purpose.upper()}")
        ledger.announce(purpose, signer_for(uri).public, now=start)
    release.constants_to([cast.borealis.id, cast.ember.id], now=start)
    subscriptions = [subscribe(cast.borealis, origin, start), subscribe(cast.ember, origin, start)]
    way = Way(cast, cast.relay_watch)
    for minutes in (1, 2):
        now = start + timedelta(minutes=minutes)
        ranges = (range_indicator(f"198.51.{minutes}.{n}/25", at=now) for n in (0, 128))
        way.give(*ranges, campaign(at=now), now=now)
        release.open_windows(now=now)
        sequence(now)
    delivery.make_ready(now=timezone.now())
    for subscription_id in subscriptions:
        assert delivery.drain(subscription_id) >= 2
    return cast


def subscribe(member: Member, origin: str, at: datetime) -> UUID:
    row = Subscription.objects.create(
        member=member,
        name="SIEM",
        url=f"{origin}/{member.slug}",
        state="active",
        created_at=at,
    )
    return row.id


def sequence(now: datetime) -> None:
    ledger.integrate(now=now)
    ledger.publish(signer_for(settings.SIGNER_LEDGER), now=now)


def bundles_of(came: tuple[Came, ...]) -> list[Came]:
    """Those that carry more than the public constants."""
    return [one for one in came if b"198.51." in one.body]


def test_a15_what_came_verifies_for_whom_it_was_sent_to(pushed: Pushed) -> None:
    for name, came in (("borealis", pushed.borealis), ("ember", pushed.ember)):
        assert len(bundles_of(came)) == 2
        assert [pushed.check(one, name) for one in came] == [""] * len(came)


def test_a15_another_recipients_delivery_is_refused(pushed: Pushed) -> None:
    mine, other = bundles_of(pushed.borealis)[0], bundles_of(pushed.ember)[0]
    assert mine.body == other.body  # one audience, one bundle: the token alone tells them apart
    assert pushed.check(other, "borealis") == "delivery.aud"
    assert pushed.check(mine, "ember") == "delivery.aud"
    token = {"Weir-Delivery-Token": other.headers["Weir-Delivery-Token"]}
    assert pushed.check(mine, headers=token) == "delivery.aud"


def test_a15_parts_of_two_deliveries_do_not_go_together(pushed: Pushed) -> None:
    first, second = bundles_of(pushed.borealis)
    assert pushed.check(first, body=second.body) == "delivery.digest"
    manifest = {"Weir-Manifest": second.headers["Weir-Manifest"]}
    assert pushed.check(first, headers=manifest) == "bundle.digest"
    named = {"Weir-Delivery": second.headers["Weir-Delivery"]}
    assert pushed.check(first, headers=named) == "delivery.id"


def reordered(objects: list[Any]) -> list[Any]:
    return objects[::-1]


def cut(objects: list[Any]) -> list[Any]:
    return objects[:-1]


def doubled(objects: list[Any]) -> list[Any]:
    return [*objects, objects[0]]


def altered(objects: list[Any]) -> list[Any]:
    return [{**objects[0], "confidence": 5}, *objects[1:]]


@pytest.mark.parametrize("change", [reordered, cut, doubled, altered])
def test_a15_a_bundle_that_was_changed_is_refused(
    pushed: Pushed, change: Callable[[list[Any]], list[Any]]
) -> None:
    came = bundles_of(pushed.borealis)[0]
    value = json.loads(came.body)
    body = jcs.encode({**value, "objects": change(value["objects"])})
    assert body != came.body
    assert pushed.check(came, body=body) == "delivery.digest"
    with pytest.raises(Refused) as refused:
        verify.verify_bundle(body, came.headers["Weir-Manifest"], pushed.keys())
    assert refused.value.code == "bundle.digest"


def test_a15_a_replay_is_too_late_or_known(pushed: Pushed, tmp_path: Path) -> None:
    came = bundles_of(pushed.borealis)[0]
    assert pushed.check(came, later=claims.WINDOW + claims.LEEWAY + 60) == "delivery.time"
    inbox = receiver.Inbox(tmp_path, "borealis")
    now = int(timezone.now().timestamp())
    where = pushed.receiver("borealis")
    for _ in range(2):
        push = verify.verify_delivery(came.body, came.headers, pushed.keys(), where, now=now)
        inbox.take(push, came.body, came.headers)
    lines = [json.loads(line) for line in inbox.log.read_text(encoding="utf-8").splitlines()]
    assert [line["repeat"] for line in lines] == [False, True]


def test_a15_numbers_without_a_gap_show_one_that_was_kept_back(pushed: Pushed) -> None:
    where, now = pushed.receiver("borealis"), int(timezone.now().timestamp())
    told = [
        verify.verify_delivery(one.body, one.headers, pushed.keys(), where, now=now).delivery.seq
        for one in pushed.borealis
    ]
    assert told == list(range(1, len(told) + 1))


@pytest.mark.parametrize("purpose", ["delivery", "bundle"])
def test_a15_an_old_or_a_strangers_key_signs_nothing(pushed: Pushed, purpose: str) -> None:
    came = bundles_of(pushed.borealis)[0]
    keys = pushed.keys()
    strangers = KeySet(tuple(one for one in keys.keys if one.purpose != purpose))
    assert pushed.check(came, keys=strangers) == "jws.unknown-key"
    revoked_at = timezone.now() - timedelta(minutes=30)
    SigningKey.objects.filter(purpose=purpose).update(status="revoked", revoked_at=revoked_at)
    assert pushed.check(came) == "jws.revoked"


def test_a15_a_thiefs_bundle_has_no_entry_and_one_of_another_forum_no_key(pushed: Pushed) -> None:
    came = bundles_of(pushed.borealis)[0]
    value = json.loads(came.body)
    body = jcs.encode({**value, "objects": altered(value["objects"])})
    thief = signer_of(Ed25519PrivateKey.generate())
    opened = claims.open_manifest(came.headers["Weir-Manifest"], pushed.keys())
    forged = {"size": len(body), "sha256": sha256(body).hexdigest()}
    manifest = claims.Manifest(
        **{**{name: getattr(opened, name) for name in claims.Manifest.__annotations__}, **forged}
    ).sign(thief)
    with pytest.raises(Refused) as refused:
        verify.verify_bundle(body, manifest, pushed.keys())
    assert refused.value.code == "jws.unknown-key"


def archive(pushed: Pushed) -> dict[str, bytes]:
    """What Borealis keeps for its auditor: bundles, manifests, openings and proofs."""
    who = analyst_of(pushed.cast.borealis)
    openings = ledger.openings(who, slot="to", limit=ledger.MOST_OPENINGS)
    files = {
        "jwks.json": jcs.encode(ledger.jwks()),
        "vkeys": ledger.vkeys(now=timezone.now()).encode(),
    }
    for came in bundles_of(pushed.borealis):
        value = json.loads(came.body)
        digests = {sha256(jcs.encode(obj)).hexdigest() for obj in value["objects"]}
        proofs = "".join(
            f"{opening.text()}\n{ledger.proof(opening.index)}"
            for opening in openings
            if digests & {item.rendition for item in opening.renditions()}
        )
        files[f"{value['id']}.json"] = came.body
        files[f"{value['id']}.jws"] = came.headers["Weir-Manifest"].encode()
        files[f"{value['id']}.proofs"] = proofs.encode()
    return files


def test_a15_an_archive_verifies_and_names_the_floor_and_nothing_altered_does(
    pushed: Pushed,
) -> None:
    files = archive(pushed)
    trust = Trust(pushed.keys(), note.parse_vkeys(files["vkeys"].decode()))
    found = verify.verify_archive(files, trust)
    assert len(found) == 2
    openings = ledger.openings(analyst_of(pushed.cast.borealis), slot="to")
    floors = {one.check()["floor"] for one in openings if one.check()["kind"] == "release"}
    assert len(floors) == 1
    first, second = sorted(
        name[:-5] for name in files if name.startswith("bundle") and "json" in name
    )
    swapped = {
        f"{first}.proofs": files[f"{second}.proofs"],
        f"{second}.proofs": files[f"{first}.proofs"],
    }
    renamed = {f"{first}.json": files[f"{second}.json"], f"{first}.jws": files[f"{second}.jws"]}
    refusals = {}
    for what, changes in {"proofs": swapped, "names": renamed}.items():
        with pytest.raises(Refused) as refused:
            verify.verify_archive({**files, **changes}, trust)
        refusals[what] = refused.value.code
    assert refusals == {"proofs": "archive.unrecorded", "names": "archive.name"}
    without = {name: data for name, data in files.items() if name != f"{first}.proofs"}
    with pytest.raises(Refused) as refused:
        verify.verify_archive(without, trust)
    assert refused.value.code == "archive.missing"
