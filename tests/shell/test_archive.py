"""What a member takes along: ordered, signed, checked without a server, and read by nobody else."""

import json
import zipfile
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from cryptography.x509.oid import NameOID
from django.conf import LazySettings
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.utils import timezone

from exchange import archive, ledger, membership, recall
from exchange.models import Archive, ReleaseRecipient, ServedNote
from exchange.proof import archive as form
from exchange.proof import verify
from exchange.proof.answers import Answer, Mark, Row
from exchange.proof.keys import Signer
from exchange.proof.refused import Forbidden, NotFound, Refused
from exchange.signers import signer_for
from indicators.models import ForumObject
from members import onboarding
from members.auth import Principal
from members.models import User
from members.scope import acting
from tests.shell.sharing import NOON, SIGNER, Way, range_indicator, sequence, set_up

pytestmark = pytest.mark.django_db
WHY = "decided by the forum's board"
MARKER = "203.0.1.0/24"


@pytest.fixture
def way(settings: LazySettings, tmp_path: Path) -> Way:
    cast = set_up(settings, tmp_path)
    ledger.announce("ledger", SIGNER.public, now=NOON)
    ledger.announce("bundle", signer_for(settings.SIGNER_BUNDLE).public, now=NOON)
    way = Way(cast, cast.relay_watch)
    for n in range(3):
        way.pass_on(range_indicator(f"203.0.{n}.0/24"), range_indicator(f"198.51.{n}.0/24"))
    return way


@pytest.fixture
def bella(way: Way) -> User:
    """Borealis has an officer here, who receives what Aurora gives."""
    person = onboarding.Person("bella@borealis.example", "Bella", ("officer",), way.cast.borealis)
    return onboarding.create_person(person)


@pytest.fixture
def bundle_signer(settings: LazySettings) -> Signer:
    return signer_for(settings.SIGNER_BUNDLE)


class Away:
    """A signer that answers nothing."""

    public, kid, alg = bytes(32), "none", "EdDSA"

    def sign(self, message: bytes) -> bytes:
        raise ConnectionError("the key store is away")


def ordered(way: Way, user: User, slot: str = "to") -> UUID:
    """What the page's button does, with the web's own rights."""
    who = way.cast.as_(user)
    with acting(who.acting()):
        return archive.order_part(who, slot, 1, now=NOON)


def made(way: Way, user: User, signer: Signer, slot: str = "to") -> UUID:
    """Ordered, and made by the worker."""
    archive_id = ordered(way, user, slot)
    with acting(Principal().acting(), role="worker"):
        assert archive.make(archive_id, signer=signer, now=NOON)
    return archive_id


def taken(way: Way, user: User, archive_id: UUID, *, now: datetime = NOON) -> bytes:
    """What the download gives."""
    who = way.cast.as_(user)
    with acting(who.acting()):
        return archive.take(who, archive_id, now=now)[1]


def test_an_archive_verifies_without_a_server_and_covers_every_release(
    way: Way, bella: User, bundle_signer: Signer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "archive.zip"
    path.write_bytes(taken(way, bella, made(way, bella, bundle_signer)))
    assert verify.main(["archive", str(path)]) == 0
    said = capsys.readouterr().out
    assert said.strip().endswith("Everything verifies.")
    assert "member from http://testserver" in said
    assert MARKER not in said
    names = zipfile.ZipFile(path).namelist()
    assert names[:2] == ["manifest.json", "manifest.jws"]
    assert sum(name.endswith(".jws") for name in names) == 5  # its own, and four bundles'
    assert ServedNote.objects.filter(recipient=way.cast.borealis, via="archive").count() == 4


def test_the_same_archive_has_the_same_bytes(way: Way, bella: User, bundle_signer: Signer) -> None:
    first, second = (taken(way, bella, made(way, bella, bundle_signer)) for _ in range(2))
    assert first == second


def test_the_exchange_keeps_only_sealed_bytes(way: Way, bella: User, bundle_signer: Signer) -> None:
    row = Archive.objects.get(pk=made(way, bella, bundle_signer))
    plain = taken(way, bella, row.pk)
    assert row.size == len(plain)
    for kept in (bytes(row.body), bytes(row.order)):
        assert b"PK\x03\x04" not in kept
        assert b"Borealis" not in kept


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("bundle", b"203.0.1.0/24", b"203.0.9.0/24"),
        ("manifest.json", b'"slot":"to"', b'"slot":"no"'),
        ("rows.proofs", b"\nindex ", b"\nindex 9"),
        ("checkpoint", b"testserver", b"testsurfer"),
        ("jwks.json", b'"active"', b'"retired"'),
    ],
)
def test_a_changed_archive_does_not_verify(
    way: Way, bella: User, bundle_signer: Signer, tmp_path: Path, name: str, old: bytes, new: bytes
) -> None:
    whole = zipfile.ZipFile(BytesIO(taken(way, bella, made(way, bella, bundle_signer))))
    path, changes = tmp_path / "changed.zip", 0
    with zipfile.ZipFile(path, "w") as changed:
        for each in whole.namelist():
            data = whole.read(each)
            if each.startswith(name):
                changes += data != data.replace(old, new)
                data = data.replace(old, new)
            changed.writestr(each, data)
    assert changes
    assert verify.main(["archive", str(path)]) == 1


@pytest.mark.parametrize("change", ["more", "less"])
def test_a_file_more_or_less_does_not_verify(
    way: Way, bella: User, bundle_signer: Signer, tmp_path: Path, change: str
) -> None:
    whole = zipfile.ZipFile(BytesIO(taken(way, bella, made(way, bella, bundle_signer))))
    path = tmp_path / "changed.zip"
    with zipfile.ZipFile(path, "w") as changed:
        for each in whole.namelist():
            if change == "more" or each != "rows.proofs":
                changed.writestr(each, whole.read(each))
        if change == "more":
            changed.writestr("readme.txt", "The exchange says: nothing was ever withheld.")
    assert verify.main(["archive", str(path)]) == 1


def test_what_was_taken_back_is_in_no_bundle_and_its_opening_stays(
    way: Way, bella: User, bundle_signer: Signer
) -> None:
    before = made(way, bella, bundle_signer)
    target = ForumObject.objects.order_by("created_at").first()
    assert target is not None
    recall.order(
        way.cast.as_(way.cast.abel), target.id, reason="error", note="a wrong range", now=NOON
    )
    sequence(now=NOON)
    with pytest.raises(Refused) as refused:  # it was made before the recall
        taken(way, bella, before)
    assert refused.value.code == "archive.stale"
    packed = zipfile.ZipFile(BytesIO(taken(way, bella, made(way, bella, bundle_signer))))
    assert sum(name.endswith(".jws") for name in packed.namelist()) == 4
    assert packed.read("rows.proofs").count(b'"slot":"to"') >= 4


def test_what_is_erased_is_in_no_kept_archive(way: Way, bella: User, bundle_signer: Signer) -> None:
    row = Archive.objects.get(pk=made(way, bella, bundle_signer))
    parts = ReleaseRecipient.objects.filter(pk__in=row.parts)
    assert archive.forget([]) == 0
    assert archive.forget(parts.values_list("release_id", flat=True)[:1]) == 1
    row.refresh_from_db()
    assert (row.state, bytes(row.body), bytes(row.order)) == ("gone", b"", b"")
    with pytest.raises(NotFound):
        taken(way, bella, row.pk)


def test_a_member_takes_what_it_gave_too_and_only_officer_or_counsel_does(
    way: Way, bundle_signer: Signer
) -> None:
    body = taken(way, way.cast.abel, made(way, way.cast.abel, bundle_signer, "from"))
    given = zipfile.ZipFile(BytesIO(body))
    assert given.read("rows.proofs").count(b'"slot":"from"') > 3
    with pytest.raises(Forbidden):
        ordered(way, way.cast.ana)


def test_nobody_takes_what_another_ordered(way: Way, bella: User, bundle_signer: Signer) -> None:
    archive_id = made(way, bella, bundle_signer)
    person = onboarding.Person("bo@borealis.example", "Bo", ("officer",), way.cast.borealis)
    for other in (onboarding.create_person(person), way.cast.abel, way.cast.otto):
        with pytest.raises(NotFound):
            taken(way, other, archive_id)
        who = way.cast.as_(other)
        with acting(who.acting()):
            assert not Archive.objects.exists()  # row-level security, whatever the code asks
    taken(way, bella, archive_id)


def test_an_archive_ends_with_its_days(way: Way, bella: User, bundle_signer: Signer) -> None:
    archive_id = made(way, bella, bundle_signer)
    later = NOON + timedelta(days=7)
    with pytest.raises(NotFound):
        taken(way, bella, archive_id, now=later)
    assert archive.end_due(now=later - timedelta(minutes=1)) == 0
    assert archive.end_due(now=later) == 1
    row = Archive.objects.get()
    assert (row.state, bytes(row.body)) == ("gone", b"")


def test_a_signer_that_is_away_leaves_the_order_waiting(
    way: Way, bella: User, bundle_signer: Signer
) -> None:
    archive_id = ordered(way, bella)
    with pytest.raises(ConnectionError):
        archive.make(archive_id, signer=Away(), now=NOON)
    assert archive.waiting() == (archive_id,)
    assert archive.make(archive_id, signer=bundle_signer, now=NOON)
    assert archive.waiting() == ()
    assert not archive.make(archive_id, signer=bundle_signer, now=NOON)


def test_who_has_left_since_gets_nothing(way: Way, bella: User, bundle_signer: Signer) -> None:
    archive_id = ordered(way, bella)
    bella.is_active = False
    bella.save(update_fields=["is_active"])
    assert not archive.make(archive_id, signer=bundle_signer, now=NOON)
    row = Archive.objects.get()
    assert (row.state, row.fault) == ("failed", "forbidden")


# An answer


def answer_of(way: Way, user: User) -> Answer:
    """What Bella received, as a compliance page would list it."""
    found = ledger.openings(way.cast.as_(user), slot="to")
    rows = []
    for one in found:
        for item in one.renditions():
            says = {"id": item.stix_id, "version": item.version, "rendition": item.rendition}
            mark = Mark(one.index, "to", says)
            rows.append(Row((item.stix_id, one.index, None), (mark,)))
    rows.append(Row(("=SUM(A1)", 0, "of no entry"), ()))
    return Answer(("object", "entry", "remark"), tuple(rows))


def order_answer(way: Way, user: User, answer: Answer, *, with_bundles: bool = False) -> list[UUID]:
    who = way.cast.as_(user)
    about = {"question": "1. What did we receive?", "since": "2026-11-01"}
    with acting(who.acting()):
        return list(
            archive.order(
                who, kind="answer", about=about, answer=answer, with_bundles=with_bundles, now=NOON
            )
        )


def test_an_answer_is_packed_with_the_proof_of_each_row(
    way: Way, bella: User, bundle_signer: Signer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = answer_of(way, bella)
    (archive_id,) = order_answer(way, bella, answer)
    assert archive.make(archive_id, signer=bundle_signer, now=NOON)
    path = tmp_path / "answer.zip"
    path.write_bytes(taken(way, bella, archive_id))
    assert verify.main(["archive", str(path)]) == 0
    said = capsys.readouterr().out
    assert "question: 1. What did we receive?" in said
    assert "asked by: Bella" in said
    proven = len(answer.rows) - 1
    assert f"{proven} lead to entries of the ledger, 1 rest on the exchange's word alone" in said
    packed = zipfile.ZipFile(path)
    assert not any(name.startswith("bundle--") for name in packed.namelist())
    assert b"'=SUM(A1)" in packed.read("answer.csv")
    assert json.loads(packed.read("answer.json"))["rows"][-1]["cells"][0] == "=SUM(A1)"


def test_an_answer_brings_its_bundles_where_asked(
    way: Way, bella: User, bundle_signer: Signer
) -> None:
    (archive_id,) = order_answer(way, bella, answer_of(way, bella), with_bundles=True)
    assert archive.make(archive_id, signer=bundle_signer, now=NOON)
    found = form.verify_signed(form.unpack(BytesIO(taken(way, bella, archive_id))), None)
    assert len(found.bundles) == 4
    assert found.answer == answer_of(way, bella)


def test_a_row_that_says_something_else_than_its_entry_is_never_packed(
    way: Way, bella: User, bundle_signer: Signer
) -> None:
    answer = answer_of(way, bella)
    index = answer.rows[0].marks[0].index
    for mark, fault in (
        (Mark(index, "to", {"rendition": "00" * 32}), "answer.other"),
        (Mark(index, "to", {"kind": "recall"}), "answer.other"),
        (Mark(index, "from", {}), "archive.unopened"),
        (Mark(10**9, "to", {}), "archive.unopened"),
    ):
        wrong = Answer(answer.columns, (Row(answer.rows[0].cells, (mark,)),))
        (archive_id,) = order_answer(way, bella, wrong)
        assert not archive.make(archive_id, signer=bundle_signer, now=NOON)
        assert Archive.objects.get(pk=archive_id).fault == fault


def test_a_long_answer_makes_several_archives(
    way: Way, bella: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = answer_of(way, bella)
    made_of = 3
    monkeypatch.setattr(archive, "MOST_ROWS", -(-len(answer.rows) // made_of))
    assert len(order_answer(way, bella, answer)) == made_of
    shown = archive.orders(way.cast.as_(bella))
    assert {one.about["part"] for one in shown} == {
        f"{n} of {made_of}" for n in range(1, made_of + 1)
    }
    monkeypatch.setattr(archive, "MOST_KEPT", made_of)
    with pytest.raises(Refused) as refused:
        order_answer(way, bella, answer)
    assert refused.value.code == "archive.many"


def test_the_forums_officer_takes_what_an_auditor_may_open(way: Way, bundle_signer: Signer) -> None:
    otto = way.cast.otto
    openings = ledger.openings(way.cast.as_(otto), slot="audit")
    rows = tuple(Row((one.index,), (Mark(one.index, "audit"),)) for one in openings[:5])
    (archive_id,) = order_answer(way, otto, Answer(("entry",), rows))
    assert archive.make(archive_id, signer=bundle_signer, now=NOON)
    found = form.verify_signed(form.unpack(BytesIO(taken(way, otto, archive_id))), None)
    assert {one.slot for one in found.rows} == {"audit"}
    assert found.described.about["for"] == "the forum"


# The page, and who has left


def test_bella_orders_and_takes_it_on_her_page_and_never_of_a_circle_that_was_left(
    way: Way, bella: User, bundle_signer: Signer, settings: LazySettings
) -> None:
    client = Client()
    client.force_login(bella, backend="django.contrib.auth.backends.ModelBackend")
    assert "What you received" in client.get("/archive/").content.decode()
    assert client.post("/archive/", {"slot": "to", "first": "1"}).status_code == 302
    assert client.post("/archive/", {"slot": "to", "first": "7"}).status_code == 404
    assert client.post("/archive/", {"slot": "audit", "first": "x"}).status_code == 404
    assert "being made" in client.get("/archive/").content.decode()
    _as_owner()
    row = Archive.objects.get()
    assert archive.make(row.pk, signer=bundle_signer, now=timezone.now())
    page = client.get("/archive/").content.decode()
    assert f"/archive/{row.pk}/" in page
    answer = client.get(f"/archive/{row.pk}/")
    assert answer["Content-Disposition"].startswith('attachment; filename="weir-member-')
    assert len(form.verify_signed(form.unpack(BytesIO(answer.content)), None).bundles) == 4
    _as_owner()
    onboarding.leave_circle(way.cast.borealis, way.cast.relay_watch, now=NOON)
    refused = client.get(f"/archive/{row.pk}/")
    assert (refused.status_code, MARKER in refused.content.decode()) == (422, False)
    client.force_login(way.cast.abel, backend="django.contrib.auth.backends.ModelBackend")
    assert client.get(f"/archive/{row.pk}/").status_code == 404


def _as_owner() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('role', 'none', true)")


def certificate() -> tuple[Any, x509.Certificate]:
    """A key and certificate that the member made for itself."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Ember archive")])
    start = datetime(2026, 1, 1, tzinfo=UTC)
    issued = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=900))
        .sign(key, hashes.SHA256())
    )
    return key, issued


def test_who_has_left_gets_files_that_the_operator_cannot_read(
    way: Way, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key, issued = certificate()
    pem = tmp_path / "ember.pem"
    pem.write_bytes(issued.public_bytes(Encoding.PEM))
    folder = tmp_path / "out"
    with pytest.raises(CommandError):
        call_command("member_archive", "ember", str(pem), str(folder))
    membership.leave(way.cast.as_(way.cast.pia), way.cast.ember.id, reason=WHY, now=NOON)
    call_command("member_archive", "ember", str(pem), str(folder))
    files = sorted(folder.iterdir())
    assert [file.name for file in files][-1] == "ember-to-1.zip.p7m"
    assert b"203.0" not in b"".join(file.read_bytes() for file in files)
    plain = pkcs7.pkcs7_decrypt_der(files[-1].read_bytes(), issued, key, [])
    path = tmp_path / "opened.zip"
    path.write_bytes(plain)
    capsys.readouterr()
    assert verify.main(["archive", str(path)]) == 0
    assert len(form.verify_signed(form.load(path), None).bundles) == 4
