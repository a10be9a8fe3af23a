"""What a member lets go under a loosened policy, and what it takes along when it leaves."""

from datetime import UTC, datetime, time, timedelta
from io import BytesIO

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods

from exchange import again, archive
from exchange.proof.refused import Refused
from exchange.web import forms, wire


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


@wire.page(may="read-disclosures", of_member=True)
@require_http_methods(["GET", "POST"])
def parts(request: HttpRequest) -> HttpResponse:
    """What the member can take along; a worker seals first what was never pushed."""
    principal = wire.asker(request)
    if request.method == "POST":
        archive.prepare(principal)
        messages.success(request, "A worker seals what was never pushed.", extra_tags="good")
        return redirect("web:archive")
    found = archive.parts(principal)
    context = {"parts": found, "unsealed": sum(one.unsealed for one in found)}
    return wire.render(request, "web/compliance/archive.html", context)


@wire.page(may="read-disclosures", of_member=True)
@require_GET
def part(request: HttpRequest, slot: str, first: int) -> HttpResponse:
    """One part of the archive, as a ZIP file; at most 100 bundles of at most 1 MiB."""
    file = BytesIO()
    archive.write(wire.asker(request), slot, first, file, now=timezone.now())
    response = HttpResponse(file.getvalue(), content_type="application/zip")
    response["Content-Disposition"] = f'attachment; filename="archive-{slot}-{first}.zip"'
    response["Cache-Control"] = "no-store"
    return response
