"""The exchange's public keys: the JWKS, the log's verifier key, and how a new one is announced."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction

from exchange.ledger import intake, witnesses
from exchange.ledger.naming import origins
from exchange.models import SigningKey
from exchange.proof import note
from exchange.proof.jws import Key, KeySet, thumbprint
from exchange.proof.refused import NotFound, Refused

PURPOSES = ("bundle", "delivery", "ledger")
LIFE = timedelta(days=365)
GRACE = timedelta(days=30)  # the line of an old ledger key is kept that long
OVERLAP = timedelta(days=1)  # what a retired key signed at last is on its way for no longer
SKEW = timedelta(minutes=5)  # between our clocks: a key that follows at once began so long ago


@transaction.atomic
def announce(purpose: str, public: bytes, *, now: datetime) -> bool:
    """Make a key the active one of its purpose at once; False where it is already known.

    The one before it retires. Members have had no time to learn the new one: beyond the first key
    of a purpose this is for a key that was lost or stolen without a successor.
    """
    row = _new(purpose, public, SigningKey.Status.ACTIVE, starts_at=now, now=now)
    if row is None:
        return False
    _retire(purpose, now=now)
    row.save(force_insert=True)
    _tell(row, now=now)
    return True


@transaction.atomic
def announce_next(purpose: str, public: bytes, *, starts_at: datetime, now: datetime) -> SigningKey:
    """Publish the key that comes next, early enough for every copy of the key set."""
    if SigningKey.objects.filter(purpose=purpose, status=SigningKey.Status.NEXT).exists():
        raise Refused("keys.next", f"There is a {purpose} key already that comes next.")
    if starts_at < now + timedelta(days=settings.KEY_NOTICE_DAYS):
        raise Refused(
            "keys.notice", f"A key is announced {settings.KEY_NOTICE_DAYS} days before its use."
        )
    row = _new(purpose, public, SigningKey.Status.NEXT, starts_at=starts_at, now=now)
    if row is None:
        raise Refused("keys.known", "This key was announced before: no key is used twice.")
    row.save(force_insert=True)
    _tell(row, now=now)
    return row


@transaction.atomic
def switch(purpose: str, *, now: datetime) -> SigningKey:
    """The key that was announced signs from now on; the one before retires."""
    row = _next(purpose)
    if row is None:
        raise Refused("keys.none", f"No {purpose} key is announced as the next.")
    if row.starts_at > now:
        raise Refused("keys.early", f"It is announced for {row.starts_at:%Y-%m-%d %H:%M} UTC.")
    _retire(purpose, now=now)
    return _begin(row, now=now)


@transaction.atomic
def revoke(kid: str, *, successor: bytes | None = None, now: datetime) -> SigningKey:
    """Take a key's word back. An active one is followed at once by the next, or by `successor`."""
    row = SigningKey.objects.select_for_update().filter(kid=kid).first()
    if row is None:
        raise NotFound
    if row.status == SigningKey.Status.REVOKED:
        raise Refused("keys.revoked", "This key is revoked already.")
    was_active = row.status == SigningKey.Status.ACTIVE
    row.status, row.revoked_at = SigningKey.Status.REVOKED, now
    row.save(update_fields=["status", "revoked_at"])
    _tell(row, now=now)
    if was_active:
        _follow(row.purpose, successor, now=now)
    return row


def is_revoked(kid: str) -> bool:
    """Whether what this key signed needs another signature before it is shown again."""
    return SigningKey.objects.filter(kid=kid, status=SigningKey.Status.REVOKED).exists()


def _follow(purpose: str, successor: bytes | None, *, now: datetime) -> None:
    row = _next(purpose)
    if row is not None:
        row.starts_at = min(row.starts_at, now - SKEW)
        _begin(row, now=now)
    elif successor is None or not announce(purpose, successor, now=now - SKEW):
        raise Refused(
            "keys.successor",
            f"No {purpose} key is announced as the next: name a new one, or nothing can be signed.",
        )


def _next(purpose: str) -> SigningKey | None:
    rows = SigningKey.objects.select_for_update()
    return rows.filter(purpose=purpose, status=SigningKey.Status.NEXT).first()


def _begin(row: SigningKey, *, now: datetime) -> SigningKey:
    row.status, row.ends_at = SigningKey.Status.ACTIVE, now + LIFE
    row.save(update_fields=["status", "starts_at", "ends_at"])
    _tell(row, now=now)
    return row


def _retire(purpose: str, *, now: datetime) -> None:
    for row in SigningKey.objects.filter(purpose=purpose, status=SigningKey.Status.ACTIVE):
        row.status = SigningKey.Status.RETIRED
        # What was on its way when it retired still carries its signature.
        row.ends_at = min(row.ends_at, now + OVERLAP)
        row.save(update_fields=["status", "ends_at"])
        _tell(row, now=now)


def _new(
    purpose: str, public: bytes, status: str, *, starts_at: datetime, now: datetime
) -> SigningKey | None:
    if purpose not in PURPOSES:
        raise ValueError(purpose)
    kid = thumbprint(public)
    if SigningKey.objects.filter(kid=kid).exists():
        return None
    ends_at = max(starts_at, now) + LIFE
    return SigningKey(
        kid=kid,
        purpose=purpose,
        public=public,
        status=status,
        starts_at=starts_at,
        ends_at=ends_at,
    )


def _tell(row: SigningKey, *, now: datetime) -> None:
    """The `key` entry, which every member is shown."""
    fields = {
        "purpose": row.purpose,
        "kid": row.kid,
        "jwk": _key(row).jwk(),
        "status": row.status,
        "at": int(now.timestamp()),
    }
    intake.record("key", slots={"to": fields, "audit": {"kid": row.kid}}, now=now)


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
    rows = rows.exclude(status=SigningKey.Status.REVOKED)
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
