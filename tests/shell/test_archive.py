"""What a member takes along when it leaves: checked without a server, and read by nobody else."""

import zipfile
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

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

from exchange import archive, ledger, membership, recall
from exchange.models import ServedNote
from exchange.proof import verify
from exchange.proof.refused import Forbidden
from exchange.signers import signer_for
from indicators.models import ForumObject
from members import onboarding
from members.auth import Principal
from members.models import Member
from tests.shell.sharing import NOON, SIGNER, Way, range_indicator, sequence, set_up

pytestmark = pytest.mark.django_db
WHY = "decided by the forum's board"


@pytest.fixture
def way(settings: LazySettings, tmp_path: Path) -> Way:
    cast = set_up(settings, tmp_path)
    ledger.announce("ledger", SIGNER.public, now=NOON)
    ledger.announce("bundle", signer_for(settings.SIGNER_BUNDLE).public, now=NOON)
    way = Way(cast, cast.relay_watch)
    for n in range(3):
        way.pass_on(range_indicator(f"203.0.{n}.0/24"), range_indicator(f"198.51.{n}.0/24"))
    return way


def officer_of(member: Member) -> Principal:
    """A lab's officer."""
    return Principal(member_id=member.id, roles=frozenset({"officer"}), name=member.name)


def seal(member: Member, settings: LazySettings) -> int:
    """What the worker does."""
    return archive.seal(member.id, signer=signer_for(settings.SIGNER_BUNDLE), now=NOON)


def taken(member: Member, slot: str = "to") -> bytes:
    """The first part of a slot."""
    file = BytesIO()
    archive.write(officer_of(member), slot, 1, file, now=NOON)
    return file.getvalue()


def test_an_archive_verifies_without_a_server_and_covers_every_release(
    way: Way, settings: LazySettings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ember = way.cast.ember
    assert [one.unsealed for one in archive.parts(officer_of(ember)) if one.slot == "to"] == [4]
    assert seal(ember, settings) == 4
    path = tmp_path / "archive.zip"
    path.write_bytes(taken(ember))
    assert verify.main([str(path)]) == 0
    assert capsys.readouterr().out.strip().endswith("Everything verifies.")
    names = zipfile.ZipFile(path).namelist()
    assert sum(name.endswith(".jws") for name in names) == 4
    assert ServedNote.objects.filter(recipient=ember, via="archive").count() == 4


def test_a_changed_archive_does_not_verify(
    way: Way, settings: LazySettings, tmp_path: Path
) -> None:
    seal(way.cast.ember, settings)
    whole = zipfile.ZipFile(BytesIO(taken(way.cast.ember)))
    path = tmp_path / "changed.zip"
    with zipfile.ZipFile(path, "w") as changed:
        for name in whole.namelist():
            changed.writestr(name, whole.read(name).replace(b"203.0.1.0/24", b"203.0.9.0/24"))
    assert verify.main([str(path)]) == 1


def test_what_was_taken_back_is_in_no_bundle_and_its_opening_stays(
    way: Way, settings: LazySettings
) -> None:
    seal(way.cast.ember, settings)
    target = ForumObject.objects.order_by("created_at").first()
    assert target is not None
    recall.order(
        way.cast.as_(way.cast.abel), target.id, reason="error", note="a wrong range", now=NOON
    )
    sequence(now=NOON)
    packed = zipfile.ZipFile(BytesIO(taken(way.cast.ember)))
    assert sum(name.endswith(".jws") for name in packed.namelist()) == 3
    assert packed.read("to-1.openings").count(b'"slot":"to"') >= 4


def test_a_member_takes_what_it_gave_too_and_only_officer_or_counsel_does(way: Way) -> None:
    given = zipfile.ZipFile(BytesIO(taken(way.cast.aurora, "from")))
    assert given.read("from-1.openings").count(b'"slot":"from"') > 3
    with pytest.raises(Forbidden):
        archive.parts(way.cast.as_(way.cast.ana))


def test_abel_takes_his_archive_from_its_page_and_never_of_a_circle_that_was_left(
    way: Way, settings: LazySettings
) -> None:
    seal(way.cast.aurora, settings)
    client = Client()
    client.force_login(way.cast.abel, backend="django.contrib.auth.backends.ModelBackend")
    assert "archive-to-1.zip" in client.get("/archive/").content.decode()
    answer = client.get("/archive/to/1/")
    names = zipfile.ZipFile(BytesIO(answer.content)).namelist()
    assert sum(name.endswith(".jws") for name in names) == 4
    assert client.get("/archive/to/7/").status_code == 404
    assert client.post("/archive/").status_code == 302
    _as_owner()
    onboarding.leave_circle(way.cast.aurora, way.cast.relay_watch, now=NOON)
    names = zipfile.ZipFile(BytesIO(client.get("/archive/to/1/").content)).namelist()
    assert sum(name.endswith(".jws") for name in names) == 1  # the constants


def _as_owner() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('role', 'none', true)")


def certificate() -> tuple[Any, x509.Certificate]:
    """A key and certificate that the member made for itself."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Ember archive")])
    start = datetime(2026, 1, 1, tzinfo=UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=900))
        .sign(key, hashes.SHA256())
    )
    return key, made


def test_who_has_left_gets_files_that_the_operator_cannot_read(
    way: Way, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key, made = certificate()
    pem = tmp_path / "ember.pem"
    pem.write_bytes(made.public_bytes(Encoding.PEM))
    folder = tmp_path / "out"
    with pytest.raises(CommandError):
        call_command("member_archive", "ember", str(pem), str(folder))
    membership.leave(way.cast.as_(way.cast.pia), way.cast.ember.id, reason=WHY, now=NOON)
    call_command("member_archive", "ember", str(pem), str(folder))
    files = sorted(folder.iterdir())
    assert [file.name for file in files][-1] == "ember-to-1.zip.p7m"
    assert b"203.0" not in b"".join(file.read_bytes() for file in files)
    plain = pkcs7.pkcs7_decrypt_der(files[-1].read_bytes(), made, key, [])
    path = tmp_path / "opened.zip"
    path.write_bytes(plain)
    capsys.readouterr()
    assert verify.main([str(path)]) == 0
