"""Ask for a preview: how much it would be, its start, its end before time, and whether it was."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Count, QuerySet, Sum

from exchange.celery import nudge
from exchange.models import FloorPolicy, MemberPolicyVersion, Preview
from exchange.policy import terms
from exchange.proof import jcs
from exchange.proof.refused import Forbidden, NotFound, Refused
from indicators.models import Contribution
from members.auth import Principal
from members.models import Member

FLOOR, MEMBER = Preview.Kind.FLOOR.value, Preview.Kind.MEMBER.value
DAYS = 30
AT_WORK = 2  # hints at once, so that two workers share a preview
_LONGEST = timedelta(days=3 * 366)
_RATE = 1_000.0  # objects a second, until a preview of this forum was measured
_MEASURABLE = 1_000  # fewer objects than this say nothing of a rate
_OPEN = (Preview.State.WAITING, Preview.State.RUNNING)


@dataclass(frozen=True, slots=True)
class Estimate:
    """How much a preview would look at, and how long that is expected to take."""

    objects: int
    contributions: int
    recipients: int
    seconds: int


@dataclass(frozen=True, slots=True)
class Finished:
    """A preview of a document that has come to its end."""

    id: UUID
    finished_at: datetime
    shown: int
    hidden: int
    # SHA-256 of the document that it was compared with.
    against: bytes
    since: datetime
    until: datetime
    asked_at: datetime

    @property
    def is_whole(self) -> bool:
        """Whether it looked at all of the last 30 days when it was asked for.

        Who previews an empty hour has not seen what a loosening exposes.
        """
        reaches_now = self.until >= self.asked_at - timedelta(minutes=1)
        return reaches_now and self.until - self.since >= timedelta(days=DAYS)


def estimate(
    principal: Principal,
    *,
    kind: str,
    member_id: UUID | None,
    since: datetime,
    until: datetime,
) -> Estimate:
    """How much there is in the range, and the seconds expected at the rate of the last preview."""
    _allow(principal, kind, member_id)
    _check_range(since, until)
    rows = in_range(member_id, since=since, until=until)
    found = rows.aggregate(objects=Sum("successes"), contributions=Count("id"))
    recipients = Member.objects.filter(state=Member.State.ACTIVE).count()
    objects = found["objects"] or 0
    return Estimate(objects, found["contributions"], recipients, _seconds(objects))


@transaction.atomic
def start(  # noqa: PLR0913 - what a preview is of, each named at the call
    principal: Principal,
    *,
    kind: str,
    member_id: UUID | None,
    document: Mapping[str, Any],
    since: datetime,
    until: datetime,
    now: datetime,
    against: Mapping[str, Any] | None = None,
) -> UUID:
    """Have workers replay a range under a document, as a difference to the policy in force.

    `against` names another document to compare with. Raises `Refused` for a document that is no
    policy, and while another preview of the same policy is under way.
    """
    _allow(principal, kind, member_id)
    _check_range(since, until)
    parse(kind, document)
    compared = dict(against) if against is not None else _in_force(kind, member_id)
    parse(kind, compared)
    if of_whom(kind, member_id).filter(state__in=_OPEN).exists():
        raise Refused("preview.running", "A preview is under way. Wait for it, or cancel it.")
    expected = estimate(principal, kind=kind, member_id=member_id, since=since, until=until)
    row = Preview.objects.create(
        kind=kind,
        member_id=member_id,
        user_id=principal.user_id,
        document=dict(document),
        digest=digest_of(document),
        against=compared,
        against_digest=digest_of(compared),
        is_against_force=against is None,
        since=since,
        until=until,
        created_at=now,
        moved_at=now,
        expected_seconds=expected.seconds,
        total=expected.objects,
    )
    transaction.on_commit(lambda: hint(row.id))
    return row.id


def of_today(principal: Principal, *, since: datetime, until: datetime, now: datetime) -> UUID:
    """A past range under the policy in force now, beside the one that was in force at its end."""
    kind = FLOOR if principal.member_id is None else MEMBER
    return start(
        principal,
        kind=kind,
        member_id=principal.member_id,
        document=_in_force(kind, principal.member_id),
        since=since,
        until=until,
        now=now,
        against=_in_force(kind, principal.member_id, at=until),
    )


def cancel(principal: Principal, preview_id: UUID, *, now: datetime) -> None:
    """End a preview before its time; a worker stops after the part that it is at."""
    row = Preview.objects.filter(pk=preview_id).first()
    if row is None:
        raise NotFound
    _allow(principal, row.kind, row.member_id)
    Preview.objects.filter(pk=preview_id, state__in=_OPEN).update(
        state=Preview.State.CANCELLED, finished_at=now
    )


def finished_for(kind: str, member_id: UUID | None, digest: bytes) -> Finished | None:
    """The newest finished preview of a document, compared with what was in force at its start.

    `digest` is the SHA-256 of the document's canonical form.
    """
    row = (
        of_whom(kind, member_id)
        .filter(digest=digest, is_against_force=True, state=Preview.State.FINISHED)
        .order_by("-finished_at")
        .first()
    )
    if row is None or row.finished_at is None:
        return None
    return Finished(
        id=row.id,
        finished_at=row.finished_at,
        shown=row.shown,
        hidden=row.hidden,
        against=bytes(row.against_digest),
        since=row.since,
        until=row.until,
        asked_at=row.created_at,
    )


def finished_of(kind: str, member_id: UUID | None, digest: bytes) -> QuerySet[Preview, Preview]:
    """The finished previews of a document, whatever each was compared with."""
    return of_whom(kind, member_id).filter(digest=digest, state=Preview.State.FINISHED)


def digest_of(document: Mapping[str, Any]) -> bytes:
    """The SHA-256 of a document's canonical form (RFC 8785)."""
    return sha256(jcs.encode(document)).digest()


def parse(kind: str, document: Mapping[str, Any]) -> terms.Floor | terms.MemberPolicy:
    """The policy that a document describes; Refused for what is none."""
    if kind == FLOOR:
        return terms.Floor.parse(document)
    if kind != MEMBER:
        raise Refused("preview.kind", "A preview is of a floor or of a member's policy.", "kind")
    return terms.MemberPolicy.parse(document) if document else terms.MemberPolicy.none()


def of_whom(kind: str, member_id: UUID | None) -> QuerySet[Preview, Preview]:
    """The previews of the forum's floor, or of one member's policy."""
    rows = Preview.objects.filter(kind=kind)
    if member_id is None:
        return rows.filter(member__isnull=True)
    return rows.filter(member_id=member_id)


def in_range(
    member_id: UUID | None, *, since: datetime, until: datetime
) -> QuerySet[Contribution, Contribution]:
    """The contributions that a preview looks at."""
    rows = Contribution.objects.filter(
        state=Contribution.State.COMPLETE, received_at__gte=since, received_at__lt=until
    )
    return rows if member_id is None else rows.filter(member_id=member_id)


def hint(preview_id: UUID) -> None:
    """Tell as many workers as share a preview that there is work."""
    for _ in range(AT_WORK):
        nudge("exchange.tasks.preview", str(preview_id), queue="render")


def _allow(principal: Principal, kind: str, member_id: UUID | None) -> None:
    """The forum's counsel previews a floor, a member's officer and counsel their own policy."""
    if kind == FLOOR and member_id is None and principal.may("draft-floor"):
        return
    is_own = principal.member_id is not None and principal.member_id == member_id
    if kind == MEMBER and is_own and principal.may("edit-member-policy"):
        return
    raise Forbidden("Your role may not preview this policy.")


def _check_range(since: datetime, until: datetime) -> None:
    if until <= since:
        raise Refused("preview.range", "The range ends before it begins.", "until")
    if until - since > _LONGEST:
        raise Refused("preview.range", "At most three years at once.", "since")


def _in_force(kind: str, member_id: UUID | None, *, at: datetime | None = None) -> dict[str, Any]:
    """The document in force, now or at a moment; the first floor stands for all time before it."""
    if kind == FLOOR or member_id is None:
        floors = FloorPolicy.objects.all()
        then = floors.filter(effective_at__lte=at) if at else floors
        row = then.order_by("-id").first() or floors.order_by("id").first()
        if row is None:
            raise Refused("floor.none", "The forum has no floor in force.")
        return dict(row.document)
    versions = MemberPolicyVersion.objects.filter(member_id=member_id)
    if at is not None:
        versions = versions.filter(effective_at__lte=at)
    newest = versions.order_by("-id").values_list("document", flat=True).first()
    return dict(newest or {})


def _seconds(objects: int) -> int:
    """At the rate of the last preview that was long enough to measure, a second at least."""
    row = (
        Preview.objects.filter(state=Preview.State.FINISHED, total__gte=_MEASURABLE)
        .order_by("-finished_at")
        .first()
    )
    rate = _RATE
    if row is not None and row.started_at is not None and row.finished_at is not None:
        took = (row.finished_at - row.started_at).total_seconds()
        rate = row.total / took if took > 0 else _RATE
    return max(1, round(objects / rate))
