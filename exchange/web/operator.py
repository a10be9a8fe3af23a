"""The operator's desk: whether everything runs; numbers of work waiting, and no content."""

from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods

from exchange import algorithms, audit, ledger, membership, pool, runs, tokens
from exchange.proof.refused import Refused
from exchange.questions import stated
from exchange.web import forms, wire
from members.auth import Principal

SHOWN_RUNS = 5
LATE = timedelta(seconds=60)
FORUM_ACTS = {
    "suspend": membership.suspend,
    "activate": membership.activate,
    "leave": membership.leave,
}
CIRCLE_ACTS = {"join": membership.join_circle, "leave-circle": membership.leave_circle}
_LEAVE = ("leave", "It leaves the forum, for good")
MEMBER_ACTS = {
    "active": (
        ("join", "It joins a circle"),
        ("leave-circle", "It leaves a circle"),
        ("suspend", "Suspend it"),
        _LEAVE,
    ),
    "suspended": (("activate", "End its suspension"), _LEAVE),
    "left": (),
}


@wire.page(may="operate")
@require_GET
def health(request: HttpRequest) -> HttpResponse:
    """Queues, the ledger's head, deliveries by state, exempt endpoints."""
    now = timezone.now()
    principal = wire.asker(request)
    health = audit.health(principal)
    context = {
        "health": health,
        "processes": (*_processes(health, now=now), _witnesses(now=now)),
        "exempt": sorted(settings.OUTBOUND_EXEMPT),
        "token_alarms": tokens.alarms(principal, now=now),
        "pool_is_on": pool.is_on(),
        "suspended": algorithms.suspended(principal),
        "runs": runs.newest(principal)[:SHOWN_RUNS],
        "pool_alarms": runs.alarms(principal),
    }
    return wire.render(request, "web/operator/health.html", context)


def _processes(health: audit.Health, *, now: datetime) -> tuple[tuple[str, str, str], ...]:
    """Each process by the work that it would leave lying if it stood still."""
    oldest = health.oldest_intake
    is_behind = oldest is not None and now - oldest > LATE
    published = health.published_at
    is_silent = health.unsequenced > 0 and (published is None or now - published > LATE)
    is_unsigned = health.published_size < health.ledger_size
    return (
        ("Web", "live", "answers: you read this"),
        ("Worker", *_said(is_behind, "has left contributions waiting", "takes in what comes")),
        (
            "Sequencer",
            *_said(
                is_silent or is_unsigned, "is behind: releases wait", "publishes what was entered"
            ),
        ),
    )


def _witnesses(*, now: datetime) -> tuple[str, str, str]:
    """How far the members' witnesses have come; below quorum for an hour is an alarm."""
    found = ledger.witnessed(now=now)
    if not found.active:
        return ("Witnesses", "live", "none yet: no member cosigns")
    count = f"{found.active} active, {found.quorum} must cosign"
    bad = f"{count}: fewer have for an hour"
    return ("Witnesses", *_said(found.is_late, bad, f"{count}: {found.size} entries cosigned"))


def _said(is_bad: bool, bad: str, good: str) -> tuple[str, str]:  # noqa: FBT001 - a switch of words
    return ("refused", bad) if is_bad else ("live", good)


@wire.page(may="manage-members")
@require_GET
def members(request: HttpRequest) -> HttpResponse:
    """Who takes part, in which circles; no content."""
    context = {"rows": membership.members(wire.asker(request))}
    return wire.render(request, "web/operator/members.html", context)


@wire.page(may="manage-members")
@require_http_methods(["GET", "POST"])
def member(request: HttpRequest, member_id: UUID) -> HttpResponse:
    """One member, and what the operator can do: each act with a reason and a confirmation."""
    principal = wire.asker(request)
    row = membership.member(principal, member_id)
    circles = tuple((str(one.id), one.name) for one in audit.circles(principal))
    form = forms.offering(
        forms.Membership(request.POST if request.method == "POST" else None),
        act=MEMBER_ACTS[row.state],
        circle=(("", "None"), *circles),
    )
    if form.is_bound and form.is_valid():
        try:
            _do(principal, row.id, form, now=timezone.now())
            messages.success(request, f"Done, and recorded for {row.name}.", extra_tags="good")
            return redirect("web:member", member_id=row.id)
        except Refused as refused:
            form.add_error(None, refused.sentence)
    context = {
        "row": row,
        "form": form if row.state != "left" else None,
        "is_public_body": stated.is_public_body(row.id),
    }
    status = 422 if form.is_bound else 200
    return wire.render(request, "web/operator/member.html", context, status=status)


def _do(principal: Principal, member_id: UUID, form: forms.Membership, *, now: datetime) -> None:
    act, reason = form.cleaned_data["act"], form.cleaned_data["reason"]
    if act in CIRCLE_ACTS:
        if not form.cleaned_data["circle"]:
            raise Refused("circle.missing", "Say which circle.", "circle")
        circle_id = UUID(form.cleaned_data["circle"])
        CIRCLE_ACTS[act](principal, member_id, circle_id, reason=reason, now=now)
        return
    FORUM_ACTS[act](principal, member_id, reason=reason, now=now)
