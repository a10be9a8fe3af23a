"""Contributions by file over REST: a body as long as a file may be, its status, its report."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from django.http import HttpResponse, JsonResponse, QueryDict, StreamingHttpResponse
from django.http.request import UnreadablePostError
from django.utils import timezone
from django.utils.http import parse_header_parameters
from rest_framework.request import Request

from exchange import files
from exchange.api import wire
from exchange.api.views import ApiView
from exchange.files.export import table
from exchange.proof.refused import Refused
from members.auth import asking

_CHUNK = 262_144
_KINDS = ("stix", "misp", "table")


class Files(ApiView):
    """Hand a file in, and send it."""

    def post(self, request: Request) -> JsonResponse:
        """202 with the status; the body is sealed while it comes in, and never in memory whole."""
        who = asking(request)
        circle_id = wire.circle_of(request.GET)
        basis = wire.basis_of(request.GET) or who.default_basis
        sent = files.Sent(circle_id, basis, wire.attribution_of(request.GET))
        kind = _kind_of(request.GET)
        length = _length(request)
        now = timezone.now()
        with files.receive(who, announced=length, circle_id=circle_id) as writer:
            _take_in(request, writer, length)
            made = files.hand_in(who, writer, name=_name(request), kind=kind, sent=sent, now=now)
        return _fresh(JsonResponse(status(files.status(who, made)), status=202))


class File(ApiView):
    """How far one file has come."""

    def get(self, request: Request, file_id: UUID) -> HttpResponse:
        """The status; its counts add up to the total."""
        return _fresh(JsonResponse(status(files.status(asking(request), file_id))))


class Report(ApiView):
    """What became of each object."""

    def get(self, request: Request, file_id: UUID) -> HttpResponse:
        """A page of it; `next` where there are more."""
        found = files.report(
            asking(request),
            file_id,
            after=request.GET.get("after", ""),
            limit=_limit(request.GET),
        )
        return _fresh(JsonResponse(page(found)))


class ReportTable(ApiView):
    """The whole report as a table."""

    def get(self, request: Request, file_id: UUID) -> StreamingHttpResponse:
        """Written page by page; a spreadsheet takes no cell of it for a formula."""
        lines = table(asking(request), file_id)
        return as_table(lines)


def as_table(lines: Iterator[bytes]) -> StreamingHttpResponse:
    """A download that nobody keeps; its name is ours, not the file's."""
    response = StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = 'attachment; filename="report.csv"'
    response["Cache-Control"] = "private, no-store"
    return response


def status(found: files.Status) -> dict[str, Any]:
    """How far a file has come."""
    said: dict[str, Any] = {
        "id": str(found.id),
        "name": found.name,
        "kind": found.kind,
        "state": found.state,
        "step": found.step,
        "received_at": found.received_at.isoformat(),
        "octets": found.octets,
        "read": found.read,
        "total": found.total,
        "successes": found.successes,
        "failures": found.failures,
        "pendings": found.pendings,
        "parts": found.parts,
        "parts_taken": found.parts_taken,
        "contributions": [str(one) for one in found.contributions],
    }
    if found.code:
        said["refused"] = {
            "code": found.code,
            "sentence": found.sentence,
            "path": found.place,
        }
    return said


def page(found: files.Page) -> dict[str, Any]:
    """Some lines of a report."""
    said: dict[str, Any] = {
        "items": [
            {
                "place": one.place,
                "id": one.stix_id,
                "version": one.version,
                "success": one.success,
                "message": one.message,
            }
            for one in found.lines
        ]
    }
    return said | ({"next": found.next} if found.next else {})


def _take_in(request: Request, writer: files.Writer, length: int) -> None:
    """Seal the body while it comes in."""
    while writer.octets < length:
        try:
            data = request._request.read(min(_CHUNK, length - writer.octets))
        except UnreadablePostError:
            data = b""
        if not data:
            raise Refused("body.cut", "The body ended before its announced length.")
        writer.write(data)


def _length(request: Request) -> int:
    length = request.META.get("CONTENT_LENGTH") or ""
    if not (length.isascii() and length.isdigit()):
        raise Refused("body.length", "Say the length of the body.")
    return int(length)


def _name(request: Request) -> str:
    """What the file is called (RFC 6266); it is shown to its own member alone."""
    _, said = parse_header_parameters(request.META.get("HTTP_CONTENT_DISPOSITION", ""))
    name = said.get("filename", "").replace("\\", "/").rpartition("/")[2]
    return "".join(char for char in name if char.isprintable())[:200]


def _kind_of(params: QueryDict) -> str:
    kind = params.get("kind", "")
    if kind and kind not in _KINDS:
        raise Refused("query.kind", "`kind` is stix, misp or table.", "kind")
    return kind


def _limit(params: QueryDict) -> int:
    text = params.get("limit", "200")
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text)):
        raise Refused("query.limit", "`limit` is a whole number from 1 on.", "limit")
    return int(text)


def _fresh(response: JsonResponse) -> JsonResponse:
    response["Cache-Control"] = "private, no-store"
    return response
