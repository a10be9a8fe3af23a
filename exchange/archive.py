"""What a member takes along: its openings with their proofs, and the bundles that they record.

In parts of a bounded size, each a ZIP file that `exchange.proof.verify` checks without a server.
What was taken back is in no bundle here; that it had been given stays in the openings.
"""

import json
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import IO
from uuid import UUID

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from django.db.models import Exists, OuterRef, QuerySet

from exchange import access, bundles, ledger
from exchange.celery import nudge
from exchange.models import Bundle, LedgerEntry, ReleaseItem, ReleaseRecipient
from exchange.proof.entry import Opening
from exchange.proof.keys import Signer
from exchange.proof.refused import Forbidden, NotFound, Refused
from members.auth import Principal
from members.models import CircleMember, Member

# Entries of one part: at most as many bundles of at most 1 MiB.
PART = 100
SLOTS = ("to", "from")


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a member's archive: the entries from one number to another in a slot."""

    slot: str
    first: int
    last: int
    unsealed: int


def parts(principal: Principal) -> tuple[Part, ...]:
    """The parts of the member's own archive, and how many bundles of each are not sealed yet."""
    member_id = _may_take(principal)
    found = []
    for slot in SLOTS:
        seq = f"{slot}_seq"
        last = (
            LedgerEntry.objects.filter(
                **{f"{slot}_member_id": member_id}, idx__lt=ledger.published_size()
            )
            .order_by(f"-{seq}")
            .values_list(seq, flat=True)
            .first()
        )
        for first in range(1, (last or 0) + 1, PART):
            end = min(first + PART - 1, last or 0)
            rows = _received(member_id, first, end) if slot == "to" else ()
            found.append(Part(slot, first, end, sum(1 for row in rows if not _is_sealed(row))))
    return tuple(found)


def prepare(principal: Principal) -> None:
    """Have a worker, who holds the key, seal what was never pushed."""
    member_id = _may_take(principal)
    nudge("exchange.tasks.seal_archive", str(member_id), queue="deliver")


def seal(member_id: UUID, *, signer: Signer, now: datetime, is_here: bool = True) -> int:
    """Seal the bundles of all that a member holds; how many were not."""
    rows = [row for row in _received(member_id, 1, 2**62, is_here=is_here) if not _is_sealed(row)]
    for row in rows:
        bundles.seal(row.release_id, signer=signer, now=now)
    return len(rows)


def write(principal: Principal, slot: str, first: int, file: IO[bytes], *, now: datetime) -> None:
    """One part as a ZIP file; what it shows is noted as served before."""
    _write(principal, slot, first, file, now=now)


def write_enveloped(member: Member, certificate: bytes, folder: Path, *, now: datetime) -> int:
    """All parts for who has left, each readable with the member's own key alone (CMS, RSA).

    The operator who runs it handles files that it cannot read.
    """
    if member.state != Member.State.LEFT:
        raise Refused("archive.here", "Who takes part takes its archive from its own page.")
    recipient = x509.load_pem_x509_certificate(certificate)
    asks = Principal(member_id=member.id, roles=frozenset({"officer"}), name=member.name)
    made = 0
    for part in parts(asks):
        plain = BytesIO()
        _write(asks, part.slot, part.first, plain, now=now, is_here=False)
        builder = pkcs7.PKCS7EnvelopeBuilder().set_data(plain.getvalue())
        sealed = builder.add_recipient(recipient).encrypt(Encoding.DER, [pkcs7.PKCS7Options.Binary])
        (folder / f"{member.slug}-{part.slot}-{part.first}.zip.p7m").write_bytes(sealed)
        made += 1
    return made


def _write(
    principal: Principal,
    slot: str,
    first: int,
    file: IO[bytes],
    *,
    now: datetime,
    is_here: bool = True,
) -> None:
    member_id = _may_take(principal)
    openings = ledger.openings(principal, slot=slot, after=first - 1, limit=PART)
    if slot not in SLOTS or first < 1 or not openings:
        raise NotFound
    records = {one.index: f"{one.text()}\n{ledger.proof(one.index)}" for one in openings}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("jwks.json", json.dumps(ledger.jwks()))
        packed.writestr("vkeys", ledger.vkeys(now=now))
        packed.writestr(f"{slot}-{first}.openings", "".join(records.values()))
        if slot == "to":
            rows = _received(member_id, first, first + PART - 1, is_here=is_here)
            _put_bundles(principal, packed, rows, openings, records, now=now)


def _put_bundles(
    principal: Principal,
    packed: zipfile.ZipFile,
    rows: Iterable[ReleaseRecipient],
    openings: Sequence[Opening],
    records: dict[int, str],
    *,
    now: datetime,
) -> None:
    here = {one.index for one in openings}
    for row in rows:
        bundle = Bundle.objects.filter(release_id=row.release_id, left_out=[]).first()
        if bundle is None or not bundle.body or row.idx not in here or row.running is None:
            continue
        numbers = (row.running, row.running + row.release.count - 1)
        access.served_ranges(principal, [numbers], via="archive", now=now)
        name = f"bundle--{bundle.id}"
        packed.writestr(f"{name}.json", bytes(bundle.body))
        packed.writestr(f"{name}.jws", bundle.manifest)
        packed.writestr(f"{name}.proofs", records[row.idx])


def _received(
    member_id: UUID, first: int, last: int, *, is_here: bool = True
) -> list[ReleaseRecipient]:
    """The releases of something to a member, of which nothing was taken back since.

    While it takes part, those of the circles that it sits in; who has left had them all.
    """
    taken_back = ReleaseItem.objects.filter(release=OuterRef("release"), recalled=True)
    rows = ReleaseRecipient.objects.filter(
        ~Exists(taken_back),
        recipient_id=member_id,
        idx__lt=ledger.published_size(),
        to_seq__gte=first,
        to_seq__lte=last,
        release__count__gt=0,
    )
    if is_here:
        seats = CircleMember.objects.filter(member_id=member_id, left_at__isnull=True)
        mine = set(seats.values_list("circle_id", flat=True))
        return [row for row in _ordered(rows) if row.release.circle_id in {*mine, None}]
    return list(_ordered(rows))


def _ordered(rows: QuerySet[ReleaseRecipient]) -> QuerySet[ReleaseRecipient]:
    return rows.select_related("release").order_by("idx")


def _is_sealed(row: ReleaseRecipient) -> bool:
    rows = Bundle.objects.filter(release_id=row.release_id, left_out=[])
    return any(rows.values_list("sealed_at", flat=True))


def _may_take(principal: Principal) -> UUID:
    if principal.member_id is None or not principal.may("read-disclosures"):
        raise Forbidden("Only your officer or counsel takes the archive.")
    return principal.member_id
