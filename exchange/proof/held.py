"""Compare what a member holds, in folders or by TAXII, with the entries that record it."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from exchange.proof import archive, claims, jcs
from exchange.proof.archive import JWKS
from exchange.proof.bundle import objects_of, rendition_digest, verify_delivery
from exchange.proof.claims import Receiver
from exchange.proof.entry import Item
from exchange.proof.jws import KeySet
from exchange.proof.log import Contradiction
from exchange.proof.records import Recorded
from exchange.proof.refused import Refused


class Held:
    """What the openings record, by digest and by name."""

    def __init__(self, rows: Iterable[Recorded]) -> None:
        self.rows = list(rows)
        self.by_digest: dict[str, tuple[Recorded, Item]] = {}
        self.by_name: dict[tuple[str, str | None], tuple[Recorded, Item]] = {}
        self.count = 0
        for each in self.rows:
            for item in each.items:
                self.by_digest[item.rendition] = (each, item)
                self.by_name[item.stix_id, item.version] = (each, item)

    def fault(self, obj: dict[str, object], signed: str) -> Refused | None:
        """What is wrong with an object: its entry records another one, or there is none."""
        self.count += 1
        found = self.by_digest.get(rendition_digest(obj).hex())
        stix_id, version = str(obj.get("id")), obj.get("modified")
        if found is not None and found[1].stix_id == stix_id:
            return None
        name = (stix_id, version if isinstance(version, str) else None)
        if name in self.by_name:
            each = self.by_name[name][0]
            return Contradiction(
                "object.changed",
                "An object is not the one that its entry records.",
                signed,
                path=f"entry {each.index}, {stix_id}",
            )
        return Contradiction(
            "object.unrecorded", "No entry records an object.", signed, path=stix_id
        )

    def missing(self, seen: set[str], erased: set[int]) -> Iterator[tuple[Recorded, Item]]:
        """What was released, not taken back, and is not served."""
        gone = {
            item.stix_id
            for each in self.rows
            for item in each.items
            if each.fields.get("kind") == "recall"
        }
        for each in self.rows:
            if each.fields.get("kind") != "release" or each.index in erased:
                continue
            for item in each.items:
                if item.rendition not in seen and item.stix_id not in gone:
                    yield each, item


def objects_in(folder: Path) -> Iterator[tuple[str, dict[str, object]]]:
    """The objects of bundles, archives and pages in a folder."""
    for path in sorted(folder.iterdir()):
        if path.suffix == ".zip":
            files = archive.load(path)
            for name in archive.bundle_ids(files):
                for obj in objects_of(files[f"{name}.json"])[1]:
                    yield path.name, obj
        elif path.suffix == ".json" and path.name != JWKS:
            value = jcs.decode(path.read_bytes())
            objects = value.get("objects") if isinstance(value, dict) else None
            for obj in objects if isinstance(objects, list) else ():
                if isinstance(obj, dict):
                    yield path.name, obj


def push_of(path: Path, keys: KeySet, url: str) -> claims.Delivery:
    """A push as it was kept, at the time of which it says it is: when it came is not known here."""
    try:
        headers = {str(k): str(v) for k, v in json.loads(path.read_bytes()).items()}
        body = path.with_suffix(".body").read_bytes()
    except (OSError, ValueError, AttributeError):
        raise Refused("push.unreadable", "A push is not kept as it should be.") from None
    token = {name.lower(): value for name, value in headers.items()}.get("weir-delivery-token", "")
    endpoint, issued = claims.stated_delivery(token)
    return verify_delivery(body, headers, keys, Receiver(url, endpoint), now=issued).delivery
