"""The what-if page: what a draft policy would newly show and newly hide, and to whom."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from difflib import unified_diff
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from exchange import policies, replay
from exchange.policy import changes, difference, documents
from exchange.proof.refused import Forbidden, NotFound, Refused
from exchange.replay import Asked, Count, Filters
from exchange.web import forms, wire
from members.auth import Principal

IN_FORCE = "in-force"


@dataclass(frozen=True, slots=True)
class Tally:
    """How much one audience, class or rule has of what is newly visible, and newly hidden."""

    name: str
    query: str
    is_chosen: bool
    shown_objects: int
    shown_fields: int
    hidden_objects: int
    hidden_fields: int


@wire.page(may="read-policy")
@require_http_methods(["GET", "POST"])
def previews(request: HttpRequest) -> HttpResponse:
    """The previews so far, and the form for another; estimated before it starts."""
    principal = wire.asker(request)
    if not replay.may_read(principal):
        raise NotFound
    kind, member_id = _whose(principal)
    context: dict[str, Any] = {"previews": replay.recent(principal), "kind": kind}
    if not _may_start(principal):
        return wire.render(request, "web/replay/previews.html", context)
    given = request.POST if request.method == "POST" else request.GET or None
    form = _form(principal, given)
    context["form"] = form
    context["carried"] = [(name, given.get(name, "")) for name in form.fields] if given else []
    if given is None or not form.is_valid():
        return wire.render(request, "web/replay/previews.html", context)
    since, until = _range(form)
    try:
        if request.method == "POST" and request.POST.get("step") == "start":
            started = replay.start(
                principal,
                kind=kind,
                member_id=member_id,
                document=_document(principal, form.cleaned_data["document"]),
                against=_against(principal, form.cleaned_data["against"]),
                since=since,
                until=until,
                now=timezone.now(),
            )
            return redirect("web:preview", preview_id=started)
        context["estimate"] = replay.estimate(
            principal, kind=kind, member_id=member_id, since=since, until=until
        )
    except Refused as refused:
        form.add_error(None, refused.sentence)
        return wire.render(request, "web/replay/previews.html", context, status=422)
    return wire.render(request, "web/replay/previews.html", context)


@wire.page(may="read-policy")
@require_GET
def preview(request: HttpRequest, preview_id: UUID) -> HttpResponse:
    """One preview: its progress while workers are at it, then what it found."""
    principal = wire.asker(request)
    asked = replay.overview(principal, preview_id)
    if request.headers.get("HX-Request") and asked.is_open:
        return wire.render(request, "web/replay/progress.html", {"asked": asked})
    context = {
        "asked": asked,
        "words": changes.compare(asked.against, asked.document, _kind(asked)),
        "differs": _differs(asked),
        "tallies": _tallies(asked, request.GET),
        "filters": _chosen(asked, request.GET),
        "lists": [],
    }
    if asked.state == "finished" and asked.reads_lines:
        context["lists"] = _lists(principal, asked, request.GET)
    response = wire.render(request, "web/replay/preview.html", context)
    if request.headers.get("HX-Request"):
        response["HX-Refresh"] = "true"
    return response


@wire.page(may="read-policy")
@require_POST
def cancel(request: HttpRequest, preview_id: UUID) -> HttpResponse:
    """End it before its time."""
    replay.cancel(wire.asker(request), preview_id, now=timezone.now())
    messages.success(request, "Cancelled. Nothing of it is kept.")
    return redirect("web:previews")


@wire.page(may="read-policy")
@require_http_methods(["GET", "POST"])
def line(request: HttpRequest, preview_id: UUID, line_id: int) -> HttpResponse:
    """The object behind a line: one's own in the lens, another's after a recorded opening."""
    principal = wire.asker(request)
    asked = replay.overview(principal, preview_id)
    form = forms.Reason(request.POST if request.method == "POST" else None)
    reason = form.cleaned_data["reason"] if form.is_bound and form.is_valid() else ""
    opened = replay.open_line(principal, preview_id, line_id, reason=reason, now=timezone.now())
    sides = (("Under the policy before", opened.before), ("Under the draft", opened.after))
    context = {"asked": asked, "opened": opened, "form": form, "sides": sides}
    status = 422 if form.is_bound and not form.is_valid() else 200
    return wire.render(request, "web/replay/line.html", context, status=status)


# --- the form ------------------------------------------------------------------------------------


def _whose(principal: Principal) -> tuple[documents.Kind, UUID | None]:
    return ("member", principal.member_id) if principal.member_id else ("floor", None)


def _may_start(principal: Principal) -> bool:
    permission = "edit-member-policy" if principal.member_id else "draft-floor"
    return principal.may(permission)


def _form(principal: Principal, given: QueryDict | None) -> forms.Preview:
    """Drafts first, then versions that are or were in force."""
    kind, _ = _whose(principal)
    drafts = [
        (f"draft-{one.id}", f"Draft of {one.changed_at:%-d %b %Y, %H:%M} UTC, {one.state}")
        for one in policies.drafts(principal)
    ]
    versions = [
        (f"version-{one.digest}", f"Version {one.version}, in force from {one.since:%-d %b %Y}")
        for one in policies.versions(principal, kind)
    ]
    none = [] if kind == "floor" else [("none", "No policy of your own: the floor alone")]
    return forms.offering(
        forms.Preview(given),
        document=(*drafts, *versions, *none),
        against=((IN_FORCE, "The policy in force now"), *versions, *none),
    )


def _range(form: forms.Preview) -> tuple[datetime, datetime]:
    """Whole days in UTC; without a beginning, the last 30 days."""
    now = timezone.now()
    since, until = form.cleaned_data["since"], form.cleaned_data["until"]
    end = now if until is None else datetime.combine(until, time(), UTC) + timedelta(days=1)
    end = min(end, now)
    if since is None:
        return end - timedelta(days=replay.DAYS), end
    return datetime.combine(since, time(), UTC), end


def _document(principal: Principal, chosen: str) -> dict[str, object]:
    """The document of a draft or a version that this reader may see."""
    name, _, which = chosen.partition("-")
    if name == "draft":
        return dict(policies.draft_of(principal, UUID(which)).document)
    if name == "version":
        for one in policies.versions(principal, _whose(principal)[0]):
            if one.digest == which:
                return dict(one.document)
    if name == "none":
        return {}
    raise Forbidden("There is no such policy.")


def _against(principal: Principal, chosen: str) -> dict[str, object] | None:
    return None if chosen in ("", IN_FORCE) else _document(principal, chosen)


# --- the lists -----------------------------------------------------------------------------------


def _filters(given: QueryDict, way: str) -> Filters:
    audience = given.get("audience", "")
    after = given.get(f"after-{way}", "")
    return Filters(
        way=way,
        audience=int(audience) if _is_number(audience) else None,
        field_class=given.get("class", "")[:100],
        rule=given.get("rule", "")[:200],
        after=int(after) if _is_number(after) else 0,
    )


def _is_number(text: str) -> bool:
    return len(text) < 20 and text.removeprefix("-").isascii() and text.removeprefix("-").isdigit()


def _lists(principal: Principal, asked: Asked, given: QueryDict) -> list[dict[str, object]]:
    """Newly visible first, then newly hidden, then what is otherwise; each in pages of its own."""
    made: list[dict[str, object]] = []
    for way, title in (
        ("visible", "Newly visible"),
        ("covered", "Newly hidden"),
        ("other", "Otherwise than before"),
    ):
        page = replay.lines(principal, asked.id, _filters(given, way))
        more = _query(given, **{f"after-{way}": str(page.more)}) if page.more else ""
        made.append({"way": way, "title": title, "page": page, "more": more})
    return made


def _query(given: QueryDict, **changed: str) -> str:
    """The address with some filters changed; an empty one is left out."""
    kept = {name: given[name] for name in ("audience", "class", "rule") if given.get(name)}
    merged = {name: value for name, value in {**kept, **changed}.items() if value}
    return "?" + urlencode(merged)


def _chosen(asked: Asked, given: QueryDict) -> list[tuple[str, str]]:
    """The filters that are set, each with the address without it."""
    named = {str(one.key): _name(one) for one in asked.audiences}
    said = {
        "audience": named.get(given.get("audience", ""), ""),
        "class": given.get("class", "")[:100],
        "rule": given.get("rule", "")[:200],
    }
    return [(value, _query(given, **{name: ""})) for name, value in said.items() if value]


def _kind(asked: Asked) -> documents.Kind:
    return "floor" if asked.kind == "floor" else "member"


def _differs(asked: Asked) -> list[tuple[str, str]]:
    """The lines of the two documents that differ: added, removed, or where they stand."""
    before, after = (documents.write(one) if one else "" for one in (asked.against, asked.document))
    found = list(unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm=""))[2:]
    words = {"+": "added", "-": "removed"}
    return [(words.get(line[:1], ""), line[1:]) for line in found if not line.startswith("@")]


def _tallies(asked: Asked, given: QueryDict) -> list[tuple[str, list[Tally]]]:
    """The counts by recipients, by class of field and by rule."""
    return [
        (
            "Recipients",
            _tally(asked.counts, given, "audience", lambda one: str(one.audience.key), _of_whom),
        ),
        (
            "Class",
            _tally(asked.counts, given, "class", lambda one: one.field_class, lambda one: ""),
        ),
        ("Because of", _tally(asked.counts, given, "rule", lambda one: one.rule, lambda one: "")),
    ]


# What makes something so that no rule of a policy is about.
_NO_RULE = {
    difference.WINDOW: "when its window opens",
    difference.REFERENCE: "what it refers to does not leave",
}


def _of_whom(count: Count) -> str:
    return _name(count.audience)


def _name(audience: replay.Audience) -> str:
    return ", ".join(audience.names) or f"the circle {audience.circle}, whoever gets it"


def _tally(
    counts: Iterable[Count],
    given: QueryDict,
    filter_name: str,
    value_of: Callable[[Count], str],
    name_of: Callable[[Count], str],
) -> list[Tally]:
    names: dict[str, str] = {}
    sums: Counter[tuple[str, str]] = Counter()
    for count in counts:
        value = value_of(count)
        names[value] = name_of(count) or _NO_RULE.get(value, value)
        side = "other"
        if count.way in difference.VISIBLE:
            side = "shown"
        elif count.way in difference.COVERED:
            side = "hidden"
        sums[(value, f"{side}_objects")] += count.objects
        sums[(value, f"{side}_fields")] += count.fields
    return [
        Tally(
            name=names[value],
            query=_query(given, **{filter_name: value}),
            is_chosen=given.get(filter_name) == value,
            shown_objects=sums[(value, "shown_objects")],
            shown_fields=sums[(value, "shown_fields")],
            hidden_objects=sums[(value, "hidden_objects")],
            hidden_fields=sums[(value, "hidden_fields")],
        )
        for value in sorted(names, key=lambda value: names[value])
    ]
