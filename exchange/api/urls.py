"""Addresses of the REST API, and those that need no credential."""

from django.urls import URLPattern, URLResolver, path

from exchange.api import ledger, search, tokens, views

urlpatterns: list[URLPattern | URLResolver] = [
    path("contributions/", views.Contributions.as_view(), name="api-contributions"),
    path(
        "contributions/<uuid:contribution_id>/",
        views.Contribution.as_view(),
        name="api-contribution",
    ),
    path("objects/<str:stix_id>/", views.HeldObject.as_view(), name="api-object"),
    path("search/", search.Search.as_view(), name="api-search"),
    path("lookups/", search.Lookups.as_view(), name="api-lookups"),
    path("openapi.yaml", views.description, name="api-description"),
    path("tokens/", tokens.Tokens.as_view(), name="api-tokens"),
]
# The log (members only) and the JWKS stand beside /api/.
public_urls: list[URLPattern | URLResolver] = [*ledger.urlpatterns]
