"""The statistics lane's one page: rounded figures, and hatched cells where there are none."""

import re

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_GET

from exchange import statistics as lane
from exchange.policy.statistics import SIGMAS, SIMULATED
from exchange.web import wire

_PERIOD = re.compile(r"\d{4}-Q[1-4]")


@wire.page(may="read-policy")
@require_GET
def statistics(request: HttpRequest) -> HttpResponse:
    """The same tables for everybody; no filter, only the way to earlier quarters."""
    before = request.GET.get("before", "")
    context = {
        "lane": lane.lane(
            wire.asker(request),
            before=before if _PERIOD.fullmatch(before) else "",
            now=timezone.now(),
        ),
        "sigmas": SIGMAS,
        "simulated": tuple(SIMULATED.items()),
    }
    return wire.render(request, "web/compliance/statistics.html", context)
