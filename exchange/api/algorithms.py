"""Algorithms for machines: those in force that run on a member's log, with their digests."""

from django.http import JsonResponse
from django.utils import timezone
from rest_framework.request import Request

from exchange import algorithms
from exchange.api import wire
from exchange.api.views import ApiView
from members.auth import asking


class Algorithms(ApiView):
    """What a member's extractor applies at home."""

    def get(self, request: Request) -> JsonResponse:
        """Each document as it was reviewed; whose it is is not told."""
        found = algorithms.for_logs(asking(request), now=timezone.now())
        response = JsonResponse({"algorithms": [wire.algorithm(one) for one in found]})
        response["Cache-Control"] = "private, no-store"
        return response
