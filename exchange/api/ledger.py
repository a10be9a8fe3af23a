"""The log over HTTP (signing-and-ledger, section 6.4), and the public keys."""

import threading
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from hashlib import sha256

import orjson
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.utils.http import parse_etags
from django.views.decorators.http import require_safe
from rest_framework.authentication import BaseAuthentication
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from exchange import ledger
from exchange.ledger import MOST_OPENINGS
from exchange.proof.refused import Forbidden, NotFound, Refused
from members.auth import CredentialAuthentication, Principal, SessionAuthentication

TEXT = "text/plain; charset=utf-8"
NEVER_CHANGES = "private, max-age=31536000, immutable"
_LARGEST = 2**63 - 1
_LAST_SECOND = 253_402_300_799  # of the year 9999
_MOST_COSIGNED = 8192
_STATUSES = {"cosign.older": 409, "ledger.rate": 429, "body.size": 413}
# The log is walked in many small requests: so many at once, and so many more in each second, for
# one member in each process of the web.
BURST = 2000.0
RATE = 100.0
_spent: dict[object, tuple[float, float]] = {}
_spending = threading.Lock()


class AsItIs(BaseContentNegotiation):
    """Each address has one form, whatever the client accepts."""

    def select_parser(self, request: Request, parsers: object) -> None:
        """Nothing is read from a body here."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        """JSON for refusals."""
        first = next(iter(renderers))
        return first, first.media_type


class LedgerView(APIView):
    """For members: whoever may read the ledger reads all its commitments."""

    authentication_classes: tuple[type[BaseAuthentication], ...] = (
        CredentialAuthentication,
        SessionAuthentication,
    )
    content_negotiation_class = AsItIs
    http_method_names = ["get", "head", "options"]

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        """Let in who may read the ledger."""
        super().initial(request, *args, **kwargs)
        if not principal(request).may("read-ledger"):
            raise Forbidden("You may not read the ledger.")
        _spend(principal(request))

    def handle_exception(self, exc: Exception) -> Response:
        """A refusal as JSON."""
        if not isinstance(exc, Refused):
            return super().handle_exception(exc)
        status = _STATUSES.get(exc.code) or {NotFound: 404, Forbidden: 403}.get(type(exc), 422)
        body = {"code": exc.code, "sentence": exc.sentence, "path": exc.path}
        response = Response(body, status=status)
        response.exception = True
        if status == 429:
            response["Retry-After"] = "1"
        return response


class CheckpointView(LedgerView):
    """The newest published checkpoint, with all cosignatures so far."""

    def get(self, request: Request) -> HttpResponse:
        """Or the newest with at least `cosigned` of them, or from before a second (`before`)."""
        cosigned, before = _number(request, "cosigned", 0), _number(request, "before", 0)
        moment = datetime.fromtimestamp(min(before, _LAST_SECOND), UTC) if before else None
        return _fresh(ledger.checkpoint(cosigned=cosigned, before=moment))


class CosignView(LedgerView):
    """Where a member's witness hands in its signatures."""

    authentication_classes = (CredentialAuthentication,)  # an agent's act, never a page's
    http_method_names = ["post", "options"]

    def post(self, request: Request) -> HttpResponse:
        """`<size>`, a newline, signature lines; 200, 403, 404, 409 or 422."""
        body = request.read(_MOST_COSIGNED + 1)
        if len(body) > _MOST_COSIGNED:
            raise Refused("body.size", "That is too much for a few signature lines.")
        try:
            text = body.decode()
        except UnicodeDecodeError:
            raise Refused("cosign.form", "Signature lines are UTF-8 text.") from None
        size = ledger.cosign(principal(request), text, now=datetime.now(UTC))
        return _fresh(f"{size}\n")


class TileView(LedgerView):
    """A tile, or its first hashes."""

    def get(self, request: Request, level: int, name: str) -> HttpResponse:
        """It never changes under its name."""
        return _fixed(ledger.tile(level, name))


class EntriesView(LedgerView):
    """A bundle of entries."""

    def get(self, request: Request, name: str) -> HttpResponse:
        """It never changes under its name."""
        return _fixed(ledger.entries(name))


class ProofView(LedgerView):
    """Where an entry stands."""

    def get(self, request: Request, index: int) -> HttpResponse:
        """Against the newest checkpoint, or that of a size."""
        size = _number(request, "size", 0) or None
        return _fresh(ledger.proof(min(index, _LARGEST), size))


class ConsistencyView(LedgerView):
    """That one size is the beginning of another."""

    def get(self, request: Request) -> HttpResponse:
        """Hashes in base64, one a line."""
        old, size = _number(request, "from", 0), _number(request, "to", ledger.signed_size())
        return _fresh(ledger.consistency(old, size))


class OpeningsView(LedgerView):
    """The caller's own slots, by `seq` or by the digest of a rendition; one a line."""

    def get(self, request: Request) -> HttpResponse:
        """JSON lines: the value of each is a string, so that nothing touches its bytes."""
        who, digest = principal(request), request.query_params.get("digest")
        if digest is not None:
            found = ledger.openings_of(who, _digest(digest))
        else:
            slot = request.query_params.get("slot", "to")
            found = ledger.openings(
                who,
                slot=slot,
                after=_number(request, "after", 0 if slot in ("to", "from") else -1),
                limit=_number(request, "limit", MOST_OPENINGS),
            )
        body = "[" + ",\n".join(each.text() for each in found) + "]\n"
        response = HttpResponse(body, content_type="application/json")
        response["Cache-Control"] = "private, no-store"
        return response


class KeysView(LedgerView):
    """Verifier keys of the log, one a line."""

    def get(self, request: Request) -> HttpResponse:
        """The newest first."""
        return _fresh(ledger.vkeys(now=datetime.now(UTC)))


@require_safe
def jwks(request: HttpRequest) -> HttpResponse:
    """The public keys of bundles and deliveries, for anyone."""
    body = orjson.dumps(ledger.jwks())
    etag = f'"{sha256(body).hexdigest()}"'
    seen = parse_etags(request.headers.get("If-None-Match", ""))
    response = HttpResponse(body, content_type="application/jwk-set+json")
    if etag in seen or "*" in seen:
        response = HttpResponse(status=304)
    response["ETag"] = etag
    response["Cache-Control"] = "public, max-age=3600"
    return response


urlpatterns = [
    path("ledger/checkpoint", CheckpointView.as_view(), name="ledger-checkpoint"),
    path("ledger/cosign", CosignView.as_view(), name="ledger-cosign"),
    path("ledger/tile/entries/<path:name>", EntriesView.as_view(), name="ledger-entries"),
    path("ledger/tile/<int:level>/<path:name>", TileView.as_view(), name="ledger-tile"),
    path("ledger/proof/<int:index>", ProofView.as_view(), name="ledger-proof"),
    path("ledger/consistency", ConsistencyView.as_view(), name="ledger-consistency"),
    path("ledger/openings", OpeningsView.as_view(), name="ledger-openings"),
    path("ledger/keys", KeysView.as_view(), name="ledger-keys"),
    path(".well-known/jwks.json", jwks, name="jwks"),
]


def principal(request: Request) -> Principal:
    """Who asks; the permission class has let nobody else in."""
    return request.user if isinstance(request.user, Principal) else Principal()


def _spend(who: Principal) -> None:
    """Refuse who asks for more than its share; apart from every other door."""
    key, now = who.member_id or who.user_id, time.monotonic()
    with _spending:
        left, at = _spent.get(key, (BURST, now))
        left = min(BURST, left + (now - at) * RATE)
        if left < 1:
            raise Refused("ledger.rate", "Too many requests for the log: go on in a second.")
        _spent[key] = (left - 1, now)


def _number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise Refused("query.number", "Say a whole number.", name)
    return int(text)


def _digest(text: str) -> bytes:
    try:
        digest = bytes.fromhex(text)
    except ValueError:
        digest = b""
    if len(digest) != 32:
        raise Refused("query.digest", "Say 32 bytes in hexadecimal.", "digest")
    return digest


def _fresh(text: str) -> HttpResponse:
    response = HttpResponse(text, content_type=TEXT)
    response["Cache-Control"] = "no-cache"
    return response


def _fixed(data: bytes) -> HttpResponse:
    response = HttpResponse(data, content_type="application/octet-stream")
    response["Cache-Control"] = NEVER_CHANGES
    return response
