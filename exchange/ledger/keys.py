"""The exchange's public keys: the JWKS, the log's verifier key, and how a new one is announced."""

from datetime import datetime, timedelta

from django.db import transaction

from exchange.ledger import intake, witnesses
from exchange.ledger.naming import origins
from exchange.models import SigningKey
from exchange.proof import note
from exchange.proof.jws import Key, KeySet, thumbprint

PURPOSES = ("bundle", "delivery", "ledger")
LIFE = timedelta(days=365)
GRACE = timedelta(days=30)  # the line of an old ledger key is kept that long


@transaction.atomic
def announce(purpose: str, public: bytes, *, now: datetime) -> bool:
    """Make a key the active one of its purpose, and record it; False where it is already known.

    The one before it retires.
    """
    if purpose not in PURPOSES:
        raise ValueError(purpose)
    kid = thumbprint(public)
    if SigningKey.objects.filter(kid=kid).exists():
        return False
    active = SigningKey.objects.filter(purpose=purpose, status=SigningKey.Status.ACTIVE)
    active.update(status=SigningKey.Status.RETIRED)
    row = SigningKey.objects.create(
        kid=kid, purpose=purpose, public=public, starts_at=now, ends_at=now + LIFE
    )
    fields = {
        "purpose": purpose,
        "kid": kid,
        "jwk": _key(row).jwk(),
        "status": row.status,
        "at": int(now.timestamp()),
    }
    intake.record("key", slots={"to": fields, "audit": {"kid": kid}}, now=now)
    return True


def is_known(purpose: str) -> bool:
    """Whether any key of this purpose was ever announced."""
    return SigningKey.objects.filter(purpose=purpose).exists()


def jwks() -> dict[str, object]:
    """The keys of bundles and deliveries; retired and revoked ones stay for ever."""
    rows = SigningKey.objects.filter(purpose__in=("bundle", "delivery")).order_by("starts_at")
    return KeySet(tuple(_key(row) for row in rows)).document()


def vkeys(*, now: datetime) -> str:
    """The verifier keys of the log, the newest first, and of its witnesses, one a line."""
    rows = SigningKey.objects.filter(purpose="ledger", ends_at__gt=now - GRACE)
    own = [
        note.Verifier(name, note.LOG, bytes(row.public))
        for name in origins()
        for row in rows.order_by("-starts_at")
    ]
    others = witnesses.verifiers(since=now - GRACE)
    return "".join(verifier.vkey() + "\n" for verifier in (*own, *others))


def _key(row: SigningKey) -> Key:
    def seconds(at: datetime | None) -> int | None:
        return int(at.timestamp()) if at else None

    return Key(
        bytes(row.public),
        purpose=row.purpose,
        nbf=seconds(row.starts_at),
        exp=seconds(row.ends_at),
        status=row.status,
        revoked_at=seconds(row.revoked_at),
    )
