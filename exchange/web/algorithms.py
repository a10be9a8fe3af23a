"""The algorithms' desk: written and tried, approved by a second person, reviewed, put in force."""

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from exchange import algorithms
from exchange.algorithms import Tried
from exchange.proof.refused import NotFound
from exchange.web import algorithm_forms as forms
from exchange.web import wire
from indicators.detection import document
from members.auth import Principal

_DONE = {
    "discard": "Put aside.",
    "approve": "Approved. The forum's counsel has it next.",
    "send-back": "Sent back to its author.",
    "review": "Reviewed. It may be tried on the pool, and put in force.",
    "dry-run": "Asked. The next run answers in three buckets.",
    "activate": "In force from now on.",
    "lift": "Lifted: it runs again.",
    "withdraw": "Withdrawn: it finds nothing more.",
}
_REASONED: dict[str, Callable[..., None]] = {
    "send-back": algorithms.send_back,
    "lift": algorithms.lift,
    "withdraw": algorithms.withdraw,
}


@wire.page(may="read-algorithms")
@require_GET
def listing(request: HttpRequest) -> HttpResponse:
    """What waits for the reader, what its member wrote, and what is in force for everybody."""
    principal, now = wire.asker(request), timezone.now()
    context = {
        "queue": algorithms.queue(principal),
        "has_queue": _has_queue(principal),
        "own": algorithms.own(principal),
        "in_force": algorithms.in_force(now),
        "may_write": principal.may("write-algorithm"),
        "is_member": principal.member_id is not None,
        "pool_is_on": algorithms.is_on(),
        "now": now,
    }
    return wire.render(request, "web/algorithms/list.html", context)


@wire.page(may="read-algorithms")
@require_GET
def algorithm(request: HttpRequest, algorithm_id: UUID) -> HttpResponse:
    """One algorithm: for its side all of it, for the others what is told of one in force."""
    return _one(request, algorithm_id)


@wire.page(may="write-algorithm")
@require_http_methods(["GET", "POST"])
def write(request: HttpRequest, algorithm_id: UUID | None = None) -> HttpResponse:
    """Write a document: try it on the shipped world, see each fault at its line, keep it."""
    principal, now = wire.asker(request), timezone.now()
    given = request.POST if request.method == "POST" else None
    form = forms.Document(given, initial=_initial(principal, algorithm_id))
    if given is None or not form.is_valid():
        return _writing(request, form, algorithm_id, status=422 if given is not None else 200)
    text = form.cleaned_data["text"]
    if given.get("step") == "try":
        tried = algorithms.try_out(principal, text, now=now)
        return _writing(request, form, algorithm_id, tried=tried)
    faults = algorithms.faults_of(text, now=now)
    if faults:
        tried = Tried(faults=faults)
        return _writing(request, form, algorithm_id, tried=tried, status=422)
    kept = algorithms.write(principal, text, algorithm_id=algorithm_id, now=now)
    messages.success(request, "Kept as a draft.", extra_tags="good")
    return redirect("web:algorithm", algorithm_id=kept)


@wire.page(may="read-algorithms")
@require_POST
def act(request: HttpRequest, algorithm_id: UUID) -> HttpResponse:
    """One step: submit, approve, send back, review, try on the pool, put in force, end."""
    principal, now = wire.asker(request), timezone.now()
    step = request.POST.get("step", "")
    if step == "submit":
        return _submit(request, principal, algorithm_id, now=now)
    if step in _REASONED:
        form = forms.Reason(request.POST)
        if not form.is_valid():
            return _one(request, algorithm_id, reason=form)
        _REASONED[step](principal, algorithm_id, reason=form.cleaned_data["reason"], now=now)
    elif step == "review":
        points = forms.Review(request.POST)
        if not points.is_valid():
            return _one(request, algorithm_id, review=points)
        algorithms.review(principal, algorithm_id, **points.cleaned_data, now=now)
    elif not _step(request, principal, algorithm_id, step, now=now):
        raise NotFound
    messages.success(request, _DONE[step], extra_tags="good")
    if step == "discard":
        return redirect("web:algorithms")
    return redirect("web:algorithm", algorithm_id=algorithm_id)


@wire.page(may="read-algorithms")
@require_GET
def text(request: HttpRequest, algorithm_id: UUID) -> HttpResponse:
    """The document as a file: to its side, and to every member if it runs on members' logs."""
    principal, now = wire.asker(request), timezone.now()
    said = algorithms.document_for(principal, algorithm_id, now=now)
    if not said:
        raise NotFound
    response = HttpResponse(said, content_type="application/yaml; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="algorithm-{algorithm_id}.yaml"'
    response["Cache-Control"] = "no-store"
    return response


@require_GET
def schema(request: HttpRequest) -> HttpResponse:
    """The published JSON Schema of an algorithm; for everybody, at an address that stays."""
    address = request.build_absolute_uri(reverse("web:schema-algorithm"))
    response = JsonResponse(
        document.schema(address=address),
        json_dumps_params={"indent": 2},
        content_type="application/schema+json",
    )
    response["Cache-Control"] = "public, max-age=300"
    return response


def _step(
    request: HttpRequest, principal: Principal, algorithm_id: UUID, step: str, *, now: datetime
) -> bool:
    """A step without words; whether there is one of that name."""
    digest = request.POST.get("digest", "")
    if step == "discard":
        algorithms.discard(principal, algorithm_id, now=now)
    elif step == "approve":
        algorithms.approve(principal, algorithm_id, digest=digest, now=now)
    elif step == "dry-run":
        algorithms.ask_dry_run(principal, algorithm_id, now=now)
    elif step == "activate":
        algorithms.activate(principal, algorithm_id, digest=digest, now=now)
    else:
        return False
    return True


def _submit(
    request: HttpRequest, principal: Principal, algorithm_id: UUID, *, now: datetime
) -> HttpResponse:
    tried = algorithms.submit(principal, algorithm_id, now=now)
    if not tried.passes:
        form = forms.Document(initial=_initial(principal, algorithm_id))
        return _writing(request, form, algorithm_id, tried=tried, status=422)
    said = "Its tests passed. A second person of your company has it next."
    messages.success(request, said, extra_tags="good")
    return redirect("web:algorithm", algorithm_id=algorithm_id)


def _one(
    request: HttpRequest,
    algorithm_id: UUID,
    *,
    reason: forms.Reason | None = None,
    review: forms.Review | None = None,
) -> HttpResponse:
    principal, now = wire.asker(request), timezone.now()
    view = algorithms.view(principal, algorithm_id, now=now)
    if view is None:
        context = {"told": algorithms.told(now, algorithm_id), "now": now}
        return wire.render(request, "web/algorithms/told.html", context)
    context = {
        "view": view,
        "row": view.row,
        "reason": reason or forms.Reason(),
        "review": review or forms.Review(initial={"digest": view.row.digest}),
        "most": algorithms.MOST_DRY_RUNS,
        "reads": principal.member_id is not None or principal.may("review-algorithm"),
        "pool_is_on": algorithms.is_on(),
        "now": now,
    }
    status = 422 if reason is not None or review is not None else 200
    return wire.render(request, "web/algorithms/one.html", context, status=status)


def _writing(
    request: HttpRequest,
    form: forms.Document,
    algorithm_id: UUID | None,
    *,
    tried: Tried | None = None,
    status: int = 200,
) -> HttpResponse:
    lines = str(form["text"].value() or "").splitlines()
    context: dict[str, Any] = {
        "form": form,
        "algorithm_id": algorithm_id,
        "tried": tried,
        "faults": [(one, _line(lines, one.line)) for one in tried.faults] if tried else [],
        "pool_is_on": algorithms.is_on(),
    }
    return wire.render(request, "web/algorithms/write.html", context, status=status)


def _line(lines: list[str], number: int | None) -> str:
    """The author's own line that a fault is at."""
    return lines[number - 1].strip()[:120] if number and number <= len(lines) else ""


def _initial(principal: Principal, algorithm_id: UUID | None) -> dict[str, object]:
    if algorithm_id is None:
        return {"text": algorithms.starting_text()}
    return {"text": algorithms.text_of(principal, algorithm_id)}


def _has_queue(principal: Principal) -> bool:
    permissions = ("approve-algorithm", "review-algorithm", "activate-algorithm")
    return any(principal.may(one) for one in permissions)
