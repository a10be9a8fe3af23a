"""A recipient's remark on what it holds: seen, false positive, shared infrastructure.

It is an ordinary contribution of one sighting, decided like any: it leaves without a name, and by
itself it changes nothing.
"""

from datetime import datetime
from uuid import UUID, uuid4

from exchange import access, contribute
from exchange.proof.refused import Forbidden, NotFound, Refused
from indicators.converters import form
from members.auth import Principal

# What is said, and the disposition of the sighting that says it.
WORDS = {
    "seen": "true-positive",
    "false-positive": "false-positive",
    "shared-infrastructure": "benign-shared-infrastructure",
}


def circles_of(principal: Principal, stix_id: str) -> tuple[tuple[UUID, str], ...]:
    """The circles through which the member holds an object: it may say something of it there."""
    return tuple(
        (one.circle_id, one.title.removeprefix("Shared in "))
        for one in access.collections(principal)
        if one.kind == "circle" and one.circle_id and access.knows(principal, one, stix_id)
    )


def say(
    principal: Principal,
    stix_id: str,
    said: str,
    *,
    circle_id: UUID | None = None,
    source: str,
    now: datetime,
) -> UUID:
    """Send the sighting; where the object is held through one circle, that need not be named."""
    if not principal.may("contribute"):
        raise Forbidden("Your role may not contribute.")
    if said not in WORDS:
        raise Refused("feedback.word", f"Say one of {', '.join(WORDS)}.", "said")
    if principal.may("read-holding"):
        held = [one for one, _ in circles_of(principal, stix_id)]
        if not held or (circle_id is not None and circle_id not in held):
            raise NotFound
        if circle_id is None and len(held) > 1:
            raise Refused("feedback.circle", "You hold it in several circles: name one.", "circle")
        circle_id = circle_id or held[0]
    if circle_id is None:
        raise Refused("feedback.circle", "Name the circle in which you hold it.", "circle")
    disposition = WORDS[said]
    body = form.sighting(stix_id, disposition, stix_id=uuid4(), bundle_id=uuid4(), now=now)
    return contribute.submit(principal, body, circle_id=circle_id, source=source, now=now)
