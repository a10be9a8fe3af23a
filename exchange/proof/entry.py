"""Commit to an entry's slots, and open one slot without showing the others (section 6.1).

A slot is a JSON object with 32 bytes of salt. Whoever is shown one gets its exact JCS text, its
salt and the digests of the two others: an opening.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from exchange.proof import jcs
from exchange.proof.refused import Refused

SLOTS = ("to", "from", "audit")
SALT = 32

_HEX = re.compile(r"[0-9a-f]{64}")


def slot_digest(name: str, salt: bytes, value: bytes) -> bytes:
    """The commitment to one slot, whose value is given as its exact JCS bytes."""
    if name not in SLOTS or len(salt) != SALT:
        raise Refused("entry.slot", "A slot is named to, from or audit and has 32 bytes of salt.")
    return sha256(b"weir-slot/v1\n" + name.encode() + b"\n" + salt + value).digest()


def leaf(d_to: bytes, d_from: bytes, d_audit: bytes) -> bytes:
    """The 32 bytes that stand in the log for an entry."""
    return sha256(b"weir-entry/v1\n" + d_to + d_from + d_audit).digest()


@dataclass(frozen=True, slots=True)
class Item:
    """One object of a release: its id, its version (`modified`) and its rendition's digest."""

    stix_id: str
    version: str | None
    rendition: str


@dataclass(frozen=True, slots=True)
class Opening:
    """One slot of one entry, as shown to whom it concerns; nothing checked yet."""

    index: int
    leaf: bytes
    slot: str
    salt: bytes
    value: str
    digests: Mapping[str, bytes]
    items: str | None = None

    def text(self) -> str:
        """The opening as JSON in one line."""
        members: dict[str, object] = {
            "index": self.index,
            "leaf": self.leaf.hex(),
            "slot": self.slot,
            "salt": self.salt.hex(),
            "value": self.value,
            "digests": {name: digest.hex() for name, digest in self.digests.items()},
        }
        if self.items is not None:
            members["items"] = self.items
        return jcs.encode(members).decode()

    def rebuilt(self) -> bytes:
        """The leaf as it follows from the slot and the two other digests."""
        own = slot_digest(self.slot, self.salt, self.value.encode())
        to, from_, audit = (own if name == self.slot else self.digests[name] for name in SLOTS)
        return leaf(to, from_, audit)

    def check(self) -> dict[str, object]:
        """Refuse unless the opening agrees with itself; returns the fields of its slot."""
        # 1. the leaf follows from the slot     2. the slot is an object in JCS form
        # 3. it names the same index     4. the list of objects is the one that it commits to
        # 5. (the caller) the leaf is in the log at that index
        if self.rebuilt() != self.leaf:  # 1
            raise Refused("entry.leaf", "The opening does not lead to the leaf of its entry.")
        fields = jcs.decode(self.value.encode())
        if not isinstance(fields, dict) or jcs.encode(fields) != self.value.encode():  # 2
            raise Refused("entry.value", "The slot is not an object in canonical form.")
        if fields and fields.get("index") != self.index:  # 3
            raise Refused("entry.index", "The slot speaks of another entry.")
        self._check_items(fields)  # 4
        return fields

    def renditions(self) -> tuple[Item, ...]:
        """The objects that a checked opening is about; none where its kind has none."""
        fields = self.check()
        if self.items is not None:
            rows = jcs.decode(self.items.encode())
            return tuple(map(_item, rows)) if isinstance(rows, list) else ()
        if "rendition" not in fields:
            return ()
        return (_item([fields.get("id"), fields.get("version"), fields["rendition"]]),)

    def _check_items(self, fields: Mapping[str, object]) -> None:
        if self.items is None and "items" not in fields:
            return
        listed = (self.items or "").encode()
        rows = jcs.decode(listed) if listed else None
        count = len(rows) if isinstance(rows, list) else 0
        stated = {"count": count, "sha256": sha256(listed).hexdigest()}
        if not isinstance(rows, list) or fields.get("items") != stated:
            raise Refused("entry.items", "The list of objects is not the one that is recorded.")


def parse_opening(text: str) -> Opening:
    """Read an opening; members that are not known are refused."""
    value = jcs.decode(text.encode(errors="replace"))
    members = value if isinstance(value, dict) else {}
    digests, slot = members.get("digests"), members.get("slot")
    known = {"index", "leaf", "slot", "salt", "value", "digests"}
    if members.keys() - {"items"} != known or slot not in SLOTS or not isinstance(digests, dict):
        raise Refused("entry.opening", "This is not an opening.")
    index, spelled, items = members["index"], members["value"], members.get("items")
    texts = isinstance(spelled, str) and isinstance(items, str | None)
    if type(index) is not int or not texts or digests.keys() != set(SLOTS) - {slot}:
        raise Refused("entry.opening", "This is not an opening.")
    return Opening(
        index=index,
        leaf=_bytes(members["leaf"]),
        slot=str(slot),
        salt=_bytes(members["salt"]),
        value=str(spelled),
        digests={name: _bytes(digest) for name, digest in digests.items()},
        items=items,
    )


def _bytes(value: object) -> bytes:
    if not isinstance(value, str) or not _HEX.fullmatch(value):
        raise Refused("entry.opening", "A digest or salt of the opening is malformed.")
    return bytes.fromhex(value)


def _item(row: object) -> Item:
    if not isinstance(row, list) or len(row) != 3:
        raise Refused("entry.items", "An object of the release is not named as it should be.")
    stix_id, version, rendition = row
    texts = isinstance(stix_id, str) and isinstance(version, str | None)
    if not texts or not isinstance(rendition, str) or not _HEX.fullmatch(rendition):
        raise Refused("entry.items", "An object of the release is not named as it should be.")
    return Item(stix_id, version, rendition)
