"""One campaign of Aurora's, carried through to its recipients, for pages to show."""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings
from django.db import connection

from exchange import contribute, release
from exchange.ledger import sequencer
from exchange.signers import signer_for
from indicators.stix import extensions
from tests.cast import Cast, make_cast

# S2 leaves at each quarter of an hour.
WINDOW = timedelta(minutes=15)
SECRET_WORDS = "our discount is forty percent"


@dataclass(frozen=True, slots=True)
class Stage:
    """The cast and the ids of what was contributed."""

    cast: Cast
    contribution: UUID
    campaign: str
    indicator: str
    held: str


def set_stage(now: datetime) -> Stage:
    """Aurora contributes to the relay watch: some leaves at once, some is held, some is refused."""
    before = now - WINDOW
    cast = make_cast(before)
    as_owner()
    release.constants_to([cast.member(name).id for name in ("Aurora", "Borealis")], now=before)
    objects = campaign(before)
    body = json.dumps({"type": "bundle", "id": f"bundle--{uuid4()}", "objects": objects})
    sent = contribute.submit(
        cast.as_(cast.ana), body.encode(), circle_id=cast.relay_watch.id, source="file", now=before
    )
    contribute.accept(sent, now=before)
    release.open_windows(now=now)
    sequence(now)
    ids = {obj["type"]: obj["id"] for obj in objects}
    return Stage(cast, sent, ids["campaign"], ids["indicator"], ids["threat-actor"])


def sequence(now: datetime) -> None:
    """Number what was released, and publish it."""
    as_owner()
    sequencer.integrate(now=now)
    sequencer.publish(signer_for(settings.SIGNER_LEDGER), now=now)


def as_owner() -> None:
    """Back to the owner's rights, after a request inside the test's own transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('role', 'none', true)")


def campaign(now: datetime) -> list[dict[str, Any]]:
    """A campaign, what indicates it, and things that must not leave as they come."""
    root = _object("campaign", now, name="Greedy Heron", **_context("campaign"))
    marked = _object(
        "indicator",
        now,
        name="From our logs",
        description=SECRET_WORDS,
        pattern="[ipv4-addr:value = '203.0.113.0/24']",
        pattern_type="stix",
        valid_from=_stamp(now),
        **_context("egress-range", sensitivity="S1"),
    )
    link = _object(
        "relationship",
        now,
        relationship_type="indicates",
        source_ref=marked["id"],
        target_ref=root["id"],
    )
    return [
        root,
        marked,
        link,
        _object("threat-actor", now, name="Somebody Ltd"),
        _object("identity", now, name="Aurora", identity_class="organization"),
        {"type": "artifact", "spec_version": "2.1", "id": f"artifact--{uuid4()}", "url": "x"},
    ]


def _object(stix_type: str, now: datetime, **properties: object) -> dict[str, Any]:
    return {
        "type": stix_type,
        "spec_version": "2.1",
        "id": f"{stix_type}--{uuid4()}",
        "created": _stamp(now),
        "modified": _stamp(now),
        **properties,
    }


def _context(kind: str, *, sensitivity: str = "S1") -> dict[str, Any]:
    context = {
        "extension_type": "property-extension",
        "schema_version": "1.0",
        "indicator_kind": kind,
        "sensitivity": sensitivity,
        "threat_basis": ["fraudulent-identity"],
    }
    return {"extensions": {extensions.CONTEXT: context}}


def _stamp(now: datetime) -> str:
    return f"{now:%Y-%m-%dT%H:%M:%S}.000Z"
