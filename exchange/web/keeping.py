"""What is kept and what goes: the clocks, legal holds, and people's requests."""

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from exchange import legalholds, persons, retention
from exchange.legalholds import Wanted
from exchange.proof.refused import NotFound
from exchange.web import keeping_forms as forms
from exchange.web import wire


@wire.page(may="read-policy")
@require_GET
def clocks(request: HttpRequest) -> HttpResponse:
    """How long each class of data is kept, and why; numbers for who watches."""
    principal = wire.asker(request)
    context = {
        "lines": retention.lines(principal, now=timezone.now()),
        "is_forum": principal.member_id is None,
        "sees_holds_legal": principal.may("read-legal-holds"),
        "sees_requests": principal.may("ask-for-person") or principal.may("decide-for-person"),
    }
    return wire.render(request, "web/keeping/clocks.html", context)


@wire.page(may="read-legal-holds")
@require_http_methods(["GET", "POST"])
def holds(request: HttpRequest) -> HttpResponse:
    """The legal holds about one's own things; counsel sets one here."""
    principal = wire.asker(request)
    may_set = principal.may("set-legal-hold")
    form = forms.LegalHold(request.POST if request.method == "POST" else None)
    if form.is_bound:
        if not may_set:
            raise NotFound
        if form.is_valid():
            said = form.cleaned_data
            wanted = Wanted(said["kind"], said["about"].strip(), said["since"], said["until"])
            legalholds.place(principal, wanted, reason=said["reason"], now=timezone.now())
            messages.success(request, "It holds from now on.", extra_tags="good")
            return redirect("web:legal-holds")
    context = {
        "rows": legalholds.listed(principal),
        "form": form if may_set else None,
        "is_forum": principal.member_id is None,
    }
    status = 422 if form.is_bound else 200
    return wire.render(request, "web/keeping/holds.html", context, status=status)


@wire.page(may="set-legal-hold")
@require_POST
def lift(request: HttpRequest, hold_id: UUID) -> HttpResponse:
    """Lift a hold, with a reason."""
    reason = request.POST.get("reason", "")
    legalholds.lift(wire.asker(request), hold_id, reason=reason, now=timezone.now())
    messages.success(request, "Lifted. Clocks and erasures go on.", extra_tags="good")
    return redirect("web:legal-holds")


@wire.page()
@require_http_methods(["GET", "POST"])
def requests(request: HttpRequest) -> HttpResponse:
    """People's requests of one's own side; an officer enters one here."""
    principal = wire.asker(request)
    rows = persons.listed(principal)
    may_ask = principal.may("ask-for-person")
    form = forms.PersonRequest(request.POST if request.method == "POST" else None)
    if form.is_bound and form.is_valid():
        said = form.cleaned_data
        made = persons.ask(
            principal,
            kind=said["kind"],
            values=said["values"].splitlines(),
            reason=said["reason"],
            now=timezone.now(),
        )
        return redirect("web:person-request", request_id=made)
    context = {"rows": rows, "form": form if may_ask else None}
    status = 422 if form.is_bound else 200
    return wire.render(request, "web/keeping/requests.html", context, status=status)


@wire.page()
@require_http_methods(["GET", "POST"])
def one_request(request: HttpRequest, request_id: UUID) -> HttpResponse:
    """What was found, who has it, what was done; counsel decides here."""
    principal = wire.asker(request)
    if request.method == "POST":
        persons.decide(
            principal,
            request_id,
            approves=request.POST.get("decision") == "approve",
            reason=request.POST.get("reason", ""),
            now=timezone.now(),
        )
        messages.success(request, "Decided, and recorded.", extra_tags="good")
        return redirect("web:person-request", request_id=request_id)
    context = {"view": persons.view(principal, request_id)}
    return wire.render(request, "web/keeping/request.html", context)
