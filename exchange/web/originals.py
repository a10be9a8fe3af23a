"""Originals that both officers open together: who asked, who consented, and the look itself."""

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from exchange import openings
from exchange.web import forms, wire


@wire.page(may="read-disclosures")
@require_http_methods(["GET", "POST"])
def originals(request: HttpRequest) -> HttpResponse:
    """The wishes that concern this officer; the forum's officer writes a new one here."""
    principal = wire.asker(request)
    now = timezone.now()
    form = forms.Wish(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        done = form.cleaned_data
        made = openings.ask(principal, done["stix_id"], reason=done["reason"], now=now)
        messages.success(request, "Asked: the contributor's officer is told.", extra_tags="good")
        return redirect("web:original", request_id=made)
    context = {
        "requests": openings.requests(principal, now=now),
        "form": form,
        "may_ask": openings.FORUM_OFFICER in principal.roles,
        "now": now,
    }
    status = 422 if form.is_bound else 200
    return wire.render(request, "web/originals/originals.html", context, status=status)


@wire.page(may="read-disclosures", of_member=True)
@require_POST
def offer(request: HttpRequest, version_id: int) -> HttpResponse:
    """The contributor's own officer asks the forum's officer to read one of its originals."""
    made = openings.offer(
        wire.asker(request),
        version_id,
        reason=request.POST.get("reason", ""),
        now=timezone.now(),
    )
    messages.success(request, "Asked: the forum's officer is told.", extra_tags="good")
    return redirect("web:original", request_id=made)


@wire.page(may="read-disclosures")
@require_http_methods(["GET", "POST"])
def original(request: HttpRequest, request_id: UUID) -> HttpResponse:
    """One wish: the words of both, the other's answer, and within its day the original."""
    principal = wire.asker(request)
    now = timezone.now()
    act = request.POST.get("act", "") if request.method == "POST" else ""
    form = forms.Reason(request.POST if act else None)
    shown = None
    if act and form.is_valid():
        reason = form.cleaned_data["reason"]
        if act in ("consent", "decline"):
            openings.answer(principal, request_id, is_yes=act == "consent", reason=reason, now=now)
            messages.success(request, "Your word is recorded.", extra_tags="good")
            return redirect("web:original", request_id=request_id)
        shown = openings.open_together(principal, request_id, reason=reason, now=now)
    context = {
        "one": openings.request(principal, request_id, now=now),
        "form": form,
        "original": shown,
        "now": now,
    }
    status = 422 if form.is_bound and not form.is_valid() else 200
    return wire.render(request, "web/originals/original.html", context, status=status)
