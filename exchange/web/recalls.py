"""Taking back: the button with its effects, the recall's progress, and feedback from recipients."""

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from exchange import feedback, recall, remark, reminders
from exchange.proof.refused import NotFound
from exchange.web import forms, wire


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
        "overdue": reminders.overdue(principal, now=timezone.now()),
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
    """Close a task: a word of the list for who said it, a written note for one's own files."""
    feedback.answer(
        wire.asker(request),
        task_id,
        answer=request.POST.get("answer", ""),
        note=request.POST.get("note", ""),
        now=timezone.now(),
    )
    messages.success(request, "Answered. The object stays as it is.", extra_tags="good")
    return redirect("web:recalls")


@wire.page(may="acknowledge", of_member=True)
@require_GET
def received(request: HttpRequest) -> HttpResponse:
    """What was taken back from us, acknowledged or not, and what became of what we said."""
    principal = wire.asker(request)
    context = {
        "recalled": reminders.told(principal, most=reminders.PAGE),
        "answers": feedback.answers(principal),
    }
    return wire.render(request, "web/recalls/received.html", context)


@wire.page(may="acknowledge", of_member=True)
@require_POST
def acknowledge(request: HttpRequest, release_id: UUID) -> HttpResponse:
    """One click: taken in."""
    reminders.acknowledge(wire.asker(request), release_id, now=timezone.now())
    messages.success(request, "Acknowledged.", extra_tags="good")
    return redirect("web:recalls-received")


@wire.page(may="follow-recalls")
@require_GET
def overdue(request: HttpRequest) -> HttpResponse:
    """Who has not acknowledged for a day, as far as the reader may know."""
    principal = wire.asker(request)
    context = {
        "overdue": reminders.overdue(principal, now=timezone.now()),
        "is_forum": principal.member_id is None,
        "may_recall": principal.may("recall"),
    }
    return wire.render(request, "web/recalls/overdue.html", context)


@wire.page(may="contribute")
@require_POST
def say(request: HttpRequest, stix_id: str) -> HttpResponse:
    """Seen, false positive, shared infrastructure: an ordinary contribution of a sighting.

    From a list it is one key; where the object is held in several circles, its page asks which.
    """
    principal = wire.asker(request)
    circles = remark.circles_of(principal, stix_id)
    form = forms.offering(
        forms.Say(request.POST), circle=tuple((str(pk), title) for pk, title in circles)
    )
    if not request.POST.get("circle") and len(circles) > 1:
        messages.info(request, "You hold it in several circles: say it in one of them.")
        return redirect("web:object", stix_id=stix_id)
    if request.POST.get("circle") and not form.is_valid():
        raise NotFound
    said = request.POST.get("said", "")
    circle_id = form.circle_id() if form.is_valid() else None
    now = timezone.now()
    sent = remark.say(principal, stix_id, said, circle_id=circle_id, source="form", now=now)
    messages.success(request, "Sent as a sighting. It leaves without your name.", extra_tags="good")
    if request.POST.get("from") == "list":
        return redirect("web:home")
    return redirect("web:contribution", contribution_id=sent)


def circles_of(request: HttpRequest, stix_id: str) -> forms.Choices:
    """Where one may say something of an object, as choices."""
    principal = wire.asker(request)
    if not principal.may("contribute"):
        return ()
    return tuple((str(pk), title) for pk, title in remark.circles_of(principal, stix_id))
