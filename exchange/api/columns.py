"""How tables are read, over REST: what each column is, for each first row."""

from typing import Any

import orjson
from django.http import JsonResponse
from django.utils import timezone
from rest_framework.request import Request

from exchange import files
from exchange.api.views import ApiView, body_of
from exchange.proof.refused import Refused
from members.auth import asking

_MOST_OCTETS = 262_144


class Columns(ApiView):
    """What is remembered, and a first row more."""

    def get(self, request: Request) -> JsonResponse:
        """The member's own, the last used first."""
        found = [mapping(one) for one in files.remembered(asking(request))]
        return _fresh(JsonResponse({"mappings": found}))

    def post(self, request: Request) -> JsonResponse:
        """Read tables with this first row so from now on; the same row again is a change."""
        head, columns = _question(body_of(request, most=_MOST_OCTETS))
        who = asking(request)
        made = files.remember(who, head, columns, now=timezone.now())
        return _fresh(JsonResponse(mapping(files.one(who, made))))


def mapping(one: files.Mapping) -> dict[str, Any]:
    """One of them; a column that is not read has an empty word."""
    return {"id": str(one.id), "head": list(one.head), "columns": list(one.columns)}


def _question(body: bytes) -> tuple[list[str], list[str]]:
    """First row and columns: a closed form."""
    try:
        asked = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Refused("body.json", "The body is not JSON.") from None
    if not isinstance(asked, dict) or asked.keys() != {"head", "columns"}:
        raise Refused("body.form", "Say `head` and `columns`, and nothing else.")
    for name, value in asked.items():
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise Refused("body.form", "This is no list of texts.", name)
    return asked["head"], asked["columns"]


def _fresh(response: JsonResponse) -> JsonResponse:
    response["Cache-Control"] = "private, no-store"
    return response
