"""Blind evaluation for members: the exchange's half of a keyed token, within a quota.

What comes in are points that fit every value, so there is nothing to keep of them but how many
there were. Each call is charged before it is answered, in one conditional update; what was charged
stays charged where a point turns out to be none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID

from django.conf import settings
from django.db import OperationalError, connection, transaction
from django.db.models import Avg, Count, F
from psycopg.errors import LockNotAvailable

from exchange import audiences
from exchange.models import TokenAlarm, TokenCall, TokenDay
from exchange.policy import tokens
from exchange.policy.tokens import Quarter
from exchange.proof import oprf
from exchange.proof.refused import Forbidden, NotFound, Refused
from exchange.telemetry import count as count_one
from members.auth import Principal
from members.models import CircleMember, Member

BATCH = 10_000
OCTETS = 32
PAGE = 25
# An alarm is raised at half of the quota, and at ten times the usual from a thousand on.
SHARE = 2
GROWTH = 10
GROWTH_FROM = 1_000
USUAL_DAYS = timedelta(days=14)
FEWEST_USUAL_DAYS = 3
ALARM_DAYS = timedelta(days=30)
_PATIENCE = "5s"


@dataclass(frozen=True, slots=True)
class _Lane:
    """What a credential asks for, counted for itself: the columns of a day."""

    used: str
    refused: str
    is_extracts: bool


_VALUES = _Lane("used", "refused", is_extracts=False)
# Credentials that send extracts: a whole log's cards and devices, day by day.
_EXTRACTS = _Lane("extracted", "extract_refused", is_extracts=True)


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The points in the order of the question, and what the day has left."""

    points: tuple[bytes, ...]
    left: int


@dataclass(frozen=True, slots=True)
class Quota:
    """A member's quota for a day (UTC)."""

    per_day: int
    used: int
    refused: int
    renews_at: datetime
    is_new: bool

    @property
    def left(self) -> int:
        """How many values may still be asked for; none where the quota was lowered below."""
        return max(0, self.per_day - self.used)


@dataclass(frozen=True, slots=True)
class Seat:
    """A circle for which the member may ask."""

    circle_id: UUID
    name: str
    key_domain: str
    is_forum: bool  # the circle of all: extracts are made for it


@dataclass(frozen=True, slots=True)
class Offer:
    """What a member may ask for now."""

    seats: tuple[Seat, ...]
    quarters: tuple[Quarter, ...]
    quota: Quota


@dataclass(frozen=True, slots=True)
class Call:
    """One call in the member's own log."""

    at: datetime
    credential: str
    circle: str
    epoch: str
    count: int
    is_charged: bool


@dataclass(frozen=True, slots=True)
class Alarm:
    """A day on which a member asked for unusually much; the number where the reader may know it."""

    member: str
    day: date
    kind: str
    at: datetime
    used: int | None
    refused: int | None


@dataclass(frozen=True, slots=True)
class Use:
    """What a member's own people see of its use."""

    quota: Quota
    calls: tuple[Call, ...]
    alarms: tuple[Alarm, ...]
    extracts: Quota


def evaluate(
    principal: Principal, circle_id: UUID, epoch: str, blinded: Sequence[bytes], *, now: datetime
) -> Evaluated:
    """x(k * P) for each point, with the key of a circle and quarter; never more than the quota."""
    # 1. who asks has a seat     2. the quarter counts       3. the batch has its size
    # 4. the quota allows it, and the call is written down   5. the same work for each point
    member = _asking(principal)
    if principal.credential_id is None:
        raise Forbidden("A credential asks for tokens.")
    seat = next((one for one in _seats(member) if one.circle_id == circle_id), None)  # 1
    if seat is None:
        raise NotFound
    _check(epoch, blinded, now=now)  # 2, 3
    lane = _lane(principal)
    asked = (circle_id, epoch, len(blinded))
    quota = _charge(lane, member, principal.credential_id, asked, now=now)  # 4
    scope = tokens.key_for(settings.TOKEN_KEY, str(circle_id), epoch)
    multiply = oprf.multiplier(scope.k)
    made = []
    for place, x in enumerate(blinded):  # 5
        try:
            made.append(multiply(x))
        except Refused as refused:
            raise Refused(refused.code, refused.sentence, f"points[{place}]") from None
    return Evaluated(tuple(made), quota.left)


def offer(principal: Principal, *, now: datetime) -> Offer:
    """Circles, quarters, and what is left of the day's quota."""
    member = _asking(principal)
    return Offer(_seats(member), _quarters(now), _quota(_lane(principal), member, now=now))


def use(principal: Principal, *, now: datetime) -> Use:
    """The member's own use: today's quota, the newest calls, alarms of the last days."""
    member = _member(principal)
    if not principal.may("read-token-use"):
        raise NotFound
    rows = TokenCall.objects.filter(member=member).select_related("credential", "circle")
    calls = tuple(
        Call(row.at, row.credential.name, row.circle.name, row.epoch, row.count, row.is_charged)
        for row in rows.order_by("-at", "-id")[:PAGE]
    )
    day = TokenDay.objects.filter(member=member, day=_day(now)).first()
    values, extracts = (_quota_of(one, member, day, now=now) for one in (_VALUES, _EXTRACTS))
    return Use(values, calls, _alarms(now, member_id=member.id), extracts)


def alarms(principal: Principal, *, now: datetime) -> tuple[Alarm, ...]:
    """The forum's view: which member raised an alarm when; volumes of such days for counsel and
    officer, and of no other day for anybody."""
    if not principal.may("read-token-alarms"):
        raise NotFound
    return _alarms(now)


def raised_today(principal: Principal, *, now: datetime) -> tuple[tuple[str, str], ...]:
    """Member and kind of each alarm of this day: one's own, or every one where the forum looks."""
    rows = TokenAlarm.objects.filter(day=_day(now))
    if principal.member_id is not None and principal.may("read-token-use"):
        rows = rows.filter(member_id=principal.member_id)
    elif not principal.may("read-token-alarms"):
        return ()
    return tuple(rows.order_by("at", "id").values_list("member__name", "kind"))


# --- who, what and how many ----------------------------------------------------------------------


def _asking(principal: Principal) -> Member:
    if not principal.may("make-tokens"):
        raise Forbidden("You may not turn values into tokens.")
    return _member(principal)


def _member(principal: Principal) -> Member:
    # Asked anew for each call: who was suspended a moment ago gets nothing.
    active = Member.objects.filter(state=Member.State.ACTIVE)
    row = active.filter(pk=principal.member_id).first() if principal.member_id else None
    if row is None:
        raise NotFound
    return row


def _seats(member: Member) -> tuple[Seat, ...]:
    rows = CircleMember.objects.filter(member=member, left_at__isnull=True)
    found = rows.select_related("circle").order_by("circle__name")
    # The same word that stands in the tokens that the exchange makes itself.
    return tuple(
        Seat(
            row.circle_id,
            row.circle.name,
            tokens.domain_of(str(row.circle_id)),
            row.circle.is_forum,
        )
        for row in found
    )


def _quarters(now: datetime) -> tuple[Quarter, ...]:
    _, floor = audiences.floor_in_force()
    return tokens.quarters(now, floor)


def _check(epoch: str, blinded: Sequence[bytes], *, now: datetime) -> None:
    offered = [quarter.epoch for quarter in _quarters(now)]
    if epoch not in offered:
        sentence = f"Tokens are made for {' and '.join(offered)} now."
        raise Refused("token.epoch", sentence, "epoch")
    if not 1 <= len(blinded) <= BATCH:
        raise Refused("token.batch", f"A batch has 1 to {BATCH:,} points.", "points")
    for place, x in enumerate(blinded):
        if len(x) != OCTETS:
            raise Refused("token.point", "A point is 32 octets.", f"points[{place}]")


# --- the quota -----------------------------------------------------------------------------------


def _lane(principal: Principal) -> _Lane:
    return _EXTRACTS if principal.may("send-extracts") else _VALUES


def _quota(lane: _Lane, member: Member, *, now: datetime) -> Quota:
    row = TokenDay.objects.filter(member=member, day=_day(now)).first()
    return _quota_of(lane, member, row, now=now)


def _quota_of(lane: _Lane, member: Member, row: TokenDay | None, *, now: datetime) -> Quota:
    is_new = now < member.joined_at + timedelta(days=settings.TOKEN_NEW_DAYS)
    known = settings.TOKEN_QUOTA
    per_day = min(settings.TOKEN_QUOTA_NEW, known) if is_new else known
    if lane.is_extracts:
        # A new member has the same part of it as of the other.
        per_day = settings.EXTRACT_TOKEN_QUOTA * per_day // max(1, known)
    renews_at = datetime.combine(_day(now) + timedelta(days=1), time(), UTC)
    used = getattr(row, lane.used) if row else 0
    refused = getattr(row, lane.refused) if row else 0
    return Quota(per_day, used, refused, renews_at, is_new)


def _day(now: datetime) -> date:
    return now.astimezone(UTC).date()


def _charge(
    lane: _Lane,
    member: Member,
    credential_id: UUID,
    asked: tuple[UUID, str, int],
    *,
    now: datetime,
) -> Quota:
    """Take the batch from the day's quota, or refuse it whole; either way the call is written."""
    quota, is_charged = _take(lane, member, credential_id, asked, now=now)
    if not is_charged:
        raise Refused(
            "token.quota",
            f"Your quota is {quota.per_day:,} values a day and has {quota.left:,} left;"
            f" it renews at {quota.renews_at:%Y-%m-%d %H:%M} UTC.",
            "points",
        )
    return quota


def _take(
    lane: _Lane,
    member: Member,
    credential_id: UUID,
    asked: tuple[UUID, str, int],
    *,
    now: datetime,
) -> tuple[Quota, bool]:
    circle_id, epoch, count = asked
    try:
        with transaction.atomic():
            quota, is_charged = _update(lane, member, count, now=now)
            TokenCall.objects.bulk_create(
                [
                    TokenCall(
                        member=member,
                        credential_id=credential_id,
                        circle_id=circle_id,
                        epoch=epoch,
                        count=count,
                        is_charged=is_charged,
                        at=now,
                    )
                ]
            )
            _raise_alarms(lane, member, quota, is_charged=is_charged, now=now)
    except OperationalError as error:
        if not isinstance(error.__cause__, LockNotAvailable):
            raise
        raise Refused(
            "token.busy", "Another batch of yours is being evaluated; send one after the other."
        ) from None
    return quota, is_charged


def _update(lane: _Lane, member: Member, count: int, *, now: datetime) -> tuple[Quota, bool]:
    # The row stays locked until the answer is made: a member's batches come one after the other,
    # so that none fills the server. Nobody waits for long.
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [_PATIENCE])
    day = _day(now)
    TokenDay.objects.bulk_create([TokenDay(member=member, day=day)], ignore_conflicts=True)
    rows = TokenDay.objects.filter(member=member, day=day)
    per_day = _quota_of(lane, member, None, now=now).per_day
    within = rows.filter(**{f"{lane.used}__lte": per_day - count})
    charged = within.update(**{lane.used: F(lane.used) + count})
    if not charged:
        rows.update(**{lane.refused: F(lane.refused) + count})
    return _quota_of(lane, member, rows.get(), now=now), bool(charged)


def _raise_alarms(
    lane: _Lane, member: Member, quota: Quota, *, is_charged: bool, now: datetime
) -> None:
    kinds = []
    if not is_charged:
        kinds.append(TokenAlarm.Kind.QUOTA)
    # An extractor asks for the better part of its quota on any day.
    if quota.used * SHARE >= quota.per_day and not lane.is_extracts:
        kinds.append(TokenAlarm.Kind.SHARE)
    if quota.used >= GROWTH_FROM and _is_sudden(lane, member, quota.used, now=now):
        kinds.append(TokenAlarm.Kind.GROWTH)
    if kinds:
        count_one("token-alarms", len(kinds))
        TokenAlarm.objects.bulk_create(
            [TokenAlarm(member=member, day=_day(now), kind=kind, at=now) for kind in kinds],
            ignore_conflicts=True,
        )


def _is_sudden(lane: _Lane, member: Member, used: int, *, now: datetime) -> bool:
    day = _day(now)
    before = TokenDay.objects.filter(
        member=member, day__gte=day - USUAL_DAYS, day__lt=day, **{f"{lane.used}__gt": 0}
    ).aggregate(days=Count("id"), usual=Avg(lane.used))
    return bool(before["days"] >= FEWEST_USUAL_DAYS and used > GROWTH * before["usual"])


def _alarms(now: datetime, *, member_id: UUID | None = None) -> tuple[Alarm, ...]:
    rows = TokenAlarm.objects.filter(day__gt=_day(now) - ALARM_DAYS).select_related("member")
    if member_id is not None:
        rows = rows.filter(member_id=member_id)
    found = list(rows.order_by("-at", "-id")[:PAGE])
    # The database shows each reader the days that it may see, and the operator none.
    days = {
        (row.member_id, row.day): row
        for row in TokenDay.objects.filter(
            member_id__in={one.member_id for one in found}, day__in={one.day for one in found}
        )
    }
    made = []
    for one in found:
        row = days.get((one.member_id, one.day))
        numbers = (
            (row.used + row.extracted, row.refused + row.extract_refused) if row else (None, None)
        )
        made.append(Alarm(one.member.name, one.day, one.kind, one.at, *numbers))
    return tuple(made)
