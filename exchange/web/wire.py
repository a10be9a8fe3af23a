"""Every page goes through here: who asks, what the role may do, a refusal turned into a page."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render as django_render
from django.urls import reverse

from exchange.proof.refused import Forbidden, NotFound, Refused
from members.auth import Principal

View = Callable[..., HttpResponse]
ROLE_WORDS = {
    "analyst": "analyst",
    "officer": "compliance officer",
    "counsel": "counsel",
    "administrator": "administrator",
    "forum-counsel": "the forum's counsel",
    "forum-officer": "the forum's officer",
    "operator": "the forum's operator",
}


# Controls and marks that turn the direction of a text must not dress anything up, whoever wrote
# it: no page has a use for one, so each is shown as the sign for what cannot be shown.
_KEPT = "\t\n\r"
_INERT = {
    code: "\N{REPLACEMENT CHARACTER}"
    for code in (
        *range(0x20),
        *range(0x7F, 0xA0),
        0x061C,
        0x200B,
        0x200E,
        0x200F,
        *range(0x2028, 0x202F),
        *range(0x2060, 0x2070),
        0xFEFF,
        *range(0xFFF9, 0xFFFC),
        *range(0xE0000, 0xE0080),
    )
    if chr(code) not in _KEPT
}


@dataclass(frozen=True, slots=True)
class Word:
    """One word of the rail."""

    label: str
    icon: str
    href: str
    is_here: bool


def page(*, may: str = "", of_member: bool = False) -> Callable[[View], View]:
    """A view for people who have signed in, and where it says so, may do something."""

    def wrap(view: View) -> View:
        @wraps(view)
        def answer(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
            principal = principal_of(request)
            if principal is None:
                return redirect_to_login(request.get_full_path(), settings.LOGIN_URL)
            try:
                if of_member and principal.member_id is None:
                    raise NotFound
                if may and not principal.may(may):
                    raise NotFound
                return view(request, *args, **kwargs)
            except Refused as refused:
                return refusal(request, refused)

        return answer

    return wrap


def principal_of(request: HttpRequest) -> Principal | None:
    """Who asks; nobody where the session is signed out."""
    principal: Principal | None = getattr(request, "principal", None)
    return principal if principal is not None and principal.is_authenticated else None


def asker(request: HttpRequest) -> Principal:
    """Who asks, in a view that is for people who have signed in."""
    principal = principal_of(request)
    if principal is None:
        raise NotFound
    return principal


def render(
    request: HttpRequest, template: str, context: Mapping[str, Any], *, status: int = 200
) -> HttpResponse:
    """A page in its frame; never kept by a cache between us and its reader."""
    principal = principal_of(request)
    frame: dict[str, Any] = {}
    if principal is not None:
        frame = {
            "rail": rail(principal, request.path),
            "principal_name": _full_name(request, principal),
            "principal_roles": ", ".join(ROLE_WORDS.get(r, r) for r in sorted(principal.roles)),
            "principal": principal,
            "own": _member_name(request),
            "can_contribute": principal.may("contribute"),
            "may_search": principal.member_id is not None and principal.may("read-holding"),
            "sees_holds": principal.may("read-holds"),
        }
    response = django_render(request, template, {**frame, **context}, status=status)
    response.content = response.content.decode().translate(_INERT).encode()
    response["Cache-Control"] = "no-store"
    return response


def refusal(request: HttpRequest, refused: Refused) -> HttpResponse:
    """A refusal as a page; what is missing, held or another's is one and the same page."""
    if isinstance(refused, NotFound):
        return nothing_here(request)
    is_forbidden = isinstance(refused, Forbidden)
    context = {
        "heading": "Not for your role" if is_forbidden else "That cannot be done",
        "sentence": refused.sentence,
        "code": refused.code,
        "path": refused.path,
    }
    status = 403 if is_forbidden else 422
    return render(request, "web/refusal.html", context, status=status)


def nothing_here(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """The one page for whatever is not there for this reader."""
    missing = NotFound()
    context = {"heading": "There is nothing here", "sentence": missing.sentence, "code": ""}
    return render(request, "web/refusal.html", context, status=404)


def rail(principal: Principal, path: str) -> tuple[Word, ...]:
    """At most seven words, by role."""
    return tuple(
        Word(label, icon, reverse(f"web:{name}"), _is_here(reverse(f"web:{name}"), path, also))
        for label, icon, name, also in _words(principal)
    )


_KEEPING = ("/retention/", "/legal-holds/", "/requests/")
_POOL = ("/algorithms/",)
_MOST_WORDS = 7


def _words(principal: Principal) -> list[tuple[str, str, str, tuple[str, ...]]]:
    words: list[tuple[str, str, str, tuple[str, ...]]] = [("Home", "home", "home", ())]
    if principal.member_id is None:
        return words + _words_of_forum(principal)
    if principal.may("read-holding"):
        words.append(("Campaigns", "campaigns", "campaigns", ("/objects/",)))
        words.append(("Pool", "pool", "pool", _POOL))
    if principal.may("contribute"):
        words.append(
            (
                "Contribute",
                "contribute",
                "contributions",
                ("/contribute/", "/files/", "/mine/", "/recalls/"),
            )
        )
    elif principal.may("read-own-originals"):
        words.append(("Outflow", "contribute", "contributions", ("/mine/", "/recalls/")))
    if principal.may("decide-hold"):
        words.append(("Holds", "holds", "holds", ()))
    if principal.may("ask-questions"):
        words.append(("Questions", "ledger", "questions", ("/entries/", "/archive/")))
    elif principal.may("read-ledger"):
        words.append(("Ledger", "ledger", "ledger", ()))
    words.append(("Policy", "policy", "policy", ("/previews/",)))
    also = ("/people/", "/subscriptions/", "/credentials/", "/tokens/", *_KEEPING)
    words.append(("Settings", "settings", "settings", also))
    if len(words) > _MOST_WORDS:
        # Who also judges holds reaches the pool from the campaigns.
        words = [word for word in words if word[0] != "Pool"]
        words[1] = (*words[1][:3], (*words[1][3], "/pool/", *_POOL))
    return words


def _words_of_forum(principal: Principal) -> list[tuple[str, str, str, tuple[str, ...]]]:
    words: list[tuple[str, str, str, tuple[str, ...]]] = []
    if "forum-counsel" in principal.roles:
        words.append(("Holds", "holds", "holds", ("/recalls/",)))
        words.append(("Algorithms", "pool", "algorithms", ("/pool/",)))
    if "operator" in principal.roles:
        words.append(("Algorithms", "pool", "algorithms", ("/pool/",)))
    if "forum-officer" in principal.roles:
        words.append(("Originals", "holds", "originals", ()))
        words.append(("Overdue", "deliveries", "recalls-overdue", ()))
    if principal.may("ask-questions"):
        words.append(("Questions", "ledger", "questions", ("/entries/",)))
    words.append(("Policy", "policy", "policy", ("/previews/",)))
    words.append(("Settings", "settings", "settings", ("/people/", *_KEEPING)))
    return words


def _full_name(request: HttpRequest, principal: Principal) -> str:
    own = _member_name(request)
    return f"{principal.name}, {own}" if own else principal.name


def _member_name(request: HttpRequest) -> str:
    member = getattr(request.user, "member", None)
    return member.name if member is not None else ""


def _is_here(href: str, path: str, also: tuple[str, ...]) -> bool:
    if href == "/":
        return path == "/"
    return path.startswith((href, *also))
