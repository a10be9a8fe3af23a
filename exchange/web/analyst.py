"""The analyst's reading: campaigns and objects as the member holds them."""

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_GET

from exchange import feedback, inbox, reminders, search
from exchange.web import wire
from exchange.web.found import of_campaign
from exchange.web.recalls import circles_of


@wire.page(may="read-holding")
@require_GET
def campaigns(request: HttpRequest) -> HttpResponse:
    """The campaigns that the member holds, newest first."""
    now = timezone.now()
    context = {"campaigns": inbox.campaigns(wire.asker(request), now=now), "now": now}
    return wire.render(request, "web/analyst/campaigns.html", context)


@wire.page(may="read-holding")
@require_GET
def campaign(request: HttpRequest, stix_id: str) -> HttpResponse:
    """One campaign with what indicates and uses it, out of the member's holding."""
    principal, now = wire.asker(request), timezone.now()
    context = {
        "view": inbox.campaign(principal, stix_id, now=now),
        "found": of_campaign(principal, stix_id, now=now),
        "now": now,
    }
    return wire.render(request, "web/analyst/campaign.html", context)


@wire.page(may="read-holding")
@require_GET
def campaign_bundle(request: HttpRequest, stix_id: str) -> HttpResponse:
    """The same as a STIX bundle: the renditions' exact bytes, in one file."""
    export = inbox.export(wire.asker(request), stix_id, now=timezone.now())
    response = HttpResponse(export.body, content_type="application/stix+json;version=2.1")
    response["Content-Disposition"] = f'attachment; filename="{export.name}.json"'
    response["Cache-Control"] = "no-store"
    return response


@wire.page(may="read-holding")
@require_GET
def held_object(request: HttpRequest, stix_id: str) -> HttpResponse:
    """One object as the member holds it."""
    now = timezone.now()
    principal = wire.asker(request)
    view = inbox.held(principal, stix_id, now=now)
    context = {
        "view": view,
        "shares": search.shares(principal, stix_id, view.body, now=now),
        "now": now,
        "says": circles_of(request, stix_id),
        "answers": [one for one in feedback.answers(principal) if one.stix_id == stix_id],
        "recalled": [one for one in reminders.told(principal, most=200) if one.stix_id == stix_id],
    }
    return wire.render(request, "web/analyst/object.html", context)
