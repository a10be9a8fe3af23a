"""Parcels: a recipient's list, cut; recipients with equal parcels form one release."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

import structlog
from django.conf import settings

from exchange import audiences, delivery, ledger
from exchange.models import Release, ReleaseRecipient, Twin
from exchange.proof import jcs
from exchange.renditions import Part
from indicators import store
from indicators.models import Contribution
from members.scope import fetch
from members.seals import Seal, for_member

log = structlog.get_logger()
# Stands for the circle where its contributor alone is told, once.
THE_CIRCLE = UUID(int=0)
MOST_OBJECTS = 500
MOST_OCTETS = 1_048_576


_ITEMS = """
    INSERT INTO exchange_releaseitem
        (release_id, position, rendition_id, outcome_id, superseded, recalled)
    SELECT %s, position, rendition, outcome, false, false
    FROM unnest(%s::int[], %s::bigint[], %s::bigint[]) AS new (position, rendition, outcome)
"""


@dataclass(frozen=True, slots=True)
class Parcel:
    """A cut of a recipient's list; recipients with equal parcels form one release."""

    to: tuple[int, ...]
    told: tuple[int, ...]
    is_foreign: bool
    circle_only: bool


@dataclass(frozen=True, slots=True)
class Act:
    """Whose release this is, under which policies, and when."""

    contribution: Contribution
    force: audiences.InForce
    now: datetime


def cut(
    parts: Sequence[tuple[Part, bool]], *, is_foreign: bool = False, circle_only: bool = False
) -> list[Parcel]:
    """At most 500 objects and 1 MiB in one parcel, in the order of a bundle."""
    parcels: list[Parcel] = []
    to: list[int] = []
    told: list[int] = []
    size = 0
    for part, is_twin in sorted(parts, key=lambda listed: listed[0].order):
        octets = len(part.rendition.body) + 1
        if told and (len(told) == MOST_OBJECTS or size + octets > MOST_OCTETS - 128):
            parcels.append(Parcel(tuple(to), tuple(told), is_foreign, circle_only))
            to, told, size = [], [], 0
        told.append(part.rendition.pk)
        size += octets
        if not is_twin:
            to.append(part.rendition.pk)
    if told:
        parcels.append(Parcel(tuple(to), tuple(told), is_foreign, circle_only))
    return parcels


_PARTS = """
    INSERT INTO exchange_releaserecipient (release_id, member_id, told_here, recipient_id)
    SELECT %s, %s::uuid, %s, unnest(%s::uuid[]) RETURNING id
"""


def write_all(act: Act, by_recipient: Mapping[UUID, Sequence[Parcel]], made: Sequence[Part]) -> int:
    """Recipients with equal parcels form one release; how many release rows were written."""
    recipients: dict[Parcel, list[UUID]] = defaultdict(list)
    for recipient, own in by_recipient.items():
        for parcel in own:
            recipients[parcel].append(recipient)
    parts = {part.rendition.pk: part for part in made}
    for parcel, ids in recipients.items():
        release = write(act, parcel, parts)
        # How much its contributor could have said by its choices: a number, never what.
        bits = sum(parts[pk].steering for pk in parcel.told)
        log.info("release.made", release=str(release.id), objects=release.count, steering=bits)
        members = [member for member in ids if member != THE_CIRCLE]
        contributor = act.contribution.member_id
        if members:
            enter(
                release, members, contributor=contributor, told=not parcel.is_foreign, now=act.now
            )
        if THE_CIRCLE in ids:
            told = ReleaseRecipient.objects.create(release=release, member_id=contributor)
            ledger.enter_release([told.pk])
    return len(recipients)


def write(act: Act, parcel: Parcel, parts: Mapping[int, Part]) -> Release:
    """The release of one parcel; `parts` are all of this act, by rendition."""
    to = [parts[pk] for pk in parcel.to]
    told = [parts[pk] for pk in parcel.told]
    listing = [part.line for part in to]
    contributors = [part.told for part in told]
    contribution = act.contribution
    release = Release(
        id=uuid4(),
        contribution=contribution,
        member_id=contribution.member_id,
        circle_id=contribution.circle_id,
        floor_id=act.force.floor_id,
        policy_id=act.force.policy_id,
        circle_only=parcel.circle_only,
        nominal_at=act.now,
        committed_at=act.now,
        count=len(to),
        size=sum(len(part.rendition.body) for part in to),
        listing=store.canonical(listing),
    )
    release.told = for_member(contribution.member_id).seal(
        store.canonical(contributors), aad=b"told:" + release.id.bytes
    )
    common = {"release": str(release.id), "floor": act.force.floor.digest}
    sources = [[p.original_id, p.original_version, p.source] for p in told]
    whole = {
        **common,
        **items_of(contributors),
        "policy": act.force.policy_digest,
        "verdict": _one_or_list([p.verdict for p in told]),
        "source": told[0].source if len(told) == 1 else _sha(sources),
    }
    audit = {
        "release": str(release.id),
        "rules": sorted({rule for part in told for rule in part.rules}),
        "basis": act.force.floor.legal_basis(act.now.date()),
        "actor": "window",
        "approval": None,
        **ledger.row_of(release),
    }
    to_fields = {**common, **items_of(listing)} if listing else {}
    seal_slots(release, {"to": to_fields, "from": whole, "audit": audit})
    release.save(force_insert=True)
    if to:
        store.insert(
            _ITEMS,
            (release.id,),
            [n for n, _ in enumerate(to)],
            [part.rendition.pk for part in to],
            [part.outcome_id for part in to],
        )
    given = set(parcel.to)
    Twin.objects.bulk_create(
        Twin(release=release, rendition=part.rendition, outcome_id=part.outcome_id)
        for part in told
        if part.rendition.pk not in given
    )
    return release


def enter(
    release: Release,
    member_ids: Sequence[UUID],
    *,
    contributor: UUID | None,
    told: bool,
    now: datetime,
) -> None:
    """The recipients' parts, their ledger intake, and the waiting deliveries."""
    rows = fetch(_PARTS, [release.id, contributor, told, list(member_ids)])
    ledger.enter_release([number for (number,) in rows])
    if release.count and not release.circle_only:
        delivery.enqueue(release.id, member_ids, now=now)


def seal_slots(release: Release, slots: Mapping[str, Any]) -> None:
    """The slots' fields that are the same for every recipient, for the sequencer alone."""
    release.slots = Seal(settings.LEDGER_SLOT_KEY).seal(
        jcs.encode(slots), aad=b"release:" + release.id.bytes
    )


def items_of(listing: Sequence[Sequence[str | None]]) -> dict[str, Any]:
    """One object stands in the slot itself, several as the digest of their list."""
    if len(listing) == 1:
        return {"id": listing[0][0], "version": listing[0][1], "rendition": listing[0][2]}
    return {"items": {"count": len(listing), "sha256": _sha(listing)}}


def _sha(value: Sequence[Any]) -> str:
    return sha256(store.canonical(value)).hexdigest()


def _one_or_list(digests: Sequence[str]) -> str:
    return digests[0] if len(digests) == 1 else _sha(digests)
