"""Counsel's desk: the queue by class and reason, the recorded opening, the written decision."""

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from exchange import review
from exchange.web import forms, wire

_DONE = {"release": "Released", "refuse": "Refused", "ask": "Asked back"}


@wire.page(may="read-holds")
@require_http_methods(["GET", "POST"])
def holds(request: HttpRequest) -> HttpResponse:
    """The queue; a decision on one or several holds, with one written reason."""
    principal = wire.asker(request)
    queue = review.queue(principal)
    reason = request.GET.get("reason", "")
    shown = [row for row in queue if not reason or row.field_class == reason]
    form = forms.offering(
        forms.Decision(request.POST if request.method == "POST" else None),
        hold=tuple((str(row.id), "") for row in queue if row.may_act),
    )
    if request.method == "POST" and form.is_valid():
        chosen = [UUID(one) for one in form.cleaned_data["hold"]]
        act = form.cleaned_data["act"]
        review.act(
            principal,
            chosen,
            act=act,
            reason=form.cleaned_data["reason"],
            now=timezone.now(),
        )
        count = "1 hold" if len(chosen) == 1 else f"{len(chosen)} holds"
        messages.success(request, f"{_DONE[act]}: {count}.", extra_tags="good")
        return redirect("web:holds")
    context = {
        "rows": shown[:100],
        "more": len(shown) - 100,
        "classes": sorted({(row.field_class, row.reason) for row in queue}),
        "reason": reason,
        "form": form,
        "marked": set(request.POST.getlist("hold")),
        "is_forum": principal.member_id is None,
        "acts": forms.ACTS,
    }
    status = 422 if form.is_bound else 200
    return wire.render(request, "web/counsel/holds.html", context, status=status)


@wire.page(may="read-holds")
@require_http_methods(["GET", "POST"])
def hold(request: HttpRequest, hold_id: UUID) -> HttpResponse:
    """One hold; its object only after a recorded opening with a written reason."""
    principal = wire.asker(request)
    row = review.hold(principal, hold_id)
    form = forms.Reason(request.POST if request.method == "POST" else None)
    original = None
    if form.is_bound and form.is_valid():
        original = review.open_original(
            principal, hold_id, reason=form.cleaned_data["reason"], now=timezone.now()
        )
    context = {
        "row": row,
        "form": form,
        "original": original,
        "acts": forms.ACTS,
    }
    status = 422 if form.is_bound and not form.is_valid() else 200
    return wire.render(request, "web/counsel/hold.html", context, status=status)
