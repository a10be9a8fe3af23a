"""Which door answers which address."""

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import include, path
from django.views import defaults

from exchange import telemetry
from exchange.api import urls as api_urls
from exchange.taxii import views as taxii

urlpatterns = [
    path("healthz", telemetry.alive, name="alive"),
    path("taxii2", taxii.Discovery.as_view(), name="taxii-discovery-bare"),
    path("taxii2/", include("exchange.taxii.urls")),
    path("api/", include("exchange.api.urls")),
    path("", include(api_urls.public_urls)),  # /ledger/ and /.well-known/jwks.json
    path("", include("exchange.web.urls")),
]


def handler400(request: HttpRequest, exception: Exception) -> HttpResponse:
    """What is refused before a door is reached: over TAXII every error has its media type."""
    return taxii.malformed() if _is_taxii(request) else defaults.bad_request(request, exception)


def handler500(request: HttpRequest) -> HttpResponseBase:
    """What fails outside of a door."""
    return taxii.failed() if _is_taxii(request) else defaults.server_error(request)


def _is_taxii(request: HttpRequest) -> bool:
    return request.path_info.startswith("/taxii2")
