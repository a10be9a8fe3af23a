"""The REST API: contribute, follow what becomes of it, read one object that is held."""

from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import HttpResponse, JsonResponse
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from exchange import access, contribute
from exchange.api import wire
from exchange.proof.refused import NotFound, Refused
from members.auth import CredentialAuthentication, SessionAuthentication, asking


class ApiView(APIView):
    """One endpoint: who asks, and refusals as JSON."""

    authentication_classes = (CredentialAuthentication, SessionAuthentication)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - DRF's
        """Nobody is served without credentials."""
        super().initial(request, *args, **kwargs)
        asking(request)

    def handle_exception(self, exc: Exception) -> Response | JsonResponse:  # type: ignore[override] # ready made
        """Refusals are turned into JSON here and nowhere else."""
        if isinstance(exc, Refused):
            body, status = wire.refusal(exc)
            return JsonResponse(body, status=status)
        return super().handle_exception(exc)


class Contributions(ApiView):
    """Contribute a body: a bundle, an envelope, a list or one object."""

    def post(self, request: Request) -> JsonResponse:
        """202 with the status; `circle` names the circle, `basis` a default threat basis."""
        length = request.META.get("CONTENT_LENGTH") or "0"
        if length.isdigit() and int(length) > settings.MAX_CONTENT_LENGTH:
            raise Refused("body.size", "The body is larger than a contribution may be.")
        made = contribute.submit(
            asking(request),
            request._request.body,
            circle_id=_uuid(request.GET.get("circle", "")),
            source="api",
            default_basis=tuple(request.GET.getlist("basis")) or asking(request).default_basis,
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
        return HttpResponse(found.body, content_type="application/stix+json;version=2.1")


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise NotFound from None
