"""The archive that a member takes along: its openings, proofs and bundles."""

from io import BytesIO

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods

from exchange import archive
from exchange.web import wire


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
