"""Addresses of the REST API, and those that need no credential."""

from django.urls import URLPattern, URLResolver

from exchange.api import ledger

urlpatterns: list[URLPattern | URLResolver] = []
# The log (members only) and the JWKS stand beside /api/.
public_urls: list[URLPattern | URLResolver] = [*ledger.urlpatterns]
