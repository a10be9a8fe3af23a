"""The REST API: contribute, follow what becomes of it, read one object that is held."""

from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.http import HttpRequest, HttpResponse, JsonResponse, UnreadablePostError
from django.utils import timezone
from django.views.decorators.http import require_safe
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from exchange import access, contribute
from exchange.api import wire
from exchange.api.ledger import AsItIs
from exchange.proof.refused import Refused
from members.auth import CredentialAuthentication, SessionAuthentication, asking

_DESCRIPTION = Path(__file__).with_name("openapi.yaml").read_bytes()


@require_safe
def description(request: HttpRequest) -> HttpResponse:
    """What the doors for machines take and answer (OpenAPI), for anyone."""
    response = HttpResponse(_DESCRIPTION, content_type="application/yaml")
    response["Cache-Control"] = "public, max-age=3600"
    return response


def nowhere(request: HttpRequest) -> JsonResponse:
    """Whatever else is asked for below /api/: the same for everybody, as a machine reads it."""
    return JsonResponse(wire.failure(404), status=404)


class ApiView(APIView):
    """One endpoint: who asks, and refusals as JSON."""

    authentication_classes = (CredentialAuthentication, SessionAuthentication)
    # An object is served in STIX's own media type, which no renderer of the framework makes.
    content_negotiation_class = AsItIs
    http_method_names = ["get", "head", "post"]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - DRF's
        """Nobody is served without credentials."""
        super().initial(request, *args, **kwargs)
        asking(request)

    def handle_exception(self, exc: Exception) -> Response | JsonResponse:  # type: ignore[override] # ready made
        """Refusals are turned into JSON here and nowhere else."""
        if isinstance(exc, Refused):
            body, status = wire.refusal(exc)
            return JsonResponse(body, status=status)
        if isinstance(exc, RequestDataTooBig):
            return self.handle_exception(wire.too_large())
        if isinstance(exc, SuspiciousOperation):  # more parameters than anyone needs
            return self.handle_exception(Refused("query.malformed", "The request is malformed."))
        response = super().handle_exception(exc)
        response.data = wire.failure(response.status_code)
        return response


class Contributions(ApiView):
    """Contribute a body: a bundle, an envelope, a list or one object."""

    def post(self, request: Request) -> JsonResponse:
        """202 with the status; `circle` names the circle, `basis` a default threat basis."""
        circle_id = wire.circle_of(request.GET)
        basis = wire.basis_of(request.GET) or asking(request).default_basis
        made = contribute.submit(
            asking(request),
            body_of(request, most=settings.MAX_CONTENT_LENGTH),
            circle_id=circle_id,
            source="api",
            default_basis=basis,
            attributed=wire.attribution_of(request.GET),
            now=timezone.now(),
        )
        found = contribute.status(asking(request), made)
        return JsonResponse(wire.status(found), status=202)


class Contribution(ApiView):
    """What became of one contribution."""

    def get(self, request: Request, contribution_id: UUID) -> JsonResponse:
        """The status, object by object."""
        return JsonResponse(wire.status(contribute.status(asking(request), contribution_id)))


class HeldObject(ApiView):
    """One object that the member holds."""

    def get(self, request: Request, stix_id: str) -> HttpResponse:
        """The newest rendition: its exact bytes."""
        found = access.newest(asking(request), stix_id, now=timezone.now())
        return wire.exact(found.body)


def body_of(request: Request, *, most: int) -> bytes:
    """The body, its size judged before it is read; it has to say how long it is."""
    length = request.META.get("CONTENT_LENGTH") or ""
    if not length.isdigit():
        raise Refused("body.length", "Say the length of the body; chunks are taken over TAXII.")
    if int(length) > most:
        raise wire.too_large()
    try:
        body = request._request.body
    except UnreadablePostError:
        body = b""
    if len(body) < int(length):
        raise Refused("body.cut", "The body ended before its announced length.")
    return body
