"""Check what a member received, without trusting the exchange: a push, a bundle, an archive.

    python -m exchange.proof.verify [--jwks FILE] [--vkeys FILE] [--witnesses K] DIR_OR_ZIP

Exit codes: 0 all of it verifies, 1 something does not, 2 wrong usage or unreadable. What the
objects say is never printed.

An archive is a directory, or a ZIP file of one, with these files:

- `jwks.json`, the keys for manifests; `vkeys`, the keys of the log and its witnesses, one a line;
- for each bundle `<id>.json` (its bytes), `<id>.jws` (its manifest; a newline may follow) and
  `<id>.proofs`.

A `.proofs` file is UTF-8 text: one record behind the other, nothing between them. A record is an
opening in one line (it begins with `{`), then the tlog-proof of its entry, as it was served, up to
the next line that begins with `{` or the end of the file. Each object of the bundle is named by at
least one opening of slot `to` and kind `release` or `recall`; the opening of a release of several
objects carries their list as `items` and stands once for all of them.

Keys from the archive itself prove only that the archive agrees with itself: whoever has own copies
passes them with --jwks and --vkeys.
"""

import argparse
import re
import sys
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from exchange.proof import claims, entry, jcs, note
from exchange.proof.claims import Delivery, Manifest, Receiver
from exchange.proof.jws import KeySet
from exchange.proof.keys import b64
from exchange.proof.note import Verifier
from exchange.proof.refused import Refused

LARGEST = 512 * 1024 * 1024  # of all files of an archive, unpacked
UNREADABLE = "archive.unreadable"
DISCLOSING = ("release", "recall")

_NAME = re.compile(r"jwks\.json|vkeys|bundle--[0-9a-f-]{36}\.(?:json|jws|proofs)")
_SHA256 = re.compile(r"(?:^|[\s,])sha-256=(:[A-Za-z0-9+/=]*:)")


@dataclass(frozen=True, slots=True)
class Trust:
    """Whom a verifier believes: the exchange's keys, its log, and how many of its witnesses."""

    keys: KeySet
    verifiers: tuple[Verifier, ...]
    quorum: int = 0

    @property
    def majority(self) -> int:
        """How many witnesses make a bundle of a revoked key stand."""
        names = {each.name for each in self.verifiers if each.kind == note.WITNESS}
        return max(self.quorum, len(names) // 2 + 1, 2)


@dataclass(frozen=True, slots=True)
class Push:
    """A delivery that verifies, and the manifest that came with it."""

    delivery: Delivery
    manifest: Manifest | None


@dataclass(frozen=True, slots=True)
class Recorded:
    """An entry that is in the log, and the objects that it discloses."""

    index: int
    leaf: bytes
    items: tuple[entry.Item, ...]
    proven: note.Proven


@dataclass(frozen=True, slots=True)
class Verified:
    """A bundle of an archive that verifies, and the entries that record its objects."""

    manifest: Manifest
    entries: tuple[Recorded, ...]


# A bundle


def verify_bundle(
    body: bytes, manifest: str, keys: KeySet, *, cosigned_at: int | None = None
) -> Manifest:
    """Refuse unless the manifest is the exchange's and describes exactly these bytes.

    `cosigned_at` is when the verifier's quorum of witnesses had seen the entries of all objects:
    with it, a key that was revoked later is still good.
    """
    # 1. the token is ours and of the right kind   2. the key is known and not revoked
    # 3. size and digest are those of the body     4. the body is a bundle of just those objects
    # 5. (the caller) the ledger has an entry for each object
    found = claims.open_manifest(manifest, keys, cosigned_at=cosigned_at)  # 1, 2
    if (found.size, found.sha256) != (len(body), sha256(body).hexdigest()):  # 3
        raise Refused("bundle.digest", "The bundle is not the one that the manifest describes.")
    bundle_id, objects = _bundle(body)  # 4
    stated = (found.id, found.count, found.objects_sha256)
    if stated != (bundle_id, len(objects), claims.digest_of(map(_digest, objects))):
        raise Refused("bundle.objects", "The objects are not those that the manifest describes.")
    return found


def _bundle(body: bytes) -> tuple[object, list[dict[str, object]]]:
    value = jcs.decode(body)
    if not isinstance(value, dict) or value.keys() != {"id", "objects", "type"}:
        raise Refused("bundle.form", "This is not a bundle.")
    objects = value["objects"]
    if not isinstance(objects, list) or not all(isinstance(obj, dict) for obj in objects):
        raise Refused("bundle.form", "This is not a bundle.")
    if value["type"] != "bundle" or jcs.encode(value) != body:
        raise Refused("bundle.form", "The bundle is not in canonical form.")
    return value["id"], objects


def _digest(obj: dict[str, object]) -> bytes:
    return sha256(jcs.encode(obj)).digest()


# A push


def verify_delivery(
    body: bytes, headers: Mapping[str, str], keys: KeySet, receiver: Receiver, *, now: int
) -> Push:
    """Refuse unless this request was sent by the exchange, to this receiver, just now."""
    # 1. token: key, kind, issuer, exact audience, window     2. digest and size of the body
    # 3. the headers that repeat them say the same            4. the manifest, and its issuer
    # 5. (the caller) drop a delivery id already seen; a gap in `seq` or `seqs` means: pull
    given = {name.lower(): value.strip() for name, value in headers.items()}
    token = given.get("weir-delivery-token", "")
    delivery = claims.open_delivery(token, keys, receiver, now=now)  # 1
    digest = sha256(body)
    if (delivery.size, delivery.sha256) != (len(body), digest.hexdigest()):  # 2
        raise Refused("delivery.digest", "The body is not the one that the token describes.")
    if given.get("weir-delivery", delivery.jti) != delivery.jti:  # 3
        raise Refused("delivery.id", "The delivery id in the header is not that of the token.")
    if any(each != f":{b64(digest.digest())}:" for each in _content_digests(given)):  # 3
        raise Refused("delivery.digest", "The body is not the one that Content-Digest describes.")
    if "weir-manifest" not in given and delivery.event in ("notice", "test"):
        return Push(delivery, None)  # not a bundle: nothing was sealed
    manifest = verify_bundle(body, given.get("weir-manifest", ""), keys)  # 4
    if manifest.iss != receiver.iss:
        raise Refused("manifest.iss", "The bundle is not from the exchange that delivers it.")
    return Push(delivery, manifest)


def _content_digests(headers: Mapping[str, str]) -> list[str]:
    return _SHA256.findall(headers.get("content-digest", ""))


# An archive


def verify_archive(files: Mapping[str, bytes], trust: Trust) -> tuple[Verified, ...]:
    """Refuse unless every bundle of the archive verifies, with an entry for each of its objects."""
    # 1. each opening agrees with itself, and its leaf is in the log   2. witnesses, if asked for
    # 3. manifest and bundle, by the file's own name     4. log and manifest name the same ledger
    # 5. each object is named by an entry                6. no two stories, in the whole archive
    # 7. (the caller) the keys are the exchange's; no later entry recalls what is here
    ids = sorted({name.rpartition(".")[0] for name in files if name.startswith("bundle--")})
    if not ids:
        raise Refused(UNREADABLE, "There is no bundle here.")
    verified = []
    for bundle_id in ids:
        recorded = tuple(_recorded(_file(files, f"{bundle_id}.proofs"), trust))  # 1, 2
        body, token = _file(files, f"{bundle_id}.json"), _file(files, f"{bundle_id}.jws")
        seen_at = _seen_at(recorded, trust)
        manifest = verify_bundle(body, _text(token).strip(), trust.keys, cosigned_at=seen_at)  # 3
        if manifest.id != bundle_id:
            raise Refused("archive.name", "A bundle does not have the name of its file.", bundle_id)
        if any(each.proven.checkpoint.origin != manifest.ledger for each in recorded):  # 4
            raise Refused("archive.ledger", "A proof is from another ledger.", bundle_id)
        _check_covered(_bundle(body)[1], recorded, bundle_id)  # 5
        verified.append(Verified(manifest, recorded))
    _check_one_story(each for bundle in verified for each in bundle.entries)  # 6
    return tuple(verified)


def _recorded(proofs: bytes, trust: Trust) -> Iterator[Recorded]:
    for opening_line, proof in _records(_text(proofs)):
        opening = entry.parse_opening(opening_line)
        fields, items = opening.check(), opening.renditions()
        proven = note.verify_proof(proof, opening.leaf, trust.verifiers)
        if proven.index != opening.index:
            raise Refused("archive.index", "A proof is that of another entry than its opening.")
        if trust.quorum and note.cosigned_at(proven.signatures, trust.quorum) is None:
            raise Refused("archive.quorum", "Too few witnesses have cosigned a checkpoint.")
        if opening.slot != "to" or fields.get("kind") not in DISCLOSING:
            items = ()  # a contributor's slot names its own original, not what a recipient has
        yield Recorded(opening.index, opening.leaf, items, proven)


def _records(text: str) -> Iterator[tuple[str, str]]:
    if not text.startswith("{"):
        raise Refused("archive.proofs", "A file of proofs does not begin with an opening.")
    for record in re.split(r"^(?=\{)", text, flags=re.MULTILINE)[1:]:
        opening, _, proof = record.partition("\n")
        yield opening, proof


def _seen_at(recorded: Iterable[Recorded], trust: Trust) -> int | None:
    """When the majority of witnesses had seen every entry of a bundle; None if they have not."""
    times = [note.cosigned_at(each.proven.signatures, trust.majority) for each in recorded]
    known = [time for time in times if time is not None]
    return max(known) if len(known) == len(times) else None


def _check_covered(
    objects: Iterable[dict[str, object]], recorded: Iterable[Recorded], bundle_id: str
) -> None:
    items = {item.rendition: item for each in recorded for item in each.items}
    for position, obj in enumerate(objects):
        item = items.get(_digest(obj).hex())
        path = f"{bundle_id}.objects[{position}]"
        if item is None:
            raise Refused("archive.unrecorded", "The ledger has no entry for an object.", path)
        if item.stix_id != obj.get("id") or item.version != obj.get("modified", item.version):
            raise Refused("archive.other", "The ledger names an object by another id.", path)


def _check_one_story(recorded: Iterable[Recorded]) -> None:
    """Two roots of one size, or two leaves at one index, are signed evidence of a fork."""
    told: dict[tuple[str, str, int], bytes] = {}
    for each in recorded:
        point = each.proven.checkpoint
        for what, number, value in (
            ("size", point.size, point.root),
            ("index", each.index, each.leaf),
        ):
            if told.setdefault((point.origin, what, number), value) != value:
                raise Refused("archive.fork", "The ledger tells two stories: keep this archive.")


def _file(files: Mapping[str, bytes], name: str) -> bytes:
    if name not in files:
        raise Refused("archive.missing", "A file of a bundle is missing.", name)
    return files[name]


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise Refused("archive.text", "A file that should be text is not.") from None


# Files


def load(path: Path) -> dict[str, bytes]:
    """Read the files of an archive, by name; other files and directories are passed over."""
    try:
        if path.is_dir():
            return _bounded((each.name, each) for each in sorted(path.iterdir()) if each.is_file())
        with zipfile.ZipFile(path) as packed:
            names = [each for each in packed.namelist() if not each.endswith("/")]
            inside = ((each.rpartition("/")[2], zipfile.Path(packed, each)) for each in names)
            return _bounded(inside)
    except (OSError, RuntimeError, NotImplementedError, EOFError, zipfile.BadZipFile, zlib.error):
        # RuntimeError: encrypted; NotImplementedError: a compression that is not known here
        raise Refused(UNREADABLE, "This is not a directory or ZIP file that can be read.") from None


def _bounded(inside: Iterable[tuple[str, Path | zipfile.Path]]) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    left = LARGEST
    for name, path in inside:
        if not _NAME.fullmatch(name):
            continue
        if name in files:
            raise Refused(UNREADABLE, "The archive has two files of the same name.", name)
        with path.open("rb") as file:
            files[name] = file.read(left + 1)
        left -= len(files[name])
        if left < 0:
            raise Refused(UNREADABLE, "The archive is too large.")
    return files


def main(arguments: list[str]) -> int:
    """Verify an archive, say in plain words what was found, and return the exit code."""
    parser = argparse.ArgumentParser("weir-verify", description="Check an archive of bundles.")
    parser.add_argument("archive", type=Path, metavar="DIR_OR_ZIP")
    parser.add_argument("--jwks", type=Path, help="your own copy of the exchange's jwks.json")
    parser.add_argument("--vkeys", type=Path, help="your own copy of the ledger's vkeys")
    parser.add_argument("--witnesses", type=int, default=0, help="how many must have cosigned")
    options = parser.parse_args(arguments)
    try:
        files = load(options.archive)
        own = {"jwks.json": options.jwks, "vkeys": options.vkeys}
        trust = _trust(files, own, options.witnesses)
        verified = verify_archive(files, trust)
    except Refused as refusal:
        place = f" [{refusal.path}]" if refusal.path else ""
        unreadable = refusal.code == UNREADABLE
        verdict = "NOT CHECKED" if unreadable else "DOES NOT VERIFY"
        sys.stdout.write(f"{verdict}: {refusal.sentence} ({refusal.code}){place}\n")
        return 2 if unreadable else 1
    lines = [*map(_line, verified), *_keys_used(trust, own), "Everything verifies."]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def _trust(files: Mapping[str, bytes], own: Mapping[str, Path | None], quorum: int) -> Trust:
    found = {}
    for name, path in own.items():
        try:
            found[name] = path.read_bytes() if path else files[name]
        except (OSError, KeyError):
            raise Refused(UNREADABLE, "A file of keys is missing.", name) from None
    verifiers = note.parse_vkeys(_text(found["vkeys"]))
    return Trust(KeySet.parse(found["jwks.json"]), verifiers, quorum)


def _line(bundle: Verified) -> str:
    manifest, entries = bundle.manifest, bundle.entries
    sealed = datetime.fromtimestamp(manifest.iat, UTC).isoformat(timespec="seconds")
    indexes = claims.spell_ranges(each.index for each in entries)
    witnesses = min(
        len({signed.verifier.name for signed in each.proven.signatures if signed.at is not None})
        for each in entries
    )
    return (
        f"{manifest.id}: {manifest.count} objects from {manifest.iss}, sealed {sealed}; "
        f"entries {indexes} of {manifest.ledger}, cosigned by {witnesses} or more witnesses"
    )


def _keys_used(trust: Trust, own: Mapping[str, Path | None]) -> Iterator[str]:
    if all(own.values()):
        return
    yield "Keys were taken from the archive itself: compare them with your own copies."
    yield from (f"  manifest key {key.kid}" for key in trust.keys.keys)
    yield from (f"  ledger key {verifier.vkey()}" for verifier in trust.verifiers)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
