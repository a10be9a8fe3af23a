"""Make renditions: one for each distinct outcome, however many recipients share it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from secrets import randbelow
from typing import Any
from uuid import UUID, uuid4

import orjson
from django.db.models import Exists, OuterRef

from exchange import constants, lists, search
from exchange.models import ReleaseItem, Rendition
from exchange.policy import decide, render, steering
from exchange.policy.decide import Verdict
from exchange.policy.render import Shape
from exchange.proof import jcs
from indicators import store
from indicators.models import ForumObject
from indicators.stix import markings

_BATCH = 1_000
_RENDITIONS = """
    INSERT INTO exchange_rendition (id, object_id, version_id, stix_id, stix_type, modified, body,
        digest, content_digest, takes_back)
    SELECT id, object, version, stix_id, type, modified, body, sha, content,
        false
    FROM unnest(%s::bigint[], %s::uuid[], %s::bigint[], %s::text[], %s::text[], %s::text[],
            %b::bytea[], %b::bytea[], %b::bytea[])
        AS new (id, object, version, stix_id, type, modified, body, sha, content)
"""
_MINTED = """
    UPDATE indicators_forumobject row
    SET created_at = new.created, minted_at = new.minted
    FROM unnest(%s::uuid[], %s::timestamptz[], %s::timestamptz[]) AS new (id, created, minted)
    WHERE row.id = new.id
"""


@dataclass(frozen=True)
class Part:
    """One line of a list: a rendition, and how its contributor knows it."""

    rendition: Rendition
    outcome_id: int
    original_id: str
    original_version: str
    source: str
    verdict: str
    rules: tuple[str, ...]
    # Its place in a bundle.
    order: tuple[str, str, str]
    # At most so many bits were its contributor's to choose: `policy.steering`.
    steering: int = 0

    @property
    def digest(self) -> str:
        """The SHA-256 of the rendition's bytes, hex."""
        return bytes(self.rendition.digest).hex()

    @property
    def line(self) -> list[str | None]:
        """Its line in a recipient's list; observables have no version."""
        return [self.rendition.stix_id, self.rendition.modified or None, self.digest]

    @property
    def told(self) -> list[str]:
        """Its line in the contributor's list, by the contributor's own names."""
        return [self.original_id, self.original_version, self.digest]


def order_of(row: Rendition) -> tuple[str, str, str]:
    """The place of a rendition in a bundle, read from its bytes."""
    body = orjson.loads(bytes(row.body))
    return (body.get("created", ""), body["id"], body.get("modified", ""))


def make(
    leaving: Sequence[lists.Leaving],
    groups: Sequence[lists.Audience],
    held: lists.Holdings,
    circle_id: UUID,
) -> dict[tuple[int, str], Part]:
    """The parts of this act, by outcome and content.

    Equal content keeps its rendition, unless somebody who gets it holds a later one with other
    content: what comes back after a change is a new version.

    `modified` adds 1 to 999,999 random microseconds to the nominal second: later than all that was
    minted for the object before, and distinct for each different rendition of one act.
    """
    issuer = constants.issuer_id()
    by_key = {one.outcome_id: one for one in leaving}
    wanted = {
        (key, shape.digest): (shape, group.verdicts[key])
        for group in groups
        for key, shape in group.closed.shapes.items()
    }
    existing = _newest_renditions([one.version.object_id for one in leaving])
    behind = _held_by_takers(leaving, groups, held, circle_id)
    moments: dict[UUID, list[datetime]] = {}
    fresh: list[Rendition] = []
    said: list[Mapping[str, Any]] = []
    parts: dict[tuple[int, str], Part] = {}
    for (key, digest), (shape, verdict) in wanted.items():
        one = by_key[key]
        row = existing.get((one.version.object_id, digest))
        if row is None or (row.modified and row.modified <= behind.get((key, digest), "")):
            row, order = _rendition(one, shape, _minted(one, moments), issuer)
            fresh.append(row)
            said.append(shape.content)
        else:
            order = order_of(row)
        parts[(key, digest)] = Part(
            rendition=row,
            outcome_id=key,
            original_id=str(one.obj["id"]),
            original_version=store.version_text(one.obj),
            source=sha256(store.canonical(one.contributed)).hexdigest(),
            verdict=verdict.digest,
            rules=tuple(sorted({ruling.rule for _, ruling in verdict.rulings})),
            order=order,
            steering=_steering(one, verdict),
        )
    _write(fresh)
    search.index(fresh, said)
    _remember_minted(leaving, moments)
    return parts


def _write(fresh: Sequence[Rendition]) -> None:
    """New renditions, with their numbers."""
    if fresh:
        ids = store.numbers("exchange_rendition", len(fresh))
        for row, number in zip(fresh, ids, strict=True):
            row.id = number
            row._state.adding = False
    for part in store.batched(fresh, _BATCH):
        store.insert(
            _RENDITIONS,
            (),
            [row.id for row in part],
            [row.object_id for row in part],
            [row.version_id for row in part],
            [row.stix_id for row in part],
            [row.stix_type for row in part],
            [row.modified for row in part],
            [bytes(row.body) for row in part],
            [bytes(row.digest) for row in part],
            [bytes(row.content_digest) for row in part],
        )


def _steering(one: lists.Leaving, verdict: Verdict) -> int:
    bound = steering.of(decide.read(one.subject), verdict)
    return bound.descriptive + bound.technical


def of_constants() -> list[Rendition]:
    """The exchange's own objects, whole as published; a changed one is a further rendition."""
    known = {
        row.stix_id: row for row in Rendition.objects.filter(object__isnull=True).order_by("id")
    }
    fresh: list[Rendition] = []
    for obj in constants.objects():
        body = jcs.encode(obj)
        digest = sha256(body).digest()
        row = known.get(str(obj["id"]))
        if row is None or bytes(row.digest) != digest:
            row = Rendition(
                stix_id=obj["id"],
                stix_type=obj["type"],
                modified=str(obj.get("modified", "")),
                body=body,
                digest=digest,
                content_digest=digest,
            )
            fresh.append(row)
        known[row.stix_id] = row
    Rendition.objects.bulk_create(fresh)
    search.index(fresh)
    return [known[str(obj["id"])] for obj in constants.objects()]


def revoked(obj: ForumObject, newest: Rendition, *, nominal_at: datetime) -> Rendition:
    """The revoked version of an object, without old values."""
    shown = orjson.loads(bytes(newest.body))
    made = render.revocation(
        newest.stix_type,
        stix_id=newest.stix_id,
        created=shown["created"],
        modified=_stamp(_later(obj, nominal_at)),
        issuer=shown["created_by_ref"],
        tlp=markings.TLP2[shown["object_marking_refs"][0]].label,
    )
    return _taking_back(obj, newest, made)


def notice(
    obj: ForumObject, newest: Rendition, names: Sequence[str], *, nominal_at: datetime
) -> Rendition:
    """The word that an observable is recalled, under every id that these recipients had of it."""
    shown = orjson.loads(bytes(newest.body))
    made = render.notice(
        names,
        stix_id=f"note--{uuid4()}",
        at=_stamp(_later(obj, nominal_at)),
        issuer=constants.issuer_id(),
        tlp=markings.TLP2[shown["object_marking_refs"][0]].label,
    )
    return _taking_back(obj, newest, made)


def _later(obj: ForumObject, nominal_at: datetime) -> datetime:
    """A moment within the nominal second, or behind all that was minted for the object."""
    base = nominal_at.replace(microsecond=0)
    if obj.minted_at is not None and obj.minted_at >= base:
        base = obj.minted_at
    moment = base + timedelta(microseconds=1 + randbelow(999_999))
    obj.minted_at = moment
    ForumObject.objects.filter(pk=obj.pk).update(minted_at=moment)
    return moment


def _stamp(moment: datetime) -> str:
    return f"{moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def _taking_back(obj: ForumObject, newest: Rendition, made: render.Rendition) -> Rendition:
    digest = bytes.fromhex(made.digest)
    row = Rendition.objects.create(
        object=obj,
        version=newest.version,
        stix_id=made.stix_id,
        stix_type=made.stix_type,
        modified=made.version,
        body=made.body,
        digest=digest,
        content_digest=digest,
        takes_back=True,
    )
    search.index([row])
    return row


def _newest_renditions(object_ids: Iterable[UUID]) -> dict[tuple[UUID, str], Rendition]:
    """The newest of each content of each object."""
    rows = Rendition.objects.filter(object=store.among("uuid", list(object_ids))).order_by("id")
    # Bytes that were taken back from anyone are not given again.
    rows = rows.exclude(Exists(ReleaseItem.objects.filter(rendition=OuterRef("pk"), recalled=True)))
    return {(row.object_id, bytes(row.content_digest).hex()): row for row in rows if row.object_id}


def _held_by_takers(
    leaving: Sequence[lists.Leaving],
    groups: Sequence[lists.Audience],
    held: lists.Holdings,
    circle_id: UUID,
) -> Mapping[tuple[int, str], str]:
    """The latest `modified` that anyone who newly gets a content holds of the same object."""
    latest: dict[tuple[int, str], str] = {}
    for one in leaving:
        if one.version.object.created_at is None:
            continue
        for group in groups:
            shape = group.closed.shapes.get(one.outcome_id)
            if shape is None:
                continue
            for recipient in group.recipients:
                earlier = held.get((recipient, one.version.object_id), ())
                if earlier and lists.listed(one, shape, earlier, circle_id) == "new":
                    key = (one.outcome_id, shape.digest)
                    latest[key] = max(latest.get(key, ""), *(old.modified for old in earlier))
    return latest


def _minted(one: lists.Leaving, moments: dict[UUID, list[datetime]]) -> datetime:
    taken = moments.setdefault(one.version.object_id, [])
    base = one.nominal_at.replace(microsecond=0)
    before = one.version.object.minted_at
    if before is not None and before >= base:
        base = before.replace(microsecond=0) + timedelta(seconds=1)
    while True:
        moment = base + timedelta(microseconds=1 + randbelow(999_999))
        if moment not in taken:
            taken.append(moment)
            return moment


def _rendition(
    one: lists.Leaving, shape: Shape, modified: datetime, issuer: str
) -> tuple[Rendition, tuple[str, str, str]]:
    """A new rendition, and its place in a bundle."""
    first = one.version.object.created_at or one.nominal_at.replace(microsecond=0)
    created = f"{first.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='seconds')}.000Z"
    made = render.finish(
        shape,
        stix_id=one.forum_id,
        created=created,
        modified=_stamp(modified),
        issuer=issuer,
    )
    row = Rendition(
        object_id=one.version.object_id,
        version_id=one.version.pk,
        stix_id=made.stix_id,
        stix_type=made.stix_type,
        modified=made.version,
        body=made.body,
        digest=bytes.fromhex(made.digest),
        content_digest=bytes.fromhex(shape.digest),
    )
    return row, ("" if shape.is_observable else created, made.stix_id, made.version)


def _remember_minted(
    leaving: Sequence[lists.Leaving], moments: Mapping[UUID, Sequence[datetime]]
) -> None:
    rows: dict[UUID, ForumObject] = {}
    for one in leaving:
        taken = moments.get(one.version.object_id)
        if taken:
            row = one.version.object
            row.created_at = row.created_at or one.nominal_at.replace(microsecond=0)
            row.minted_at = max(taken)
            rows[row.id] = row
    for part in store.batched(list(rows.values()), _BATCH):
        store.insert(
            _MINTED,
            (),
            [row.id for row in part],
            [row.created_at for row in part],
            [row.minted_at for row in part],
        )
