"""The REST API on the wire: each field is written out; refusals become JSON once."""

from hashlib import sha256
from typing import Any
from uuid import UUID

from django.http import HttpResponse, QueryDict

from exchange.contribute import Status
from exchange.proof.keys import b64
from exchange.proof.refused import Forbidden, NotFound, Refused
from indicators.stix import vocab

_STATUSES = {"body.size": 413, "body.length": 411}
_FAILURES = {
    401: ("not-authenticated", "Valid credentials are needed here."),
    403: ("forbidden", "You may not do this."),
    404: ("not-found", "There is nothing here."),
    405: ("method.unknown", "This method is not for this resource."),
}


def status(found: Status) -> dict[str, Any]:
    """What became of a contribution, object by object."""
    return {
        "id": str(found.id),
        "state": found.state,
        "received_at": found.received_at.isoformat(),
        "total": found.total,
        "successes": found.successes,
        "failures": found.failures,
        "pendings": found.pendings,
        "items": [
            {
                "position": one.position,
                "id": one.stix_id,
                "version": one.version,
                "success": one.success,
                "message": one.message,
            }
            for one in found.items
        ],
    }


def circle_of(params: QueryDict) -> UUID:
    """The circle that a contribution is addressed to."""
    try:
        return UUID(params.get("circle", ""))
    except ValueError:
        raise Refused(
            "query.circle", "Name one of your circles by its id: `?circle=`.", "circle"
        ) from None


def basis_of(params: QueryDict) -> tuple[str, ...]:
    """The default threat basis; a word that is none would stand for a reason that nobody gave."""
    stated = tuple(params.getlist("basis"))
    if not set(stated) <= set(vocab.THREAT_BASES):
        raise Refused("query.basis", "`basis` is one of the threat bases of the forum.", "basis")
    return stated


def exact(body: bytes) -> HttpResponse:
    """A rendition's exact bytes, with their digest (RFC 9530)."""
    response = HttpResponse(body, content_type="application/stix+json;version=2.1")
    response["Content-Digest"] = f"sha-256=:{b64(sha256(body).digest())}:"
    response["Cache-Control"] = "private, no-store"
    return response


def too_large() -> Refused:
    """A body over the limit."""
    return Refused("body.size", "The body is larger than a contribution may be.")


def failure(status_code: int) -> dict[str, str]:
    """What the framework refuses, in the same form as our own refusals."""
    code, sentence = _FAILURES.get(status_code, ("request", "The request cannot be answered."))
    return {"code": code, "sentence": sentence, "path": ""}


def refusal(refused: Refused) -> tuple[dict[str, str], int]:
    """Code, sentence and place, and the HTTP status for them."""
    status_code = _STATUSES.get(refused.code, 400)
    if isinstance(refused, NotFound):
        status_code = 404
    elif isinstance(refused, Forbidden):
        status_code = 403
    body = {"code": refused.code, "sentence": refused.sentence, "path": refused.path}
    return body, status_code
