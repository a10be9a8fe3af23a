"""Write and check an archive: one ZIP file that verifies years later, without a server.

A signed archive has these files, flat, in this order:

- `manifest.json` (JCS): `v` 1, `iss`, `iat`, `kind`, `about` (what was asked, as an object),
  `ledger` (its origin), `size` (of the checkpoint), `files`: name, size and sha256 of every other;
- `manifest.jws`: a compact JWS of exactly those bytes, by a bundle key, of its own `typ`;
- `checkpoint`: the log's signed note with its cosignatures; `vkeys`: the keys of the log and its
  witnesses, one a line; `jwks.json`; `keys.proofs`: the records of all `key` entries, so that no
  key needs a server's word;
- `rows.proofs`: the records of the entries that the archive is about;
- `answer.json` and `answer.csv`: a question's answer, where there was one (`proof.answers`);
- for each bundle `<id>.json` (its bytes), `<id>.jws` (its manifest) and `<id>.proofs`;
- whatever else the manifest lists.

Without `manifest.json` it is a folder of bundles as a member keeps them: `jwks.json`, `vkeys` and
the three files of each bundle. Each object of a bundle is named by at least one opening of slot
`to` and kind `release` or `recall`; the opening of a release of several objects carries their list
as `items` and stands once for all of them.
"""

import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import IO

from exchange.proof import answers, jcs, jws, note, records
from exchange.proof.bundle import objects_of, rendition_digest, verify_bundle
from exchange.proof.claims import LATEST, Manifest
from exchange.proof.jws import Key, KeySet
from exchange.proof.keys import Signer
from exchange.proof.note import Signature
from exchange.proof.records import Checker, Recorded, Trust
from exchange.proof.refused import Refused

LARGEST = 512 * 1024 * 1024  # of all files of an archive, unpacked
MOST_FILES = 4_000
UNREADABLE = "archive.unreadable"
MANIFEST, SIGNATURE, CHECKPOINT, VKEYS = "manifest.json", "manifest.jws", "checkpoint", "vkeys"
JWKS, KEYS, ROWS = "jwks.json", "keys.proofs", "rows.proofs"
ANSWER, TABLE = "answer.json", "answer.csv"

_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,99}")
_OF_BUNDLE = re.compile(r"(bundle--[0-9a-f-]{36})\.(?:json|jws|proofs)")
_KIND = re.compile(r"[a-z][a-z-]{0,39}")
_HEX = re.compile(r"[0-9a-f]{64}")
_CLAIMS = {"v", "iss", "iat", "kind", "about", "ledger", "size", "files"}
_FIRST = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Described:
    """What an archive says of itself."""

    iss: str
    iat: int
    kind: str
    about: Mapping[str, object]
    ledger: str
    size: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """What makes an archive independent of any server, as the writer has it."""

    checkpoint: str
    vkeys: str
    jwks: bytes
    keys: str
    rows: str


@dataclass(frozen=True, slots=True)
class Verified:
    """A bundle of an archive that verifies, and the entries that record its objects."""

    manifest: Manifest
    entries: tuple[Recorded, ...]


@dataclass(frozen=True, slots=True)
class Checked:
    """A signed archive that verifies; its own signature counts no more if its key was revoked."""

    described: Described
    is_signed: bool
    signed_by: Key
    witnesses: int
    rows: tuple[Recorded, ...]
    answer: answers.Answer | None
    bundles: tuple[Verified, ...]
    others: tuple[str, ...]


# Writing


def write(
    described: Described, evidence: Evidence, others: Mapping[str, bytes], signer: Signer
) -> bytes:
    """The archive as bytes: the same input, the same bytes."""
    files = {
        CHECKPOINT: evidence.checkpoint.encode(),
        VKEYS: evidence.vkeys.encode(),
        JWKS: evidence.jwks,
        KEYS: evidence.keys.encode(),
        ROWS: evidence.rows.encode(),
        **others,
    }
    if not all(_NAME.fullmatch(name) and name not in (MANIFEST, SIGNATURE) for name in files):
        raise Refused("archive.name", "A file of the archive has a name that none may have.")
    if len(files) > MOST_FILES or sum(map(len, files.values())) > LARGEST // 2:
        raise Refused("archive.large", "This is too much for one archive: take it in parts.")
    listed = [
        {"name": name, "size": len(data), "sha256": sha256(data).hexdigest()}
        for name, data in sorted(files.items())
    ]
    claims = {
        "v": 1,
        "iss": described.iss,
        "iat": described.iat,
        "kind": described.kind,
        "about": described.about,
        "ledger": described.ledger,
        "size": described.size,
        "files": listed,
    }
    manifest = jcs.encode(claims)
    token = jws.sign(manifest, typ=jws.ARCHIVE, signer=signer)
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as made:
        for name, data in {MANIFEST: manifest, SIGNATURE: token.encode(), **files}.items():
            place = zipfile.ZipInfo(name, date_time=_FIRST)
            place.create_system, place.external_attr = 3, 0o644 << 16  # on any machine the same
            made.writestr(place, data, zipfile.ZIP_DEFLATED)
    return packed.getvalue()


# Checking


def verify_signed(files: Mapping[str, bytes], trust: Trust | None, quorum: int = 0) -> Checked:
    """Refuse unless everything in a signed archive follows from its log.

    Without own trust the keys are the archive's, which then only agrees with itself.
    """
    # 1. the log has signed the checkpoint, and witnesses if asked for
    # 2. every key is one that the ledger tells of    3. the manifest is signed, by a bundle key
    # 4. each file is the one that it lists           5. it names this log and this checkpoint
    # 6. each record leads to its leaf                7. each row says what its entries say
    # 8. bundles, as in a folder                      9. no two stories, in the whole archive
    # 10. (the caller) the keys are the exchange's; no later entry recalls what is here
    verifiers = trust.verifiers if trust else note.parse_vkeys(_text(files, VKEYS))
    quorum = max(quorum, trust.quorum if trust else 0)
    checker = Checker(Trust(KeySet(()), verifiers, quorum), _text(files, CHECKPOINT))
    point, signatures = checker.open(checker.checkpoint)  # 1
    _check_quorum(signatures, quorum)
    told = tuple(checker.read(_text(files, KEYS)))
    _check_keys(files, told)  # 2
    keys = trust.keys if trust and trust.keys.keys else KeySet(records.history(told))
    described, key, is_signed = _described(files, keys)  # 3, 4
    if (described.ledger, described.size) != (point.origin, point.size):  # 5
        raise Refused("archive.ledger", "The archive names another state of the ledger.")
    rows = tuple(checker.read(_text(files, ROWS))) if files.get(ROWS) else ()  # 6
    answer = _answer(files, rows)  # 7
    own = Trust(keys, verifiers, quorum)
    bundles = verify_archive(files, own) if bundle_ids(files) else ()  # 8
    inside = (each for bundle in bundles for each in bundle.entries)
    records.check_one_story([*told, *rows, *inside])  # 9
    known = {MANIFEST, SIGNATURE, CHECKPOINT, VKEYS, JWKS, KEYS, ROWS, ANSWER, TABLE}
    others = tuple(n for n in sorted(files) if n not in known and not _OF_BUNDLE.fullmatch(n))
    count = len({each.verifier.name for each in signatures if each.at is not None})
    return Checked(described, is_signed, key, count, rows, answer, bundles, others)


def verify_archive(files: Mapping[str, bytes], trust: Trust) -> tuple[Verified, ...]:
    """Refuse unless every bundle of the archive verifies, with an entry for each of its objects."""
    # 1. each opening agrees with itself, and its leaf is in the log   2. witnesses, if asked for
    # 3. manifest and bundle, by the file's own name     4. log and manifest name the same ledger
    # 5. each object is named by an entry                6. no two stories, in the whole archive
    # 7. (the caller) the keys are the exchange's; no later entry recalls what is here
    ids = bundle_ids(files)
    if not ids:
        raise Refused(UNREADABLE, "There is no bundle here.")
    checker = Checker(trust, files.get(CHECKPOINT, b"").decode(errors="replace"))
    verified = []
    for bundle_id in ids:
        recorded = tuple(checker.read(_text(files, f"{bundle_id}.proofs")))  # 1, 2
        body, token = _file(files, f"{bundle_id}.json"), _text(files, f"{bundle_id}.jws").strip()
        seen_at = records.seen_at(recorded, trust)
        manifest = verify_bundle(body, token, trust.keys, cosigned_at=seen_at)  # 3
        if manifest.id != bundle_id:
            raise Refused("archive.name", "A bundle does not have the name of its file.", bundle_id)
        if any(each.proven.checkpoint.origin != manifest.ledger for each in recorded):  # 4
            raise Refused("archive.ledger", "A proof is from another ledger.", bundle_id)
        check_covered(objects_of(body)[1], recorded, bundle_id)  # 5
        verified.append(Verified(manifest, recorded))
    records.check_one_story(each for bundle in verified for each in bundle.entries)  # 6
    return tuple(verified)


def check_covered(
    objects: Iterable[dict[str, object]], recorded: Iterable[Recorded], where: str
) -> None:
    """Refuse unless an entry of these names each object by its id, version and digest."""
    items = {item.rendition: item for each in recorded for item in each.items}
    for position, obj in enumerate(objects):
        item = items.get(rendition_digest(obj).hex())
        path = f"{where}.objects[{position}]"
        if item is None:
            raise Refused("archive.unrecorded", "The ledger has no entry for an object.", path)
        if item.stix_id != obj.get("id") or item.version != obj.get("modified", item.version):
            raise Refused("archive.other", "The ledger names an object by another id.", path)


def bundle_ids(files: Iterable[str]) -> tuple[str, ...]:
    """The bundles of which there are files."""
    return tuple(sorted({match[1] for name in files if (match := _OF_BUNDLE.fullmatch(name))}))


def _check_quorum(signatures: Sequence[Signature], quorum: int) -> None:
    if quorum and note.cosigned_at(signatures, quorum) is None:
        raise Refused("archive.quorum", "Too few witnesses have cosigned a checkpoint.")


def _check_keys(files: Mapping[str, bytes], told: Sequence[Recorded]) -> None:
    """Each key that stands in the archive is one that the ledger tells of, for that purpose."""
    known = {(key.public, key.purpose) for key in records.history(told)}
    here = [(key.public, key.purpose) for key in KeySet.parse(_file(files, JWKS)).keys]
    lines = note.parse_vkeys(_text(files, VKEYS))
    here += [(each.public, "ledger") for each in lines if each.kind == note.LOG]
    others = {each for each in lines if each.kind == note.WITNESS}
    if not known.issuperset(here) or not records.witnesses(told).issuperset(others):
        raise Refused("archive.keys", "A key of the archive is in no entry of the ledger.")


def _described(files: Mapping[str, bytes], keys: KeySet) -> tuple[Described, Key, bool]:
    data = _file(files, MANIFEST)
    token = jws.read(_text(files, SIGNATURE).strip(), keys, typ=jws.ARCHIVE, longest=LARGEST)
    if token.payload != data:
        raise Refused("archive.manifest", "What is signed is not the manifest that lies here.")
    value = jcs.decode(data)
    described = _claims(value if isinstance(value, dict) else {})
    listed = value["files"] if isinstance(value, dict) else []
    _check_files(listed, files)
    try:
        token.key.check(typ=jws.ARCHIVE, iat=described.iat)
    except Refused as refused:
        if refused.code != "jws.revoked":
            raise
        return described, token.key, False
    return described, token.key, True


def _claims(value: Mapping[str, object]) -> Described:
    texts = all(isinstance(value.get(one), str) for one in ("iss", "kind", "ledger"))
    numbers = all(
        type(number) is int and 0 <= number <= LATEST
        for number in (value.get("iat"), value.get("size"))
    )
    about = value.get("about")
    if value.keys() != _CLAIMS or value["v"] != 1 or not (texts and numbers):
        raise Refused("archive.claims", "The archive's manifest is of a form that is not known.")
    if not isinstance(about, dict) or not _KIND.fullmatch(str(value["kind"])):
        raise Refused("archive.claims", "The archive's manifest is of a form that is not known.")
    return Described(
        iss=_printable(value["iss"]),
        iat=_whole(value["iat"]),
        kind=str(value["kind"]),
        about=about,
        ledger=_printable(value["ledger"]),
        size=_whole(value["size"]),
    )


def _check_files(listed: object, files: Mapping[str, bytes]) -> None:
    found = {
        name: {"name": name, "size": len(data), "sha256": sha256(data).hexdigest()}
        for name, data in sorted(files.items())
        if name not in (MANIFEST, SIGNATURE)
    }
    if listed == list(found.values()):
        return
    rows = listed if isinstance(listed, list) else []
    right = {str(one.get("name")): one for one in rows if isinstance(one, dict)}
    every = sorted(found.keys() | right.keys())
    place = next((name for name in every if found.get(name) != right.get(name)), MANIFEST)
    raise Refused(
        "archive.files", "A file is not the one that the archive's manifest lists.", place
    )


def _answer(files: Mapping[str, bytes], rows: Iterable[Recorded]) -> answers.Answer | None:
    if ANSWER not in files and TABLE not in files:
        return None
    answer = answers.parse(_file(files, ANSWER))
    if answer.csv() != _file(files, TABLE):
        raise Refused("archive.answer", "The table is not the answer.", TABLE)
    by_place = {(each.index, each.slot): each for each in rows}
    for row in answer.rows:
        for mark in row.marks:
            each = by_place.get((mark.index, mark.slot))
            if each is None:
                raise Refused(
                    "archive.unrecorded", "A row names an entry that is not proven here.",
                    f"entry {mark.index}",
                )  # fmt: skip
            named = [(item.stix_id, item.version, item.rendition) for item in each.named]
            answers.check_mark(mark, each.fields, named)
    return answer


def _printable(value: object) -> str:
    text = str(value)
    if not text.isprintable():
        raise Refused("archive.claims", "The archive's manifest is of a form that is not known.")
    return text


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0


def _file(files: Mapping[str, bytes], name: str) -> bytes:
    if name not in files:
        raise Refused("archive.missing", "A file of the archive is missing.", name)
    return files[name]


def _text(files: Mapping[str, bytes], name: str) -> str:
    try:
        return _file(files, name).decode()
    except UnicodeDecodeError:
        raise Refused("archive.text", "A file that should be text is not.", name) from None


# Files


def load(path: Path) -> dict[str, bytes]:
    """Read the files of an archive, by name; in a folder without a manifest, those of bundles."""
    if not path.is_dir():
        return unpack(path)
    try:
        return _bounded([(each.name, each) for each in sorted(path.iterdir()) if each.is_file()])
    except OSError:
        raise Refused(UNREADABLE, "This is not a directory or ZIP file that can be read.") from None


def unpack(file: Path | IO[bytes]) -> dict[str, bytes]:
    """Read the files of a ZIP file, by name."""
    try:
        with zipfile.ZipFile(file) as packed:
            names = [each for each in packed.namelist() if not each.endswith("/")]
            return _bounded([(each.rpartition("/")[2], _Packed(packed, each)) for each in names])
    except (OSError, RuntimeError, NotImplementedError, EOFError, zipfile.BadZipFile, zlib.error):
        # RuntimeError: encrypted; NotImplementedError: a compression that is not known here
        raise Refused(UNREADABLE, "This is not a directory or ZIP file that can be read.") from None


@dataclass(frozen=True, slots=True)
class _Packed:
    zip: zipfile.ZipFile
    name: str

    def open(self, _mode: str) -> IO[bytes]:
        """The file as it unpacks."""
        return self.zip.open(self.name)


def _bounded(inside: Sequence[tuple[str, Path | _Packed]]) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    left = LARGEST
    for name, path in _chosen(inside):
        if name in files:
            raise Refused(UNREADABLE, "The archive has two files of the same name.", name)
        with path.open("rb") as file:
            files[name] = file.read(left + 1)
        left -= len(files[name])
        if left < 0:
            raise Refused(UNREADABLE, "The archive is too large.")
    return files


def _chosen(inside: Sequence[tuple[str, Path | _Packed]]) -> Iterator[tuple[str, Path | _Packed]]:
    """In a signed archive every file counts: one that is not listed must be seen."""
    if len(inside) > MOST_FILES and any(name == MANIFEST for name, _ in inside):
        raise Refused(UNREADABLE, "The archive has too many files.")
    is_signed = any(name == MANIFEST for name, _ in inside)
    for name, path in inside:
        if is_signed or name in (JWKS, VKEYS, CHECKPOINT) or _OF_BUNDLE.fullmatch(name):
            yield name, path
