"""The short way for machines: no session, no cookie, nothing that only a browser needs."""

from collections.abc import Callable
from typing import cast

from django.conf import settings
from django.core.handlers.exception import convert_exception_to_response
from django.http import HttpRequest, HttpResponseBase
from django.urls import Resolver404, get_resolver

from members.auth import ScopeMiddleware

Answering = Callable[[HttpRequest], HttpResponseBase]
# What a browser makes of an answer that was never meant for one.
_POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


class MachineMiddleware:
    """Answer here what asks at a door of machines, and at a door of both with a credential.

    What stands further in is for people; what no door answers goes there as well.
    """

    def __init__(self, get_response: Answering) -> None:
        self.people = get_response
        self.of_machines = _guarded(_answered)
        self.of_both = _guarded(ScopeMiddleware(self.of_machines))

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """By the shortest way that the path allows."""
        path = request.path_info
        if path.startswith(settings.DOORS_OF_MACHINES):
            door = self.of_machines  # which has its transactions itself
        elif path.startswith(settings.DOORS_OF_BOTH) and "HTTP_AUTHORIZATION" in request.META:
            door = self.of_both
        else:
            return self.people(request)
        try:
            request.resolver_match = get_resolver().resolve(path)
        except Resolver404:
            return self.people(request)
        return _finished(door(request))


def _guarded(answer: Answering) -> Answering:
    """What fails is answered like anywhere else."""
    return cast("Answering", convert_exception_to_response(answer))


def _answered(request: HttpRequest) -> HttpResponseBase:
    request.get_host()  # refuses a name that is not ours
    match = request.resolver_match
    if match is None:
        raise Resolver404
    response: HttpResponseBase = match.func(request, *match.args, **match.kwargs)
    render = getattr(response, "render", None)
    return response if render is None else render()


def _finished(response: HttpResponseBase) -> HttpResponseBase:
    response.headers.setdefault("Content-Security-Policy", _POLICY)
    response.headers.setdefault("X-Frame-Options", settings.X_FRAME_OPTIONS)
    content: bytes | None = getattr(response, "content", None)
    if content is not None:
        response.headers.setdefault("Content-Length", str(len(content)))
    return response
