"""Check a bundle and a push: bytes, manifest and token agree, and the exchange signed them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from exchange.proof import claims, jcs
from exchange.proof.claims import Delivery, Manifest, Receiver
from exchange.proof.jws import KeySet
from exchange.proof.keys import b64
from exchange.proof.refused import Refused

_SHA256 = re.compile(r"(?:^|[\s,])sha-256=(:[A-Za-z0-9+/=]*:)")


@dataclass(frozen=True, slots=True)
class Push:
    """A delivery that verifies, and the manifest that came with it."""

    delivery: Delivery
    manifest: Manifest | None


def verify_bundle(
    body: bytes, manifest: str, keys: KeySet, *, cosigned_at: int | None = None
) -> Manifest:
    """Refuse unless the manifest is the exchange's and describes exactly these bytes.

    `cosigned_at` is when the verifier's quorum of witnesses had seen the entries of all objects:
    with it, a key that was revoked later is still good.
    """
    # 1. the token is ours and of the right kind   2. the key is known and not revoked
    # 3. size and digest are those of the body     4. the body is a bundle of just those objects
    # 5. (the caller) the ledger has an entry for each object
    found = claims.open_manifest(manifest, keys, cosigned_at=cosigned_at)  # 1, 2
    if (found.size, found.sha256) != (len(body), sha256(body).hexdigest()):  # 3
        raise Refused("bundle.digest", "The bundle is not the one that the manifest describes.")
    bundle_id, objects = objects_of(body)  # 4
    stated = (found.id, found.count, found.objects_sha256)
    if stated != (bundle_id, len(objects), claims.digest_of(map(rendition_digest, objects))):
        raise Refused("bundle.objects", "The objects are not those that the manifest describes.")
    return found


def objects_of(body: bytes) -> tuple[object, list[dict[str, object]]]:
    """The id of a bundle and its objects; refused unless it is one, in canonical form."""
    value = jcs.decode(body)
    if not isinstance(value, dict) or value.keys() != {"id", "objects", "type"}:
        raise Refused("bundle.form", "This is not a bundle.")
    objects = value["objects"]
    if not isinstance(objects, list) or not all(isinstance(obj, dict) for obj in objects):
        raise Refused("bundle.form", "This is not a bundle.")
    if value["type"] != "bundle" or jcs.encode(value) != body:
        raise Refused("bundle.form", "The bundle is not in canonical form.")
    return value["id"], objects


def rendition_digest(obj: dict[str, object]) -> bytes:
    """The rendition digest of an object, however it was parsed."""
    return sha256(jcs.encode(obj)).digest()


def verify_delivery(
    body: bytes, headers: Mapping[str, str], keys: KeySet, receiver: Receiver, *, now: int
) -> Push:
    """Refuse unless this request was sent by the exchange, to this receiver, just now."""
    # 1. token: key, kind, issuer, exact audience, window     2. digest and size of the body
    # 3. the headers that repeat them say the same            4. the manifest, and its issuer
    # 5. (the caller) drop a delivery id already seen; a gap in `seq` or `seqs` means: pull
    given = {name.lower(): value.strip() for name, value in headers.items()}
    token = given.get("weir-delivery-token", "")
    delivery = claims.open_delivery(token, keys, receiver, now=now)  # 1
    digest = sha256(body)
    if (delivery.size, delivery.sha256) != (len(body), digest.hexdigest()):  # 2
        raise Refused("delivery.digest", "The body is not the one that the token describes.")
    if given.get("weir-delivery", delivery.jti) != delivery.jti:  # 3
        raise Refused("delivery.id", "The delivery id in the header is not that of the token.")
    if any(each != f":{b64(digest.digest())}:" for each in _content_digests(given)):  # 3
        raise Refused("delivery.digest", "The body is not the one that Content-Digest describes.")
    if "weir-manifest" not in given and delivery.event in ("notice", "test"):
        return Push(delivery, None)  # not a bundle: nothing was sealed
    manifest = verify_bundle(body, given.get("weir-manifest", ""), keys)  # 4
    if manifest.iss != receiver.iss:
        raise Refused("manifest.iss", "The bundle is not from the exchange that delivers it.")
    return Push(delivery, manifest)


def _content_digests(headers: Mapping[str, str]) -> list[str]:
    return _SHA256.findall(headers.get("content-digest", ""))
