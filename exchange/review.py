"""Counsel's queue: open holds, the recorded opening of an original, and the written decision."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from exchange import ledger
from exchange.celery import nudge
from exchange.models import Hold, HoldAct, OriginalRead
from exchange.proof.refused import Forbidden, NotFound, Refused
from indicators import store
from members.auth import Principal

FORUM_COUNSEL = "forum-counsel"
CONTRIBUTOR_COUNSEL = "contributor-counsel"
_ACTS = {
    "release": Hold.State.RELEASED,
    "refuse": Hold.State.REFUSED,
    "ask": Hold.State.ASKED,
}
_OPEN = (Hold.State.OPEN, Hold.State.ASKED)


@dataclass(frozen=True, slots=True)
class HoldRow:
    """One line of the queue: class and reason, never text of the object."""

    id: UUID
    field_class: str
    rule: str
    reason: str
    basis: str
    stix_type: str
    circle: str
    contributor_is_mine: bool
    approvers: tuple[str, ...]
    approved_by_roles: tuple[str, ...]
    state: str
    opened_at: datetime
    contribution_id: UUID | None
    may_act: bool
    acts: tuple[tuple[datetime, str, str, str], ...]


def queue(principal: Principal, *, limit: int = 500) -> tuple[HoldRow, ...]:
    """Open holds, oldest first: the forum's counsel sees all, a member its own."""
    rows = _visible(principal).filter(state__in=_OPEN, outcome__replaced=False)
    chosen = rows.select_related("outcome__version__object", "circle").order_by("opened_at", "id")
    return _rows(principal, list(chosen[:limit]))


def of_contribution(principal: Principal, contribution_id: UUID) -> tuple[HoldRow, ...]:
    """Every hold of one contribution, decided ones too."""
    rows = _visible(principal).filter(outcome__contribution_id=contribution_id)
    chosen = rows.select_related("outcome__version__object", "circle").order_by("opened_at", "id")
    return _rows(principal, list(chosen))


def hold(principal: Principal, hold_id: UUID) -> HoldRow:
    """One hold with what was done on it."""
    rows = _visible(principal).filter(pk=hold_id)
    chosen = list(rows.select_related("outcome__version__object", "circle"))
    if not chosen:
        raise NotFound
    return _rows(principal, chosen)[0]


@transaction.atomic
def open_original(
    principal: Principal, hold_id: UUID, *, reason: str, now: datetime
) -> Mapping[str, Any]:
    """Show counsel the held object; recorded for its contributor to see, before it is shown."""
    row = _visible(principal).select_related("outcome__version").filter(pk=hold_id).first()
    if row is None or principal.user_id is None:
        raise NotFound
    if not principal.may("decide-hold"):
        raise Forbidden("Your role may not open a held object.")
    version_id = row.outcome.version_id
    if row.member_id != principal.member_id:
        _demand(reason)
        OriginalRead.objects.create(
            version_id=version_id,
            member_id=row.member_id,
            user_id=principal.user_id,
            reason=reason,
            at=now,
        )
        ledger.record(
            "read",
            by=row.member_id,
            slots={
                "to": {},
                "from": {"hold": str(row.id), "role": _role(principal, row), "reason": reason},
                "audit": {"hold": str(row.id), "user": str(principal.user_id)},
            },
            now=now,
        )
    return store.originals(row.member_id, [version_id])[version_id]


@transaction.atomic
def act(
    principal: Principal, hold_ids: Sequence[UUID], *, act: str, reason: str, now: datetime
) -> None:
    """Release, refuse or ask back, with a written reason; the floor names the approvers.

    A hold is released when every role that the floor names has said so, each by another person,
    never by the person who contributed. An approval clears this reason and nothing else.
    """
    if act not in _ACTS:
        raise Refused("hold.act", "Say release, refuse or ask.")
    _demand(reason)
    if principal.user_id is None or not principal.may("decide-hold"):
        raise Forbidden("Your role may not decide holds.")
    rows = list(
        _visible(principal)
        .select_for_update(no_key=True, of=("self",))
        .select_related("outcome__contribution")
        .filter(pk__in=list(hold_ids), state__in=_OPEN)
    )
    if len(rows) != len(set(hold_ids)):
        raise NotFound
    for row in rows:
        _act(principal, row, act=act, reason=reason, now=now)
    transaction.on_commit(lambda: nudge("exchange.tasks.open_windows", queue="render"))


def _act(principal: Principal, row: Hold, *, act: str, reason: str, now: datetime) -> None:
    role = _role(principal, row)
    if principal.user_id is None or role not in row.approvers:
        raise Forbidden("The floor names other approvers for this hold.")
    if row.outcome.contribution.user_id == principal.user_id:
        raise Refused("approve.own", "Who contributed an object cannot approve its hold.")
    HoldAct.objects.create(
        hold=row,
        member_id=row.member_id,
        user_id=principal.user_id,
        role=role,
        act=act,
        reason=reason,
        at=now,
    )
    if act != "release" or _all_approved(row):
        row.state = _ACTS[act]
        row.decided_at = now
        row.save(update_fields=["state", "decided_at"])
        _record(principal, row, act=act, reason=reason, now=now)


def _all_approved(row: Hold) -> bool:
    """Each named role has approved since the last question, each through a person of its own."""
    acts = list(HoldAct.objects.filter(hold=row).order_by("id"))
    since = [one for one in acts if one.act == "release"]
    by_role = {one.role: one.user_id for one in since}
    return set(row.approvers) <= by_role.keys() and len(set(by_role.values())) == len(by_role)


def _record(principal: Principal, row: Hold, *, act: str, reason: str, now: datetime) -> None:
    fields = {
        "hold": str(row.id),
        "decision": act,
        "class": row.field_class,
        "rule": row.rule,
        "role": _role(principal, row),
        "reason": reason,
    }
    audit = {"hold": str(row.id), "decision": act, "user": str(principal.user_id)}
    slots = {"to": {}, "from": fields, "audit": audit}
    ledger.record("decision", by=row.member_id, slots=slots, now=now)


def _visible(principal: Principal) -> QuerySet[Hold]:
    if FORUM_COUNSEL in principal.roles:
        return Hold.objects.all()
    if principal.member_id is None:
        return Hold.objects.none()
    return Hold.objects.filter(member_id=principal.member_id)


def _role(principal: Principal, row: Hold) -> str:
    if FORUM_COUNSEL in principal.roles:
        return FORUM_COUNSEL
    is_counsel = "counsel" in principal.roles and row.member_id == principal.member_id
    return CONTRIBUTOR_COUNSEL if is_counsel else ""


def _demand(reason: str) -> None:
    if len(reason.strip()) < 8:
        raise Refused("reason.missing", "Write down the reason, in a few words at least.", "reason")


def _rows(principal: Principal, rows: Sequence[Hold]) -> tuple[HoldRow, ...]:
    acts: dict[UUID, list[HoldAct]] = defaultdict(list)
    for one in HoldAct.objects.filter(hold__in=rows).order_by("id"):
        acts[one.hold_id].append(one)
    return tuple(_row(principal, row, acts[row.id]) for row in rows)


def _row(principal: Principal, row: Hold, acts: Sequence[HoldAct]) -> HoldRow:
    is_mine = row.member_id == principal.member_id
    role = _role(principal, row)
    approved = tuple(sorted({one.role for one in acts if one.act == "release"}))
    return HoldRow(
        id=row.id,
        field_class=row.field_class,
        rule=row.rule,
        reason=row.reason,
        basis=row.basis,
        stix_type=row.outcome.version.object.stix_type,
        circle=row.circle.name,
        contributor_is_mine=is_mine,
        approvers=tuple(row.approvers),
        approved_by_roles=approved,
        state=row.state,
        opened_at=row.opened_at,
        contribution_id=row.outcome.contribution_id if is_mine else None,
        may_act=row.state in _OPEN and role in row.approvers and role not in approved,
        acts=tuple((one.at, one.role, one.act, one.reason) for one in acts),
    )
