"""Signing in and out, and what a member manages for itself: webhooks, keys, people; the help."""

from uuid import UUID

from django.conf import settings
from django.contrib import auth, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from exchange import audit, delivery
from exchange.proof.refused import NotFound, Refused
from exchange.web import extractor, forms, wire, words
from indicators.extract import wheel
from members import credentials as keys
from members import onboarding

BACKEND = "django.contrib.auth.backends.ModelBackend"
ACTS = {
    "unverified": (("verify", "Send the signed test again"),),
    "active": (("pause", "Pause"),),
    "backing-off": (("pause", "Pause"),),
    "paused": (("resume", "Resume"),),
    "suspended": (("resume", "Resume"),),
}
_FINISHED = ("delivered", "dead")


@require_http_methods(["GET", "POST"])
def sign_in(request: HttpRequest) -> HttpResponse:
    """Address and password; five failures close the door for a while."""
    if wire.principal_of(request) is not None:
        return redirect("web:home")
    target = request.POST.get("next") or request.GET.get("next", "")
    form = forms.SignIn(request.POST if request.method == "POST" else None)
    if form.is_bound and form.is_valid():
        user = auth.authenticate(
            request,
            email=form.cleaned_data["email"].lower(),
            password=form.cleaned_data["password"],
        )
        if user is not None:
            auth.login(request, user)
            return redirect(_inside(request, target))
        form.add_error(None, "That address and password do not belong together.")
    context = {"form": form, "next": target}
    status = 422 if form.is_bound else 200
    return wire.render(request, "web/account/sign_in.html", context, status=status)


@require_http_methods(["GET", "POST"])
def sign_in_link(request: HttpRequest, secret: str) -> HttpResponse:
    """A link shows whom it signs in; only the button does it, so that a mail scanner cannot."""
    now = timezone.now()
    try:
        if request.method == "POST":
            auth.login(request, onboarding.redeem_link(secret, now=now), backend=BACKEND)
            return redirect("web:home")
        owner = onboarding.link_owner(secret, now=now)
        context = {"name": owner.name, "of": owner.member.name if owner.member else "The forum"}
    except NotFound:
        context = {"name": "", "of": ""}
    status = 200 if context["name"] else 410
    return wire.render(request, "web/account/sign_in_link.html", context, status=status)


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    """End the session."""
    auth.logout(request)
    return redirect("web:sign-in")


@wire.page()
@require_GET
def help_page(request: HttpRequest) -> HttpResponse:
    """The words, the outcomes, the keys and the codes of refusals."""
    context = {
        "words": words.WORDS,
        "outcomes": words.OUTCOMES,
        "keys": words.KEYS,
        "codes": words.CODES,
        "extractor": wheel.NAME,
        "extractor_digest": extractor.DIGEST,
        "algorithm_quota": settings.ALGORITHM_QUOTA,
        "base_url": settings.WEIR_BASE_URL,
    }
    return wire.render(request, "web/help/help.html", context)


@wire.page()
@require_GET
def settings_page(request: HttpRequest) -> HttpResponse:
    """Where everything that is set up stands."""
    principal = wire.asker(request)
    sees_tokens = principal.may("read-token-use") or principal.may("read-token-alarms")
    context = {
        "sees_tokens": sees_tokens,
        "manages_members": principal.may("manage-members"),
        "lets_go": principal.member_id is not None and principal.may("edit-member-policy"),
        "takes_archive": principal.may("read-ledger"),
    }
    return wire.render(request, "web/account/settings.html", context)


@wire.page()
@require_GET
def people(request: HttpRequest) -> HttpResponse:
    """The member's people and its circles."""
    principal = wire.asker(request)
    context = {"people": audit.people(principal), "circles": audit.circles(principal)}
    return wire.render(request, "web/account/people.html", context)


@wire.page(of_member=True)
@require_http_methods(["GET", "POST"])
def subscriptions(request: HttpRequest) -> HttpResponse:
    """What is pushed, and where; a new webhook gets a signed test first."""
    principal = wire.asker(request)
    circles = tuple((str(c.id), f"Only {c.name}") for c in audit.circles(principal))
    may_manage = principal.may("manage-subscriptions")
    form = forms.offering(
        forms.Subscription(request.POST if request.method == "POST" else None),
        circle=(("", "Everything that you receive"), *circles),
    )
    if may_manage and form.is_bound and form.is_valid():
        circle = form.cleaned_data["circle"]
        try:
            made = delivery.subscribe(
                principal,
                name=form.cleaned_data["name"],
                url=form.cleaned_data["url"],
                circle_id=UUID(circle) if circle else None,
                now=timezone.now(),
            )
            return redirect("web:subscription", subscription_id=made)
        except Refused as refused:
            form.add_error("url", refused.sentence)
    context = {
        "rows": delivery.subscriptions(principal),
        "form": form if may_manage else None,
    }
    status = 422 if form.is_bound else 200
    return wire.render(request, "web/account/subscriptions.html", context, status=status)


@wire.page(of_member=True)
@require_http_methods(["GET", "POST"])
def subscription(request: HttpRequest, subscription_id: UUID) -> HttpResponse:
    """One subscription with its deliveries, and what can be done about it."""
    principal = wire.asker(request)
    row = next((r for r in delivery.subscriptions(principal) if r.id == subscription_id), None)
    if row is None:
        raise NotFound
    if request.method == "POST":
        return _act(request, subscription_id)
    context = {
        "row": row,
        "deliveries": delivery.deliveries(principal, subscription_id),
        "finished": _FINISHED,
        "acts": (*ACTS.get(row.state, ()), ("remove", "Remove")),
        "may_manage": principal.may("manage-subscriptions"),
    }
    return wire.render(request, "web/account/subscription.html", context)


@wire.page(of_member=True)
@require_http_methods(["GET", "POST"])
def credentials(request: HttpRequest) -> HttpResponse:
    """The member's keys; a new one is shown once, on this answer and never again."""
    principal = wire.asker(request)
    may_manage = principal.may("manage-credentials")
    form = forms.offering(
        forms.Credential(request.POST if request.method == "POST" else None), scopes=words.SCOPES
    )
    minted = ""
    now = timezone.now()
    if may_manage and form.is_bound and form.is_valid():
        wanted = keys.Wanted(
            name=form.cleaned_data["name"],
            scopes=tuple(form.cleaned_data["scopes"]),
            days=form.cleaned_data["days"],
        )
        _, minted = keys.mint(principal, wanted, now=now)
        form = forms.offering(forms.Credential(), scopes=words.SCOPES)
    context = {
        "rows": keys.credentials(principal),
        "form": form if may_manage else None,
        "minted": minted,
        "now": now,
    }
    status = 422 if form.is_bound and may_manage else 200
    return wire.render(request, "web/account/credentials.html", context, status=status)


@wire.page(may="manage-credentials")
@require_POST
def revoke(request: HttpRequest, credential_id: UUID) -> HttpResponse:
    """End a key at once."""
    keys.revoke(wire.asker(request), credential_id, now=timezone.now())
    messages.success(request, "Revoked: the key opens nothing any more.", extra_tags="good")
    return redirect("web:credentials")


def _act(request: HttpRequest, subscription_id: UUID) -> HttpResponse:
    principal = wire.asker(request)
    now = timezone.now()
    act = request.POST.get("act", "")
    if act == "verify":
        delivery.verify(principal, subscription_id, now=now)
    elif act == "pause":
        delivery.pause(principal, subscription_id)
    elif act == "resume":
        delivery.resume(principal, subscription_id)
    elif act == "remove":
        delivery.remove(principal, subscription_id, now=now)
        return redirect("web:subscriptions")
    elif request.POST.get("replay"):
        delivery.replay(principal, _uuid(request.POST["replay"]), now=now)
    else:
        raise NotFound
    return redirect("web:subscription", subscription_id=subscription_id)


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise NotFound from None


def _inside(request: HttpRequest, target: str) -> str:
    """Only ever to a page of ours."""
    hosts = {request.get_host()}
    is_ours = url_has_allowed_host_and_scheme(target, hosts, require_https=request.is_secure())
    return target if target and is_ours else "/"
