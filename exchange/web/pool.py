"""The pool's pages: what it is and holds, that nobody reads it, and one's own extracts in words."""

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from exchange import algorithms
from exchange import pool as rooms
from exchange.web import wire
from indicators.detection import schema


@wire.page(may="read-algorithms")
@require_GET
def pool(request: HttpRequest) -> HttpResponse:
    """What the pool is and what it holds, for whoever has to answer for it."""
    principal, now = wire.asker(request), timezone.now()
    days = rooms.held(principal, now=now)
    context = {
        "pool_is_on": rooms.is_on(),
        "in_force": len(algorithms.in_force(now)),
        "days": days,
        "is_member": principal.member_id is not None,
        "kept_days": schema.DAYS,
    }
    return wire.render(request, "web/pool/pool.html", context)


@wire.page(may="read-own-extracts", of_member=True)
@require_GET
def extracts(request: HttpRequest) -> HttpResponse:
    """What one's own member sent: days, digests and states; refused ones with their reason."""
    context = {
        "pool_is_on": rooms.is_on(),
        "extracts": rooms.my_extracts(wire.asker(request)),
    }
    return wire.render(request, "web/pool/extracts.html", context)


@wire.page(may="read-own-extracts", of_member=True)
@require_POST
def ask(request: HttpRequest, extract_id: UUID) -> HttpResponse:
    """Have one put in words; the wish is in the ledger before anything is opened."""
    made = rooms.ask(wire.asker(request), extract_id, now=timezone.now())
    return redirect("web:pool-extract", view_id=made)


@wire.page(may="read-own-extracts", of_member=True)
@require_GET
def extract(request: HttpRequest, view_id: UUID) -> HttpResponse:
    """One's own extract in words, for who asked and for an hour."""
    shown = rooms.show(wire.asker(request), view_id, now=timezone.now())
    context = {"shown": shown, "words": shown.words, "view_id": view_id}
    is_part = request.headers.get("HX-Request") == "true"
    return wire.render(
        request, "web/pool/words.html" if is_part else "web/pool/extract.html", context
    )
