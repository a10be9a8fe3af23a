"""The operator's desk: whether everything runs; numbers of work waiting, and no content."""

from datetime import datetime, timedelta

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_GET

from exchange import audit, tokens
from exchange.web import wire

LATE = timedelta(seconds=60)


@wire.page(may="operate")
@require_GET
def health(request: HttpRequest) -> HttpResponse:
    """Queues, the ledger's head, deliveries by state, exempt endpoints."""
    now = timezone.now()
    principal = wire.asker(request)
    health = audit.health(principal)
    context = {
        "health": health,
        "processes": _processes(health, now=now),
        "exempt": sorted(settings.OUTBOUND_EXEMPT),
        "token_alarms": tokens.alarms(principal, now=now),
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


def _said(is_bad: bool, bad: str, good: str) -> tuple[str, str]:  # noqa: FBT001 - a switch of words
    return ("refused", bad) if is_bad else ("live", good)
