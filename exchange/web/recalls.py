"""Taking back: the button with its effects, the recall's progress, and feedback from recipients."""

from uuid import UUID, uuid4

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from exchange import access, contribute, feedback, recall
from exchange.proof.refused import NotFound
from exchange.web import forms, wire
from indicators.converters import form as converter
from members.auth import Principal


@wire.page(may="recall")
@require_GET
def recalls(request: HttpRequest) -> HttpResponse:
    """Recalls, newest first; the forum's counsel also finds an object by its id here."""
    principal = wire.asker(request)
    named = request.GET.get("id", "").strip()
    found = recall.named(principal, named) if named else ()
    if len(found) == 1:
        return redirect("web:recall-order", object_id=found[0])
    before = parse_datetime(request.GET.get("before", "")) if request.GET.get("before") else None
    rows = recall.recalls(principal, before=before)
    context = {
        "rows": rows,
        "next": rows[-1].at.isoformat() if len(rows) == recall.PAGE else "",
        "tasks": feedback.tasks(principal),
        "named": named,
        "found": found,
        "is_forum": principal.member_id is None,
    }
    return wire.render(request, "web/recalls/list.html", context)


@wire.page(may="recall")
@require_http_methods(["GET", "POST"])
def order(request: HttpRequest, object_id: UUID) -> HttpResponse:
    """What a recall of this object would reach; confirmed with a reason and a note."""
    principal = wire.asker(request)
    done = recall.of_object(principal, object_id)
    if done is not None:
        return redirect("web:recall", recall_id=done.id)
    form = forms.Recall(request.POST if request.method == "POST" else None)
    if not principal.may("erase"):
        del form.fields["erases"]
    if form.is_bound and form.is_valid():
        made = recall.order(
            principal,
            object_id,
            reason=form.cleaned_data["reason"],
            note=form.cleaned_data["note"],
            erases=bool(form.cleaned_data.get("erases")),
            now=timezone.now(),
        )
        messages.success(request, "Recalled. Nobody is served it any more.", extra_tags="good")
        return redirect("web:recall", recall_id=made)
    context = {
        "effects": recall.effects(principal, object_id),
        "tasks": feedback.tasks(principal, object_id=object_id),
        "form": form,
        "is_forum": principal.member_id is None,
    }
    status = 422 if form.is_bound else 200
    return wire.render(request, "web/recalls/order.html", context, status=status)


@wire.page(may="recall")
@require_http_methods(["GET", "POST"])
def one_recall(request: HttpRequest, recall_id: UUID) -> HttpResponse:
    """How far a recall has come with each recipient; its contributor may lift it here."""
    principal = wire.asker(request)
    view = recall.recall(principal, recall_id)
    if request.method == "POST":
        recall.lift(principal, recall_id, now=timezone.now())
        said = "Lifted. The id may be contributed again, as a new object."
        messages.success(request, said, extra_tags="good")
        return redirect("web:recall", recall_id=recall_id)
    context = {"view": view, "overdue": view.overdue(now=timezone.now())}
    return wire.render(request, "web/recalls/recall.html", context)


@wire.page(may="recall")
@require_POST
def answer(request: HttpRequest, task_id: UUID) -> HttpResponse:
    """Close a task with a written word."""
    feedback.answer(
        wire.asker(request), task_id, text=request.POST.get("answer", ""), now=timezone.now()
    )
    messages.success(request, "Answered. The object stays as it is.", extra_tags="good")
    return redirect("web:recalls")


@wire.page(may="contribute")
@require_POST
def say(request: HttpRequest, stix_id: str) -> HttpResponse:
    """Seen, false positive, shared infrastructure: an ordinary contribution of a sighting."""
    principal = wire.asker(request)
    form = forms.offering(forms.Say(request.POST), circle=circles_of(principal, stix_id))
    if not form.is_valid():
        raise NotFound
    now = timezone.now()
    body = converter.sighting(
        stix_id, form.cleaned_data["said"], stix_id=uuid4(), bundle_id=uuid4(), now=now
    )
    sent = contribute.submit(principal, body, circle_id=form.circle_id(), source="form", now=now)
    messages.success(request, "Sent as a sighting. It leaves without your name.", extra_tags="good")
    return redirect("web:contribution", contribution_id=sent)


def circles_of(principal: Principal, stix_id: str) -> forms.Choices:
    """The circles through which the member holds an object: it may say something of it there."""
    return tuple(
        (str(one.circle_id), one.title.removeprefix("Shared in "))
        for one in access.collections(principal)
        if one.kind == "circle" and access.knows(principal, one, stix_id)
    )
