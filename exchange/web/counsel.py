"""Counsel's desk: the queue by class and reason, the recorded opening, the written decision."""

from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from exchange import docket, review
from exchange.lens import AudienceView
from exchange.web import forms, lens, wire

_DONE = {"release": "Approved", "refuse": "Refused", "ask": "Asked back"}
# What of the queue an address chooses: the name in the address, and in the choice.
_PARTS = (
    ("state", "state"),
    ("class", "field_class"),
    ("reason", "reason"),
    ("type", "stix_type"),
)
_TITLES = {"state": "State", "class": "Class", "reason": "Reason", "type": "Type"}


@wire.page(may="read-holds")
@require_http_methods(["GET", "POST"])
def holds(request: HttpRequest) -> HttpResponse:
    """The queue; a decision on one or several holds, with one written reason."""
    principal = wire.asker(request)
    chosen = _chosen(request)
    queue = docket.queue(principal, chosen, after=_uuid(request.GET.get("after", "")))
    form = forms.Decision(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        return _decide(request, form)
    context = {
        "queue": queue,
        "chosen": chosen,
        "filters": [_filter(request, queue, name, part) for name, part in _PARTS],
        "query": _query(request),
        "form": form,
        "marked": set(request.POST.getlist("hold")),
        "is_forum": principal.member_id is None,
        "may_decide": principal.may("decide-hold"),
        "acts": forms.ACTS,
        "now": timezone.now(),
    }
    return wire.render(
        request, "web/counsel/holds.html", context, status=422 if form.is_bound else 200
    )


@wire.page(may="decide-hold")
@require_http_methods(["GET", "POST"])
def batch(request: HttpRequest) -> HttpResponse:
    """All of one reason at once: confirmed by their number, with one written reason."""
    principal = wire.asker(request)
    chosen = _chosen(request)
    form = forms.Batch(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        done = form.cleaned_data
        review.act_on_all(
            principal,
            chosen,
            expected=done["count"],
            act=done["act"],
            reason=done["reason"],
            now=timezone.now(),
        )
        _say(request, done["act"], done["count"])
        return redirect("web:holds")
    queue = docket.queue(principal, chosen, limit=5)
    context = {
        "queue": queue,
        "chosen": chosen,
        "count": min(queue.mine, review.MOST),
        "most": review.MOST,
        "form": form,
        "acts": forms.ACTS,
        "query": _query(request),
        "now": timezone.now(),
    }
    return wire.render(
        request, "web/counsel/batch.html", context, status=422 if form.is_bound else 200
    )


@wire.page(may="read-holds")
@require_http_methods(["GET", "POST"])
def hold(request: HttpRequest, hold_id: UUID) -> HttpResponse:
    """One hold; its object only after a recorded opening with a written reason."""
    principal = wire.asker(request)
    now = timezone.now()
    view = review.hold(principal, hold_id, now=now)
    is_own = view.row.contributor_is_mine
    form = forms.Reason(request.POST if request.method == "POST" and not is_own else None)
    opened = None
    if request.method == "POST" and (is_own or form.is_valid()):
        reason = "" if is_own else form.cleaned_data["reason"]
        opened = review.opened(principal, hold_id, reason=reason, now=now)
    shown = _leaving(opened)
    made = lens.rows(shown.lines, shown.body, is_final=False) if shown else ()
    context = {
        "view": view,
        "row": view.row,
        "form": form,
        "opened": opened,
        "tally": lens.tally(made),
        "something_leaves": shown is not None,
        "acts": forms.ACTS if view.row.state == "open" else forms.ACTS[1:2],
        "may_open": principal.may("decide-hold"),
        "now": now,
    }
    status = 422 if form.is_bound and not form.is_valid() else 200
    return wire.render(request, "web/counsel/hold.html", context, status=status)


@wire.page(may="read-holds")
@require_POST
def answer(request: HttpRequest, hold_id: UUID) -> HttpResponse:
    """What the contributor writes to counsel's question."""
    review.answer(
        wire.asker(request), hold_id, text=request.POST.get("answer", ""), now=timezone.now()
    )
    messages.success(request, "Answered: counsel has it again.", extra_tags="good")
    return redirect("web:hold", hold_id=hold_id)


def _leaving(opened: review.Opened | None) -> AudienceView | None:
    """What the first of those would get who would get anything."""
    views = opened.views if opened is not None else ()
    return next((view for view in views if view.body is not None), None)


def _decide(request: HttpRequest, form: forms.Decision) -> HttpResponse:
    chosen = form.cleaned_data["hold"]
    act = form.cleaned_data["act"]
    review.act(
        wire.asker(request),
        chosen,
        act=act,
        reason=form.cleaned_data["reason"],
        now=timezone.now(),
    )
    _say(request, act, len(chosen))
    query = _query(request)
    return redirect(f"{reverse('web:holds')}?{query}" if query else "web:holds")


def _say(request: HttpRequest, act: str, count: int) -> None:
    many = "1 hold" if count == 1 else f"{count} holds"
    messages.success(request, f"{_DONE[act]}: {many}.", extra_tags="good")


def _chosen(request: HttpRequest) -> docket.Chosen:
    return docket.Chosen(**{part: request.GET.get(name, "") for name, part in _PARTS})


def _query(request: HttpRequest, **changed: str) -> str:
    """The address of a part of the queue: what is chosen now, with what changes."""
    values = {name: request.GET.get(name, "") for name, _ in _PARTS} | changed
    return urlencode({name: value for name, value in values.items() if value})


def _filter(
    request: HttpRequest, queue: docket.Queue, name: str, part: str
) -> tuple[str, list[tuple[docket.Facet, str]]]:
    facets = queue.facets.get(part, ())
    links = [
        (one, _query(request, **{name: "" if one.is_chosen and name != "state" else one.value}))
        for one in facets
    ]
    return _TITLES[name], links


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text) if text else None
    except ValueError:
        return None
