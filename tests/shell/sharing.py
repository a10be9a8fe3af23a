"""What tests of the way of a contribution are made of: objects, and each step of the way."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import LazySettings

from exchange import access, constants, contribute, ledger, policies, release, replay
from exchange.access import Held, Query
from exchange.models import MemberPolicyVersion, Outcome
from exchange.policy import documents
from exchange.proof import jcs
from exchange.signers import signer_of
from indicators.stix import extensions
from members.auth import Principal
from members.models import Circle, Member, User
from members.scope import Acting, acting
from tests.cast import Cast, make_cast

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
SIGNER = signer_of(Ed25519PrivateKey.from_private_bytes(sha256(b"sharing").digest()))
BASIS = ("fraudulent-identity",)
EVERYTHING = Query(versions=("all",))

Object = dict[str, Any]


def set_up(settings: LazySettings, folder: Path) -> Cast:
    """The cast at half past eleven, with the exchange's constants released and published."""
    settings.LEDGER_DIR = folder / "ledger"
    before = NOON - timedelta(minutes=30)
    cast = make_cast(before)
    labs = (cast.aurora, cast.borealis, cast.cirrus, cast.ember, cast.fjord)
    release.constants_to([lab.id for lab in labs], now=before)
    sequence(now=before)
    return cast


def analyst_of(member: Member) -> Principal:
    """Somebody who reads and contributes for a lab, Ember and Fjord too."""
    return Principal(member_id=member.id, roles=frozenset({"analyst"}), name=member.name)


# --- objects -------------------------------------------------------------------------------------


def stamp(moment: datetime) -> str:
    """A moment as STIX writes it."""
    return f"{moment:%Y-%m-%dT%H:%M:%S}.000Z"


def sdo(stix_type: str, *, at: datetime = NOON, **properties: Any) -> Object:
    """An object with an id and times."""
    return {
        "type": stix_type,
        "spec_version": "2.1",
        "id": f"{stix_type}--{uuid4()}",
        "created": stamp(at),
        "modified": stamp(at),
        **properties,
    }


def context(kind: str, sensitivity: str) -> Mapping[str, Any]:
    """The forum's context extension."""
    return {
        extensions.CONTEXT: {
            "extension_type": "property-extension",
            "schema_version": "1.0",
            "indicator_kind": kind,
            "sensitivity": sensitivity,
            "threat_basis": list(BASIS),
        }
    }


def range_indicator(value: str = "203.0.113.0/24", **properties: Any) -> Object:
    """An egress range: S1, leaves at once."""
    given: dict[str, Any] = {
        "pattern": f"[ipv4-addr:value = '{value}']",
        "pattern_type": "stix",
        "valid_from": stamp(NOON),
        "extensions": context("egress-range", "S1"),
    }
    return sdo("indicator", **{**given, **properties})


def domain_indicator(value: str = "relay.example", **properties: Any) -> Object:
    """A reseller's domain: S2, leaves at the quarter of an hour."""
    given: dict[str, Any] = {
        "pattern": f"[domain-name:value = '{value}']",
        "extensions": context("reseller-domain", "S2"),
    }
    return range_indicator(**{**given, **properties})


def campaign(sensitivity: str = "S1", **properties: Any) -> Object:
    """A campaign whose name stays at home."""
    return sdo(
        "campaign",
        **{"name": "Greedy Heron", "extensions": context("campaign", sensitivity), **properties},
    )


def indicates(source: str, target: str, **properties: Any) -> Object:
    """A relationship."""
    ends: dict[str, Any] = {"source_ref": source, "target_ref": target}
    return sdo("relationship", **{"relationship_type": "indicates", **ends, **properties})


def newer(obj: Mapping[str, Any], *, minutes: int = 10, **changes: object) -> Object:
    """A later version of an object."""
    return {**obj, "modified": stamp(NOON + timedelta(minutes=minutes)), **changes}


def bundle(*objects: Mapping[str, Any]) -> bytes:
    """The body of a contribution."""
    return json.dumps(
        {"type": "bundle", "id": f"bundle--{uuid4()}", "objects": list(objects)}
    ).encode()


# --- steps ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Way:
    """Contribute and release to one circle, step by step."""

    cast: Cast
    circle: Circle

    def give(
        self,
        *objects: Mapping[str, Any],
        by: User | None = None,
        body: bytes | None = None,
        circle: Circle | None = None,
        default_basis: Sequence[str] = BASIS,
        now: datetime = NOON,
    ) -> UUID:
        """Submit and take in."""
        sent = contribute.submit(
            self.cast.as_(by or self.cast.ana),
            bundle(*objects) if body is None else body,
            circle_id=(circle or self.circle).id,
            source="api",
            default_basis=default_basis,
            now=now,
        )
        assert contribute.accept(sent, now=now)
        return sent

    def pass_on(self, *objects: Mapping[str, Any], now: datetime = NOON, **how: Any) -> UUID:
        """Submit, take in, open the windows, publish."""
        sent = self.give(*objects, now=now, **how)
        leave(now=now)
        return sent

    def status(self, sent: UUID, *, by: User | None = None) -> contribute.Status:
        """What its contributor is told of it, once it is published."""
        return contribute.status(self.cast.as_(by or self.cast.ana), sent)

    def messages(self, sent: UUID, *, by: User | None = None) -> list[tuple[bool, str]]:
        """Success and sentence, object by object."""
        return [(one.success, one.message) for one in self.status(sent, by=by).items]


def leave(*, now: datetime) -> int:
    """Open the windows and publish; how many releases were written."""
    written = release.open_windows(now=now)
    sequence(now=now)
    return written


def sequence(*, now: datetime) -> None:
    """One round of the sequencer."""
    ledger.integrate(now=now)
    ledger.publish(SIGNER, now=now)


def feed(member: Member, *, now: datetime = NOON, query: Query = EVERYTHING) -> tuple[Held, ...]:
    """A lab's whole holding but the public constants, in the order of its arrival."""
    who = analyst_of(member)
    found: list[Held] = []
    after = -1
    while True:
        page = access.page(
            who,
            access.collections(who)[0],
            Query(after=after, versions=query.versions, ids=query.ids),
            now=now,
        )
        found += page.items
        if not page.more:
            break
        after = page.items[-1].number
    return tuple(one for one in found if one.stix_id not in _public())


def bodies(held: Iterable[Held]) -> list[Object]:
    """What stands in them."""
    return [json.loads(one.body) for one in held]


def outcomes(sent: UUID) -> list[str]:
    """What became of a contribution's stored objects, in their order."""
    rows = Outcome.objects.filter(contribution_id=sent).order_by("version__position")
    return list(rows.values_list("outcome", flat=True))


def member_policy(member: Member, *, now: datetime, **document: object) -> MemberPolicyVersion:
    """A member's own terms, in force from now on."""
    return MemberPolicyVersion.objects.create(
        member=member,
        document=document,
        digest=sha256(jcs.encode(document)).digest(),
        effective_at=now,
    )


def new_floor(cast: Cast, document: Mapping[str, Any], *, now: datetime) -> None:
    """A floor as Dora drafts it and Pia activates it; its loosening was previewed before."""
    dora, pia = cast.as_(cast.dora), cast.as_(cast.pia)
    draft_id = policies.draft(dora, documents.write(document), now=now)
    policies.submit(dora, draft_id, now=now)
    digest = documents.digest(document).hex()
    policies.activate(pia, draft_id, digest=digest, saw=True, clock=lambda: now)


def previewed(who: Principal, document: Mapping[str, Any], *, now: datetime) -> None:
    """A preview of exactly this document over the last thirty days, asked for and finished."""
    with acting(who.acting()):
        preview_id = replay.start(
            who,
            kind="floor" if who.member_id is None else "member",
            member_id=who.member_id,
            document=document,
            since=now - timedelta(days=30),
            until=now,
            now=now,
        )
    with acting(Acting(), role="worker"):
        while replay.work(preview_id, now=now):
            pass


def own_policy(who: Principal, document: Mapping[str, Any], *, now: datetime) -> None:
    """A member's policy, drafted, previewed and put in force by one of its officers."""
    draft_id = policies.draft(who, documents.write(document), now=now)
    policies.submit(who, draft_id, now=now)
    previewed(who, document, now=now)
    digest = documents.digest(document).hex()
    policies.activate(who, draft_id, digest=digest, saw=True, clock=lambda: now)


def _public() -> frozenset[str]:
    return constants.ids() | {constants.issuer_id()}
