"""The start page by role: what is new, what needs me, what left, how the machine is."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_GET

from exchange import (
    algorithms,
    audit,
    docket,
    feedback,
    inbox,
    openings,
    policies,
    reminders,
    review,
    tokens,
)
from exchange.questions import as_of, report
from exchange.web import operator, wire
from members.auth import Principal

NEW = timedelta(days=1)
SHOWN = 12


@wire.page()
@require_GET
def home(request: HttpRequest) -> HttpResponse:
    """What there is to do, first."""
    principal = wire.asker(request)
    if "operator" in principal.roles:
        return operator.health(request)
    if principal.member_id is None:
        return _forum(request, principal)
    if principal.may("contribute"):
        return _analyst(request, principal)
    return _compliance(request, principal)


def _analyst(request: HttpRequest, principal: Principal) -> HttpResponse:
    now = timezone.now()
    context = {
        "policies": audit.policies(now=now),
        "news": inbox.news(principal, since=now - NEW, now=now),
        "needs": audit.needs(principal),
        "asked": review.asked(principal),
        "waiting": audit.waiting(principal, now=now),
        "given": audit.contributions(principal).rows[:5],
        **_taken_back(principal, now=now),
        "now": now,
    }
    return wire.render(request, "web/analyst/home.html", context)


def _compliance(request: HttpRequest, principal: Principal) -> HttpResponse:
    now = timezone.now()
    is_counsel = principal.may("decide-hold")
    context = {
        "policies": audit.policies(now=now),
        "queue": docket.queue(principal, limit=SHOWN),
        "outflow": audit.outflow(principal, since=now - NEW),
        "reads": audit.reads(principal)[:SHOWN],
        "waiting": audit.waiting(principal, now=now),
        "asked": review.asked(principal) if is_counsel else (),
        "done": _today(principal, now=now) if is_counsel else (),
        "requests": openings.tasks(principal, now=now),
        "is_counsel": is_counsel,
        "token_alarms": tokens.raised_today(principal, now=now),
        "algorithms_wait": algorithms.waiting(principal),
        **_taken_back(principal, now=now),
        **_workspace(principal, now=now),
        "now": now,
    }
    return wire.render(request, "web/compliance/home.html", context)


def _forum(request: HttpRequest, principal: Principal) -> HttpResponse:
    now = timezone.now()
    is_counsel = "forum-counsel" in principal.roles
    context = {
        "policies": audit.policies(now=now),
        "queue": docket.queue(principal, limit=SHOWN) if is_counsel else None,
        "done": _today(principal, now=now) if is_counsel else (),
        "is_officer": openings.FORUM_OFFICER in principal.roles,
        "requests": openings.tasks(principal, now=now),
        "is_counsel": is_counsel,
        "tasks": feedback.tasks(principal),
        "overdue": reminders.overdue(principal, now=now)[:SHOWN],
        "circles": audit.circles(principal),
        "alarms": as_of.alarms(principal),
        "token_alarms": tokens.raised_today(principal, now=now),
        "algorithms_wait": algorithms.waiting(principal),
        "now": now,
    }
    return wire.render(request, "web/counsel/home.html", context)


def _workspace(principal: Principal, *, now: datetime) -> dict[str, Any]:
    """Alarms of looking back, what waits for approval, and the month that can be reported."""
    if not principal.may("ask-questions"):
        return {}
    submitted = [one for one in policies.drafts(principal) if one.state == "submitted"]
    months = report.months(principal, now=now)
    return {
        "alarms": as_of.alarms(principal),
        "drafts": len(submitted),
        "last_month": months[0] if months else None,
    }


def _today(principal: Principal, *, now: datetime) -> tuple[review.Done, ...]:
    """What this person decided since midnight UTC, and when it leaves."""
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return review.done(principal, since=midnight, now=now)


def _taken_back(principal: Principal, *, now: datetime) -> dict[str, Any]:
    """What recipients said of one's own objects, what others took back, and who is overdue."""
    return {
        "tasks": feedback.tasks(principal),
        "recalled": reminders.told(principal),
        "overdue": reminders.overdue(principal, now=now)[:SHOWN],
    }
