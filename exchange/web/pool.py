"""The pool's pages: what it is, what it holds by days and digests, and that nobody can read it."""

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_GET

from exchange import algorithms
from exchange.web import wire


@wire.page(may="read-algorithms")
@require_GET
def pool(request: HttpRequest) -> HttpResponse:
    """What the pool is and what it holds, for whoever has to answer for it."""
    context = {
        "pool_is_on": algorithms.is_on(),
        "in_force": algorithms.in_force(timezone.now()),
    }
    return wire.render(request, "web/pool/pool.html", context)
