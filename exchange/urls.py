"""Which door answers which address."""

from django.urls import include, path

from exchange import telemetry
from exchange.api import urls as api_urls

urlpatterns = [
    path("healthz", telemetry.alive, name="alive"),
    path("taxii2/", include("exchange.taxii.urls")),
    path("api/", include("exchange.api.urls")),
    path("", include(api_urls.public_urls)),  # /ledger/ and /.well-known/jwks.json
    path("", include("exchange.web.urls")),
]
