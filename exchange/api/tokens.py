"""Tokens over REST: what may be asked for now, and blinded points in a batch."""

from typing import Any

from django.http import JsonResponse
from django.utils import timezone
from rest_framework.request import Request

from exchange import tokens
from exchange.api import wire
from exchange.api.views import ApiView, body_of
from members.auth import asking


class Tokens(ApiView):
    """One question, and what may be asked."""

    def get(self, request: Request) -> JsonResponse:
        """Circles, quarters, kinds with their one spelling, and what the day's quota has left."""
        found = tokens.offer(asking(request), now=timezone.now())
        return _fresh(wire.token_offer(found))

    def post(self, request: Request) -> JsonResponse:
        """The answers in the order of the points."""
        body = body_of(request, most=wire.MOST_TOKEN_OCTETS)
        circle_id, epoch, points = wire.token_question(body)
        found = tokens.evaluate(asking(request), circle_id, epoch, points, now=timezone.now())
        return _fresh(wire.token_answer(found, epoch=epoch))


def _fresh(body: dict[str, Any]) -> JsonResponse:
    response = JsonResponse(body)
    response["Cache-Control"] = "private, no-store"
    return response
