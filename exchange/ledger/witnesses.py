"""Members' witnesses: whose signatures stand under a checkpoint, and how many there must be."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction

from exchange import telemetry
from exchange.ledger import intake
from exchange.ledger.naming import origin
from exchange.models import LedgerCheckpoint, LedgerCosignature, LedgerWitness
from exchange.proof import keys, note
from exchange.proof.jws import thumbprint
from exchange.proof.refused import Forbidden, NotFound, Refused
from members.auth import Principal
from members.models import Member

LEEWAY = timedelta(minutes=5)  # between a witness's clock and ours
LATE = timedelta(hours=1)  # below quorum for longer is an alarm
LEAST = 2
MOST_LINES = 8

_COSIGNED = """
    SELECT size FROM ledger_cosignature GROUP BY size HAVING count(*) >= %s
    ORDER BY size DESC LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Witnessed:
    """How far the members' witnesses have come."""

    active: int
    quorum: int
    size: int  # of the newest checkpoint that enough of them have cosigned
    at: datetime | None  # when that checkpoint was published
    is_late: bool


# Who they are


@transaction.atomic
def add(member: Member, vkey: str, *, now: datetime) -> None:
    """Take a member's key as its witness, in the place of the one before; recorded for all."""
    verifier = note.parse_vkey(vkey.strip())
    if verifier.kind != note.WITNESS:
        raise Refused("witness.kind", "This is no key of an Ed25519 cosignature (type 4).")
    if verifier.name == origin() or LedgerWitness.objects.filter(public=verifier.public).exists():
        raise Refused("witness.known", "This key or name is in use already.")
    end(member, now=now)
    if LedgerWitness.objects.filter(name=verifier.name, ended_at=None).exists():
        raise Refused("witness.known", "This key or name is in use already.")
    row = LedgerWitness.objects.create(
        member=member, name=verifier.name, public=verifier.public, added_at=now
    )
    _tell(row, "active", now=now)


@transaction.atomic
def end(member: Member, *, now: datetime) -> bool:
    """Count a member's witness no longer; what it signed stays good. False where it has none."""
    row = LedgerWitness.objects.filter(member=member, ended_at=None).first()
    if row is None:
        return False
    row.ended_at = now
    row.save(update_fields=["ended_at"])
    _tell(row, "retired", now=now)
    return True


def _tell(row: LedgerWitness, status: str, *, now: datetime) -> None:
    public = bytes(row.public)
    fields = {
        "purpose": "witness",
        "kid": thumbprint(public),
        "jwk": {"kty": "OKP", "crv": "Ed25519", "x": keys.b64url(public)},
        "vkey": _verifier(row).vkey(),
        "member": str(row.member_id),
        "status": status,
        "at": int(now.timestamp()),
    }
    intake.record("key", slots={"to": fields, "audit": {"kid": fields["kid"]}}, now=now)


def verifiers(*, since: datetime | None = None) -> tuple[note.Verifier, ...]:
    """The keys of the active witnesses, and of those that ended after a moment."""
    rows = LedgerWitness.objects.filter(ended_at=None)
    if since is not None:
        rows |= LedgerWitness.objects.filter(ended_at__gt=since)
    return tuple(_verifier(row) for row in rows.order_by("id"))


def _verifier(row: LedgerWitness) -> note.Verifier:
    return note.Verifier(row.name, note.WITNESS, bytes(row.public))


# What they sign


def cosign(principal: Principal, body: str, *, now: datetime) -> int:
    """Take a witness's lines under a published checkpoint; the size that it has signed.

    1. the form      2. the checkpoint is one of ours     3. a known key of the caller's member
    4. not older than what this witness signed last       5. the signature, and its time
    """
    first, _, rest = body.partition("\n")
    lines = rest.removesuffix("\n").split("\n")
    if not _is_number(first) or not rest.endswith("\n") or not 0 < len(lines) <= MOST_LINES:  # 1
        raise Refused("cosign.form", "Send the size, a newline, and signature lines.")
    size = int(first)
    row = LedgerCheckpoint.objects.filter(size=size).first()  # 2
    if row is None:
        # One that we never published is evidence of a second log, or of a restore from before.
        telemetry.count("ledger.cosign.unknown")
        raise NotFound
    mine = LedgerWitness.objects.filter(member_id=principal.member_id or UUID(int=0))
    witness = mine.filter(ended_at=None).first()
    if witness is None:  # 3
        raise Forbidden("This is not the key of a witness of your member.")
    last = (
        LedgerCosignature.objects.filter(witness=witness)
        .order_by("-size")
        .values_list("size", flat=True)
        .first()
    )
    if last is not None and last > size:  # 4
        raise Refused("cosign.older", f"This witness has cosigned {last} already.")
    line, at = _signed(lines, row, witness, now=now)  # 3, 5
    with connection.cursor() as cursor:
        cursor.execute("SELECT weir_cosign(%s, %s, %s, %s, %s)", [witness.pk, size, line, at, now])
        if not cursor.fetchone()[0]:  # another line of this witness came in between
            raise Refused("cosign.older", "This witness has cosigned a later size.")
    return size


def _signed(
    lines: Iterable[str], row: LedgerCheckpoint, witness: LedgerWitness, *, now: datetime
) -> tuple[str, datetime]:
    text = row.note.partition("\n\n")[0] + "\n"
    verifier = _verifier(witness)
    for line in lines:
        signature = note.check_line(line, text, [verifier])  # raises where it is a bad one
        if signature is None or signature.at is None:
            continue
        if not -LEEWAY.total_seconds() <= signature.at - row.at.timestamp() or (
            signature.at - now.timestamp() > LEEWAY.total_seconds()
        ):
            raise Refused("cosign.time", "The time of the cosignature is not that of now.")
        return line + "\n", datetime.fromtimestamp(signature.at, UTC)
    raise Forbidden("This is not the key of a witness of your member.")


def lines(size: int) -> str:
    """The cosignatures under the checkpoint of a size, as lines, in the order of their coming."""
    rows = LedgerCosignature.objects.filter(size=size).order_by("id")
    return "".join(rows.values_list("line", flat=True))


def cosigned_size(count: int) -> int | None:
    """The newest size under which at least so many witnesses have signed."""
    with connection.cursor() as cursor:
        cursor.execute(_COSIGNED, [count])
        row = cursor.fetchone()
    return int(row[0]) if row else None


# How many there must be


def quorum() -> int:
    """How many must sign: as the forum has set it, else more than half of them, at least two."""
    if settings.LEDGER_QUORUM:
        return int(settings.LEDGER_QUORUM)
    return max(LEAST, LedgerWitness.objects.filter(ended_at=None).count() // 2 + 1)


def witnessed(*, now: datetime) -> Witnessed:
    """How far they have come; late when an older checkpoint than of an hour ago lacks a quorum."""
    active = LedgerWitness.objects.filter(ended_at=None).count()
    needed = quorum()
    size = cosigned_size(needed) or 0
    first = LedgerWitness.objects.order_by("id").values_list("added_at", flat=True).first()
    waiting = LedgerCheckpoint.objects.filter(size__gt=size).order_by("size").first()
    at = LedgerCheckpoint.objects.filter(size=size).values_list("at", flat=True).first()
    since = None if first is None or waiting is None else max(first, waiting.at)
    return Witnessed(active, needed, size, at, since is not None and now - since > LATE)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 19 and str(int(text)) == text
