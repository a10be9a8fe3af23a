"""Files that are taken in parts: how a table is read, how far a file is, what became of it."""

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from exchange import audit, files
from exchange.files.export import table
from exchange.proof.refused import Refused
from exchange.web import forms, wire

COLUMNS = (
    ("", "not read"),
    ("value", "value"),
    ("type", "kind of value"),
    ("phase", "phase"),
    ("base_rate", "base rate"),
    ("confidence", "confidence"),
    ("valid_from", "valid from"),
    ("valid_until", "valid until"),
)


@wire.page(may="read-own-originals")
@require_GET
def listing(request: HttpRequest) -> HttpResponse:
    """The member's newest files."""
    return wire.render(request, "web/files/files.html", {"rows": files.recent(wire.asker(request))})


@wire.page(may="read-own-originals")
@require_http_methods(["GET", "POST"])
def one(request: HttpRequest, file_id: UUID) -> HttpResponse:
    """A file: to be looked at and sent, or how far it is, and what became of each object."""
    who = wire.asker(request)
    found = files.status(who, file_id)
    if request.method == "POST":
        return _act(request, found)
    if found.state == "chosen":
        return _chosen(request, found, forms.Addressed())
    after = request.GET.get("after", "")
    context = {"file": found, "page": files.report(who, file_id, after=after), "after": after}
    is_poll = bool(request.headers.get("HX-Request"))
    template = "web/files/progress.html" if is_poll else "web/files/file.html"
    return wire.render(request, template, context)


@wire.page(may="read-own-originals")
@require_GET
def report(request: HttpRequest, file_id: UUID) -> HttpResponse:
    """The report as a table; its name says nothing."""
    response = StreamingHttpResponse(
        table(wire.asker(request), file_id), content_type="text/csv; charset=utf-8"
    )
    response["Content-Disposition"] = 'attachment; filename="report.csv"'
    response["Cache-Control"] = "private, no-store"
    return response  # type: ignore[return-value] # streamed: a page of the report at a time


@wire.page(may="contribute")
@require_GET
def mappings(request: HttpRequest) -> HttpResponse:
    """How the member's tables are read, to be changed or forgotten."""
    rows = [
        (one, tuple(zip(one.head, one.columns, strict=True)))
        for one in files.remembered(wire.asker(request))
    ]
    return wire.render(request, "web/files/mappings.html", {"rows": rows, "choices": COLUMNS})


@wire.page(may="contribute")
@require_POST
def mapping(request: HttpRequest, mapping_id: UUID) -> HttpResponse:
    """Change one, or forget it."""
    who = wire.asker(request)
    if request.POST.get("step") == "forget":
        files.forget(who, mapping_id)
        messages.success(request, "Forgotten: such tables are read by the names of their columns.")
    else:
        found = files.one(who, mapping_id)
        files.change(who, mapping_id, _columns(request, len(found.head)), now=timezone.now())
        messages.success(request, "Such tables are read so from now on.", extra_tags="good")
    return redirect("web:columns")


def _act(request: HttpRequest, found: files.Status) -> HttpResponse:
    who, now = wire.asker(request), timezone.now()
    if request.POST.get("step") == "discard":
        files.discard(who, found.id)
        messages.success(request, "Deleted. Nothing of the file is here any more.")
        return redirect("web:contribute-file")
    form = forms.offering(forms.Addressed(request.POST), circle=circles(request))
    if not form.is_valid():
        return _chosen(request, found, form, status=422)
    sent = files.Sent(
        form.circle_id(), tuple(form.cleaned_data["basis"]), form.cleaned_data["attributed"]
    )
    try:
        if found.kind == "table":
            head = files.look(who, found.id).head
            files.remember(who, head, _columns(request, len(head)), now=now)
        files.send(who, found.id, sent, now=now)
    except Refused as refused:
        form.add_error(None, refused.sentence)
        return _chosen(request, found, form, status=422)
    messages.success(request, "Sent. Every object is accounted for below.", extra_tags="good")
    return redirect("web:file", file_id=found.id)


def _chosen(
    request: HttpRequest, found: files.Status, form: forms.Addressed, *, status: int = 200
) -> HttpResponse:
    who = wire.asker(request)
    context = {"file": found, "form": forms.offering(form, circle=circles(request))}
    if found.kind == "table":
        seen = files.look(who, found.id)
        columns = _columns(request, len(seen.head)) if request.method == "POST" else seen.columns
        samples = [[*one, *[""] * len(seen.head)][: len(seen.head)] for one in seen.samples]
        # Each column from above to below: its name, what it is taken for, and some of its cells.
        shown = zip(seen.head, columns, zip(*samples, strict=True), strict=False)
        if not samples:
            shown = ((name, column, ()) for name, column in zip(seen.head, columns, strict=True))  # type: ignore[assignment] # the same without cells
        context |= {"seen": seen, "shown": list(shown), "choices": COLUMNS}
    return wire.render(request, "web/files/chosen.html", context, status=status)


def _columns(request: HttpRequest, count: int) -> tuple[str, ...]:
    return tuple(request.POST.get(f"column-{n}", "") for n in range(count))


def circles(request: HttpRequest) -> forms.Choices:
    """The circles that one may contribute to, each with its members."""
    return tuple(
        (str(circle.id), f"{circle.name}: {', '.join(circle.members)}")
        for circle in audit.circles(wire.asker(request))
    )
