"""Released findings as a member has them: a bundle, an archive, or what TAXII holds.

What can be matched at home are keyed tokens and templates of the quarter. Objects that refer to
one another are one finding, named after its campaign where it has one.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from exchange.proof import archive, jcs
from exchange.proof.refused import Refused
from exchange.proof.remote import Remote

LARGEST = 256 * 1024 * 1024
_ZIP = b"PK\x03\x04"
_LITERAL = re.compile(r"'([0-9a-f]{64}|[0-9a-f]{16})'")
_BAND = re.compile(r"[0-9a-f]{16}")
# What many findings have in common, and so says nothing of what belongs together.
_COMMON = ("attack-pattern", "marking-definition", "extension-definition", "identity", "sighting")
_NAMED = ("campaign", "account-cluster", "indicator")
_KINDS = {"payment-instrument": "payment", "device": "device"}

Obj = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Found:
    """One finding: what it is called, what a sighting refers to, and what can be matched."""

    stix_id: str
    name: str
    tokens: Mapping[str, frozenset[str]]  # by kind
    templates: tuple[tuple[str, ...], ...]


def of_file(path: Path) -> list[Obj]:
    """The objects of a bundle, or of the bundles of an archive."""
    try:
        if path.stat().st_size > LARGEST:
            raise Refused("findings.large", "The file of findings is too large.", "--findings")
        data = path.read_bytes()
    except OSError:
        sentence = "The file of findings cannot be read."
        raise Refused("findings.missing", sentence, "--findings") from None
    if not data.startswith(_ZIP):
        return _objects(data)
    files = archive.unpack(path)
    return [
        obj
        for name in archive.bundle_ids(files)
        for obj in _objects(files.get(f"{name}.json", b""))
    ]


def pulled(remote: Remote, collection: str) -> list[Obj]:
    """What a TAXII collection holds now."""
    return list(remote.objects(collection))


def group(objects: Iterable[Obj], *, epoch: str) -> list[Found]:
    """The findings in an order of their own; recalled objects and other quarters are left out."""
    newest = _newest(objects)
    near = _linked(newest)
    found = []
    for ids in _components(newest, near):
        inside = [newest[one] for one in sorted(ids)]
        tokens: dict[str, set[str]] = defaultdict(set)
        for obj in inside:
            kind = _KINDS.get(str(obj.get("kind")))
            if obj["type"] == "keyed-token" and kind and obj.get("key_epoch") == epoch:
                tokens[kind].add(str(obj.get("value")))
        templates = {bands for obj in inside if (bands := _bands(obj, epoch))}
        if not tokens and not templates:
            continue
        head = min(inside, key=lambda obj: (_rank(obj), str(obj["id"])))
        name = str(head.get("name") or head["id"])
        kept = {kind: frozenset(values) for kind, values in tokens.items()}
        found.append(Found(str(head["id"]), _printable(name), kept, tuple(sorted(templates))))
    return sorted(found, key=lambda one: one.stix_id)


def _objects(data: bytes) -> list[Obj]:
    try:
        bundle = jcs.decode(data)
    except Refused:
        bundle = None
    objects = bundle.get("objects") if isinstance(bundle, dict) else None
    if not isinstance(objects, list):
        raise Refused("findings.form", "The findings are no STIX bundle.", "--findings")
    return [obj for obj in objects if isinstance(obj, dict)]


def _newest(objects: Iterable[Obj]) -> dict[str, Obj]:
    """The newest version of each object that still stands."""
    newest: dict[str, Obj] = {}
    for obj in objects:
        stix_id = obj.get("id")
        if not isinstance(stix_id, str) or not isinstance(obj.get("type"), str):
            continue
        before = newest.get(stix_id)
        if before is None or str(obj.get("modified", "")) >= str(before.get("modified", "")):
            newest[stix_id] = obj
    return {
        stix_id: obj
        for stix_id, obj in newest.items()
        if obj.get("revoked") is not True and obj["type"] not in _COMMON
    }


def _linked(newest: Mapping[str, Obj]) -> Mapping[str, set[str]]:
    """Which objects refer to which, both ways; a pattern refers to what is in it."""
    by_value: dict[str, set[str]] = defaultdict(set)
    for stix_id, obj in newest.items():
        for value in (obj.get("value"), *_listed(obj.get("bands"))):
            by_value[str(value)].add(stix_id)
    near: dict[str, set[str]] = defaultdict(set)
    for stix_id, obj in newest.items():
        named = {ref for ref in _references(obj) if ref in newest}
        pattern = obj.get("pattern")
        if isinstance(pattern, str):
            for value in _LITERAL.findall(pattern):
                named |= by_value.get(value, set())
        for other in named:
            near[stix_id].add(other)
            near[other].add(stix_id)
    return near


def _references(obj: Obj) -> Iterator[str]:
    for name, value in obj.items():
        if name.endswith("_ref") and isinstance(value, str):
            yield value
        elif name.endswith("_refs") and isinstance(value, list):
            yield from (one for one in value if isinstance(one, str))


def _components(newest: Mapping[str, Obj], near: Mapping[str, set[str]]) -> Iterator[set[str]]:
    left = set(newest)
    for start in sorted(newest):
        if start not in left:
            continue
        inside, ahead = {start}, [start]
        while ahead:
            for other in near.get(ahead.pop(), ()):
                if other not in inside:
                    inside.add(other)
                    ahead.append(other)
        left -= inside
        yield inside


def _bands(obj: Obj, epoch: str) -> tuple[str, ...]:
    bands = _listed(obj.get("bands"))
    if obj["type"] != "prompt-template-fingerprint" or obj.get("key_epoch") != epoch:
        return ()
    return tuple(map(str, bands)) if all(_BAND.fullmatch(str(one)) for one in bands) else ()


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _rank(obj: Obj) -> int:
    kind = str(obj["type"])
    return _NAMED.index(kind) if kind in _NAMED else len(_NAMED)


def _printable(text: str) -> str:
    return "".join(char for char in text[:100] if char.isprintable())
