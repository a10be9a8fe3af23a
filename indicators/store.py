"""Store a contribution: every object stored or refused, all at once, sealed and indexed."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from operator import itemgetter
from secrets import choice
from typing import Any, Literal, TypeVar
from uuid import UUID, uuid4

import orjson
import psycopg
from django.db import connection, transaction
from django.db.models import TextField, Value
from django.db.models.sql.compiler import SQLCompiler

from exchange.proof import jcs
from exchange.proof.refused import Refused
from indicators.models import Contribution, ForumObject, Item, Version
from indicators.stix import patterns
from indicators.stix.validate import Problem
from members.models import Member
from members.scope import fetch
from members.seals import Seal, for_member, index_digest

_Row = TypeVar("_Row")
_LETTERS = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
_PREFIX = {"campaign": "XC", "infrastructure": "XI"}
_BATCH = 2_000
_PLAIN_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", re.ASCII)
# A number with a point or an exponent, or a text that looks like one.
_FRACTION = re.compile(rb'(?:":|,|\[)-?[0-9]+[.eE]')
_KNOWN_NAMES = """
    SELECT id_digest, id, state FROM indicators_forumobject
    WHERE member_id = %s AND state <> 'withdrawn'
        AND id_digest = ANY (SELECT decode(one, 'hex') FROM unnest(%s::text[]) one)
    ORDER BY id
    FOR NO KEY UPDATE
"""
_KNOWN_VERSIONS = """
    SELECT object_id, modified_ns, id, content_digest FROM indicators_version
    WHERE object_id = ANY (%s)
"""
_KEPT = """
    SELECT version_id, sealed FROM indicators_original
    WHERE member_id = %s AND version_id = ANY (%s)
"""
_NUMBERS = """
    SELECT nextval(of.name)
    FROM (SELECT pg_get_serial_sequence(%s, 'id') AS name OFFSET 0) of, generate_series(1, %s)
"""
# Row-level security allows no COPY into its tables: columns are sent as lists.
_OBJECTS = """
    INSERT INTO indicators_forumobject
        (member_id, id, id_digest, sealed_id, stix_type, name, state)
    SELECT %s, id, digest, sealed, type, name, 'live'
    FROM unnest(%s::uuid[], %b::bytea[], %b::bytea[], %s::text[], %s::text[])
        AS new (id, digest, sealed, type, name)
    ON CONFLICT (member_id, id_digest) WHERE state <> 'withdrawn' DO NOTHING
"""
_VERSIONS = """
    INSERT INTO indicators_version
        (member_id, contribution_id, id, object_id, position, modified_ns, content_digest, is_late)
    SELECT %s, %s, id, object, position, ns, digest, late
    FROM unnest(%s::bigint[], %s::uuid[], %s::int[], %s::bigint[], %b::bytea[], %s::bool[])
        AS new (id, object, position, ns, digest, late)
"""
_ORIGINALS = """
    INSERT INTO indicators_original (member_id, version_id, sealed)
    SELECT %s, id, sealed
    FROM unnest(%s::bigint[], %b::bytea[]) AS new (id, sealed)
"""
_OBSERVABLES = """
    INSERT INTO indicators_observable (member_id, version_id, kind, digest)
    SELECT %s, id, kind, digest
    FROM unnest(%s::bigint[], %s::text[], %b::bytea[]) AS new (id, kind, digest)
"""
_ITEMS = """
    INSERT INTO indicators_item (contribution_id, member_id, position, success, version_id, sealed)
    SELECT %s, %s, position, success, version, sealed
    FROM unnest(%s::int[], %s::bool[], %s::bigint[], %b::bytea[])
        AS new (position, success, version, sealed)
"""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One object of a body after the checks of form; a problem means that it is refused."""

    position: int
    obj: Mapping[str, Any]
    problem: Problem | None
    # Its pattern, where whoever judged it has read it already.
    pattern: patterns.Pattern | None = None
    # Its canonical bytes, where they are known already.
    written: bytes = b""


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
    # Its name was not known before this contribution.
    is_new_object: bool = False
    # Of the object's canonical bytes; empty where it was refused.
    sha256: str = ""


def canonical(obj: Mapping[str, Any] | Sequence[Any]) -> bytes:
    """The canonical bytes (RFC 8785) of a parsed object, or of a list of texts.

    The fast writer differs only in how it lays out some numbers and sorts names beyond ASCII:
    where its text may hold such, the exact one writes. Whole numbers were bounded by the parser.
    """
    text = orjson.dumps(obj, option=orjson.OPT_SORT_KEYS)
    if text.isascii() and _FRACTION.search(text) is None:
        return text
    return jcs.encode(obj)


def instant_ns(text: str) -> int:
    """A STIX timestamp (section 3.2 of STIX 2.1, any number of digits) in nanoseconds."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    if _PLAIN_TIME.fullmatch(whole):
        moment = datetime.fromisoformat(f"{whole}+00:00")
    else:  # the older reader says what is no time
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
    return {
        version_id: orjson.loads(seal.open(sealed, aad=_original_aad(version_id)))
        for part in batched(version_ids, _BATCH)
        for version_id, sealed in fetch(_KEPT, [member_id, list(part)])
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


@dataclass(frozen=True, slots=True)
class _Named:
    """An object that a name in the contribution leads to."""

    id: UUID
    state: str
    is_new: bool


def insert(statement: str, same: Sequence[Any], *columns: Sequence[Any]) -> int:
    """Insert rows in one statement: what is the same in all of them, then a list for each column.

    How many it wrote.

    Bytes go as they are (`%b`): Django's own cursor would write them out as text, which costs the
    database more than to store them.
    """
    connection.ensure_connection()
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
        cursor.execute(statement, [*same, *map(_list, columns)])
        return cursor.rowcount


Kind = Literal["bigint", "uuid", "text"]


class _Among(Value):
    """One of many values, as what stands at the right of an equals sign."""

    def __init__(self, kind: Kind, listed: str) -> None:
        super().__init__(listed, output_field=TextField())
        self.kind = kind

    def as_sql(self, compiler: SQLCompiler, connection: Any) -> tuple[str, tuple[str, ...]]:  # noqa: ANN401 - Django's
        """Never a subquery: where statistics lag behind, it would be read for each row."""
        return f"ANY (%s::{self.kind}[])", (str(self.value),)


def among(kind: Kind, values: Collection[UUID | int | str]) -> Value:
    """For a filter by equality: many values as one list, which takes no place for each of them."""
    return _Among(kind, str(_list(list(values))))


def array(words: Iterable[str]) -> str:
    """Some texts as the text of one array, for a column of arrays."""
    return f"{{{','.join([_cell(word) for word in words])}}}"


def numbers(table: str, count: int) -> list[int]:
    """So many ids for new rows of a table, in their order."""
    with connection.cursor() as cursor:
        cursor.execute(_NUMBERS, [table, count])
        return [number for (number,) in cursor.fetchall()]


def _list(column: Sequence[Any]) -> str | list[bytes]:
    """A column as the text of an array: the driver would look at each value several times."""
    if column and isinstance(column[0], bytes):
        return list(column)
    return f"{{{','.join([_cell(value) for value in column])}}}"


def _cell(value: UUID | datetime | str | int | None) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return f'"{value.isoformat()}"' if isinstance(value, datetime) else str(value)


def batched(rows: Sequence[_Row], size: int) -> Iterator[Sequence[_Row]]:
    """The rows in parts of a bounded size; nothing of none."""
    return (rows[start : start + size] for start in range(0, len(rows), size))


class _Names:
    """The objects that the names in one contribution lead to, and those made for new names.

    They are this transaction's until its end: who takes in one of these names meanwhile waits, and
    then finds all that was stored here.

    1. known objects are locked, in the one order in which all acts wait for one another
    2. new names are written, in an order of their own: no two contributions wait in a ring
    3. somebody was first with one of those: all is let go, and looked up again
    """

    def __init__(self, member: Member, kinds: Mapping[str, str], *, now: datetime) -> None:
        """`kinds` are the types under which new objects are known, by name."""
        self.member = member
        self.seal = for_member(member.id)
        self.now = now
        self.kinds = kinds
        self.digests = {stix_id: name_digest(member.id, stix_id) for stix_id in kinds}
        self.by_digest: dict[bytes, _Named] = {}
        while not self._are_ours():
            pass

    def object_of(self, stix_id: str) -> _Named:
        return self.by_digest[self.digests[stix_id]]

    def _are_ours(self) -> bool:
        """False where somebody else was first with a new name; that one is known from then on."""
        with transaction.atomic():
            self.by_digest = self._known()  # 1
            new = [one for one in self.digests.items() if one[1] not in self.by_digest]
            made = [self._made(*one) for one in sorted(new, key=itemgetter(1))]
            for part in batched(made, _BATCH):  # 2
                if insert(_OBJECTS, (self.member.id,), *zip(*part, strict=True)) < len(part):
                    transaction.set_rollback(True)  # 3
                    return False
        return True

    def _known(self) -> dict[bytes, _Named]:
        with connection.cursor() as cursor:
            hexes = [digest.hex() for digest in self.digests.values()]
            cursor.execute(_KNOWN_NAMES, [self.member.id, hexes])
            return {
                bytes(digest): _Named(key, state, is_new=False)
                for digest, key, state in cursor.fetchall()
            }

    def _made(self, stix_id: str, digest: bytes) -> tuple[UUID, bytes, bytes, str, str]:
        """The row of a new object."""
        named = self.by_digest[digest] = _Named(uuid4(), ForumObject.State.LIVE, is_new=True)
        sealed = self.seal.seal(stix_id.encode(), aad=_name_aad(named.id))
        name = _minted_name(stix_id.partition("--")[0], self.now)
        return named.id, digest, sealed, self.kinds[stix_id], name


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
    types = {str(one.obj["id"]): str(one.obj["type"]) for one in candidates if one.problem is None}
    kinds = {stix_id: kind if is_known(kind) else "other" for stix_id, kind in types.items()}
    names = _Names(contribution.member, kinds, now=now)
    known = _known_versions([row.id for row in names.by_digest.values() if not row.is_new])
    newest = _newest(known)
    results: list[Stored] = []
    fresh: list[_Fresh] = []
    ids = _Ids(len(candidates))
    for ns, candidate in sorted(map(_at, candidates), key=_by_version):
        if candidate.problem is not None:
            results.append(_refused(candidate, candidate.problem))
            continue
        obj = candidate.obj
        row = names.object_of(str(obj["id"]))
        if row.state == ForumObject.State.RECALLED:
            results.append(_refused(candidate, _RECALLED))
            continue
        body = candidate.written or canonical(obj)
        plain = sha256(body)
        digest = index_digest("content", contribution.member_id, plain.digest())
        twin = known.get((row.id, ns))
        is_late = ns < newest.get(row.id, 0)
        if twin is not None:
            version_id, content = twin
            is_repeat = content == digest
        else:
            version_id, is_repeat = ids.next(), False
            known[(row.id, ns)] = version_id, digest
            newest[row.id] = max(ns, newest.get(row.id, 0))
            fresh.append(_Fresh(version_id, row.id, candidate, ns, digest, body, is_late=is_late))
        if twin is not None and not is_repeat:
            results.append(_refused(candidate, _OTHER_CONTENT))
            continue
        results.append(
            Stored(
                candidate.position,
                obj,
                version_id,
                row.id,
                is_repeat=is_repeat,
                is_late=is_late,
                is_new_object=row.is_new,
                sha256=plain.hexdigest(),
            )
        )
    _write(contribution, names.seal, fresh)
    return tuple(sorted(results, key=lambda result: result.position))


@dataclass(frozen=True, slots=True)
class _Fresh:
    """A version that is stored now."""

    id: int
    object_id: UUID
    candidate: Candidate
    ns: int
    digest: bytes
    body: bytes
    is_late: bool


class _Ids:
    """Numbers for versions, fetched all at once when the first is needed."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.left: list[int] = []

    def next(self) -> int:
        if not self.left:
            self.left = numbers("indicators_version", self.most)[::-1]
        return self.left.pop()


def record_items(
    contribution: Contribution, stored: Sequence[Stored], messages: Mapping[int, str]
) -> None:
    """Account for every object in the contribution's status; its texts are sealed."""
    seal = for_member(contribution.member_id)
    for part in batched(stored, _BATCH):
        insert(
            _ITEMS,
            (contribution.id, contribution.member_id),
            [result.position for result in part],
            [result.problem is None for result in part],
            [result.version_id for result in part],
            [
                seal.seal(
                    _status_text(result, messages.get(result.position, "")),
                    aad=_item_aad(contribution.id, result.position),
                )
                for result in part
            ],
        )


def _status_text(result: Stored, message: str) -> bytes:
    stix_id = result.obj.get("id")
    return orjson.dumps(
        {
            "id": stix_id if isinstance(stix_id, str) else f"object-{result.position}",
            "version": (
                version_text(result.obj) if result.problem is None else _shown_version(result.obj)
            ),
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


def _at(candidate: Candidate) -> tuple[int, Candidate]:
    return (0 if candidate.problem else version_ns(candidate.obj)), candidate


def _by_version(at: tuple[int, Candidate]) -> tuple[int, int]:
    """Older versions of an object first, so that a body that holds several makes none late."""
    ns, candidate = at
    return ns, candidate.position


def _known_versions(object_ids: Sequence[UUID]) -> dict[tuple[UUID, int], tuple[int, bytes]]:
    if not object_ids:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(_KNOWN_VERSIONS, [list(object_ids)])
        return {(key, ns): (pk, bytes(digest)) for key, ns, pk, digest in cursor.fetchall()}


def _newest(known: Iterable[tuple[UUID, int]]) -> dict[UUID, int]:
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


def _write(contribution: Contribution, seal: Seal, fresh: Sequence[_Fresh]) -> None:
    own, act = contribution.member_id, contribution.id
    for part in batched(fresh, _BATCH):
        insert(
            _VERSIONS,
            (own, act),
            [one.id for one in part],
            [one.object_id for one in part],
            [one.candidate.position for one in part],
            [one.ns for one in part],
            [one.digest for one in part],
            [one.is_late for one in part],
        )
        insert(
            _ORIGINALS,
            (own,),
            [one.id for one in part],
            [seal.seal(one.body, aad=_original_aad(one.id)) for one in part],
        )
        found = [(one.id, *value) for one in part for value in _observables_of(one.candidate)]
        if found:
            insert(_OBSERVABLES, (own,), *zip(*found, strict=True))


def _observables_of(candidate: Candidate) -> list[tuple[str, bytes]]:
    return sorted(set(_observables(candidate.obj, candidate.pattern)))


def _observables(
    obj: Mapping[str, Any], tree: patterns.Pattern | None
) -> Iterator[tuple[str, bytes]]:
    """The values in an observable or a pattern, as keyed hashes by their type."""
    if obj.get("pattern_type") == "stix":
        try:
            tree = tree or patterns.parse(str(obj["pattern"]))
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


def observable_digests(value: str) -> list[bytes]:
    """What a value is found by, of whichever type it stands in an observable or a pattern."""
    kinds = sorted(_INDEXED | {"mac-addr", "identity", "process", "email-message"})
    return [_indexed(kind, value)[1] for kind in kinds]


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
