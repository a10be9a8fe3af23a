"""A forum to measure in: as many members as asked, in three audiences of equal terms."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

import orjson

from exchange import constants, contribute
from exchange.models import FloorPolicy, MemberPolicyVersion
from exchange.policy import terms
from exchange.proof import jcs
from members import onboarding
from members.auth import Principal
from members.models import Acceptance, Agreement, Circle, Member

# What the contributor does not send to the second and the third audience.
NOT_SENT = ((), ("reseller-domain",), ("client-fingerprint",))


@dataclass(frozen=True, slots=True)
class Forum:
    """A contributor, and the circle to which it contributes."""

    contributor: Member
    circle: Circle
    # All its members, the contributor first; the audiences take turns.
    labs: tuple[Member, ...] = ()

    def give(self, objects: Sequence[dict[str, Any]], *, now: datetime) -> UUID:
        """Contribute these objects by the ordinary way in."""
        sent = self.post(envelope(objects), now=now)
        contribute.accept(sent, now=now)
        return sent

    def post(self, body: bytes, *, now: datetime) -> UUID:
        """Only submit a body: whoever takes it in may be another process."""
        who = Principal(
            member_id=self.contributor.id, roles=frozenset({"analyst"}), name=self.contributor.name
        )
        return contribute.submit(who, body, circle_id=self.circle.id, source="api", now=now)


_BUNDLE = "bundle--6f4c3d0e-6a52-4d1c-8f0e-0f6f5b1f0c11"


def envelope(objects: Sequence[dict[str, Any]]) -> bytes:
    """The body of one contribution."""
    return orjson.dumps({"type": "bundle", "id": _BUNDLE, "objects": objects})


def found(*, now: datetime) -> None:
    """The exchange with the shipped floor."""
    constants.found("Weir bench", now=now)
    document = terms.shipped_floor()
    FloorPolicy.objects.create(
        document=document,
        digest=sha256(jcs.encode(document)).digest(),
        version=str(document["version"]),
        effective_at=now,
    )


def circle(name: str, size: int, *, contributors: int = 1, now: datetime) -> Forum:
    """A circle of so many members in three audiences; who contributes is in the first of them."""
    labs = [onboarding.create_member(f"{name} {n}", now=now) for n in range(size)]
    made = onboarding.create_circle(name, labs, now=now)
    operator = onboarding.create_person(
        onboarding.Person(f"{made.slug}@forum.example", "Operator", ("operator",))
    )
    agreement = Agreement.objects.first() or onboarding.publish_agreement(
        "1", "Receive, match, decide alone.", purpose="measuring", now=now
    )
    Acceptance.objects.bulk_create(
        Acceptance(agreement=agreement, member=lab, accepted_by=operator, accepted_at=now)
        for lab in labs
    )
    denied = {str(lab.id): NOT_SENT[n % 3] for n, lab in enumerate(labs) if NOT_SENT[n % 3]}
    document = {"version": 1, "deny_kinds": denied}
    MemberPolicyVersion.objects.bulk_create(
        MemberPolicyVersion(
            member=lab,
            document=document,
            digest=sha256(jcs.encode(document)).digest(),
            effective_at=now,
        )
        for lab in labs[: 3 * contributors : 3]
    )
    return Forum(labs[0], made, tuple(labs))
