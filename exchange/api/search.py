"""Search over REST: in what the member holds, by query and by list."""

from django.http import HttpResponse, JsonResponse
from django.utils import timezone
from rest_framework.request import Request

from exchange import search
from exchange.api import wire
from exchange.api.views import ApiView, body_of
from members.auth import asking


class Search(ApiView):
    """One page of hits."""

    def get(self, request: Request) -> HttpResponse:
        """The exact bytes of what is held and fits the query."""
        who, (wanted, is_counted) = asking(request), wire.search_query(request.GET)
        found = search.find(who, wanted, via="api", now=timezone.now())
        counted = search.facets(who, wanted) if is_counted else None
        body = wire.search_page(found, counted)
        return _fresh(HttpResponse(body, content_type="application/json"))


class Lookups(ApiView):
    """A list of values against the holding."""

    def post(self, request: Request) -> HttpResponse:
        """An answer for each value, in the order of the list."""
        values = wire.lookup_question(body_of(request, most=wire.MOST_LOOKUP_OCTETS))
        found = search.look_up(asking(request), values, via="api", now=timezone.now())
        return _fresh(JsonResponse(wire.lookup_answer(found)))


def _fresh(response: HttpResponse) -> HttpResponse:
    response["Cache-Control"] = "private, no-store"
    return response
