"""What a member lets go under a loosened policy, and what it takes along when it leaves."""

from datetime import UTC, datetime, time, timedelta
from hashlib import sha256
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods

from exchange import again, archive
from exchange.proof import pack
from exchange.proof.refused import Refused
from exchange.web import forms, wire

COMMAND = "weir-verify.pyz"
PACKED = pack.archive("verify")
DIGEST = sha256(PACKED).hexdigest()


@wire.page(may="edit-member-policy", of_member=True)
@require_http_methods(["GET", "POST"])
def let_go(request: HttpRequest) -> HttpResponse:
    """Old objects under a loosened policy: an act of their own, behind a finished preview."""
    principal = wire.asker(request)
    now = timezone.now()
    form = forms.LetGo(request.POST if request.method == "POST" else None)
    if form.is_bound and form.is_valid():
        since = datetime.combine(form.cleaned_data["since"], time(), UTC)
        until = datetime.combine(form.cleaned_data["until"], time(), UTC) + timedelta(days=1)
        try:
            again.order(principal, since=since, until=min(until, now), now=now)
            messages.success(request, "Ordered: they leave in their windows.", extra_tags="good")
            return redirect("web:let-go")
        except Refused as refused:
            form.add_error(None, refused.sentence)
    context = {"form": form, "acts": again.acts(principal)}
    status = 422 if form.is_bound else 200
    return wire.render(request, "web/compliance/let_go.html", context, status=status)


@wire.page(may="read-ledger")
@require_http_methods(["GET", "POST"])
def archives(request: HttpRequest) -> HttpResponse:
    """The signed archives that the person ordered, and the parts of the member's own."""
    principal = wire.asker(request)
    if request.method == "POST":
        slot, first = request.POST.get("slot", ""), request.POST.get("first", "")
        number = int(first) if first.isascii() and first.isdigit() and len(first) < 19 else 0
        archive.order_part(principal, slot, number, now=timezone.now())
        messages.success(request, "Ordered: a worker packs and signs it.", extra_tags="good")
        return redirect("web:archive")
    takes = principal.member_id is not None and principal.may("read-disclosures")
    context = {
        "orders": archive.orders(principal),
        "parts": archive.parts(principal) if takes else (),
        "takes": takes,
        "days": settings.ARCHIVE_DAYS,
        "command": COMMAND,
        "digest": DIGEST,
        "url": settings.WEIR_BASE_URL,
    }
    return wire.render(request, "web/compliance/archive.html", context)


@wire.page(may="read-ledger")
@require_GET
def archive_file(request: HttpRequest, archive_id: UUID) -> HttpResponse:
    """One archive, for who ordered it."""
    order, body = archive.take(wire.asker(request), archive_id, now=timezone.now())
    response = HttpResponse(body, content_type="application/zip")
    response["Content-Disposition"] = f'attachment; filename="{order.name}"'
    response["Cache-Control"] = "no-store"
    return response


@wire.page()
@require_GET
def verifier(request: HttpRequest) -> HttpResponse:
    """The packed verifier; its digest stands on the page."""
    response = HttpResponse(PACKED, content_type="application/zip")
    response["Content-Disposition"] = f'attachment; filename="{COMMAND}"'
    response["Cache-Control"] = "no-store"
    return response
