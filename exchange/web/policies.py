"""The policy desk: the floor in words, versions, drafts and their differences, and the schemas."""

from datetime import UTC, datetime
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from exchange import audit, policies
from exchange.policy import documents
from exchange.proof.refused import NotFound
from exchange.web import forms, wire
from members.auth import Principal

SCHEMAS: dict[str, documents.Kind] = {"floor": "floor", "member-policy": "member"}


@wire.page(may="read-policy")
@require_GET
def desk(request: HttpRequest) -> HttpResponse:
    """What is in force, what came before, and what is on its way."""
    principal = wire.asker(request)
    kind = _kind(principal)
    own = policies.versions(principal, "member")
    context = {
        "policies": audit.policies(now=timezone.now()),
        "floors": policies.versions(principal, "floor"),
        "own": own,
        "drafts": policies.drafts(principal),
        "may_write": _may_write(principal),
        "may_read_drafts": _may_write(principal) or principal.may("activate-floor"),
        "kind": kind,
    }
    return wire.render(request, "web/policies/desk.html", context)


@wire.page(may="read-policy")
@require_GET
def floor(request: HttpRequest, version: str = "") -> HttpResponse:
    """The floor for lawyers: all of it in words, to be read or printed."""
    found = policies.floor_in_words(version, now=timezone.now())
    return wire.render(request, "web/policies/floor.html", {"floor": found})


@wire.page(may="read-policy")
@require_GET
def source(request: HttpRequest, kind: str, version: str) -> HttpResponse:
    """One version as its YAML, exactly as its author wrote it."""
    principal = wire.asker(request)
    for one in policies.versions(principal, "floor" if kind == "floor" else "member"):
        if one.version == version:
            response = HttpResponse(one.source, content_type="application/yaml; charset=utf-8")
            name = f"{kind}-{int(version)}.yaml" if version.isdecimal() else f"{kind}.yaml"
            response["Content-Disposition"] = f'attachment; filename="{name}"'
            response["Cache-Control"] = "no-store"
            return response
    raise NotFound


@wire.page(may="read-policy")
@require_http_methods(["GET", "POST"])
def write(request: HttpRequest, draft_id: UUID | None = None) -> HttpResponse:
    """Write a draft as YAML, from what is in force; check it, see the difference, keep it."""
    principal = wire.asker(request)
    if not _may_write(principal):
        raise NotFound
    kind = _kind(principal)
    given = request.POST if request.method == "POST" else None
    form = forms.Policy(given, initial=_initial(principal, kind, draft_id))
    context: dict[str, object] = {"form": form, "kind": kind, "draft_id": draft_id}
    if given is None or not form.is_valid():
        status = 422 if given is not None else 200
        return wire.render(request, "web/policies/write.html", context, status=status)
    text = form.cleaned_data["text"]
    checked = documents.check(text, kind)
    if checked.document is None or given.get("step") == "check":
        context["faults"] = checked.faults
        if checked.document is not None:
            context["changes"] = policies.changes_to(principal, checked.document)
        status = 200 if checked.document is not None else 422
        return wire.render(request, "web/policies/write.html", context, status=status)
    kept = policies.draft(
        principal,
        text,
        draft_id=draft_id,
        note=form.cleaned_data["note"],
        starts_at=_utc(form.cleaned_data["starts_at"]),
        now=timezone.now(),
    )
    messages.success(request, "Kept as a draft.", extra_tags="good")
    return redirect("web:policy-draft", draft_id=kept)


@wire.page(may="read-policy")
@require_GET
def draft(request: HttpRequest, draft_id: UUID) -> HttpResponse:
    """One draft: what it changes, looser first, and what can be done with it now."""
    return _draft(request, draft_id, forms.Approval(), forms.Reason())


@wire.page(may="read-policy")
@require_POST
def act(request: HttpRequest, draft_id: UUID) -> HttpResponse:
    """Submit, put aside, send back, or put in force."""
    principal, now = wire.asker(request), timezone.now()
    step = request.POST.get("step", "")
    if step == "submit":
        policies.submit(principal, draft_id, now=now)
        messages.success(request, "Submitted.", extra_tags="good")
    elif step == "discard":
        policies.discard(principal, draft_id, now=now)
        messages.success(request, "Put aside.")
        return redirect("web:policy")
    elif step == "send-back":
        reason = forms.Reason(request.POST)
        if not reason.is_valid():
            return _draft(request, draft_id, forms.Approval(), reason)
        policies.send_back(principal, draft_id, reason=reason.cleaned_data["reason"], now=now)
        messages.success(request, "Sent back to its author.")
    else:
        approval = forms.Approval(request.POST)
        if not approval.is_valid():
            return _draft(request, draft_id, approval, forms.Reason())
        since = policies.activate(
            principal,
            draft_id,
            digest=approval.cleaned_data["digest"],
            saw=approval.cleaned_data["saw"],
            reach=approval.cleaned_data["reach"],
        )
        said = "In force." if since else "Approved. It takes effect at its time."
        messages.success(request, said, extra_tags="good")
    return redirect("web:policy-draft", draft_id=draft_id)


@require_GET
def schema(request: HttpRequest, name: str) -> HttpResponse:
    """The published JSON Schema of a kind of policy; for everybody, at an address that stays."""
    if name not in SCHEMAS:
        return wire.nothing_here(request)
    address = request.build_absolute_uri(reverse("web:schema", args=[name]))
    response = JsonResponse(
        documents.schema(SCHEMAS[name], address=address),
        json_dumps_params={"indent": 2},
        content_type="application/schema+json",
    )
    response["Cache-Control"] = "public, max-age=300"
    return response


def _draft(
    request: HttpRequest, draft_id: UUID, approval: forms.Approval, reason: forms.Reason
) -> HttpResponse:
    principal = wire.asker(request)
    review = policies.review_of(principal, draft_id)
    context = {"review": review, "draft": review.draft, "approval": approval, "reason": reason}
    status = 422 if approval.is_bound or reason.is_bound else 200
    return wire.render(request, "web/policies/draft.html", context, status=status)


def _initial(
    principal: Principal, kind: documents.Kind, draft_id: UUID | None
) -> dict[str, object]:
    if draft_id is not None:
        found = policies.draft_of(principal, draft_id)
        starts_at = found.starts_at.astimezone(UTC) if found.starts_at else None
        return {"text": found.source, "note": found.note, "starts_at": starts_at}
    return {"text": policies.starting_text(principal, kind)}


def _kind(principal: Principal) -> documents.Kind:
    return "floor" if principal.member_id is None else "member"


def _may_write(principal: Principal) -> bool:
    return principal.may("draft-floor" if principal.member_id is None else "edit-member-policy")


def _utc(at: datetime | None) -> datetime | None:
    return at.replace(tzinfo=UTC) if at is not None and at.tzinfo is None else at
