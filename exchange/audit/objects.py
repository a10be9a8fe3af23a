"""One's own object beside what each audience got of it, and every act of others on it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from exchange import audiences, departures, lens, written
from exchange.audit.page import PAGE, member_of
from exchange.departures import Departure
from exchange.models import Hold, HoldAct, OriginalRead, Outcome
from exchange.proof.refused import NotFound
from indicators import store
from indicators.models import Version
from members.auth import Principal


@dataclass(frozen=True, slots=True)
class Told:
    """One act on an object that its contributor is told of: a hold's act, or a read."""

    at: datetime
    sentence: str
    reason: str


@dataclass(frozen=True, slots=True)
class OwnObject:
    """One's own object beside what each audience got, or would get, of it."""

    version_id: int
    stix_id: str
    stix_type: str
    original: Mapping[str, Any]
    contribution_id: UUID
    circle: str
    outcome: str
    sensitivity: str
    departure: Departure
    holds: tuple[tuple[str, str, str, str], ...]
    told: tuple[Told, ...]
    views: tuple[lens.AudienceView, ...]


def own_object(principal: Principal, version_id: int, *, now: datetime) -> OwnObject:
    """One's own object as contributed, as each audience sees it, and every act on it."""
    member_id = member_of(principal)
    version = (
        Version.objects.filter(pk=version_id, member_id=member_id).select_related("object").first()
    )
    if version is None:
        raise NotFound
    original = store.originals(member_id, [version_id]).get(version_id)
    outcome = Outcome.objects.filter(version=version).select_related("circle").order_by("id").last()
    if original is None or outcome is None:
        raise NotFound
    holds = tuple(Hold.objects.filter(outcome__version=version).order_by("opened_at", "rule"))
    return OwnObject(
        version_id=version_id,
        stix_id=str(original["id"]),
        stix_type=str(original["type"]),
        original=original,
        contribution_id=version.contribution_id,
        circle=outcome.circle.name,
        outcome=outcome.outcome,
        sensitivity=outcome.sensitivity,
        departure=departures.of(
            outcome,
            [hold for hold in holds if hold.outcome_id == outcome.id],
            audiences.in_force(member_id),
            waits=departures.waiting([outcome]),
            now=now,
        ),
        holds=tuple((h.field_class, h.rule, h.reason, h.state) for h in holds),
        told=_told(version, holds),
        views=lens.views(principal, version_id, now=now),
    )


def received(principal: Principal, version_id: int, *, at: datetime) -> tuple[lens.Received, ...]:
    """What each recipient had received of one's own object by a moment."""
    member_of(principal)
    return lens.received(principal, version_id, at=at)


def reads(principal: Principal) -> tuple[Told, ...]:
    """Every opening of one's own originals by somebody else, newest first."""
    rows = OriginalRead.objects.filter(member_id=member_of(principal))
    return tuple(
        Told(row.at, f"{_WHO.get(row.role)} opened one of your originals", _said(row))
        for row in rows.order_by("-at")[:PAGE]
    )


def _told(version: Version, holds: Sequence[Hold]) -> tuple[Told, ...]:
    acts = HoldAct.objects.filter(hold__in=[hold.id for hold in holds])
    told = [
        Told(one.at, f"{_WHO.get(one.role, one.role)} {_ACTS.get(one.act, one.act)}", _said(one))
        for one in acts
    ]
    for read in OriginalRead.objects.filter(version=version):
        told.append(Told(read.at, f"{_WHO.get(read.role)} opened the original", _said(read)))
    return tuple(sorted(told, key=lambda one: one.at))


_said = written.said


# People by their role: the reader is told what was done for which reason, not whom to call.
_WHO = {
    "forum-counsel": "The forum's counsel",
    "forum-officer": "The forum's officer",
    "contributor-counsel": "Your counsel",
    "analyst": "Your analyst",
}
_ACTS = {
    "release": "released the hold",
    "refuse": "refused it",
    "ask": "asked you about it",
    "answer": "answered",
}
