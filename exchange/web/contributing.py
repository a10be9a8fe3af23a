"""The analyst's way in: paste values or choose a file, check, preview, send, see what became."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.views.decorators.http import require_GET, require_http_methods

from exchange import audit, contribute, files, proposed, review
from exchange.proof.refused import Refused
from exchange.web import forms, wire
from exchange.web.sealing import SealedUpload
from indicators.converters import csv
from indicators.converters import form as converter


@dataclass(frozen=True, slots=True)
class _Draft:
    """A body that is ready to be previewed or sent."""

    body: bytes
    circle_id: UUID
    basis: tuple[str, ...]
    source: str
    attributed: bool = False


@wire.page(may="read-own-originals")
@require_GET
def contributions(request: HttpRequest) -> HttpResponse:
    """The member's own contributions, newest first."""
    before = parse_datetime(request.GET.get("before", "")) if request.GET.get("before") else None
    page = audit.contributions(wire.asker(request), before=before)
    return wire.render(request, "web/analyst/contributions.html", {"page": page})


@wire.page(may="read-own-originals")
@require_GET
def contribution(request: HttpRequest, contribution_id: UUID) -> HttpResponse:
    """What became of each object; asked again by the page while it is being taken in."""
    after = request.GET.get("after", "")
    principal = wire.asker(request)
    now = timezone.now()
    view = audit.contribution(
        principal, contribution_id, after=int(after) if after.isdecimal() else -1, now=now
    )
    context = {
        "view": view,
        "holds": review.of_contribution(principal, contribution_id),
        "last": view.items[-1].position if view.items else -1,
        "now": now,
    }
    is_poll = bool(request.headers.get("HX-Request"))
    template = "web/analyst/became.html" if is_poll else "web/analyst/contribution.html"
    return wire.render(request, template, context)


@wire.page(may="contribute")
@require_http_methods(["GET", "POST"])
def values(request: HttpRequest) -> HttpResponse:
    """Paste, check, preview, send: three screens, and nothing is kept before it is sent."""
    step = _step(request)
    if step in ("preview", "send", "back"):
        return _values_checked(request, step)
    pasted = forms.Values(request.POST if step == "check" else None)
    if not pasted.is_valid():
        return wire.render(request, "web/analyst/paste.html", {"form": pasted, "step": 1})
    rows = converter.rows(pasted.cleaned_data["values"])
    return _check(request, rows, forms.offering(forms.Stated(), circle=_circles(request)))


@wire.page(may="contribute")
@require_http_methods(["GET", "POST"])
def file(request: HttpRequest) -> HttpResponse:
    """A STIX file or a table of values: previewed beside the form, then sent."""
    circles = _circles(request)
    if request.method != "POST":
        context = {"form": forms.offering(forms.File(), circle=circles)}
        return wire.render(request, "web/analyst/file.html", context)
    form = forms.offering(forms.File(request.POST, request.FILES), circle=circles)
    if not form.is_valid():
        return wire.render(request, "web/analyst/file.html", {"form": form}, status=422)
    now = timezone.now()
    shown: proposed.Preview | None = None
    table: csv.Table | None = None
    try:
        if (answer := _sealed(request, form, now=now)) is not None:
            return answer
        body, table = _body(request, form, now=now)
        draft = _Draft(
            body=body,
            circle_id=form.circle_id(),
            basis=tuple(form.cleaned_data["basis"]),
            source="file",
            attributed=form.cleaned_data["attributed"],
        )
        if _step(request) == "send" and (table is None or not table.faulty):
            return _send(request, draft, now=now)
        if table is None or table.objects:
            shown = _preview(request, draft, now=now)
    except Refused as refused:
        form.add_error("file", refused.sentence)
        # A preview beside the form is swapped in on 200 only.
        status = 200 if request.headers.get("HX-Request") else 422
        return wire.render(request, "web/analyst/file.html", {"form": form}, status=status)
    unsent = _step(request) == "send"  # a table leaves whole or not at all
    read = {"form": form, "preview": shown, "table": table, "unsent": unsent, "now": now}
    return wire.render(request, "web/analyst/file.html", read, status=422 if unsent else 200)


def _sealed(request: HttpRequest, form: forms.File, *, now: datetime) -> HttpResponse | None:
    """What is not previewed beside the form: large files, MISP events, columns to be chosen."""
    given, step, who = form.cleaned_data["file"], _step(request), wire.asker(request)
    if isinstance(given, SealedUpload):
        if step == "preview":
            raise Refused("file.preview", "Too large for a preview. Sent, it is read whole first.")
        writer = given.take()
    else:
        head = given.read(4_096)
        is_misp = head.lstrip()[:1] in (b"{", b"[") and files.kind_of(head) == "misp"
        given.seek(0)
        if not (is_misp or step == "columns"):
            return None
        if is_misp and step == "preview":
            raise Refused("file.preview", "MISP events are converted when they are sent.")
        writer = files.receive(who, announced=given.size)
        for chunk in given.chunks():
            writer.write(chunk)
    with writer:
        made = files.keep(who, writer, name=given.name or "", now=now)
    if step == "send":
        basis = tuple(form.cleaned_data["basis"])
        sent = files.Sent(form.circle_id(), basis, form.cleaned_data["attributed"])
        try:
            files.send(who, made, sent, now=now)
        except Refused as refused:
            messages.warning(request, refused.sentence)
    return redirect("web:file", file_id=made)


def _body(
    request: HttpRequest, form: forms.File, *, now: datetime
) -> tuple[bytes, csv.Table | None]:
    """What is contributed of a file: its own bytes, or what the rows of a table say."""
    given = form.cleaned_data["file"]
    body = given.read()
    if not csv.is_table(given.name or "", body):
        return body, None
    member_id = wire.asker(request).member_id
    if member_id is None:
        raise Refused("csv.member", "Only a member contributes.", "file")
    columns = files.columns_of(wire.asker(request), body)
    table = csv.read(body, namespace=member_id, now=now, columns=columns)
    if not table.objects and not table.faulty:
        raise Refused("csv.empty", "The table has no row below its names.", "file")
    return table.body(uuid4()), table


def _values_checked(request: HttpRequest, step: str) -> HttpResponse:
    """The table as its contributor left it: read again, then previewed or sent."""
    rows = _posted_rows(request)
    form = forms.offering(forms.Stated(request.POST), circle=_circles(request))
    kept = tuple(row for row, is_kept in rows if is_kept and row.may_go)
    if step == "back":
        return _check(request, tuple(row for row, _ in rows), form)
    if not form.is_valid() or not kept:
        if form.is_valid():
            form.add_error(None, "Mark at least one value of a kind that can be contributed.")
        return _check(request, tuple(row for row, _ in rows), form, status=422)
    now = timezone.now()
    stated = converter.Stated(form.cleaned_data["base_rate"], form.cleaned_data["phase"])
    body = converter.bundle(kept, stated, ids=[uuid4() for _ in kept], bundle_id=uuid4(), now=now)
    basis = tuple(form.cleaned_data["basis"])
    draft = _Draft(body, form.circle_id(), basis, "form", form.cleaned_data["attributed"])
    if step == "send":
        return _send(request, draft, now=now)
    context = {
        "preview": _preview(request, draft, now=now),
        "rows": kept,
        "carried": _carried(form),
        "now": now,
        "step": 3,
    }
    return wire.render(request, "web/analyst/values_preview.html", context)


def _carried(form: forms.Stated) -> tuple[tuple[str, str], ...]:
    """What was stated, for the next screen's hidden fields."""
    stated = form.cleaned_data
    single = ((name, stated[name]) for name in ("circle", "base_rate", "phase"))
    named = (("attributed", "on"),) if stated["attributed"] else ()
    return (*single, *named, *(("basis", one) for one in stated["basis"]))


def _check(
    request: HttpRequest, rows: tuple[converter.Row, ...], form: forms.Stated, *, status: int = 200
) -> HttpResponse:
    context = {
        "rows": rows,
        "form": form,
        "kinds": converter.KINDS.items(),
        "unknown": sum(1 for row in rows if not row.may_go),
        "step": 2,
    }
    return wire.render(request, "web/analyst/check.html", context, status=status)


def _posted_rows(request: HttpRequest) -> tuple[tuple[converter.Row, bool], ...]:
    """Row n of the table is value-n, kind-n, keep-n and personal-n."""
    found = []
    for n, value in enumerate(request.POST.getlist("value")[: converter.LIMIT]):
        row = converter.as_kind(value, request.POST.get(f"kind-{n}", ""))
        if request.POST.get(f"personal-{n}"):
            row = converter.marked_personal(row)
        found.append((row, bool(request.POST.get(f"keep-{n}"))))
    return tuple(found)


def _step(request: HttpRequest) -> str:
    """What was asked for; to turn a page is to preview again, from another object on."""
    return "preview" if request.POST.get("from") else request.POST.get("step", "")


def _preview(request: HttpRequest, draft: _Draft, *, now: datetime) -> proposed.Preview:
    start = request.POST.get("from", "")
    return proposed.preview(
        wire.asker(request),
        draft.body,
        circle_id=draft.circle_id,
        default_basis=draft.basis,
        attributed=draft.attributed,
        after=int(start) if len(start) < 9 and start.isdecimal() else 0,
        now=now,
    )


def _send(request: HttpRequest, draft: _Draft, *, now: datetime) -> HttpResponse:
    sent = contribute.submit(
        wire.asker(request),
        draft.body,
        circle_id=draft.circle_id,
        source=draft.source,
        default_basis=draft.basis,
        attributed=draft.attributed,
        now=now,
    )
    messages.success(request, "Sent. Every object is accounted for below.", extra_tags="good")
    return redirect("web:contribution", contribution_id=sent)


def _circles(request: HttpRequest) -> forms.Choices:
    return tuple(
        (str(circle.id), f"{circle.name}: {', '.join(circle.members)}")
        for circle in audit.circles(wire.asker(request))
    )
