"""The compliance officer's desk: who sees what of an object, the ledger's entries, the policies."""

import json
from datetime import UTC
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.views.decorators.http import require_GET

from exchange import audit, feedback, ledger, recall
from exchange.web import lens, wire
from members.auth import Principal

SLOTS = (("from", "What you gave"), ("to", "What you received"))


@wire.page(may="read-own-originals")
@require_GET
def own_object(request: HttpRequest, version_id: int) -> HttpResponse:
    """One's own object as each recipient sees it, next to the original."""
    now = timezone.now()
    principal = wire.asker(request)
    view = audit.own_object(principal, version_id, now=now)
    chosen = request.GET.get("as", "0")
    index = int(chosen) if chosen.isdecimal() and int(chosen) < len(view.views) else 0
    seen = view.views[index] if view.views else None
    is_final = seen is not None and seen.released_at is not None
    made = lens.rows(seen.lines, seen.body, is_final=is_final) if seen else ()
    on = parse_datetime(request.GET.get("on", "")) if request.GET.get("on") else None
    at = on.replace(tzinfo=on.tzinfo or UTC) if on is not None else None
    context = {
        "view": view,
        "table": lens.table(view.views),
        "at": at,
        "received": audit.received(wire.asker(request), version_id, at=at) if at else (),
        "seen": seen,
        "index": index,
        "is_final": is_final,
        "tally": lens.tally(made),
        "may_ask": principal.may("ask-questions"),
        "may_offer": "officer" in wire.asker(request).roles,
        "now": now,
        **_taking_back(principal, view),
    }
    return wire.render(request, "web/compliance/own_object.html", context)


def _taking_back(principal: Principal, view: audit.OwnObject) -> dict[str, Any]:
    """Its recall, or the button; who still holds an earlier version; what recipients said."""
    object_id = recall.of_version(principal, view.version_id)
    if object_id is None:
        return {}
    shut_out = {name for one in view.views if one.withheld for name in one.names}
    return {
        "object_id": object_id,
        "recall": recall.of_object(principal, object_id),
        "still": recall.still_holding(principal, view.version_id, shut_out=shut_out),
        "tasks": feedback.tasks(principal, object_id=object_id),
    }


@wire.page(may="read-ledger", of_member=True)
@require_GET
def ledger_list(request: HttpRequest) -> HttpResponse:
    """The member's own ledger entries, newest first."""
    before = request.GET.get("before", "")
    slot = request.GET.get("slot", "from")
    page = audit.entries(
        wire.asker(request), slot=slot, before=int(before) if before.isdecimal() else None
    )
    context = {"page": page, "slot": slot, "slots": SLOTS}
    return wire.render(request, "web/compliance/ledger.html", context)


@wire.page(may="read-ledger")
@require_GET
def opening(request: HttpRequest, index: int) -> HttpResponse:
    """The opening of one's own entry: its slot with the salt, and the other slots' digests."""
    slot = request.GET.get("slot")
    chosen = slot if slot in ("from", "to", "audit") else None
    return _json(ledger.opening(wire.asker(request), index, chosen), f"opening-{index}")


@wire.page(may="read-ledger")
@require_GET
def proof(request: HttpRequest, index: int) -> HttpResponse:
    """The inclusion proof of one's own entry under the newest checkpoint."""
    ledger.opening(wire.asker(request), index)
    response = HttpResponse(ledger.proof(index), content_type="text/plain; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="proof-{index}.tlog-proof"'
    return response


def _json(value: object, name: str) -> HttpResponse:
    # ASCII: a mark that turns the direction of a text stays a visible escape in any editor.
    body = json.dumps(value, indent=2, default=str)
    response = HttpResponse(body, content_type="application/json")
    response["Content-Disposition"] = f'attachment; filename="{name}.json"'
    response["Cache-Control"] = "no-store"
    return response
