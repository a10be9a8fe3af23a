"""The REST API on the wire: each field is written out; refusals become JSON once."""

from collections.abc import Sequence
from hashlib import sha256
from typing import Any
from uuid import UUID

import orjson
from django.http import HttpResponse, QueryDict

from exchange import search, tokens
from exchange.algorithms import Told
from exchange.contribute import Status
from exchange.proof import oprf
from exchange.proof.keys import b64, b64url, unb64url
from exchange.proof.refused import Forbidden, NotFound, Refused
from indicators.stix import vocab

_STATUSES = {"body.size": 413, "body.length": 411, "token.quota": 429, "token.busy": 429}
_STATUSES |= {"extract.size": 413, "extract.quota": 429, "extract.soon": 429, "extract.busy": 429}
# The pool is off, or a child of ours was not equal to its work: nothing is stored of it.
_STATUSES |= {"pool.off": 503}
_STATUSES |= {"file.size": 413, "file.busy": 429, "file.room": 507}
# A list of 10,000 values, each as long as most are.
MOST_LOOKUP_OCTETS = 2_097_152
# A full batch has less than half of it.
MOST_TOKEN_OCTETS = 1_048_576
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


def attribution_of(params: QueryDict) -> bool:
    """Whether the circle may be told who contributes this; hidden where nothing is said."""
    stated = params.get("attributed", "false")
    if stated not in ("true", "false"):
        raise Refused("query.attributed", "`attributed` is true or false.", "attributed")
    return stated == "true"


def exact(body: bytes) -> HttpResponse:
    """A rendition's exact bytes, with their digest (RFC 9530)."""
    response = HttpResponse(body, content_type="application/stix+json;version=2.1")
    response["Content-Digest"] = f"sha-256=:{b64(sha256(body).digest())}:"
    response["Cache-Control"] = "private, no-store"
    return response


def algorithm(found: Told) -> dict[str, Any]:
    """One algorithm in force that runs on a member's log."""
    return {
        "id": str(found.document_id),
        "version": found.version,
        "kind": found.kind,
        "detector": found.detector,
        "runs_on": found.runs_on,
        "title": found.title,
        "digest": found.digest,
        "valid_until": found.valid_until.isoformat(),
        "document": found.text,
    }


def token_offer(found: tokens.Offer) -> dict[str, Any]:
    """What may be asked for now."""
    return {
        "scheme": oprf.SCHEME,
        "batch": tokens.BATCH,
        "quota": {
            "per_day": found.quota.per_day,
            "left": found.quota.left,
            "renews_at": found.quota.renews_at.isoformat(),
        },
        "circles": [
            {
                "id": str(one.circle_id),
                "name": one.name,
                "key_domain": one.key_domain,
                "forum": one.is_forum,
            }
            for one in found.seats
        ],
        "epochs": [
            {"epoch": one.epoch, "live": one.is_live, "until": one.until.isoformat()}
            for one in found.quarters
        ],
        "kinds": dict(oprf.NORMALISATIONS),
    }


def token_question(body: bytes) -> tuple[UUID, str, list[bytes]]:
    """Circle, quarter and points: a closed form, its faults named by their place."""
    try:
        asked = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Refused("body.json", "The body is not JSON.") from None
    if not isinstance(asked, dict) or asked.keys() != {"circle", "epoch", "points"}:
        raise Refused("body.form", "Say `circle`, `epoch` and `points`, and nothing else.")
    if not isinstance(asked["epoch"], str):
        raise Refused("body.form", "A quarter is written like 2026Q4.", "epoch")
    points = asked["points"]
    if not isinstance(points, list) or not 1 <= len(points) <= tokens.BATCH:
        sentence = f"A batch is a list of 1 to {tokens.BATCH:,} points."
        raise Refused("token.batch", sentence, "points")
    return _uuid(asked["circle"]), asked["epoch"], [_x(x, n) for n, x in enumerate(points)]


def token_answer(found: tokens.Evaluated, *, epoch: str) -> dict[str, Any]:
    """The points in the order of the question."""
    return {"epoch": epoch, "points": [b64url(x) for x in found.points], "left": found.left}


def search_query(params: QueryDict) -> tuple[search.Query, bool]:
    """What is searched for, and whether the hits are counted too (`facets=true`)."""
    given = {name: [str(one) for one in values] for name, values in params.lists()}
    counted = given.pop("facets", ["false"])
    if counted not in (["true"], ["false"]):
        raise Refused("query.facets", "Say true or false.", "facets")
    return search.query(given), counted == ["true"]


def search_page(found: search.Found, counted: search.Facets | None) -> bytes:
    """An envelope: the exact bytes of the hits, newest first, and where the next page begins."""
    head: dict[str, Any] = {"more": found.next is not None}
    if found.next is not None:
        head["next"] = str(found.next)
    if counted is not None:
        head["facets"] = {
            name: {one.word: one.count for one in counted.of(name)}
            for name in ("type", "kind", "phase")
        }
        head |= {"total": counted.total, "total_is_whole": counted.is_whole}
    objects = b",".join(one.body for one in found.items)
    return orjson.dumps(head)[:-1] + b',"objects":[' + objects + b"]}"


def lookup_question(body: bytes) -> list[str]:
    """The values of a list: a closed form, its faults named by their place."""
    try:
        asked = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Refused("body.json", "The body is not JSON.") from None
    if not isinstance(asked, dict) or asked.keys() != {"values"}:
        raise Refused("body.form", "Say `values`, and nothing else.")
    values = asked["values"]
    if not isinstance(values, list):
        raise Refused("body.form", "Values are a list.", "values")
    for place, value in enumerate(values[: search.AT_ONCE]):
        if not isinstance(value, str):
            raise Refused("body.form", "A value is a text.", f"values[{place}]")
    return values


def lookup_answer(answers: Sequence[search.Answer]) -> dict[str, Any]:
    """The answers in the order of the question; a value is not said again."""
    return {
        "hits": sum(1 for one in answers if one.state == "hit"),
        "values": [_answer(one) for one in answers],
    }


def _answer(one: search.Answer) -> dict[str, Any]:
    said: dict[str, Any] = {"state": one.state}
    if one.code:
        said["code"] = one.code
    if one.sentence:
        said["sentence"] = one.sentence
    if one.kind:
        said |= {"kind": one.kind, "more": one.more}
        said["objects"] = [{"id": hit.stix_id, "type": hit.stix_type} for hit in one.hits]
    return said


def _uuid(value: object) -> UUID:
    try:
        return UUID(value if isinstance(value, str) else "")
    except ValueError:
        raise Refused("body.form", "Name one of your circles by its id.", "circle") from None


def _x(value: object, place: int) -> bytes:
    try:
        x = unb64url(value) if isinstance(value, str) else b""
    except Refused:
        x = b""
    if len(x) != tokens.OCTETS:
        raise Refused(
            "token.point", "A point is the base64url of 32 octets, unpadded.", f"points[{place}]"
        )
    return x


def too_large() -> Refused:
    """A body over the limit."""
    return Refused("body.size", "The body is larger than it may be here.")


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
