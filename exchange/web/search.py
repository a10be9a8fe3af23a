"""Search in what the member holds: one field on every page, and a list of values at once."""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse, QueryDict
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods

from exchange import search
from exchange.proof.refused import Refused
from exchange.web import forms, wire
from members.auth import Principal

_FACETS = (("Type", "type"), ("Kind", "kind"), ("Phase", "phase"))
_SHOWN, _MISSES = 500, 100
_LARGEST = 1_000_000
# A cell that begins so is a formula to a spreadsheet; what cannot be seen dresses up the rest.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")


@dataclass(frozen=True, slots=True)
class Chip:
    """A word that narrows a search, where it leads, and how many it would leave."""

    label: str
    query: str
    count: int | None = None
    is_chosen: bool = False


@wire.page(may="read-holding")
@require_GET
def search_page(request: HttpRequest) -> HttpResponse:
    """What is held and fits; a fault of the query stands above the field."""
    given = {name: values for name, values in _lists(request.GET).items() if any(values)}
    now = timezone.now()
    context = {"sought": request.GET.get("q", ""), "given": given, "now": now}
    try:
        wanted = search.query(given, most=search.PAGE)
    except Refused as refused:
        return wire.render(
            request, "web/search/search.html", {**context, "refused": refused}, status=422
        )
    shown = _found(wire.asker(request), wanted, given, now=now)
    return wire.render(request, "web/search/search.html", {**context, **shown})


@wire.page(may="read-holding")
@require_http_methods(["GET", "POST"])
def list_page(request: HttpRequest) -> HttpResponse:
    """A pasted list or a file: an answer for each value; the hits as CSV and as a STIX bundle."""
    form = forms.ValueList(request.POST or None, request.FILES or None)
    context: dict[str, object] = {"form": form, "now": timezone.now()}
    if not form.is_valid():
        return wire.render(request, "web/search/list.html", context)
    now = timezone.now()
    principal = wire.asker(request)
    try:
        values = listed(_text(form))
        answers = search.look_up(principal, values, via="web", now=now)
        if request.POST.get("as") == "bundle":
            return _download(search.export(principal, answers, now=now), "json")
    except Refused as refused:
        form.add_error("values", refused.sentence)
        return wire.render(request, "web/search/list.html", context, status=422)
    if request.POST.get("as") == "csv":
        return _download(_sheet(answers), "csv")
    context["form"] = forms.ValueList({"values": "\n".join(values)})
    return wire.render(request, "web/search/list.html", {**context, **_counted(answers)})


def listed(text: str) -> list[str]:
    """The values of a pasted text, each once: line by line, and within a line by commas."""
    found = (value for line in text.splitlines() for value in _of_line(line.strip()))
    return list(dict.fromkeys(found))


def _of_line(line: str) -> Iterator[str]:
    if not line or search.is_value(line):
        yield from (line,) if line else ()
        return
    for part in re.split(r"[,;\t]", line):
        words = part.split()
        # A telephone number has spaces too: what is refused stays whole, and is refused.
        if len(words) > 1 and not search.is_value(part):
            yield from words
        elif words:
            yield part.strip()


def _found(
    principal: Principal, wanted: search.Query, given: dict[str, list[str]], *, now: datetime
) -> dict[str, object]:
    counted = search.facets(principal, wanted)
    narrow = [(title, _chips(name, counted, given)) for title, name in _FACETS]
    if wanted.is_empty:
        return {"facets": narrow, "is_empty": True}
    found = search.find(principal, wanted, via="web", now=now)
    return {
        "cards": search.cards(found, now=now),
        "counted": counted,
        "facets": narrow,
        "chosen": tuple(_chosen(given)),
        "next": _query({**given, "before": [str(found.next)]}) if found.next is not None else "",
    }


def _chips(name: str, counted: search.Facets, given: dict[str, list[str]]) -> tuple[Chip, ...]:
    taken = given.get(name, [])
    return tuple(
        Chip(
            one.word,
            _query(
                _without(given, name, one.word)
                if one.word in taken
                else _with(given, name, one.word)
            ),
            one.count,
            one.word in taken,
        )
        for one in counted.of(name)
    )


def _chosen(given: dict[str, list[str]]) -> Iterator[Chip]:
    """What narrows the search now; each leads to the search without it."""
    for name, values in given.items():
        if name in ("before", "limit"):
            continue
        for value in values:
            label = value if name in ("q", "value") else f"{name} {value}"
            yield Chip(label, _query(_without(given, name, value)))


def _with(given: dict[str, list[str]], name: str, value: str) -> dict[str, list[str]]:
    return {**given, name: [*given.get(name, []), value]}


def _without(given: dict[str, list[str]], name: str, value: str) -> dict[str, list[str]]:
    return {**given, name: [one for one in given.get(name, []) if one != value]}


def _query(given: dict[str, list[str]]) -> str:
    """The address of a search, from its first page on unless it says where."""
    return urlencode(given, doseq=True)


def _lists(params: QueryDict) -> dict[str, list[str]]:
    return {name: [str(one) for one in values] for name, values in params.lists()}


def _text(form: forms.ValueList) -> str:
    file = form.cleaned_data["file"]
    if file is None:
        return str(form.cleaned_data["values"])
    if file.size > _LARGEST:
        raise Refused("body.size", "The file is larger than 1 MB.", "file")
    try:
        return str(file.read().decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise Refused("lookup.text", "The file is no text in UTF-8.", "file") from None


def _counted(answers: Sequence[search.Answer]) -> dict[str, object]:
    by_state = {
        state: [one for one in answers if one.state == state]
        for state in ("hit", "refused", "unknown", "miss")
    }
    hits, others = by_state["hit"], [*by_state["refused"], *by_state["unknown"], *by_state["miss"]]
    return {
        "answers": [*hits[:_SHOWN], *others[:_MISSES]],
        "counts": [(state, len(found)) for state, found in by_state.items() if found],
        "total": len(answers),
        "left_out": max(0, len(hits) - _SHOWN) + max(0, len(others) - _MISSES),
        "has_hits": bool(hits),
        "has_personal": bool(by_state["refused"]),
    }


def _sheet(answers: Sequence[search.Answer]) -> bytes:
    """The hits for a spreadsheet: no cell is a formula, nothing in it is unseen."""
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(["value", "kind", "object", "type"])
    for one in answers:
        for hit in one.hits:
            rows.writerow(map(_cell, (one.value, one.kind, hit.stix_id, hit.stix_type)))
    return text.getvalue().encode()


def _cell(text: str) -> str:
    shown = _UNSEEN.sub("\N{REPLACEMENT CHARACTER}", text)
    return f"'{shown}" if shown.lstrip().startswith(_FORMULA) else shown


def _download(body: bytes, ending: str) -> HttpResponse:
    media = {"csv": "text/csv; charset=utf-8", "json": "application/stix+json;version=2.1"}
    response = HttpResponse(body, content_type=media[ending])
    response["Content-Disposition"] = f'attachment; filename="hits.{ending}"'
    response["Cache-Control"] = "no-store"
    return response
