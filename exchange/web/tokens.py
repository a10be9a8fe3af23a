"""Tokens: what one's own member used of its quota, the command, and the forum's alarms."""

from hashlib import sha256

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_GET

from exchange import tokens
from exchange.proof import oprf, pack
from exchange.web import wire

COMMAND = "weir-tokenise.pyz"
PACKED = pack.archive("tokenise")
DIGEST = sha256(PACKED).hexdigest()


@wire.page()
@require_GET
def use(request: HttpRequest) -> HttpResponse:
    """A member's own use, or the alarms of all where the forum looks."""
    principal = wire.asker(request)
    now = timezone.now()
    if principal.member_id is None:
        raised = tokens.alarms(principal, now=now)
        context = {"alarms": raised, "sees": _sees(raised)}
        return wire.render(request, "web/account/token_alarms.html", context)
    context = {
        "use": tokens.use(principal, now=now),
        "kinds": oprf.NORMALISATIONS.items(),
        "command": COMMAND,
        "digest": DIGEST,
        "url": settings.WEIR_BASE_URL,
    }
    return wire.render(request, "web/account/tokens.html", context)


@wire.page(may="read-token-use", of_member=True)
@require_GET
def command(request: HttpRequest) -> HttpResponse:
    """The packed command; its digest stands on the page."""
    response = HttpResponse(PACKED, content_type="application/zip")
    response["Content-Disposition"] = f'attachment; filename="{COMMAND}"'
    response["Cache-Control"] = "no-store"
    return response


def _sees(raised: tuple[tokens.Alarm, ...]) -> bool:
    """Whether the database showed this reader how much it was."""
    return any(one.used is not None for one in raised)
