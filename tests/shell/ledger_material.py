"""What the ledger's tests are made of: labs, bare releases to them, signers good and bad."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from uuid import UUID, uuid4

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings
from django.db import transaction

from exchange import ledger
from exchange.models import FloorPolicy, Release, ReleaseItem, ReleaseRecipient, Rendition
from exchange.proof import jcs
from exchange.signers import Signer, signer_of
from indicators.models import Contribution
from members.models import Circle, Member
from members.seals import Seal, for_member

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
SIGNER = signer_of(Ed25519PrivateKey.from_private_bytes(sha256(b"ledger key of tests").digest()))


@dataclass(frozen=True, slots=True)
class Labs:
    """Three labs, their circle, and a floor to release under."""

    aurora: Member
    borealis: Member
    cirrus: Member
    circle: Circle
    floor: FloorPolicy


class Failing:
    """A signer that is away."""

    public, kid, alg = SIGNER.public, SIGNER.kid, SIGNER.alg

    def sign(self, message: bytes) -> bytes:
        """As a key store does that has lost its connection."""
        raise OSError("the key store is away")


class Faulty(Failing):
    """A signer that signs something else."""

    def sign(self, message: bytes) -> bytes:
        """A good signature, of other bytes."""
        return SIGNER.sign(message + b".")


def make_labs() -> Labs:
    """Aurora contributes, Borealis and Cirrus receive."""
    aurora, borealis, cirrus = (
        Member.objects.create(name=name, slug=name.lower(), joined_at=NOON)
        for name in ("Aurora", "Borealis", "Cirrus")
    )
    circle = Circle.objects.create(slug="forum", name="Forum", is_forum=True, created_at=NOON)
    floor = FloorPolicy.objects.create(
        document={}, digest=b"\x01" * 32, version="1", effective_at=NOON
    )
    return Labs(aurora, borealis, cirrus, circle, floor)


def make_rendition() -> Rendition:
    """Bytes of an object that nobody else was given."""
    stix_id, modified = f"indicator--{uuid4()}", "2026-11-24T12:00:00.000Z"
    body = jcs.encode({"type": "indicator", "id": stix_id, "modified": modified})
    digest = sha256(body).digest()
    return Rendition.objects.create(
        stix_id=stix_id,
        stix_type="indicator",
        modified=modified,
        body=body,
        digest=digest,
        content_digest=digest,
    )


@transaction.atomic
def release_to(
    labs: Labs,
    recipients: Sequence[Member | None],
    *,
    count: int = 1,
    kind: str = "release",
    told: bool = True,
    listed: bool = True,
) -> list[ReleaseRecipient]:
    """One release by Aurora as the release verb writes it; without a recipient: the circle."""
    renditions = [make_rendition() for _ in range(count)]
    whole = [[row.stix_id, row.modified, row.digest.hex()] for row in renditions]
    listing = whole if listed else []
    release = Release(
        id=uuid4(),
        kind=kind,
        member=labs.aurora,
        circle=labs.circle,
        floor=labs.floor,
        nominal_at=NOON,
        committed_at=NOON,
        count=len(listing),
        size=0,
        listing=jcs.encode(listing),
    )
    release.told = for_member(labs.aurora.id).seal(
        jcs.encode(whole), aad=b"told:" + release.id.bytes
    )
    items = {"count": count, "sha256": sha256(jcs.encode(whole)).hexdigest()}
    one = {"id": whole[0][0], "version": whole[0][1], "rendition": whole[0][2]}
    fields = {"release": str(release.id), **(one if count == 1 else {"items": items})}
    release.slots = Seal(settings.LEDGER_SLOT_KEY).seal(
        jcs.encode(
            {
                "to": fields if listed else {},
                "from": {**fields, "policy": None},
                "audit": {"release": str(release.id), **ledger.row_of(release)},
            }
        ),
        aad=b"release:" + release.id.bytes,
    )
    release.save()
    ReleaseItem.objects.bulk_create(
        ReleaseItem(release=release, position=n, rendition=row)
        for n, row in enumerate(renditions if listed else [])
    )
    rows = ReleaseRecipient.objects.bulk_create(
        ReleaseRecipient(release=release, recipient=member, member=labs.aurora, told_here=told)
        for member in recipients
    )
    ledger.enter_release([row.pk for row in rows])
    return rows


@transaction.atomic
def contribute(labs: Labs, *, count: int) -> UUID:
    """A contribution of Aurora's that was accepted."""
    row = Contribution.objects.create(
        member=labs.aurora, circle=labs.circle, source="api", received_at=NOON
    )
    ledger.record(
        "contribution",
        by=labs.aurora.id,
        slots={"from": {"contribution": str(row.id)}, "audit": {"contribution": str(row.id)}},
        contribution_id=row.id,
        count=count,
        now=NOON,
    )
    return row.id


def sequence(signer: Signer = SIGNER, *, now: datetime = NOON) -> int | None:
    """One round of the sequencer."""
    ledger.integrate(now=now)
    return ledger.publish(signer, now=now)
