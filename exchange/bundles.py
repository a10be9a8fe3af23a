"""Pack the renditions of a release into a bundle and sign it, once for its audience."""

from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from uuid import UUID, uuid4

from django.conf import settings

from exchange import ledger
from exchange.models import Bundle, ReleaseItem
from exchange.proof import claims, jws
from exchange.proof.keys import Signer


def ledger_origin() -> str:
    """The name of this exchange's log (signing-and-ledger, section 6)."""
    return ledger.origin()


def pack(bundle_id: UUID, bodies: list[bytes]) -> bytes:
    """Bundle bytes are put together, never written anew (signing-and-ledger, section 2)."""
    joined = b",".join(bodies)
    return b'{"id":"bundle--%s","objects":[%s],"type":"bundle"}' % (
        str(bundle_id).encode(),
        joined,
    )


def seal(
    release_id: UUID, *, left_out: Sequence[int] = (), signer: Signer, now: datetime
) -> Bundle:
    """The signed bundle of a release, whole or without what was taken back before.

    Made by the first who asks, the same for all after; where its bytes were erased, made anew.
    """
    made = Bundle.objects.filter(release_id=release_id, left_out=list(left_out)).first()
    if made is not None and made.body:
        return made if not _is_void(made) else _signed_anew(made, signer=signer, now=now)
    rows = ReleaseItem.objects.filter(release_id=release_id).exclude(position__in=left_out)
    pairs = [
        (bytes(body), bytes(digest))
        for body, digest in rows.order_by("position").values_list(
            "rendition__body", "rendition__digest"
        )
    ]
    bundle_id = made.id if made is not None else uuid4()
    body = pack(bundle_id, [one for one, _ in pairs])
    manifest = claims.manifest(
        body,
        [digest for _, digest in pairs],
        iss=settings.WEIR_BASE_URL,
        bundle_id=f"bundle--{bundle_id}",
        iat=int(now.timestamp()),
        ledger=ledger_origin(),
    )
    packed = {
        "sealed_at": now,
        "body": body,
        "digest": sha256(body).digest(),
        "manifest": manifest.sign(signer),
    }
    if made is not None:
        Bundle.objects.filter(pk=made.pk).update(**packed)
        return Bundle.objects.get(pk=made.pk)
    row, _ = Bundle.objects.get_or_create(
        release_id=release_id, left_out=list(left_out), defaults={"id": bundle_id, **packed}
    )
    return row


def _is_void(made: Bundle) -> bool:
    """Whether the key that signed it was revoked since: then it needs another signature."""
    return ledger.is_revoked(jws.kid_of(made.manifest))


def _signed_anew(made: Bundle, *, signer: Signer, now: datetime) -> Bundle:
    """The same bytes under a manifest of the key that is active now."""
    rows = ReleaseItem.objects.filter(release_id=made.release_id)
    digests = rows.exclude(position__in=made.left_out).order_by("position")
    manifest = claims.manifest(
        bytes(made.body),
        [bytes(one) for one in digests.values_list("rendition__digest", flat=True)],
        iss=settings.WEIR_BASE_URL,
        bundle_id=f"bundle--{made.id}",
        iat=int(now.timestamp()),
        ledger=ledger_origin(),
    )
    made.manifest, made.sealed_at = manifest.sign(signer), now
    made.save(update_fields=["manifest", "sealed_at"])
    return made
