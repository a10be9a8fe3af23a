"""What runs found: the evidence of a finding in words, and drafts out of one's own rows alone."""

from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from exchange import algorithms, findings, inbox, pool, runs
from exchange.algorithms import Told
from exchange.proof.refused import NotFound
from exchange.web import evidence, wire
from members.auth import Principal


@dataclass(frozen=True, slots=True)
class Finding:
    """What found an object that the reader holds: the day, and the algorithms that had a part."""

    on: date
    algorithms: tuple[Told, ...]
    objects: tuple[str, ...]


@wire.page(may="read-holding")
@require_GET
def found(request: HttpRequest, stix_id: str) -> HttpResponse:
    """A finding that is held: what found it, and what it rests on, in words."""
    principal, now = wire.asker(request), timezone.now()
    said = of_campaign(principal, stix_id, now=now)
    if not said:
        raise NotFound
    view = inbox.campaign(principal, stix_id, now=now)
    ids = sorted({one for finding in said for one in finding.objects})
    context = {
        "view": view,
        "found": said,
        "sentences": evidence.sentences(inbox.objects(principal, ids, now=now)),
        "now": now,
    }
    return wire.render(request, "web/pool/found.html", context)


def of_campaign(principal: Principal, stix_id: str, *, now: datetime) -> tuple[Finding, ...]:
    """What found it; nothing for what came from a member, as for what the reader does not hold."""
    said = findings.of_object(principal, stix_id)
    pairs = [pair for what in said for pair in what.algorithms]
    named = {(str(one.document_id), one.version): one for one in algorithms.named(pairs, now=now)}
    return tuple(
        Finding(
            on=what.on,
            algorithms=tuple(named[pair] for pair in what.algorithms if pair in named),
            objects=what.objects,
        )
        for what in said
    )


@wire.page(may="read-own-originals", of_member=True)
@require_GET
def drafts(request: HttpRequest) -> HttpResponse:
    """What runs found in one's own rows alone, and waits for an analyst's word."""
    principal = wire.asker(request)
    context = {
        "drafts": [(one, _title(one)) for one in findings.drafts(principal)],
        "pool_is_on": pool.is_on(),
    }
    return wire.render(request, "web/pool/drafts.html", context)


@wire.page(may="read-own-originals", of_member=True)
@require_http_methods(["GET", "POST"])
def draft(request: HttpRequest, draft_id: UUID) -> HttpResponse:
    """One of them, in words; sent as the member's own contribution, or thrown away."""
    principal, now = wire.asker(request), timezone.now()
    if request.method == "POST":
        return _decide(request, principal, draft_id, now=now)
    one = findings.draft(principal, draft_id)
    context = {
        "draft": one,
        "title": _title(one),
        "sentences": evidence.sentences(one.objects),
        "algorithms": algorithms.named(one.algorithms, now=now),
        "may_decide": principal.may("contribute") and one.state == "open",
    }
    return wire.render(request, "web/pool/draft.html", context)


@wire.page(may="operate")
@require_POST
def seen(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """The operator has seen what a run's alarms say."""
    runs.see(wire.asker(request), run_id, now=timezone.now())
    messages.success(request, "Noted: you have seen it.", extra_tags="good")
    return redirect("web:health")


def _decide(
    request: HttpRequest, principal: Principal, draft_id: UUID, *, now: datetime
) -> HttpResponse:
    step = request.POST.get("step", "")
    if step == "send":
        contribution = findings.send(principal, draft_id, now=now)
        said = "Sent as your company's contribution: it is decided, and leaves in its window."
        messages.success(request, said, extra_tags="good")
        return redirect("web:contribution", contribution_id=contribution)
    if step != "drop":
        raise NotFound
    findings.drop(principal, draft_id, now=now)
    messages.success(request, "Thrown away. No later run makes a draft of the same group.")
    return redirect("web:pool-drafts")


def _title(one: findings.Draft) -> str:
    """How large the group is, which is what tells drafts apart."""
    for obj in one.objects:
        if obj.get("type") == "account-cluster" and obj.get("size_bucket"):
            return f"A group of {obj['size_bucket']} accounts"
    return "A group of accounts"
