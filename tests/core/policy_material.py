"""Values that the policy tests share: Aurora contributes, the others receive."""

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from exchange.policy import decide, render, terms, tokens
from exchange.policy.catalogue import CONTEXT
from exchange.policy.outcomes import Context, Standing

NOW = datetime(2026, 11, 24, 10, 7, 3, tzinfo=UTC)
ON = date(2026, 11, 24)
ISSUER = "identity--11111111-1111-4111-8111-111111111111"
SCOPE = tokens.key_for(b"a master secret of tests, 32 octets or more", "forum", "2026Q4")
FLOOR = terms.Floor.parse(terms.shipped_floor())
BOREALIS = terms.Entitlement(
    member="borealis",
    circles=frozenset({"forum"}),
    agreement=True,
    tlp_ceiling="amber+strict",
    active=True,
)
CONTEXT_OF_AURORA = Context("aurora", "forum", ("fraudulent-identity",), NOW)
MINTED = "2026-11-24T10:15:00.000Z"


def terms_of(
    policy: Mapping[str, Any] | None = None, *, entitlement: terms.Entitlement = BOREALIS
) -> terms.Terms:
    """The terms of Borealis for what Aurora sends under a policy of its own, or none."""
    member = terms.MemberPolicy.parse(policy) if policy else terms.MemberPolicy.none()
    return terms.join(FLOOR, member, entitlement, contributor="aurora", circle="forum", on=ON)


def indicator(**changes: Any) -> dict[str, Any]:
    """A well-formed indicator with the changes asked for; None takes a property away."""
    obj = {
        "type": "indicator",
        "spec_version": "2.1",
        "id": "indicator--221c4e00-3f99-41ee-baf2-7f802dc5fd3d",
        "created": "2026-10-30T13:47:22.118Z",
        "modified": "2026-10-30T13:47:22.118Z",
        "name": "Relay range",
        "pattern": "[ipv4-addr:value = '198.51.100.7']",
        "pattern_type": "stix",
        "valid_from": "2026-10-30T13:47:22.118Z",
        **changes,
    }
    return {name: value for name, value in obj.items() if value is not None}


def context(kind: str, sensitivity: str = "S2", **more: Any) -> dict[str, Any]:
    """The extensions property with a model-extraction context."""
    said = {
        "extension_type": "property-extension",
        "schema_version": "1.0",
        "indicator_kind": kind,
        "sensitivity": sensitivity,
        "threat_basis": ["fraudulent-identity"],
        **more,
    }
    return {CONTEXT: said}


@dataclass(frozen=True)
class Came:
    """What came of a contribution for one recipient."""

    standings: tuple[Standing, ...]
    verdicts: tuple[decide.Verdict, ...]
    renditions: dict[str, render.Rendition]

    @property
    def text(self) -> str:
        """All that the recipient got, as text, also with JSON's escapes undone."""
        bodies = [rendition.body.decode() for rendition in self.renditions.values()]
        return "\n".join(bodies + [repr(json.loads(body)) for body in bodies])


def stands(obj: Mapping[str, Any], **changes: Any) -> Standing:
    """The standing of one object that Aurora contributes alone."""
    given = Context(**{**_fields(CONTEXT_OF_AURORA), **changes})
    return decide.standing([obj], given, FLOOR)[0]


def _fields(given: Context) -> dict[str, Any]:
    return {name: getattr(given, name) for name in Context.__dataclass_fields__}


def released(
    objects: Sequence[Mapping[str, Any]],
    *,
    under: terms.Terms | None = None,
    given: Context = CONTEXT_OF_AURORA,
    clear: bool = True,
) -> Came:
    """Decide, let counsel release what is held, and render until nothing changes."""
    under = under or terms_of()
    standings = decide.standing(objects, given, under.floor)
    if clear:
        standings = tuple(
            decide.cleared(standing, frozenset(hold.name for hold in standing.holds))
            for standing in standings
        )
    pairs = list(zip(objects, standings, strict=True))
    verdicts = tuple(decide.verdict(obj, standing, under) for obj, standing in pairs)
    made: dict[str, render.Rendition] = {}
    refs: dict[str, str] = {}
    for _ in range(4):
        for (obj, standing), verdict in zip(pairs, verdicts, strict=True):
            stix_id = obj["id"]
            shape = render.shape(
                obj, verdict, standing, refs=refs, tokens=SCOPE, name="XC-2026-abcde"
            )
            if stix_id not in made and shape is not None:
                made[stix_id] = finished(shape, stix_id)
                refs[stix_id] = made[stix_id].stix_id
    return Came(standings, verdicts, made)


def finished(shape: render.Shape, original_id: str) -> render.Rendition:
    """A rendition with minted names that depend on nothing but the original's name."""
    forum_id = (
        f"{shape.type}--{uuid.UUID(bytes=sha256(original_id.encode()).digest()[:16], version=4)}"
    )
    return render.finish(shape, stix_id=forum_id, created=MINTED, modified=MINTED, issuer=ISSUER)


def dirty_sets(shared_data: Path) -> list[dict[str, Any]]:
    """The shared sets of objects with what must not and must appear."""
    text = (shared_data / "antitrust" / "dirty-objects.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def rekeyed(name: str, value: str) -> str:
    """A member's own token as the circle of these tests sees it."""
    return tokens.rekeyed(SCOPE, name, value)
