"""The wheel of weir-extract, for a member's own network."""

from hashlib import sha256

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_GET

from exchange.web import wire
from indicators.extract import wheel

PACKED = wheel.archive()
DIGEST = sha256(PACKED).hexdigest()


@wire.page(may="read-own-extracts", of_member=True)
@require_GET
def packed(request: HttpRequest) -> HttpResponse:
    """The wheel; its digest stands in the help."""
    response = HttpResponse(PACKED, content_type="application/zip")
    response["Content-Disposition"] = f'attachment; filename="{wheel.NAME}"'
    response["Cache-Control"] = "no-store"
    return response
