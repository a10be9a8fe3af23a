"""The monthly report for a regulator: what was shared, held and corrected, and that it is provable.

Everything in it is read within what its asker may see: a member reports about itself, the forum's
people about the forum. What members do is told across them by the tables of the statistics lane and
by nothing else; a cell that is suppressed there is shown as such here, never as zero.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import typst
from django.db import connection
from django.db.models import Count, Min

from exchange import lookback, statistics
from exchange.models import (
    Feedback,
    FloorPolicy,
    Forum,
    Hold,
    LedgerCheckpoint,
    LookBack,
    LookedBack,
    MemberPolicyVersion,
    Recall,
)
from exchange.policy import terms
from exchange.proof.refused import NotFound, Refused
from exchange.questions.asking import FORUM_COUNSEL, FORUM_OFFICER, OF_A_MEMBER
from members.auth import Principal
from members.models import Member

TEMPLATE = Path(__file__).parent / "report.typ"
_MONTHS = 24
_SHARED = "SELECT * FROM weir_shared(NULL, NULL, %s, %s)"


@dataclass(frozen=True, slots=True)
class Month:
    """One month of the calendar, in UTC."""

    name: str
    start: datetime
    end: datetime

    @property
    def words(self) -> str:
        """As people write it."""
        return f"{self.start:%B %Y}"


def months(principal: Principal, *, now: datetime) -> tuple[Month, ...]:
    """The months that are over and that there is something to tell of, the newest first."""
    _demand_role(principal)
    forum = Forum.objects.filter(pk=1).first()
    since = forum.created_at if forum else now
    found: list[Month] = []
    month = _before(now.astimezone(UTC).date())
    while month.end > since and len(found) < _MONTHS:
        found.append(month)
        month = _before(month.start.date())
    return tuple(found)


def demand(principal: Principal, name: str, *, now: datetime) -> Month:
    """The month of this name; refused while it is not over, and for what is no month."""
    _demand_role(principal)
    try:
        first = date.fromisoformat(f"{name}-01")
    except ValueError:
        raise Refused("report.month", "A month is written 2026-10.", "month") from None
    month = _month(first)
    if month.end > now:
        raise Refused("report.month", "A month is reported once it is over.", "month")
    return month


def gather(principal: Principal, name: str, *, now: datetime) -> dict[str, Any]:
    """What the report says, as plain data: the same for the same month, whenever it is made."""
    month = demand(principal, name, now=now)
    own = Member.objects.filter(pk=principal.member_id).first() if principal.member_id else None
    return {
        "forum": Forum.objects.values_list("name", flat=True).get(pk=1),
        "about": own.name if own else "the forum",
        "is_member": own is not None,
        "month": month.words,
        "period": [f"{month.start:%Y-%m-%d}", f"{month.end - timedelta(days=1):%Y-%m-%d}"],
        "policies": _policies(principal, month),
        "shared": _shared(month) if own else [],
        "held": _held(own, month) if own else [],
        "corrected": _corrected(own, month) if own else [],
        "checked": _checked(principal, month),
        "statistics": _statistics(principal, now=now),
        "record": _record(month),
    }


def pdf(told: Mapping[str, Any]) -> bytes:
    """The report as a PDF: from the template beside this module, without network or other fonts."""
    return bytes(typst.compile(TEMPLATE.read_bytes(), format="pdf", **_given(told)))


def pictures(told: Mapping[str, Any]) -> list[bytes]:
    """Its pages as PNG, for who looks at them."""
    made: Any = typst.compile(TEMPLATE.read_bytes(), format="png", ppi=80.0, **_given(told))
    return list(made) if isinstance(made, list) else [made]


def _given(told: Mapping[str, Any]) -> dict[str, Any]:
    # The end of the month as the document's own date: the same input gives the same bytes.
    ends = datetime.fromisoformat(told["period"][1]).replace(tzinfo=UTC)
    return {
        "ignore_system_fonts": True,
        "sys_inputs": {"told": json.dumps(told, sort_keys=True)},
        "timestamp": int(ends.timestamp()),
    }


def _demand_role(principal: Principal) -> None:
    roles = OF_A_MEMBER if principal.member_id else {FORUM_OFFICER, FORUM_COUNSEL}
    if principal.roles.isdisjoint(roles):
        raise NotFound


def _policies(principal: Principal, month: Month) -> list[list[str]]:
    """The floor, and one's own policy, in force at some time of the month."""
    found = []
    for row in _in_force(list(FloorPolicy.objects.order_by("id")), month):
        floor = terms.Floor.parse(row.document)
        basis = floor.legal_basis(month.start.date()) or "none in force"
        found.append(["Floor", row.version, _day(row.effective_at), basis, _hex(row.digest)])
    if principal.member_id is None:
        return found
    own = MemberPolicyVersion.objects.filter(member_id=principal.member_id).order_by("id")
    for one in _in_force(list(own), month):
        version = str(one.document.get("version", ""))
        found.append(["Own policy", version, _day(one.effective_at), "", _hex(one.digest)])
    return found


def _in_force(rows: list[Any], month: Month) -> list[Any]:
    ends = [*(row.effective_at for row in rows[1:]), month.end]
    return [
        row
        for row, end in zip(rows, ends, strict=False)
        if row.effective_at < month.end and end > month.start
    ]


def _shared(month: Month) -> list[list[str]]:
    with connection.cursor() as run:
        run.execute(_SHARED, [month.start, month.end])
        rows = run.fetchall()
    return [
        [recipient or "", circle or "", floor, policy or "none", str(releases), str(objects)]
        for _, recipient, circle, floor, policy, releases, objects, *_ in rows
    ]


def _held(own: Member, month: Month) -> list[list[str]]:
    rows = Hold.objects.filter(member=own, opened_at__gte=month.start, opened_at__lt=month.end)
    counts: dict[str, dict[str, int]] = {}
    for row in rows.values("field_class", "state").annotate(n=Count("id")):
        counts.setdefault(row["field_class"], {})[row["state"]] = row["n"]
    titles = _titles()
    return [
        [
            name,
            titles.get(name, ""),
            str(sum(states.values())),
            str(states.get("released", 0)),
            str(states.get("refused", 0)),
            str(states.get("open", 0) + states.get("asked", 0)),
        ]
        for name, states in sorted(counts.items())
    ]


def _titles() -> Mapping[str, str]:
    row = FloorPolicy.objects.order_by("-id").first()
    titles: Mapping[str, str] = row.document["hold_classes"] if row else {}
    return titles


def _corrected(own: Member, month: Month) -> list[list[str]]:
    said = Feedback.objects.filter(member=own, at__gte=month.start, at__lt=month.end)
    back = Recall.objects.filter(member=own, at__gte=month.start, at__lt=month.end)
    words = {
        "Recipients said": said.values("disposition").annotate(n=Count("id")),
        "Recalled for": back.values("reason").annotate(n=Count("id")),
    }
    return [
        [title, str(row.get("disposition") or row.get("reason")).replace("-", " "), str(row["n"])]
        for title, rows in words.items()
        for row in rows
    ]


def _checked(principal: Principal, month: Month) -> dict[str, Any]:
    """How many of the month's releases were decided again, and what was found."""
    rows = LookedBack.objects.filter(
        release__committed_at__gte=month.start, release__committed_at__lt=month.end
    )
    if principal.member_id is not None:
        rows = rows.filter(member_id=principal.member_id)
    faults = rows.exclude(fault__in=("", lookback.GONE)).values("fault").annotate(n=Count("id"))
    looked = LookBack.objects.filter(pk=1).values_list("at").exists()
    # How much there was is a member's own; of the forum only what differs is told.
    count = str(rows.count()) if principal.member_id is not None else ""
    return {
        "looked": looked,
        "objects": count,
        "faults": [[lookback.FAULTS[row["fault"]], str(row["n"])] for row in faults],
    }


def _statistics(principal: Principal, *, now: datetime) -> list[dict[str, Any]]:
    lane = statistics.lane(principal, now=now)
    return [
        {
            "title": table.title,
            "quarters": [quarter.period for quarter in table.quarters],
            "rows": [
                [row.label, *("" if figure is None else str(figure) for _, figure in row.figures)]
                for row in table.rows
            ],
        }
        for table in lane.tables
        if table.quarters
    ]


def _record(month: Month) -> dict[str, str]:
    """The last checkpoint of the month: whoever kept it can prove everything before it."""
    row = LedgerCheckpoint.objects.filter(at__lt=month.end).order_by("-size").first()
    first = LedgerCheckpoint.objects.aggregate(at=Min("at"))["at"]
    if row is None or first is None:
        return {}
    count = LedgerCheckpoint.objects.filter(at__gte=month.start, at__lt=month.end).count()
    return {
        "size": str(row.size),
        "root": _hex(row.root),
        "at": f"{row.at:%Y-%m-%d %H:%M:%S} UTC",
        "checkpoints": str(count),
        "since": f"{first:%Y-%m-%d}",
    }


def _month(first: date) -> Month:
    start = datetime(first.year, first.month, 1, tzinfo=UTC)
    end = (start + timedelta(days=32)).replace(day=1)
    return Month(f"{start:%Y-%m}", start, end)


def _before(day: date) -> Month:
    """The month before the one that a day lies in."""
    return _month(day.replace(day=1) - timedelta(days=1))


def _day(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d}"


def _hex(digest: bytes | memoryview) -> str:
    return bytes(digest).hex()
