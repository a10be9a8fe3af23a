"""The counsel's desk: the queue of holds, the recorded opening, and the written decision.

Nothing here looks at a clock to decide: a hold ends by a person's act and by nothing else.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from exchange import audiences, departures, docket, ledger, lens, openings, written
from exchange.celery import nudge
from exchange.departures import Departure
from exchange.docket import Chosen, HoldRow
from exchange.models import Hold, HoldAct
from exchange.proof.refused import Forbidden, NotFound, Refused
from indicators import store
from indicators.models import Contribution
from members.auth import Principal

PAGE = docket.PAGE
MOST = 500
_ACTS = {
    "release": Hold.State.RELEASED,
    "refuse": Hold.State.REFUSED,
    "ask": Hold.State.ASKED,
}
_OPEN = (Hold.State.OPEN, Hold.State.ASKED)


@dataclass(frozen=True, slots=True)
class Act:
    """What somebody did on a hold and wrote; people outside the reader's own house by role."""

    at: datetime
    role: str
    act: str
    text: str


@dataclass(frozen=True, slots=True)
class Said:
    """One hold with what was said on it."""

    row: HoldRow
    acts: tuple[Act, ...]


@dataclass(frozen=True, slots=True)
class HoldView:
    """One hold: what was said on it, the other reasons for its object, and when it would leave."""

    row: HoldRow
    acts: tuple[Act, ...]
    others: tuple[HoldRow, ...]
    departure: Departure
    is_of_pool: bool = False


@dataclass(frozen=True, slots=True)
class Opened:
    """What an opening shows: the object, what the detectors find, and what would leave of it."""

    original: Mapping[str, Any]
    found: tuple[openings.Found, ...]
    views: tuple[lens.AudienceView, ...]
    departure: Departure


@dataclass(frozen=True, slots=True)
class Done:
    """One act of the reader's own lately, and what follows from it."""

    row: HoldRow
    at: datetime
    act: str
    departure: Departure


def of_contribution(principal: Principal, contribution_id: UUID) -> tuple[Said, ...]:
    """Every hold of one contribution with what was said on it, decided ones too."""
    rows = docket.visible(principal).filter(outcome__contribution_id=contribution_id)
    chosen = list(rows.select_related("outcome", "circle").order_by("opened_at", "id"))
    acts = _acts(principal, chosen)
    return tuple(Said(docket.seen(principal, row), acts.get(row.id, ())) for row in chosen)


def hold(principal: Principal, hold_id: UUID, *, now: datetime) -> HoldView:
    """One hold with what was said on it, and the other reasons for which its object waits."""
    row = _one(principal, hold_id)
    siblings = list(_siblings(row))
    return HoldView(
        row=docket.seen(principal, row),
        acts=_acts(principal, [row]).get(row.id, ()),
        others=tuple(docket.seen(principal, one) for one in siblings if one.id != row.id),
        departure=_departure(principal, row, siblings, now=now),
        is_of_pool=openings.is_of_pool(row.member_id),
    )


@transaction.atomic
def open_original(
    principal: Principal, hold_id: UUID, *, reason: str, now: datetime
) -> Mapping[str, Any]:
    """Show counsel the held object; recorded for its contributor to see, before it is shown."""
    return _open(principal, _one(principal, hold_id), reason=reason, now=now)


@transaction.atomic
def opened(principal: Principal, hold_id: UUID, *, reason: str, now: datetime) -> Opened:
    """An opening with all that helps to judge: findings, and what a release would give to whom."""
    row = _one(principal, hold_id)
    obj = _open(principal, row, reason=reason, now=now)
    is_mine = row.member_id == principal.member_id
    siblings = list(_siblings(row))
    return Opened(
        original=obj,
        found=openings.found_in(obj),
        views=lens.once_released(row.outcome, alone=None if is_mine else obj, now=now),
        departure=_departure(principal, row, siblings, now=now),
    )


@transaction.atomic
def act(
    principal: Principal, hold_ids: Sequence[UUID], *, act: str, reason: str, now: datetime
) -> int:
    """Release, refuse or ask back, with a written reason; the floor names the approvers.

    A hold is released when every role that the floor names has said so, each by another person,
    never by the person who contributed. An approval clears this reason and nothing else. How many
    holds are released, refused or asked about by it.
    """
    text = _may_judge(principal, act, reason)
    wanted = set(hold_ids)
    rows = list(_locked(docket.visible(principal).filter(pk__in=wanted)))
    if len(rows) != len(wanted):
        raise NotFound
    if any(row.state not in _OPEN for row in rows):
        raise Refused(
            "hold.decided", "Somebody has decided it before you: look again at what was written."
        )
    return _judge(principal, rows, act=act, text=text, now=now)


@transaction.atomic
def act_on_all(
    principal: Principal,
    chosen: Chosen,
    *,
    expected: int,
    act: str,
    reason: str,
    now: datetime,
) -> int:
    """One written reason for all of what is chosen that waits for the reader: as many as expected.

    At most `MOST` at once, the first of the queue; another number than the one that was confirmed
    is refused, for then it is not what the person has seen.
    """
    text = _may_judge(principal, act, reason)
    mine = docket.narrowed(principal, docket.waiting(principal), replace(chosen, state=docket.MINE))
    ids = list(mine.order_by("turn", "id").values_list("id", flat=True)[:MOST])
    rows = list(_locked(Hold.objects.filter(pk__in=ids, state__in=_OPEN)))
    if not rows or len(rows) != expected:
        raise Refused(
            "batch.changed",
            f"There are {len(rows)} of these now, not the {expected} that you confirmed.",
        )
    return _judge(principal, rows, act=act, text=text, now=now)


@transaction.atomic
def answer(principal: Principal, hold_id: UUID, *, text: str, now: datetime) -> None:
    """The contributor answers what counsel asked; the hold is open again, and nothing more."""
    row = _locked(docket.visible(principal).filter(pk=hold_id)).first()
    if row is None or row.member_id != principal.member_id:
        raise NotFound
    role = docket.answering(principal)
    if not role:
        raise Forbidden("Your analysts and your counsel answer the forum's counsel.")
    if row.state != Hold.State.ASKED or row.outcome.replaced:
        raise Refused("hold.not-asked", "Nobody waits for an answer about it.")
    plain = written.demand(text, path="answer")
    _write_act(principal, row, role=role, act="answer", text=plain, now=now)
    row.state = Hold.State.OPEN
    row.decided_at = None
    row.save(update_fields=["state", "decided_at"])
    _record(principal, row, decision="answer", role=role, text=plain, now=now)


def asked(principal: Principal) -> tuple[HoldRow, ...]:
    """What counsel asks this reader's member, oldest first."""
    if principal.member_id is None:
        return ()
    rows = docket.waiting(principal).filter(member_id=principal.member_id, state=Hold.State.ASKED)
    page = rows.select_related("circle", "outcome").order_by("decided_at", "id")[:PAGE]
    return tuple(docket.seen(principal, row) for row in page)


def done(principal: Principal, *, since: datetime, now: datetime) -> tuple[Done, ...]:
    """What this person decided since then, newest first, and when it leaves."""
    mine = HoldAct.objects.filter(user_id=openings.person(principal), at__gte=since, act__in=_ACTS)
    rows = list(mine.select_related("hold__outcome", "hold__circle").order_by("-at", "-id")[:PAGE])
    siblings = _grouped([one.hold for one in rows])
    return tuple(
        Done(
            docket.seen(principal, one.hold),
            one.at,
            one.act,
            _departure(principal, one.hold, siblings[one.hold.outcome_id], now=now),
        )
        for one in rows
    )


# --- judging -------------------------------------------------------------------------------------


def _may_judge(principal: Principal, act: str, reason: str) -> str:
    if act not in _ACTS:
        raise Refused("hold.act", "Say release, refuse or ask.")
    text = written.demand(reason)
    if principal.user_id is None or not principal.may("decide-hold"):
        raise Forbidden("Your role may not decide holds.")
    return text


def _judge(
    principal: Principal, rows: Sequence[Hold], *, act: str, text: str, now: datetime
) -> int:
    ended = sum(_act(principal, row, act=act, text=text, now=now) for row in rows)
    transaction.on_commit(lambda: nudge("exchange.tasks.open_windows", queue="render"))
    return ended


def _act(principal: Principal, row: Hold, *, act: str, text: str, now: datetime) -> bool:
    role = docket.role_on(principal, row)
    if role not in row.approvers:
        raise Forbidden("The floor names other approvers for this hold.")
    if _contributed_by(row.outcome.contribution) == principal.user_id:
        raise Refused("approve.own", "Who contributed an object cannot approve its hold.")
    if row.outcome.replaced:
        raise Refused("hold.replaced", "Its contributor has withdrawn it or sent a newer version.")
    if row.state == Hold.State.ASKED and act != "refuse":
        raise Refused("hold.asked", "It waits for the contributor's answer.")
    if act == "release" and role in row.approved:
        raise Refused("approve.twice", "Your approval is recorded; the other one is missing.")
    decision = act
    if act == "release":
        _one_person_one_word(principal, row)
        row.approved = [*row.approved, role]
        decision = act if set(row.approvers) <= set(row.approved) else "approve"
    elif act == "ask":
        openings.demand_of_a_member(row.member_id)
        row.approved = []  # who said yes before the question says so again after the answer
    _write_act(principal, row, role=role, act=act, text=text, now=now)
    if decision != "approve":
        row.state = _ACTS[act]
        row.decided_at = now
    row.save(update_fields=["state", "decided_at", "approved"])
    _record(principal, row, decision=decision, role=role, text=text, now=now)
    return decision != "approve"


def _one_person_one_word(principal: Principal, row: Hold) -> None:
    """Two roles are two people, also where somebody changed roles in between."""
    if not row.approved:
        return
    last = HoldAct.objects.filter(hold=row, act="ask").order_by("-id").values_list("id", flat=True)
    said = HoldAct.objects.filter(hold=row, act="release", user_id=openings.person(principal))
    if said.filter(id__gt=last.first() or 0).exists():
        raise Refused("approve.twice", "Your approval is recorded; the other one is missing.")


def _contributed_by(contribution: Contribution) -> UUID | None:
    """The person who contributed: for a machine, the person who made its credential."""
    if contribution.user_id is not None or contribution.credential is None:
        return contribution.user_id
    return contribution.credential.created_by_id


def _write_act(
    principal: Principal, row: Hold, *, role: str, act: str, text: str, now: datetime
) -> None:
    HoldAct.objects.create(
        hold=row,
        member_id=row.member_id,
        user_id=openings.person(principal),
        role=role,
        act=act,
        sealed=written.of_act(row.id, row.member_id, text),
        at=now,
    )


def _record(
    principal: Principal, row: Hold, *, decision: str, role: str, text: str, now: datetime
) -> None:
    """The contributor's slot; of a question and its answer it holds the digest alone."""
    fields = {
        "hold": str(row.id),
        "decision": decision,
        "class": row.field_class,
        "rule": row.rule,
        "role": role,
    }
    if decision in ("ask", "answer"):
        fields["text_sha256"] = sha256(text.encode()).hexdigest()
    else:
        fields["reason"] = text
    audit = {"hold": str(row.id), "decision": decision, "user": str(principal.user_id)}
    slots = {"to": {}, "from": fields, "audit": audit}
    ledger.record("decision", by=row.member_id, slots=slots, now=now)


def _locked(rows: QuerySet[Hold]) -> QuerySet[Hold]:
    """In one order, so that two batches wait for one another and never in a ring."""
    return (
        rows.select_for_update(no_key=True, of=("self",))
        .select_related("outcome__contribution__credential")
        .order_by("id")
    )


# --- reading -------------------------------------------------------------------------------------


def _open(principal: Principal, row: Hold, *, reason: str, now: datetime) -> Mapping[str, Any]:
    if principal.user_id is None or not principal.may("decide-hold"):
        raise Forbidden("Your role may not open a held object.")
    version_id = row.outcome.version_id
    if row.member_id != principal.member_id:
        look = openings.Look(principal, docket.role_on(principal, row), reason)
        openings.record(look, version_id, row.member_id, about={"hold": str(row.id)}, now=now)
    found = store.originals(row.member_id, [version_id])
    if version_id not in found:
        raise NotFound
    return found[version_id]


def _one(principal: Principal, hold_id: UUID) -> Hold:
    rows = docket.visible(principal).filter(pk=hold_id)
    row = rows.select_related("outcome__version__object", "outcome__contribution", "circle").first()
    if row is None:
        raise NotFound
    return row


def _siblings(row: Hold) -> QuerySet[Hold]:
    return (
        Hold.objects.filter(outcome_id=row.outcome_id)
        .select_related("outcome", "circle")
        .order_by("rule")
    )


def _grouped(rows: Sequence[Hold]) -> Mapping[int, list[Hold]]:
    found: dict[int, list[Hold]] = {}
    for one in Hold.objects.filter(outcome__in=[row.outcome_id for row in rows]):
        found.setdefault(one.outcome_id, []).append(one)
    return found


def _departure(
    principal: Principal, row: Hold, siblings: Sequence[Hold], *, now: datetime
) -> Departure:
    """The contributor's own people are told the moment; the forum's counsel what the floor says.

    A later window would tell it of the contributor's own policy, which is that member's alone.
    """
    if row.member_id == principal.member_id:
        force = audiences.in_force(row.member_id)
        return departures.of(row.outcome, siblings, force, waits={}, now=now)
    force = audiences.floor_alone()
    if row.outcome.replaced:
        return Departure(departures.REPLACED)
    states = frozenset(str(one.state) for one in siblings)
    return departures.of_holds(row.outcome.sensitivity, states, force, now=now)


def _acts(principal: Principal, rows: Sequence[Hold]) -> Mapping[UUID, tuple[Act, ...]]:
    acts: dict[UUID, tuple[Act, ...]] = {}
    for one in HoldAct.objects.filter(hold__in=[row.id for row in rows]).order_by("id"):
        act = Act(one.at, one.role, one.act, written.said(one))
        acts[one.hold_id] = (*acts.get(one.hold_id, ()), act)
    return acts
