"""What a member runs: a push, a bundle and an archive verify, and nothing altered does."""

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from exchange.proof import archive as archive_format
from exchange.proof import claims, entry, jcs, merkle, note, verify
from exchange.proof.claims import Delivery, Receiver
from exchange.proof.entry import Opening
from exchange.proof.jws import Key, KeySet
from exchange.proof.keys import b64
from exchange.proof.note import LOG, WITNESS, Checkpoint, Verifier
from exchange.proof.refused import Refused
from exchange.proof.verify import Trust
from exchange.signers import Signer, signer_of

ISS, ORIGIN = "https://exchange.example", "exchange.example/ledger"
BUNDLE_ID = "bundle--5d0092c5-5f74-4287-9642-33f4c354e56d"
SEALED, SEEN = 1795449600, 1795449660
RECEIVER = Receiver(ISS, "https://soc.member.example/hooks/weir")
SECRET = "Réseau observé – 3 comptes"


def signer(name: str) -> Signer:
    seed = sha256(f"weir test vector {name}".encode()).digest()
    return signer_of(Ed25519PrivateKey.from_private_bytes(seed))


BUNDLE_KEY, DELIVERY_KEY = signer("bundle key 1"), signer("delivery key 1")
LEDGER_KEY, WITNESS_A, WITNESS_B = map(signer, ("ledger key 1", "witness key a", "witness key b"))
BUNDLE = Key(BUNDLE_KEY.public, "bundle")
KEYS = KeySet((BUNDLE, Key(DELIVERY_KEY.public, "delivery")))
VERIFIERS = (
    Verifier(ORIGIN, LOG, LEDGER_KEY.public),
    Verifier("member-a.example/witness", WITNESS, WITNESS_A.public),
    Verifier("member-b.example/witness", WITNESS, WITNESS_B.public),
)
TRUST = Trust(KEYS, VERIFIERS)

STAMP = "2026-11-23T15:59:59.000Z"
OBJECTS: list[dict[str, object]] = [
    {
        "type": "indicator",
        "spec_version": "2.1",
        "id": "indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f",
        "created": STAMP,
        "modified": STAMP,
        "pattern": "[ipv4-addr:value = '203.0.113.7']",
        "pattern_type": "stix",
        "valid_from": "2026-11-23T00:00:00Z",
    },
    {
        "type": "note",
        "spec_version": "2.1",
        "id": "note--0c7b5b88-8ff7-4a4d-aa9d-feb398cd0061",
        "created": STAMP,
        "modified": STAMP,
        "content": SECRET,
        "object_refs": ["indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f"],
        "confidence": 80,
    },
    {
        "type": "ipv4-addr",
        "spec_version": "2.1",
        "id": "ipv4-addr--ff26c055-6336-5bc5-b98d-13d6226742dd",
        "value": "203.0.113.7",
    },
]


def body_of(objects: list[dict[str, object]], bundle_id: str = BUNDLE_ID) -> bytes:
    return jcs.encode({"id": bundle_id, "objects": objects, "type": "bundle"})


def digests_of(objects: list[dict[str, object]]) -> list[bytes]:
    return [sha256(jcs.encode(obj)).digest() for obj in objects]


def sealed(body: bytes, *, ledger: str = ORIGIN, key: Signer = BUNDLE_KEY) -> str:
    value = json.loads(body)
    digests = digests_of(value["objects"])
    described = claims.manifest(
        body, digests, iss=ISS, bundle_id=value["id"], iat=SEALED, ledger=ledger
    )
    return described.sign(key)


def refusal(call: Callable[..., object], *args: object, **named: object) -> str:
    with pytest.raises(Refused) as refused:
        call(*args, **named)
    return refused.value.code


BODY = body_of(OBJECTS[:2])
TOKEN = sealed(BODY)


# A bundle


def test_the_vector_of_the_bundle() -> None:
    assert (len(BODY), sha256(BODY).hexdigest()) == (
        644,
        "fc5f55316315b0715509df34e5f62429f7a8db14eece0969d75d66e63fc2bc4d",
    )
    manifest = verify.verify_bundle(BODY, TOKEN, KEYS)
    assert manifest.objects_sha256 == (
        "e3876a43c8558e7e99b0f151f6a3262d9e9044d9a8ab527cf9feb4107b0a0572"
    )


def test_another_body_is_refused() -> None:
    for body in (BODY + b"\n", BODY.replace(b"203.0.113.7", b"203.0.113.8"), body_of(OBJECTS)):
        assert refusal(verify.verify_bundle, body, TOKEN, KEYS) == "bundle.digest"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"[]", "bundle.form"),
        (b'{"id":"x","objects":{},"type":"bundle"}', "bundle.form"),
        (b'{"id":"x","objects":[1],"type":"bundle"}', "bundle.form"),
        (b'{"id":"x","objects":[],"type":"bundles"}', "bundle.form"),
        (b'{"id":"x", "objects":[],"type":"bundle"}', "bundle.form"),
        (b'{"id":"x","more":1,"objects":[],"type":"bundle"}', "bundle.form"),
        (b'{"id":"y","objects":[],"type":"bundle"}', "bundle.objects"),
        (b'{"id":"x","objects":[{}],"type":"bundle"}', "bundle.objects"),
    ],
)
def test_a_signed_body_that_is_no_such_bundle_is_refused(body: bytes, code: str) -> None:
    described = claims.manifest(body, [], iss=ISS, bundle_id="x", iat=SEALED, ledger=ORIGIN)
    assert refusal(verify.verify_bundle, body, described.sign(BUNDLE_KEY), KEYS) == code


# A push


DELIVERY = Delivery(
    iss=ISS,
    aud=RECEIVER.aud,
    sub="sub_01",
    jti="dlv_0001",
    iat=SEALED + 5,
    exp=SEALED + 305,
    seq=17,
    seqs="5-6",
    event="bundle",
    sha256=sha256(BODY).hexdigest(),
    size=len(BODY),
)


def pushed(delivery: Delivery = DELIVERY) -> dict[str, str]:
    return {
        "WEIR-Delivery-Token": delivery.sign(DELIVERY_KEY),
        "Weir-Manifest": TOKEN,
        "Weir-Delivery": "dlv_0001",
        "Content-Digest": f"sha-256=:{b64(sha256(BODY).digest())}:",
    }


def received(headers: dict[str, str], body: bytes = BODY) -> verify.Push:
    return verify.verify_delivery(body, headers, KEYS, RECEIVER, now=SEALED + 10)


def test_a_push_verifies() -> None:
    push = received(pushed())
    assert push.delivery == DELIVERY
    assert push.manifest is not None
    assert push.manifest.id == BUNDLE_ID
    bare = pushed()
    del bare["Content-Digest"], bare["Weir-Delivery"]  # what the token says is enough
    assert received(bare) == push


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        (pushed() | {"Weir-Delivery": "dlv_0002"}, "delivery.id"),
        (pushed() | {"Content-Digest": "sha-256=:AAAA:"}, "delivery.digest"),
        (pushed() | {"Content-Digest": "md5=:AA==:, sha-256=:AAAA:"}, "delivery.digest"),
        (pushed() | {"WEIR-Delivery-Token": TOKEN}, "jws.typ"),
        (pushed() | {"Weir-Manifest": ""}, "jws.form"),
        (pushed() | {"Weir-Manifest": DELIVERY.sign(DELIVERY_KEY)}, "jws.typ"),
        (pushed(replace(DELIVERY, aud=RECEIVER.aud + "/")), "delivery.aud"),
        (pushed(replace(DELIVERY, size=643)), "delivery.digest"),
        ({}, "jws.form"),
        ({"weir-delivery-token": DELIVERY.sign(DELIVERY_KEY)}, "jws.form"),
    ],
)
def test_a_push_that_contradicts_itself_is_refused(headers: dict[str, str], code: str) -> None:
    assert refusal(received, headers) == code


def test_another_body_than_was_sent_is_refused() -> None:
    assert refusal(received, pushed(), BODY + b" ") == "delivery.digest"


def test_a_test_delivery_needs_no_manifest_but_a_bundle_does() -> None:
    headers = pushed(replace(DELIVERY, event="test"))
    assert received(headers).manifest is not None
    del headers["Weir-Manifest"]
    assert received(headers).manifest is None


def test_a_bundle_of_another_exchange_is_refused() -> None:
    other = claims.manifest(
        BODY, digests_of(OBJECTS[:2]), iss="https://other", bundle_id=BUNDLE_ID, iat=1, ledger="l"
    )
    assert refusal(received, pushed() | {"Weir-Manifest": other.sign(BUNDLE_KEY)}) == "manifest.iss"


# An archive: entry 0 releases the first object, entry 1 the two others as a list


def rows_of(objects: list[dict[str, object]]) -> list[list[object]]:
    digests = [digest.hex() for digest in digests_of(objects)]
    return [
        [obj["id"], obj.get("modified"), digest]
        for obj, digest in zip(objects, digests, strict=True)
    ]


def opening_of(
    index: int, objects: list[dict[str, object]], *, slot: str = "to", **fields: object
) -> Opening:
    """A true opening, in a slot of any name, of an entry that releases these objects."""
    rows = rows_of(objects)
    value: dict[str, object] = {"v": 1, "kind": "release", "index": index, **fields}
    items = None
    if len(rows) == 1:
        value |= dict(zip(("id", "version", "rendition"), rows[0], strict=True))
    else:
        items = jcs.encode(rows).decode()
        value["items"] = {"count": len(rows), "sha256": sha256(items.encode()).hexdigest()}
    text, salt = jcs.encode(value).decode(), bytes([index]) * 32
    digests = {name: bytes(32) for name in entry.SLOTS if name != slot}
    draft = Opening(index, b"", slot, salt, text, digests, items)
    return replace(draft, leaf=draft.rebuilt())


OPENINGS = [opening_of(0, OBJECTS[:1]), opening_of(1, OBJECTS[1:])]


def proofs_of(openings: list[Opening], *, origin: str = ORIGIN, witnesses: int = 2) -> bytes:
    """The openings, each with its proof, under a checkpoint of a log that holds just them."""
    hashes = [merkle.leaf_hash(each.leaf) for each in openings]
    tiles, root = merkle.append({}, 0, hashes)
    text = Checkpoint(origin, len(openings), root).text()
    lines = [
        note.cosignature_line(text, "member-a.example/witness", WITNESS_A, at=SEEN),
        note.cosignature_line(text, "member-b.example/witness", WITNESS_B, at=SEEN + 60),
    ]
    signed = note.sign_note(text, origin, LEDGER_KEY) + "".join(lines[:witnesses])
    records = [
        each.text()
        + "\n"
        + note.proof_text(i, merkle.inclusion(i, len(openings), lambda *t: tiles[t]), signed)
        for i, each in enumerate(openings)
    ]
    return "".join(records).encode()


def archive(**changed: bytes) -> dict[str, bytes]:
    """A good archive, with some of its files (by the part behind the bundle's name) exchanged."""
    body = changed.get("json", body_of(OBJECTS))
    return {
        "jwks.json": jcs.encode(KEYS.document()),
        "vkeys": "".join(each.vkey() + "\n" for each in VERIFIERS).encode(),
        f"{BUNDLE_ID}.json": body,
        f"{BUNDLE_ID}.jws": changed.get("jws", sealed(body).encode() + b"\n"),
        f"{BUNDLE_ID}.proofs": changed.get("proofs", proofs_of(OPENINGS)),
    }


def test_an_archive_verifies() -> None:
    (verified,) = verify.verify_archive(archive(), TRUST)
    assert verified.manifest.id == BUNDLE_ID
    assert [each.index for each in verified.entries] == [0, 1]
    assert verify.verify_archive(archive(), replace(TRUST, quorum=2)) == (verified,)


def test_openings_may_stand_in_any_order_and_beside_others() -> None:
    statement = opening_of(2, [], kind="statement")
    text = proofs_of([*OPENINGS, statement]).decode()
    first, second = text.index("\n{") + 1, text.rindex("\n{") + 1
    turned = text[second:] + text[first:second] + text[:first]
    assert verify.verify_archive(archive(proofs=turned.encode()), TRUST)


ALONE = [opening_of(0, OBJECTS)]


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"proofs": proofs_of(OPENINGS[:1])}, "archive.unrecorded"),
        ({"proofs": proofs_of([opening_of(0, OBJECTS, kind="statement")])}, "archive.unrecorded"),
        ({"proofs": proofs_of([opening_of(0, OBJECTS, slot="from")])}, "archive.unrecorded"),
        ({"proofs": proofs_of([replace(ALONE[0], items=None)])}, "entry.items"),
        ({"proofs": proofs_of([replace(ALONE[0], leaf=bytes(32))])}, "entry.leaf"),
        ({"proofs": proofs_of(OPENINGS).replace(b"index 1", b"index 0")}, "merkle.inclusion"),
        ({"proofs": proofs_of([opening_of(1, OBJECTS)])}, "archive.index"),
        ({"proofs": proofs_of(ALONE, origin="other.example/ledger")}, "checkpoint.origin"),
        ({"proofs": b""}, "archive.proofs"),
        ({"proofs": b"\n" + proofs_of(ALONE)}, "archive.proofs"),
        ({"proofs": ALONE[0].text().encode()}, "proof.form"),
        ({"proofs": b"{\xff"}, "archive.text"),
        ({"jws": b"\xff"}, "archive.text"),
        ({"jws": sealed(body_of(OBJECTS), key=DELIVERY_KEY).encode()}, "jws.purpose"),
        ({"jws": sealed(body_of(OBJECTS), ledger="other.example/l").encode()}, "archive.ledger"),
        ({"json": body_of(OBJECTS[:1]), "jws": TOKEN.encode()}, "bundle.digest"),
        ({"json": body_of(OBJECTS, "bundle--other")}, "archive.name"),
    ],
)
def test_an_archive_with_one_file_exchanged_is_refused(
    changed: dict[str, bytes], code: str
) -> None:
    assert refusal(verify.verify_archive, archive(**changed), TRUST) == code


@pytest.mark.parametrize("at", [0, 1])
def test_an_object_recorded_by_another_name_is_refused(at: int) -> None:
    rows = rows_of(OBJECTS)
    rows[0][at] = "another"
    items = jcs.encode(rows).decode()
    stated = {"count": 3, "sha256": sha256(items.encode()).hexdigest()}
    other = replace(opening_of(0, OBJECTS, items=stated), items=items)
    value = {"v": 1, "kind": "release", "index": 0, "items": stated}
    draft = replace(other, value=jcs.encode(value).decode())
    proofs = proofs_of([replace(draft, leaf=draft.rebuilt())])
    assert refusal(verify.verify_archive, archive(proofs=proofs), TRUST) == "archive.other"


@pytest.mark.parametrize("name", [f"{BUNDLE_ID}.{end}" for end in ("json", "jws", "proofs")])
def test_an_archive_that_lacks_a_file_is_refused(name: str) -> None:
    files = archive()
    del files[name]
    assert refusal(verify.verify_archive, files, TRUST) == "archive.missing"


def test_two_stories_in_one_archive_are_refused() -> None:
    second = "bundle--0d0092c5-5f74-4287-9642-33f4c354e56d"
    body = body_of(OBJECTS, second)
    for openings in (
        [opening_of(0, OBJECTS), opening_of(1, [])],  # another root of size 2
        ALONE,  # another leaf 0 in a log of size 1
    ):
        files = archive() | {
            f"{second}.json": body,
            f"{second}.jws": sealed(body).encode(),
            f"{second}.proofs": proofs_of(openings),
        }
        assert refusal(verify.verify_archive, files, TRUST) == "archive.fork"


def test_witnesses_count_when_they_are_asked_for() -> None:
    files = archive(proofs=proofs_of(OPENINGS, witnesses=1))
    assert verify.verify_archive(files, replace(TRUST, quorum=1))
    assert refusal(verify.verify_archive, files, replace(TRUST, quorum=2)) == "archive.quorum"


@pytest.mark.parametrize(
    ("revoked_at", "witnesses", "stands"),
    [(SEEN + 61, 2, True), (SEEN + 60, 2, False), (SEEN + 61, 1, False)],
)
def test_a_bundle_of_a_revoked_key_stands_if_most_witnesses_saw_it_before(
    revoked_at: int, witnesses: int, *, stands: bool
) -> None:
    revoked = replace(BUNDLE, status="revoked", revoked_at=revoked_at)
    files = archive(proofs=proofs_of(OPENINGS, witnesses=witnesses))
    trust = replace(TRUST, keys=KeySet((revoked,)))
    if stands:
        assert verify.verify_archive(files, trust)
    else:
        assert refusal(verify.verify_archive, files, trust) == "jws.revoked"


# The command


def folder_of(files: dict[str, bytes], folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def zip_of(files: list[tuple[str, bytes]], path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.mkdir("archive")
        for name, data in files:
            packed.writestr(f"archive/{name}", data)
    return path


def test_the_command_says_what_it_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = folder_of(archive() | {"README": b"passed over"}, tmp_path / "a")
    (folder / "sub").mkdir()
    packed = zip_of(list(archive().items()), tmp_path / "a.zip")
    for path in (folder, packed):
        assert verify.main(["archive", str(path)]) == 0
        said = capsys.readouterr().out
        assert "Everything verifies." in said
        assert f"{BUNDLE_ID}: 3 objects from {ISS}" in said
        assert "entries 0-1 of exchange.example/ledger, cosigned by 2 or more witnesses" in said
        assert BUNDLE.kid in said
        assert VERIFIERS[0].vkey() in said
        assert SECRET not in said
        assert "203.0.113.7" not in said


def test_own_keys_are_believed_not_those_of_the_archive(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = folder_of(archive(), tmp_path / "a")
    own = folder_of(archive(), tmp_path / "own")
    call = ["archive", str(folder), "--jwks", str(own / "jwks.json"), "--vkeys", str(own / "vkeys")]
    assert verify.main([*call, "--witnesses", "2"]) == 0
    assert "Keys were taken" not in capsys.readouterr().out
    (own / "jwks.json").write_bytes(b'{"keys":[]}')
    assert verify.main(call) == 1
    assert "DOES NOT VERIFY" in capsys.readouterr().out
    assert verify.main(["archive", str(folder), "--jwks", str(own / "none")]) == 2


def test_what_does_not_verify_ends_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = folder_of(archive(proofs=proofs_of(OPENINGS[:1])), tmp_path / "a")
    assert verify.main(["archive", str(folder)]) == 1
    said = capsys.readouterr().out
    assert f"(archive.unrecorded) [{BUNDLE_ID}.objects[1]]" in said
    assert SECRET not in said
    folder_of(archive(jws=b"x"), folder)
    assert verify.main(["archive", str(folder)]) == 1


def test_what_cannot_be_read_ends_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    files = list(archive().items())
    whole = zip_of(files, tmp_path / "whole.zip").read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "spoiled.zip").write_bytes(whole[:600] + bytes(40) + whole[640:])
    zip_of([*files, ("twice/vkeys", b"")], tmp_path / "twice.zip")
    folder_of({"jwks.json": b"{}"}, tmp_path / "keyless")
    folder_of({"jwks.json": b'{"keys":[]}', "vkeys": b""}, tmp_path / "empty")
    for name in ("none", "cut.zip", "spoiled.zip", "twice.zip", "keyless", "empty"):
        assert verify.main(["archive", str(tmp_path / name)]) == 2, name
        assert "NOT CHECKED" in capsys.readouterr().out
    # A small bound does as well as a large archive.
    monkeypatch.setattr(archive_format, "LARGEST", 1000)
    assert verify.main(["archive", str(tmp_path / "whole.zip")]) == 2
    assert "too large" in capsys.readouterr().out


def test_wrong_usage_ends_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        verify.main([])
    assert ended.value.code == 2
    assert "archive" in capsys.readouterr().err


def test_members_run_it_without_django(tmp_path: Path) -> None:
    folder = folder_of(archive(), tmp_path / "a")
    root = Path(verify.__file__).parents[2]
    ran = subprocess.run(
        [sys.executable, "-m", "exchange.proof.verify", "archive", str(folder)],
        cwd=root, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.endswith("Everything verifies.\n")
    code = (
        "import sys, exchange.proof.verify\n"
        "ours = {'django', 'celery', 'redis', 'psycopg', 'stix2', 'rest_framework', 'members'}\n"
        "assert not ours & set(sys.modules), ours & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=root, timeout=60, check=True)
