"""The compliance workspace: twenty questions, their answers, what is taken along, who looked."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, timedelta
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from exchange import replay
from exchange.proof import pack
from exchange.proof.refused import Refused
from exchange.questions import as_of, book, bytes_of, exports, report, stated
from exchange.questions.asking import SIDES, Answer, Line, Question, Value
from exchange.web import forms, wire
from exchange.web.questions_lens import rows as lens_rows
from members.auth import Principal

# Where a row's other page is.
_LINKS = {
    "hold": "web:hold",
    "recall": "web:recall",
    "feedback": "web:feedback-answer",
    "own-object": "web:own-object",
    "object": "web:object",
    "preview": "web:preview",
}
_LABELS = {
    "side": "Which side",
    "recipient": "Recipient",
    "contributor": "Contributor",
    "circle": "Circle",
    "campaign": "Campaign",
    "object": "Object",
    "entry": "Ledger entry",
    "since": "From",
    "until": "Up to and with",
    "field_class": "Class",
    "rule": "Rule",
    "person": "Person",
    "inquiry": "Person looked for",
}
_TIPS = {
    "campaign": "Its name, XC-…, or its id",
    "object": "Its id in the forum",
    "field_class": "Such as volume, narrative or C01",
    "rule": "Such as floor/1/volume",
}
FORMS = (
    ("csv", "As a table (CSV)"),
    ("json", "As JSON"),
    ("archive", "As a signed archive"),
)


@dataclass(frozen=True, slots=True)
class Proof:
    """One entry of the ledger that a row rests on."""

    index: int
    slot: str


@dataclass(frozen=True, slots=True)
class Row:
    """One row as the page shows it."""

    cells: tuple[tuple[str, str, Value], ...]
    proofs: tuple[Proof, ...]
    more_proofs: int
    shown: tuple[int, int] | None
    href: str


@dataclass(frozen=True, slots=True)
class Widget:
    """One filter of a question: what it is called, and how it is set."""

    name: str
    label: str
    kind: str
    value: str
    tip: str = ""
    options: tuple[tuple[str, str], ...] = ()


@wire.page(may="ask-questions")
@require_GET
def questions(request: HttpRequest) -> HttpResponse:
    """The questions that this person may ask, by what they are about."""
    principal = wire.asker(request)
    now = timezone.now()
    groups: dict[str, list[Question]] = {}
    for one in book.questions(principal):
        groups.setdefault(one.group, []).append(one)
    context = {
        "groups": list(groups.items()),
        "exports": exports.exports(principal)[:8],
        "months": report.months(principal, now=now)[:12],
        "may_log": _may_read_log(principal),
        "may_attest": principal.member_id is not None,
        "may_look_back": _may_look_back(principal),
    }
    return wire.render(request, "web/questions/questions.html", context)


@wire.page(may="ask-questions")
@require_GET
def question(request: HttpRequest, name: str) -> HttpResponse:
    """One question with its filters, and a page of its answer."""
    principal = wire.asker(request)
    now = timezone.now()
    given = {key: str(value) for key, value in request.GET.items() if key != "after"}
    chosen = book.question(principal, name)
    fault = None
    put = None
    try:
        put = book.ask(principal, name, given, cursor=request.GET.get("after", ""), now=now)
    except Refused as refused:
        if not refused.code.startswith("filter."):
            raise
        fault = refused
    plain = put.filters.plain() if put else {}
    answer = put.answer if put else Answer((), ())
    context = {
        "question": chosen,
        "widgets": _widgets(principal, chosen, plain if put else given),
        "fault": fault,
        "lacks": [_LABELS[one].lower() for one in put.lacks] if put else [],
        "columns": answer.columns,
        "rows": [_row(line, answer) for line in answer.lines],
        "notes": answer.notes,
        "next": f"?{urlencode({**plain, 'after': answer.next})}" if answer.next else "",
        "is_first": not request.GET.get("after"),
        "plain": plain,
        "forms": FORMS,
        "may_replay": chosen.number == 10 and put is not None and not put.lacks,
        "is_person": chosen.number == 14,
        "person_form": forms.Person() if chosen.number == 14 else None,
        "is_whole": chosen.number == 20,
    }
    status = 422 if fault else 200
    return wire.render(request, "web/questions/question.html", context, status=status)


@wire.page(may="ask-questions")
@require_POST
def order(request: HttpRequest, name: str) -> HttpResponse:
    """Have an answer taken along: a worker writes it down."""
    given = {key: str(value) for key, value in request.POST.items() if key != "form"}
    made = exports.order(
        wire.asker(request), name, request.POST.get("form", ""), given, now=timezone.now()
    )
    return redirect("web:answer-export", export_id=made)


@wire.page(may="ask-questions")
@require_GET
def export(request: HttpRequest, export_id: UUID) -> HttpResponse:
    """How far an export has come, and its files."""
    found = exports.export(wire.asker(request), export_id)
    filters = [(_LABELS.get(key, key), value) for key, value in sorted(found.filters.items())]
    context = {"export": found, "filters": filters}
    if request.headers.get("HX-Request"):
        return wire.render(request, "web/questions/progress.html", context)
    return wire.render(request, "web/questions/export.html", context)


@wire.page(may="ask-questions")
@require_GET
def file(request: HttpRequest, export_id: UUID, n: int) -> HttpResponse:
    """One file of an export."""
    one, body = exports.take(wire.asker(request), export_id, n, now=timezone.now())
    response = HttpResponse(body, content_type=one.media)
    response["Content-Disposition"] = f'attachment; filename="{one.name}"'
    response["Cache-Control"] = "no-store"
    return response


@wire.page(may="ask-questions")
@require_GET
def shown(request: HttpRequest, index: int, place: int) -> HttpResponse:
    """The exact bytes of one disclosed object, beside the original where the role may see it."""
    principal = wire.asker(request)
    seen = _seen(request, index, place, "bytes")
    context = {
        "seen": seen,
        "rows": lens_rows(seen),
        "slot": _slot(principal, seen.side),
        "others": as_of.siblings(principal, index, place),
    }
    return wire.render(request, "web/questions/shown.html", context)


@wire.page(may="ask-questions")
@require_GET
def raw(request: HttpRequest, index: int, place: int) -> HttpResponse:
    """The bytes themselves, as they were received."""
    seen = _seen(request, index, place, "bytes taken")
    response = HttpResponse(seen.body, content_type="application/stix+json;version=2.1")
    name = f"{seen.stix_id}-{seen.digest[:12]}.json"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["Cache-Control"] = "no-store"
    return response


def _seen(request: HttpRequest, index: int, place: int, form: str) -> bytes_of.Seen:
    principal = wire.asker(request)
    now = timezone.now()
    seen = bytes_of.opened(principal, index, place)
    book.note_entry(principal, form, index, now=now)
    bytes_of.noted(principal, seen, now=now)
    return seen


def _slot(principal: Principal, side: str) -> str:
    if principal.member_id is None:
        return "audit"
    return "to" if side == "received" else "from"


@wire.page(may="ask-questions")
@require_GET
def held_at(request: HttpRequest) -> HttpResponse:
    """What a member could pull at a moment: as that member, on that day."""
    principal = wire.asker(request)
    now = timezone.now()
    form = forms.offering(forms.AsOf(request.GET or None), member=as_of.members(principal))
    page = None
    if request.GET and form.is_valid():
        member_id = UUID(form.cleaned_data["member"])
        on = form.cleaned_data["on"]
        moment = on.replace(tzinfo=on.tzinfo or UTC)
        after = request.GET.get("after", "-1")
        page = as_of.held(
            principal,
            member_id,
            at=moment,
            after=int(after) if after.lstrip("-").isdecimal() else -1,
            now=now,
        )
    context = {
        "form": form,
        "page": page,
        "next": _next_of(request, page.next) if page and page.next is not None else "",
    }
    status = 422 if request.GET and not form.is_valid() else 200
    return wire.render(request, "web/questions/as_of.html", context, status=status)


def _next_of(request: HttpRequest, after: int) -> str:
    kept = {key: value for key, value in request.GET.items() if key != "after"}
    return f"?{urlencode({**kept, 'after': after})}"


@wire.page(may="ask-questions")
@require_GET
def log(request: HttpRequest) -> HttpResponse:
    """Who looked at which answer, and took what along."""
    principal = wire.asker(request)
    before = request.GET.get("before", "")
    if not _may_read_log(principal):
        return wire.nothing_here(request)
    views, more = book.views(principal, before=int(before) if before.isdecimal() else None)
    labelled = [
        (one, [(_LABELS.get(key, key), value) for key, value in one.filters]) for one in views
    ]
    return wire.render(request, "web/questions/log.html", {"views": labelled, "next": more})


@wire.page(may="ask-questions", of_member=True)
@require_POST
def person(request: HttpRequest) -> HttpResponse:
    """What a person is to be found by is sealed; the address of the answer names nobody."""
    form = forms.Person(request.POST)
    if form.is_valid():
        try:
            made = stated.inquire(
                wire.asker(request),
                form.cleaned_data["kind"],
                form.cleaned_data["value"],
                now=timezone.now(),
            )
            return redirect(f"{reverse('web:question', args=['q14'])}?inquiry={made}")
        except Refused as refused:
            messages.error(request, refused.sentence, extra_tags="bad")
    else:
        messages.error(request, "Say what the person is found by.", extra_tags="bad")
    return redirect("web:question", name="q14")


@wire.page(may="ask-questions", of_member=True)
@require_http_methods(["GET", "POST"])
def attest(request: HttpRequest) -> HttpResponse:
    """State that an object was passed on outside."""
    form = forms.Attest(request.POST if request.method == "POST" else None)
    if form.is_bound and form.is_valid():
        given = form.cleaned_data
        try:
            stated.attest(
                wire.asker(request),
                given["object"],
                whom=given["whom"],
                tlp=given["tlp"],
                passed_on=given["passed_on"],
                words=given["words"],
                now=timezone.now(),
            )
            messages.success(request, "Attested, and recorded in the ledger.", extra_tags="good")
            return redirect("web:question", name="q17")
        except Refused as refused:
            form.add_error(refused.path if refused.path in form.fields else None, refused.sentence)
    status = 422 if form.is_bound else 200
    return wire.render(request, "web/questions/attest.html", {"form": form}, status=status)


@wire.page(may="ask-questions")
@require_POST
def replayed(request: HttpRequest) -> HttpResponse:
    """Replay a past period under the policy that is in force now, beside the one of then."""
    principal = wire.asker(request)
    now = timezone.now()
    chosen = book.question(principal, "q10")
    filters = book.narrowed(principal, chosen, {k: str(v) for k, v in request.POST.items()})
    book.demand(chosen, filters)
    since = filters.start or now - timedelta(days=30)
    until = min(filters.end or now, now)
    made = replay.of_today(principal, since=since, until=until, now=now)
    return redirect("web:preview", preview_id=made)


@wire.page(may="ask-questions")
@require_GET
def verifier(request: HttpRequest) -> HttpResponse:
    """The verifier in one file, for a machine that has no part in this exchange."""
    wire.asker(request)
    response = HttpResponse(pack.archive("verify"), content_type="application/octet-stream")
    response["Content-Disposition"] = 'attachment; filename="weir-verify.pyz"'
    return response


@wire.page(may="manage-members")
@require_POST
def nature(request: HttpRequest, member_id: UUID) -> HttpResponse:
    """The operator states whether a member is a public body."""
    stated.state_nature(
        wire.asker(request),
        member_id,
        is_public_body=request.POST.get("is_public_body") == "yes",
        now=timezone.now(),
    )
    messages.success(request, "Stated. It holds from now on.", extra_tags="good")
    return redirect("web:member", member_id=member_id)


def _may_read_log(principal: Principal) -> bool:
    return principal.member_id is not None or "forum-officer" in principal.roles


def _may_look_back(principal: Principal) -> bool:
    return principal.member_id is not None or "forum-officer" in principal.roles


def _row(line: Line, answer: Answer) -> Row:
    cells = tuple(
        (column.kind, column.title, value)
        for column, value in zip(answer.columns, line.values, strict=True)
    )
    href = reverse(_LINKS[line.link[0]], args=[line.link[1]]) if line.link else ""
    proofs = tuple(Proof(mark.index, mark.slot) for mark in line.marks[:2])
    return Row(cells, proofs, max(len(line.marks) - 2, 0), line.shown, href)


def _widgets(
    principal: Principal, chosen: Question, plain: Mapping[str, str]
) -> tuple[Widget, ...]:
    names = book.choices(principal, chosen)
    options = {
        "side": tuple(SIDES.items()),
        "recipient": names.members,
        "contributor": names.members,
        "circle": names.circles,
        "person": names.people,
    }
    hidden = {"contributor"} if principal.member_id is not None else {"side"}
    return tuple(
        Widget(
            name,
            _LABELS[name],
            _kind(name),
            plain.get(name, ""),
            _TIPS.get(name, ""),
            options.get(name, ()),
        )
        for name in chosen.filters
        if name not in hidden and name != "inquiry"
    )


def _kind(name: str) -> str:
    if name in ("side", "recipient", "contributor", "circle", "person"):
        return "select"
    return "date" if name in ("since", "until") else "text"
