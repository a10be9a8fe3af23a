"""Store a contribution: every object stored or refused, all at once, sealed and indexed."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from secrets import choice
from typing import Any
from uuid import UUID

import orjson

from exchange.proof import jcs
from exchange.proof.refused import Refused
from indicators.models import Contribution, ForumObject, Item, Observable, Original, Version
from indicators.stix import patterns
from indicators.stix.validate import Problem
from members.models import Member
from members.seals import Seal, for_member, index_digest

_LETTERS = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
_PREFIX = {"campaign": "XC", "infrastructure": "XI"}
_BATCH = 2_000


@dataclass(frozen=True, slots=True)
class Candidate:
    """One object of a body after the checks of form; a problem means that it is refused."""

    position: int
    obj: Mapping[str, Any]
    problem: Problem | None


@dataclass(frozen=True, slots=True)
class Stored:
    """What storing did with one object."""

    position: int
    obj: Mapping[str, Any]
    version_id: int | None
    object_id: UUID | None
    problem: Problem | None = None
    is_repeat: bool = False
    is_late: bool = False


def instant_ns(text: str) -> int:
    """A STIX timestamp (section 3.2 of STIX 2.1, any number of digits) in nanoseconds."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    moment = datetime.strptime(whole, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
    return int(moment.timestamp()) * 1_000_000_000 + int((fraction + "0" * 9)[:9])


def version_text(obj: Mapping[str, Any]) -> str:
    """`modified`, else `created`, else one steady value (TAXII 2.1, 3.4.1)."""
    return str(obj.get("modified") or obj.get("created") or "1970-01-01T00:00:00.000Z")


def version_ns(obj: Mapping[str, Any]) -> int:
    """The instant of a version; observables have one for ever."""
    return instant_ns(version_text(obj))


def name_digest(member_id: UUID, stix_id: str) -> bytes:
    """An original id is a name inside one member's contributions: its keyed hash."""
    return index_digest("original-id", member_id, stix_id.encode())


def originals(member_id: UUID, version_ids: Sequence[int]) -> dict[int, dict[str, Any]]:
    """The contributed objects of one member, by version."""
    seal = for_member(member_id)
    rows = Original.objects.filter(member_id=member_id, version_id__in=version_ids)
    return {
        row.version_id: orjson.loads(
            seal.open(bytes(row.sealed), aad=_original_aad(row.version_id))
        )
        for row in rows.iterator(chunk_size=_BATCH)
    }


def original_ids(objects: Sequence[ForumObject]) -> dict[UUID, str]:
    """The contributor's own names of its objects."""
    return {
        row.id: for_member(row.member_id).open(bytes(row.sealed_id), aad=_name_aad(row.id)).decode()
        for row in objects
    }


def newest_versions(object_ids: Sequence[UUID]) -> dict[UUID, int]:
    """The newest stored version of each object."""
    rows = Version.objects.filter(object_id__in=list(object_ids)).order_by("modified_ns")
    return dict(rows.values_list("object_id", "id"))


def item_text(item: Item) -> dict[str, str]:
    """What a status says of one object: `id`, `version`, `message`."""
    aad = _item_aad(item.contribution_id, item.position)
    opened: dict[str, str] = orjson.loads(
        for_member(item.member_id).open(bytes(item.sealed), aad=aad)
    )
    return opened


class _Names:
    """The objects that the names in one contribution lead to, and those made for new names."""

    def __init__(self, member: Member, candidates: Sequence[Candidate], *, now: datetime) -> None:
        self.member = member
        self.seal = for_member(member.id)
        self.now = now
        self.made: list[ForumObject] = []
        digests = {name_digest(member.id, str(c.obj["id"])) for c in candidates if not c.problem}
        found = ForumObject.objects.filter(member=member, id_digest__in=list(digests)).exclude(
            state=ForumObject.State.WITHDRAWN
        )
        self.by_digest = {bytes(row.id_digest): row for row in found}

    def object_of(self, obj: Mapping[str, Any]) -> ForumObject:
        digest = name_digest(self.member.id, str(obj["id"]))
        row = self.by_digest.get(digest)
        if row is None:
            row = ForumObject(member=self.member, id_digest=digest, stix_type=obj["type"])
            row.sealed_id = self.seal.seal(str(obj["id"]).encode(), aad=_name_aad(row.id))
            row.name = _minted_name(str(obj["type"]), self.now)
            self.by_digest[digest] = row
            self.made.append(row)
        return row


def accept(
    contribution: Contribution,
    candidates: Sequence[Candidate],
    *,
    is_known: Callable[[str], bool],
    now: datetime,
) -> tuple[Stored, ...]:
    """Store what is valid by form; the caller holds the transaction.

    Same id and `modified` with the same content is a repeat, with other content it is refused.
    """
    names = _Names(contribution.member, candidates, now=now)
    known = _known_versions(names.by_digest.values())
    newest = _newest(known)
    results: list[Stored] = []
    rows: list[tuple[Version, bytes, Mapping[str, Any]]] = []
    for candidate in sorted(candidates, key=_by_version):
        if candidate.problem is not None:
            results.append(_refused(candidate, candidate.problem))
            continue
        row = names.object_of(candidate.obj)
        if row.state == ForumObject.State.RECALLED:
            results.append(_refused(candidate, _RECALLED))
            continue
        body = jcs.encode(candidate.obj)
        digest = index_digest("content", contribution.member_id, sha256(body).digest())
        ns = version_ns(candidate.obj)
        twin = known.get((row.id, ns))
        if twin is not None:
            is_late = ns < newest.get(row.id, 0)
            results.append(_repeat(candidate, row, twin, digest=digest, is_late=is_late))
            continue
        version = Version(
            object=row,
            member=contribution.member,
            contribution=contribution,
            position=candidate.position,
            modified_ns=ns,
            content_digest=digest,
            is_late=ns < newest.get(row.id, 0),
        )
        known[(row.id, ns)] = version
        newest[row.id] = max(ns, newest.get(row.id, 0))
        rows.append((version, body, candidate.obj))
        results.append(
            Stored(candidate.position, candidate.obj, None, row.id, is_late=version.is_late)
        )
    for made in names.made:
        if not is_known(made.stix_type):
            made.stix_type = "other"
    ForumObject.objects.bulk_create(names.made, batch_size=_BATCH)
    _write(rows, names.seal)
    ids = {key: version.id for key, version in known.items()}
    return tuple(sorted((_numbered(result, ids) for result in results), key=lambda r: r.position))


def record_items(
    contribution: Contribution, stored: Sequence[Stored], messages: Mapping[int, str]
) -> None:
    """Account for every object in the contribution's status; its texts are sealed."""
    seal = for_member(contribution.member_id)
    Item.objects.bulk_create(
        (
            Item(
                contribution=contribution,
                member_id=contribution.member_id,
                position=result.position,
                success=result.problem is None,
                version_id=result.version_id,
                sealed=seal.seal(
                    _status_text(result, messages.get(result.position, "")),
                    aad=_item_aad(contribution.id, result.position),
                ),
            )
            for result in stored
        ),
        batch_size=_BATCH,
    )


def _status_text(result: Stored, message: str) -> bytes:
    stix_id = result.obj.get("id")
    return orjson.dumps(
        {
            "id": stix_id if isinstance(stix_id, str) else f"object-{result.position}",
            "version": _shown_version(result.obj),
            "message": message,
        }
    )


def _shown_version(obj: Mapping[str, Any]) -> str:
    for key in ("modified", "created"):
        if isinstance(obj.get(key), str):
            try:
                instant_ns(obj[key])
            except ValueError:
                continue
            return str(obj[key])
    return "1970-01-01T00:00:00.000Z"


def _numbered(result: Stored, ids: Mapping[tuple[UUID, int], int]) -> Stored:
    if result.problem is not None or result.object_id is None:
        return result
    return Stored(
        result.position,
        result.obj,
        ids[(result.object_id, version_ns(result.obj))],
        result.object_id,
        is_repeat=result.is_repeat,
        is_late=result.is_late,
    )


def _by_version(candidate: Candidate) -> tuple[int, int]:
    """Older versions of an object first, so that a body that holds several makes none late."""
    ns = 0 if candidate.problem else version_ns(candidate.obj)
    return ns, candidate.position


def _known_versions(objects: Iterable[ForumObject]) -> dict[tuple[UUID, int], Version]:
    rows = Version.objects.filter(object__in=[row.id for row in objects])
    return {(row.object_id, row.modified_ns): row for row in rows}


def _newest(known: Mapping[tuple[UUID, int], Version]) -> dict[UUID, int]:
    newest: dict[UUID, int] = {}
    for object_id, ns in known:
        newest[object_id] = max(ns, newest.get(object_id, 0))
    return newest


_RECALLED = Problem(
    "object.recalled",
    "id",
    "This object was recalled. Lift the recall before you contribute it again.",
)
_OTHER_CONTENT = Problem(
    "version.other-content",
    "modified",
    "You contributed this id and version before with other content. "
    "Give the new state a later `modified`.",
)


def _refused(candidate: Candidate, problem: Problem) -> Stored:
    return Stored(candidate.position, candidate.obj, None, None, problem=problem)


def _repeat(
    candidate: Candidate, row: ForumObject, twin: Version, *, digest: bytes, is_late: bool
) -> Stored:
    if bytes(twin.content_digest) != digest:
        return _refused(candidate, _OTHER_CONTENT)
    return Stored(
        candidate.position, candidate.obj, twin.pk, row.id, is_repeat=True, is_late=is_late
    )


def _write(rows: Sequence[tuple[Version, bytes, Mapping[str, Any]]], seal: Seal) -> None:
    Version.objects.bulk_create((row for row, _, _ in rows), batch_size=_BATCH)
    Original.objects.bulk_create(
        (
            Original(
                version=row,
                member_id=row.member_id,
                sealed=seal.seal(body, aad=_original_aad(row.id)),
            )
            for row, body, _ in rows
        ),
        batch_size=_BATCH,
    )
    Observable.objects.bulk_create(
        (
            Observable(version=row, member_id=row.member_id, kind=kind, digest=digest)
            for row, _, obj in rows
            for kind, digest in sorted(set(_observables(obj)))
        ),
        batch_size=_BATCH,
    )


def _observables(obj: Mapping[str, Any]) -> Iterator[tuple[str, bytes]]:
    """The values in an observable or a pattern, as keyed hashes by their type."""
    if obj.get("pattern_type") == "stix":
        try:
            tree = patterns.parse(str(obj["pattern"]))
        except Refused:
            return
        for comparison in tree.comparisons():
            for value in comparison.values:
                yield _indexed(comparison.object_type, value)
        return
    if isinstance(obj.get("value"), str | int):
        yield _indexed(str(obj["type"]), obj["value"])
    if obj["type"] == "autonomous-system":
        yield _indexed("autonomous-system", obj["number"])
    hashes = obj.get("hashes")
    for value in hashes.values() if isinstance(hashes, dict) else ():
        yield _indexed("file", value)


def _indexed(kind: str, value: object) -> tuple[str, bytes]:
    known = kind if kind in _INDEXED else "other"
    return known, index_digest("observable", None, f"{kind}\n{value}".lower().encode())


_INDEXED = frozenset(
    "ipv4-addr ipv6-addr domain-name url file autonomous-system email-addr user-account "
    "network-traffic account-cluster keyed-token api-client-fingerprint "
    "prompt-template-fingerprint rate-shape model-provenance-evidence".split()
)


def _minted_name(stix_type: str, now: datetime) -> str:
    prefix = _PREFIX.get(stix_type)
    if prefix is None:
        return ""
    return f"{prefix}-{now.year}-" + "".join(choice(_LETTERS) for _ in range(5))


def _original_aad(version_id: int) -> bytes:
    return b"original:%d" % version_id


def _name_aad(object_id: UUID) -> bytes:
    return b"name:" + object_id.bytes


def _item_aad(contribution_id: UUID, position: int) -> bytes:
    return b"item:" + contribution_id.bytes + b":%d" % position
