"""Extracts over REST: a member's day in three parts, and what became of its own."""

from io import BytesIO
from typing import Any

from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import MemoryFileUploadHandler
from django.http import JsonResponse
from django.http.multipartparser import MultiPartParser, MultiPartParserError
from django.utils import timezone
from rest_framework.request import Request

from exchange import pool
from exchange.api.views import ApiView, body_of
from exchange.proof.refused import Refused
from members.auth import asking

# Manifest and files as large as they may be, and the words between them.
MOST_OCTETS = 14 << 20
_PARTS = ("manifest", "clusters", "templates")


class Extracts(ApiView):
    """Send the extract of a day; what became of the newest."""

    def get(self, request: Request) -> JsonResponse:
        """The member's own, the newest first: days, digests, states."""
        found = pool.my_extracts(asking(request))
        return _fresh({"extracts": [status(one) for one in found]})

    def post(self, request: Request) -> JsonResponse:
        """The status, and nothing else; the same again is answered the same."""
        who, now = asking(request), timezone.now()
        return _fresh(status(pool.send(who, _parts_of(request), now=now)))


def status(found: pool.Sent) -> dict[str, Any]:
    """What became of an extract."""
    said: dict[str, Any] = {
        "id": str(found.id),
        "day": found.day.isoformat() if found.day else None,
        "state": found.state,
        "sha256": found.digest,
        "received_at": found.received_at.isoformat(),
    }
    if found.code:
        said["refused"] = {"code": found.code, "sentence": found.sentence, "path": found.place}
    return said


def _parts_of(request: Request) -> tuple[bytes, bytes, bytes]:
    """Three files of a form, each once, and nothing beside them; the size is judged first."""
    body = body_of(request, most=MOST_OCTETS)
    meta, handlers = request._request.META, [MemoryFileUploadHandler(request._request)]
    try:
        # Never to a temporary file, which would hold rows in the clear.
        fields, files = MultiPartParser(meta, BytesIO(body), handlers, "utf-8").parse()
    except MultiPartParserError:
        raise _malformed() from None
    given = {str(name): found for name, found in files.lists()}
    if fields or given.keys() != set(_PARTS) or any(len(found) != 1 for found in given.values()):
        raise _malformed()
    first, second, third = (_read(given[name][0]) for name in _PARTS)
    return first, second, third


def _read(file: "UploadedFile[Any]") -> bytes:
    return bytes(file.read())


def _malformed() -> Refused:
    said = "Send multipart/form-data with the files manifest, clusters and templates, each once."
    return Refused("extract.parts", said)


def _fresh(body: dict[str, Any]) -> JsonResponse:
    response = JsonResponse(body)
    response["Cache-Control"] = "private, no-store"
    return response
