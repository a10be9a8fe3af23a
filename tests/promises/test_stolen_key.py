"""The drill of deploy/README.md: keys rotate without an outage, a stolen one is worth nothing."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import LazySettings
from django.core.management import CommandError, call_command
from django.utils import timezone
from joserfc import jws as joserfc_jws
from joserfc.jwk import KeySet as JoseKeys

from exchange import archive, delivery, keyring, ledger, release, rotation
from exchange.ledger import witnesses
from exchange.management.demo import receiver
from exchange.models import Bundle, LedgerEntry, Mail, SigningKey, Subscription
from exchange.proof import archive as form
from exchange.proof import claims, jcs, log, merkle, note, records, verify
from exchange.proof.jws import Key, KeySet
from exchange.proof.keys import Signer, unb64
from exchange.proof.refused import NotFound, Refused
from exchange.proof.remote import Remote
from exchange.proof.state import State
from exchange.signers import make_key_file, signer_for, signer_of
from members import onboarding
from members.auth import Principal
from members.models import Member
from members.scope import Acting, acting
from tests.cast import Cast, make_cast
from tests.promises.test_abuse_ways_out import Came, Catching, catching, subscribe
from tests.running import free_port
from tests.shell.moody import MOOD, installed
from tests.shell.sharing import Way, range_indicator

pytestmark = pytest.mark.django_db
NAMES = ("aurora", "borealis", "cirrus")


@dataclass
class Drill:
    """An exchange with witnesses, whose keys stand in files that a test may swap."""

    cast: Cast
    folder: Path
    settings: LazySettings

    def give(self, value: str, now: datetime | None = None) -> None:
        """Aurora shares one indicator, and Borealis has it pushed."""
        moment = now or timezone.now()
        Way(self.cast, self.cast.relay_watch).give(range_indicator(value), now=moment)
        release.open_windows(now=moment)
        self.publish(moment)
        self.push()

    def publish(self, now: datetime | None = None) -> None:
        """One round of the sequencer, with the key that is active."""
        moment = now or timezone.now()
        ledger.integrate(now=moment)
        ledger.publish(keyring.signer("ledger"), now=moment)

    def push(self) -> None:
        """One round of the courier."""
        delivery.make_ready(now=timezone.now())
        for row in Subscription.objects.all():
            delivery.drain(row.id)

    def came(self) -> list[Came]:
        """What Borealis's endpoint got, but the public constants."""
        return [one for one in Catching.caught if b"attack-pattern" not in one.body]

    def verify(self, came: Came) -> verify.Push:
        """As Borealis's receiver does, by the keys that are published now."""
        keys = KeySet.parse(jcs.encode(ledger.jwks()))
        where = claims.Receiver(self.settings.WEIR_BASE_URL, came_url(self))
        now = int(timezone.now().timestamp())
        return verify.verify_delivery(came.body, came.headers, keys, where, now=now)

    def cosign(self, at: datetime) -> None:
        """Every witness signs the newest checkpoint."""
        text = ledger.checkpoint().partition("\n\n")[0] + "\n"
        size = text.split("\n")[1]
        for name in NAMES:
            member = self.cast.member(name)
            who = Principal(member_id=member.id, roles=frozenset({"analyst"}), name=name)
            line = note.cosignature_line(
                text, f"{name}.example/witness", witness_of(member), at=int(at.timestamp())
            )
            with acting(Acting(member.id)):
                ledger.cosign(who, f"{size}\n{line}", now=at)

    def new_key(self, name: str) -> str:
        """The URI of a new key."""
        make_key_file(self.folder / f"{name}.pem")
        return f"file:{self.folder / f'{name}.pem'}"


def came_url(drill: Drill) -> str:
    return str(Subscription.objects.get().url)


def witness_of(member: Member) -> Signer:
    seed = sha256(f"witness of {member.slug}".encode()).digest()
    return signer_of(Ed25519PrivateKey.from_private_bytes(seed))


@pytest.fixture
def drill(settings: LazySettings, tmp_path: Path) -> Iterator[Drill]:
    port = free_port()
    certificate = receiver.make_certificate(tmp_path / "hook", now=datetime.now(UTC))
    settings.LEDGER_DIR = tmp_path / "ledger"
    settings.OUTBOUND_EXEMPT = {f"127.0.0.1:{port}": str(certificate)}
    start = timezone.now() - timedelta(hours=1)
    cast = make_cast(start)
    made = Drill(cast, tmp_path, settings)
    for purpose in ("bundle", "delivery", "ledger"):
        uri = made.new_key(purpose)
        setattr(settings, f"SIGNER_{purpose.upper()}", uri)
        ledger.announce(purpose, signer_for(uri).public, now=start)
    for name in NAMES:
        member = cast.member(name)
        key = witness_of(member)
        vkey = note.Verifier(f"{name}.example/witness", note.WITNESS, key.public).vkey()
        witnesses.add(member, vkey, now=start)
    release.constants_to([cast.borealis.id], now=start)
    subscribe(cast.borealis, f"https://127.0.0.1:{port}", start)
    Catching.caught = []
    with catching(port, tmp_path / "hook"):
        made.give("203.0.113.0/24", start + timedelta(minutes=1))
        yield made


def archive_of(drill: Drill) -> bytes:
    """What Borealis takes along now."""
    person = onboarding.Person(
        f"bella{Catching.caught and len(Catching.caught)}@borealis.example",
        "Bella",
        ("officer",),
        drill.cast.borealis,
    )
    who = drill.cast.as_(onboarding.create_person(person))
    archive_id = archive.order_part(who, "to", 1, now=timezone.now())
    assert archive.make(archive_id, signer=keyring.signer("bundle"), now=timezone.now())
    return archive.take(who, archive_id, now=timezone.now())[1]


# --- Any JOSE library ----------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
def test_any_jose_library_verifies_with_the_published_keys(drill: Drill) -> None:
    keys = JoseKeys.import_key_set(json.loads(jcs.encode(ledger.jwks())))
    came = drill.came()[0]
    for name, typ in (
        ("Weir-Manifest", "weir-manifest+json"),
        ("Weir-Delivery-Token", "weir-delivery+jwt"),
    ):
        opened = joserfc_jws.deserialize_compact(came.headers[name], keys, algorithms=["EdDSA"])
        assert opened.headers()["typ"] == typ
    files = form.unpack(BytesIO(archive_of(drill)))
    signed = files["manifest.jws"].decode()
    registry = joserfc_jws.JWSRegistry(algorithms=["EdDSA"])
    registry.max_payload_length = 10**7
    opened = joserfc_jws.deserialize_compact(signed, keys, registry=registry)
    assert opened.payload == files["manifest.json"]


# --- Rotation, with overlap ----------------------------------------------------------------------


@pytest.mark.parametrize("purpose", ["bundle", "delivery", "ledger"])
def test_a_key_rotates_without_an_outage(drill: Drill, purpose: str) -> None:
    name = f"SIGNER_{purpose.upper()}"
    old, new = getattr(drill.settings, name), drill.new_key("new")
    setattr(drill.settings, name, f"{old} {new}")  # both are there before anything changes
    now = timezone.now()
    call_command("keys", "announce", purpose, "--signer", new)
    assert SigningKey.objects.get(status="next").starts_at >= now + timedelta(days=7)
    drill.give("198.51.100.0/25")
    assert keyring.signer(purpose).public == signer_for(old).public
    with pytest.raises(CommandError):  # not before its time
        call_command("keys", "switch", purpose)
    SigningKey.objects.filter(status="next").update(starts_at=now - timedelta(minutes=1))
    before = drill.came()
    call_command("keys", "switch", purpose)
    assert keyring.signer(purpose).public == signer_for(new).public
    drill.give("198.51.100.128/25")
    for came in (*before, *drill.came()):
        drill.verify(came)
    statuses = dict(SigningKey.objects.filter(purpose=purpose).values_list("status", "kid"))
    assert statuses.keys() == {"active", "retired"}
    told = key_history(drill)
    assert {one.status for one in told if one.purpose == purpose} == {"active", "retired"}
    form.verify_signed(form.unpack(BytesIO(archive_of(drill))), None)


def key_history(drill: Drill) -> tuple[Key, ...]:
    """The keys as every member reads them in its ledger."""
    who = drill.cast.as_(drill.cast.ben)
    found = [
        records.Recorded(one.index, one.leaf, (), NOWHERE, one.slot, one.check())
        for one in ledger.openings(who, slot="all")
    ]
    return records.history(found)


NOWHERE = note.Proven(0, note.Checkpoint("x", 0, bytes(32)), ())


def test_a_key_is_announced_early_and_used_once(drill: Drill) -> None:
    active = keyring.signer("bundle")
    for signer, code in ((active, "keys.known"), (signer_for(drill.new_key("new")), "")):
        if code:
            with pytest.raises(Refused) as refused:
                rotation.announce("bundle", signer, now=timezone.now())
            assert refused.value.code == code
        else:
            rotation.announce("bundle", signer, now=timezone.now())
    with pytest.raises(Refused) as refused:
        rotation.announce("bundle", signer_for(drill.new_key("third")), now=timezone.now())
    assert refused.value.code == "keys.next"
    with pytest.raises(Refused) as refused:
        rotation.switch("delivery", now=timezone.now())
    assert refused.value.code == "keys.none"


def test_a_verifier_learns_the_logs_next_key_from_the_log(drill: Drill) -> None:
    """Also one that slept from before the announcement until after the switch."""
    state = State(
        origin=ledger.origin(),
        vkeys=(note.Verifier(ledger.origin(), note.LOG, keyring.signer("ledger").public).vkey(),),
        note=ledger.checkpoint(),
    )
    old, new = drill.settings.SIGNER_LEDGER, drill.new_key("new")
    drill.settings.SIGNER_LEDGER = f"{old} {new}"
    rotation.announce("ledger", signer_for(new), now=timezone.now())
    drill.publish()
    time = timezone.now()
    SigningKey.objects.filter(status="next").update(starts_at=time)
    rotation.switch("ledger", now=time + timedelta(seconds=2))
    drill.publish(time + timedelta(seconds=3))
    view, after = log.newest(Asked(cast=drill.cast), state, ())
    assert view.signatures[0].verifier.public == signer_for(new).public
    assert len(after.vkeys) == 2
    stranger = ledger.checkpoint().partition("\n\n")[0] + "\n"
    thief = signer_of(Ed25519PrivateKey.generate())
    forged = note.sign_note(stranger, ledger.origin(), thief)
    with pytest.raises(Refused) as refused:
        log.newest(Asked(cast=drill.cast, newest=forged), state, ())
    assert refused.value.code == "checkpoint.key"


@dataclass(frozen=True)
class Asked(Remote):
    """The exchange of this test, asked without a server between."""

    url: str = "http://testserver"
    credential: str = "secret"
    cast: Cast | None = None
    newest: str = ""

    def get(self, path: str, *, accept: str = "*/*") -> bytes:
        """As the door of the ledger answers Ben."""
        name, _, query = path.removeprefix("/ledger/").partition("?")
        given = dict(one.split("=") for one in query.split("&") if one)
        assert self.cast is not None
        who = self.cast.as_(self.cast.ben)
        if name == "checkpoint" and "before" in given:
            moment = datetime.fromtimestamp(int(given["before"]), UTC)
            try:
                return ledger.checkpoint(before=moment).encode()
            except NotFound:
                raise Refused("exchange.404", "There is nothing.") from None
        if name == "checkpoint":
            return (self.newest or ledger.checkpoint()).encode()
        if name == "consistency":
            return ledger.consistency(int(given["from"]), int(given["to"])).encode()
        if name == "openings":
            found = ledger.openings(who, slot=given["slot"], after=int(given.get("after", "-1")))
            return ("[" + ",".join(one.text() for one in found) + "]").encode()
        level, rest = name.removeprefix("tile/").split("/", 1)
        return ledger.tile(int(level), rest)


# --- The drill: the bundle key is stolen ---------------------------------------------------------


@pytest.mark.parametrize("is_announced", [True, False])
def test_the_drill_of_a_stolen_bundle_key(drill: Drill, *, is_announced: bool) -> None:
    stolen_uri = drill.settings.SIGNER_BUNDLE
    stolen = signer_for(stolen_uri)
    drill.settings.MAIL_URL = "smtp://mail.example"
    drill.cosign(timezone.now())
    kept = archive_of(drill)  # what Borealis has from before
    new = drill.new_key("new")
    drill.settings.SIGNER_BUNDLE = f"{stolen_uri} {new}"
    if is_announced:
        rotation.announce("bundle", signer_for(new), now=timezone.now())
    elsewhere = [] if is_announced else ["--signer", new]
    if not is_announced:
        with pytest.raises(CommandError):  # never a moment in which nothing can be signed
            call_command("keys", "revoke", stolen.kid)
    later = timezone.now() + timedelta(seconds=2)
    rotation.revoke(stolen.kid, successor=signer_for(new) if elsewhere else None, now=later)
    drill.publish(later)

    # 1. Every subscription is told, under another key, and everybody by mail.
    drill.push()
    (told,) = [one for one in drill.came() if b"weir-notice" in one.body]
    push = drill.verify(told)
    assert (push.delivery.event, push.manifest) == ("notice", None)
    said = json.loads(told.body)
    assert (said["kid"], said["status"]) == (stolen.kid, "revoked")
    assert Mail.objects.filter(kind="key", user=drill.cast.ben).exists()

    # 2. No outage: the next bundle is signed with the new key, by the process that ran before.
    drill.give("198.51.100.0/25", later + timedelta(seconds=1))
    newest = drill.came()[-1]
    assert b"198.51.100.0" in newest.body
    assert drill.verify(newest).manifest is not None

    # 3. A forged bundle is refused: by its key, and by the ledger, which has no entry for it.
    keys = KeySet.parse(jcs.encode(ledger.jwks()))
    body, token = forged(newest, stolen, iat=int(timezone.now().timestamp()) - 7200)
    with pytest.raises(Refused) as refused:
        verify.verify_bundle(body, token, keys)
    assert refused.value.code == "jws.revoked"
    files = form.unpack(BytesIO(kept))
    name = json.loads(body)["id"]
    proofs = next(data for key, data in files.items() if key.endswith(".proofs") and "--" in key)
    vkeys = note.parse_vkeys(files["vkeys"].decode())
    trust = verify.Trust(keys, vkeys)
    thiefs = {f"{name}.json": body, f"{name}.jws": token.encode(), f"{name}.proofs": proofs}
    with pytest.raises(Refused) as refused:
        verify.verify_archive(thiefs, trust)
    assert refused.value.code == "archive.unrecorded"

    # 4. Old bundles verify: their entries were cosigned before the key was revoked.
    assert len(verify.verify_archive(files, trust)) == 2
    found = form.verify_signed(files, trust)
    assert not found.is_signed  # the archive's own words count no more, what lies in it does
    alone = verify.Trust(keys, tuple(one for one in vkeys if one.kind == note.LOG))
    with pytest.raises(Refused) as refused:
        verify.verify_archive(files, alone)
    assert refused.value.code == "jws.revoked"

    # 5. What is given out again is signed anew, never with the stolen key.
    again = form.verify_signed(form.unpack(BytesIO(archive_of(drill))), None)
    assert again.is_signed
    assert again.signed_by.kid == signer_for(new).kid
    assert len(again.bundles) == 3


def forged(came: Came, thief: Signer, *, iat: int) -> tuple[bytes, str]:
    """A bundle with an object that the exchange never released, dated back."""
    value = json.loads(came.body)
    value["objects"][0]["confidence"] = 99
    value["id"] = "bundle--0d0092c5-5f74-4287-9642-33f4c354e56d"
    body = jcs.encode(value)
    digests = [sha256(jcs.encode(one)).digest() for one in value["objects"]]
    made = claims.manifest(
        body,
        digests,
        iss="http://testserver",
        bundle_id=value["id"],
        iat=max(iat, int(SigningKey.objects.get(kid=thief.kid).starts_at.timestamp())),
        ledger=ledger.origin(),
    )
    return body, made.sign(thief)


def test_a_revoked_ledger_key_signs_no_more_and_the_tree_goes_on(drill: Drill) -> None:
    old = drill.settings.SIGNER_LEDGER
    new = drill.new_key("new")
    drill.settings.SIGNER_LEDGER = f"{old} {new}"
    size = ledger.signed_size()
    before = log.parsed(ledger.checkpoint())
    kid = signer_for(old).kid
    call_command("keys", "revoke", kid, "--signer", new)
    drill.publish()
    verifiers = note.parse_vkeys(ledger.vkeys(now=timezone.now()))
    assert signer_for(old).public not in {one.public for one in verifiers}
    point, _ = note.open_checkpoint(ledger.checkpoint(), verifiers)
    assert point.size > size == before.size
    path = [unb64(one) for one in ledger.consistency(before.size, point.size).split()]
    merkle.verify_consistency(before.size, point.size, path, before.root, point.root)


def test_without_its_active_key_a_process_waits_and_signs_nothing(drill: Drill) -> None:
    only = drill.settings.SIGNER_BUNDLE
    other = drill.new_key("other")
    drill.settings.SIGNER_BUNDLE = other
    count = Bundle.objects.count()
    with pytest.raises(Refused) as refused:
        drill.give("198.51.100.0/25")
    assert refused.value.code == "signer.inactive"
    assert Bundle.objects.count() == count
    drill.settings.SIGNER_BUNDLE = only
    drill.push()
    assert b"198.51.100.0" in drill.came()[-1].body


# --- A signer that is slow and fails -------------------------------------------------------------


def test_a_slow_failing_signer_delays_and_leaves_nothing_unsigned(
    drill: Drill, tmp_path: Path
) -> None:
    with installed(tmp_path):
        for purpose in ("BUNDLE", "DELIVERY", "LEDGER"):
            name = f"SIGNER_{purpose}"
            setattr(drill.settings, name, f"moody:{getattr(drill.settings, name)}")
        moment = timezone.now()
        Way(drill.cast, drill.cast.relay_watch).give(range_indicator("198.51.100.0/25"), now=moment)
        release.open_windows(now=moment)
        # Each of those who sign fails once after two seconds, and is asked again.
        entries, size = LedgerEntry.objects.count(), ledger.signed_size()
        MOOD.update(failures=1, seconds=2.0)
        with pytest.raises(TimeoutError):
            drill.publish()
        assert ledger.signed_size() == size  # numbered, and not to be seen
        assert LedgerEntry.objects.count() > entries
        MOOD["seconds"] = 0.0
        drill.publish()
        assert ledger.signed_size() > size
        bundles = Bundle.objects.count()
        MOOD["failures"] = 1
        with pytest.raises(TimeoutError):
            delivery.make_ready(now=timezone.now())
        assert Bundle.objects.count() == bundles
        delivery.make_ready(now=timezone.now())
        came = len(drill.came())
        MOOD["failures"] = 1
        (subscription,) = Subscription.objects.all()
        with pytest.raises(TimeoutError):
            delivery.drain(subscription.id)
        assert len(drill.came()) == came  # no request without a token
        delivery.sweep(now=timezone.now())
        delivery.drain(subscription.id)
        newest = drill.came()[-1]
        assert b"198.51.100.0" in newest.body
        assert drill.verify(newest).delivery.seq == drill.verify(drill.came()[-2]).delivery.seq + 1
        assert MOOD["asked"] >= 6
