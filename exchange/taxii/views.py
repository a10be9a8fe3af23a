"""TAXII 2.1 endpoints: they translate and nothing else."""

from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.db import transaction
from django.http import HttpRequest, HttpResponse, UnreadablePostError
from django.utils import timezone
from django.views import View
from gunicorn.http.errors import ParseException  # type: ignore[import-untyped] # it ships no types
from rest_framework import exceptions

from exchange import access, contribute, pages
from exchange.proof.refused import Forbidden, NotFound, Refused
from exchange.taxii import wire
from members import scope
from members.auth import NOBODY, PRINCIPAL, Principal, of_machine

log = structlog.get_logger()
# What cannot be understood at all is 400, what is understood and not taken 422 (5.5).
_NOT_UNDERSTOOD = frozenset(
    "body.empty body.encoding body.bom body.json body.depth body.cut query.malformed".split()
)


class TaxiiView(View):
    """One endpoint: credentials, negotiation, and every error in the TAXII media type."""

    http_method_names = ("get", "head", "post", "delete")
    also: tuple[str, ...] = ()
    # The methods that see to their transactions themselves: where one statement is enough for an
    # answer, it is one.
    alone: frozenset[str] = frozenset()

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:  # noqa: ANN401 - Django's
        """Who asks, and whether they can read what we serve; then the method."""
        encoding = _encoding(request)
        try:
            who = of_machine(request)
            if who is None:
                raise exceptions.NotAuthenticated
            is_taken = wire.accepts(request.META.get("HTTP_ACCEPT", ""), also=self.also)
            if not is_taken or encoding is None:
                raise exceptions.NotAcceptable
        except Exception as exc:  # noqa: BLE001 - each has its answer
            response = self._failed(exc)
        else:
            response = self._within(who, request, *args, **kwargs)
        return wire.compressed(response, encoding or "identity")

    def _within(
        self,
        who: Principal,
        request: HttpRequest,
        *args: Any,  # noqa: ANN401 - Django's
        **kwargs: Any,  # noqa: ANN401 - Django's
    ) -> HttpResponse:
        if request.method in self.alone:
            return self._tried(request, *args, **kwargs)
        with scope.request():
            scope.enter(who.acting())
            response = self._tried(request, *args, **kwargs)
            if response.status_code >= 500:  # leaves nothing behind
                transaction.set_rollback(True)
        return response

    def _tried(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:  # noqa: ANN401 - Django's
        name = (request.method or "").lower()
        try:
            if name not in self.http_method_names or not hasattr(self, name):
                raise exceptions.MethodNotAllowed(name)
            response: HttpResponse = getattr(self, name)(request, *args, **kwargs)
        except Exception as exc:  # noqa: BLE001 - each has its answer
            return self._failed(exc)
        return response

    def _failed(self, exc: Exception) -> HttpResponse:
        """Once for all: refusals and the framework's own errors as error resources."""
        if isinstance(exc, Refused):
            return _refusal(exc)
        if isinstance(exc, exceptions.APIException):
            return self._framework(exc)
        if isinstance(exc, RequestDataTooBig):
            return wire.error("The body is larger than this server reads.", status=413)
        if isinstance(exc, SuspiciousOperation):  # more parameters than anyone needs
            return malformed()
        log.error("taxii.failed", error=type(exc).__name__)
        return failed()

    def _framework(self, exc: exceptions.APIException) -> HttpResponse:
        if isinstance(exc, exceptions.NotAuthenticated | exceptions.AuthenticationFailed):
            response = wire.error("Valid credentials are needed here.", status=401)
            response["WWW-Authenticate"] = 'Basic realm="Weir"'
            return response
        titles = {
            405: "This method is not for this resource.",
            406: f"This server answers in {wire.MEDIA}.",
            415: f"Send {wire.MEDIA}.",
        }
        title = titles.get(exc.status_code, "The request cannot be answered.")
        response = wire.error(title, status=exc.status_code)
        if exc.status_code == 405:
            names = [name for name in self.http_method_names if hasattr(self, name)]
            response["Allow"] = ", ".join(names).upper()
        return response


class Discovery(TaxiiView):
    """4.1: the server."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """The one API root, absolute."""
        return wire.answer(wire.discovery(settings.WEIR_BASE_URL))


class ApiRoot(TaxiiView):
    """4.2: the API root."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """Versions and the largest body."""
        return wire.answer(wire.api_root(settings.MAX_CONTENT_LENGTH))


class Status(TaxiiView):
    """4.3: what became of a contribution."""

    def get(self, request: HttpRequest, status_id: str) -> HttpResponse:
        """The status; an id that is none is unknown."""
        found = contribute.status(_asking(request), _uuid(status_id))
        return wire.answer(wire.status(found))


class Collections(TaxiiView):
    """5.1: the collections of this member."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """Flags are for this credential."""
        found = [wire.collection(one) for one in access.collections(_asking(request))]
        return wire.answer({"collections": found})


class Collection(TaxiiView):
    """5.2: one collection."""

    def get(self, request: HttpRequest, collection: str) -> HttpResponse:
        """By id or alias."""
        return wire.answer(wire.collection(_chosen(request, collection)))


class Manifest(TaxiiView):
    """5.3: what a collection holds."""

    also = ("application/stix+json",)
    alone = frozenset({"GET", "HEAD"})

    def get(self, request: HttpRequest, collection: str) -> HttpResponse:
        """A page of records."""
        return _paged(request, collection, wire.manifest, via="taxii-manifest")


class Objects(TaxiiView):
    """5.4 and 5.5: the objects of a collection."""

    also = ("application/stix+json",)
    alone = frozenset({"GET", "HEAD"})

    def get(self, request: HttpRequest, collection: str) -> HttpResponse:
        """A page of stored bytes: a walk through all that is held, or what a filter picks."""
        chosen = _chosen(request, collection)
        query = wire.query_of(request.GET, chosen)
        if not pages.is_walk(chosen, query):
            found = access.page(_asking(request), chosen, query, via="taxii", now=timezone.now())
            return wire.envelope(chosen, query, found)
        wanted = pages.Wanted(
            assemble=partial(wire.walked, query),
            encoding=_encoding(request) or "identity",
            has=wire.etags(request.META.get("HTTP_IF_NONE_MATCH", "")),
        )
        served = pages.serve(_asking(request), chosen, query, wanted, now=timezone.now())
        return wire.served(served, wanted.encoding)

    def post(self, request: HttpRequest, collection: str) -> HttpResponse:
        """202 with the status resource."""
        chosen = _chosen(request, collection)
        if not chosen.can_write:
            raise Forbidden("This collection cannot be written.") if chosen.can_read else NotFound
        body = _body(request)
        if chosen.circle_id is None:
            raise Forbidden("This member has no circle that its contributions go to.")
        made = contribute.submit(
            _asking(request),
            body,
            circle_id=chosen.circle_id,
            source="taxii",
            default_basis=_asking(request).default_basis,
            now=timezone.now(),
        )
        return wire.answer(wire.status(contribute.status(_asking(request), made)), status=202)


class Object(TaxiiView):
    """5.6 and 5.7: one object."""

    also = ("application/stix+json",)
    alone = frozenset({"GET", "HEAD"})

    def get(self, request: HttpRequest, collection: str, object_id: str) -> HttpResponse:
        """The last version, or those that are asked for."""
        return _one(request, collection, object_id, wire.envelope)

    def delete(self, request: HttpRequest, collection: str, object_id: str) -> HttpResponse:
        """Withdraw: both rights are needed; with neither, nothing is there."""
        chosen = _chosen(request, collection)
        if not chosen.can_read and not chosen.can_write:
            raise NotFound
        if not (chosen.can_read and chosen.can_write):
            raise Forbidden("Objects of this collection cannot be deleted.")
        picked = wire.deletion_of(request.GET, chosen, object_id)
        if not access.picks_whole(_asking(request), chosen, picked):
            raise Forbidden("An object is withdrawn with all its versions, or not at all.")
        contribute.withdraw(_asking(request), object_id, now=timezone.now())
        return wire.nothing()


class Versions(TaxiiView):
    """5.8: the versions of one object."""

    alone = frozenset({"GET", "HEAD"})

    def get(self, request: HttpRequest, collection: str, object_id: str) -> HttpResponse:
        """Oldest arrival first."""
        return _one(request, collection, object_id, wire.versions, every_version=True)


def malformed() -> HttpResponse:
    """What is refused before any endpoint is reached (3.6)."""
    return wire.error("The request is malformed.", status=400)


def failed() -> HttpResponse:
    """What fails outside of an endpoint."""
    return wire.error("The server failed; nothing was changed.", status=500)


class Nowhere(TaxiiView):
    """Whatever else is asked for below /taxii2/."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:  # noqa: ANN401 - DRF's
        """The same for everybody, with or without credentials."""
        return wire.error("There is nothing here.", status=404)


Shown = Callable[[access.Collection, access.Query, access.Page], HttpResponse]


def _paged(request: HttpRequest, collection: str, shown: Shown, *, via: str) -> HttpResponse:
    chosen = _chosen(request, collection)
    query = wire.query_of(request.GET, chosen)
    found = access.page(_asking(request), chosen, query, via=via, now=timezone.now())
    return shown(chosen, query, found)


def _one(
    request: HttpRequest,
    collection: str,
    object_id: str,
    shown: Shown,
    *,
    every_version: bool = False,
) -> HttpResponse:
    chosen = _chosen(request, collection)
    query = wire.query_of(request.GET, chosen)
    chosen_versions = ("all",) if every_version else query.versions
    query = access.Query(
        limit=query.limit,
        after=query.after,
        added_after=query.added_after,
        ids=(object_id,),
        versions=chosen_versions,
        spec_versions=query.spec_versions,
    )
    via = "taxii-manifest" if every_version else "taxii"
    found = access.page(_asking(request), chosen, query, via=via, now=timezone.now())
    if not found.items and not access.knows(_asking(request), chosen, object_id):
        raise NotFound
    return shown(chosen, query, found)


def _asking(request: HttpRequest) -> Principal:
    found: Principal = getattr(request, PRINCIPAL, NOBODY)
    return found


def _chosen(request: HttpRequest, name: str) -> access.Collection:
    return access.collection(_asking(request), name)


def _encoding(request: HttpRequest) -> str | None:
    return wire.encoding_of(request.META.get("HTTP_ACCEPT_ENCODING", ""))


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise NotFound from None


def _body(request: HttpRequest) -> bytes:
    """The body, its size judged before it is read; a chunked one is counted while it is."""
    if not wire.is_ours(request.META.get("CONTENT_TYPE", "")):
        raise exceptions.UnsupportedMediaType(request.META.get("CONTENT_TYPE", ""))
    most = settings.MAX_CONTENT_LENGTH
    length = request.META.get("CONTENT_LENGTH") or ""
    if length.isdigit() and int(length) > most:
        raise Refused("body.size", f"A contribution has at most {most:,} octets.")
    if "chunked" in request.META.get("HTTP_TRANSFER_ENCODING", "").lower():
        body = _chunks(request, most + 1)
    else:
        body = _announced(request)
    if length.isdigit() and len(body) < int(length):
        raise Refused("body.cut", "The body ended before its announced length.")
    if body.lstrip(b" \t\r\n").startswith(b"["):
        raise Refused("body.form", "The body is an envelope, not a list.")
    return body


def _announced(request: HttpRequest) -> bytes:
    try:
        return request.body
    except UnreadablePostError:
        raise Refused("body.cut", "The body ended before its announced length.") from None


def _chunks(request: HttpRequest, most: int) -> bytes:
    try:
        body: bytes = request.META["wsgi.input"].read(most)
    except (OSError, ParseException):  # the sender went away, or its chunks are none
        raise Refused("body.cut", "The body ended before its last chunk.") from None
    return body


def _refusal(refused: Refused) -> HttpResponse:
    status = 422
    if isinstance(refused, NotFound):
        status = 404
    elif isinstance(refused, Forbidden):
        status = 403
    elif refused.code == "body.size":
        status = 413
    elif refused.code in _NOT_UNDERSTOOD:
        status = 400
    return wire.error(refused.sentence, status=status, code=refused.code, path=refused.path)
