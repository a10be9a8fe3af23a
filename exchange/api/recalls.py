"""Taking back by call: recall and follow, acknowledge, say what is wrong, answer it."""

from typing import Any
from uuid import UUID

from django.http import JsonResponse
from django.utils import timezone
from rest_framework.authentication import SessionAuthentication as Guarded
from rest_framework.request import Request

from exchange import feedback, recall, remark, reminders
from exchange.api import recall_wire as wire
from exchange.api.views import ApiView, body_of
from exchange.proof.refused import NotFound
from members.auth import (
    PRINCIPAL,
    CredentialAuthentication,
    Principal,
    SessionAuthentication,
    asking,
)


class SignedIn(SessionAuthentication):
    """A signed-in person, who may also act here with the token against forged requests.

    The forum's counsel has no credential: it belongs to no member.
    """

    def authenticate(self, request: Request) -> tuple[Principal, None] | None:
        """The principal of the session; an unsafe request without its token is nobody's."""
        found = super().authenticate(request)
        principal = getattr(request._request, PRINCIPAL, None)
        if found is not None or not isinstance(principal, Principal):
            return found
        # A form that another site sends has another type; of this one only the header is read.
        is_json = request._request.content_type == "application/json"
        if not principal.is_authenticated or not is_json:
            return None
        Guarded().enforce_csrf(request._request)  # type: ignore[arg-type] # reads no body this way
        return principal, None


class RecallView(ApiView):
    """One endpoint of taking back."""

    authentication_classes = (CredentialAuthentication, SignedIn)


class Recalls(RecallView):
    """The recalls that the asker ordered or follows."""

    def get(self, request: Request) -> JsonResponse:
        """Newest first; `before` is the time of the last one that was read."""
        before = wire.moment(request.GET.get("before", ""), "before")
        rows = recall.recalls(asking(request), before=before)
        return JsonResponse({"recalls": [wire.recall_row(one) for one in rows]})

    def post(self, request: Request) -> JsonResponse:
        """Recall an object, by one's own id for it or by the forum's."""
        principal = asking(request)
        asked = wire.order(body_of(request, most=wire.MOST_OCTETS))
        found = recall.named_by_owner(principal, asked.object)
        made = [
            recall.order(
                principal,
                object_id,
                reason=asked.reason,
                note=asked.note,
                erases=asked.erases,
                now=timezone.now(),
            )
            for object_id in found
        ]
        if not made:
            raise NotFound
        return JsonResponse({"recalls": [str(one) for one in made]}, status=202)


class Recall(RecallView):
    """One recall, and how far it has come."""

    def get(self, request: Request, recall_id: UUID) -> JsonResponse:
        """Each recipient's state, as far as the asker may know."""
        return JsonResponse(wire.recall_view(recall.recall(asking(request), recall_id)))


class Received(RecallView):
    """What was recalled from the asker's member."""

    def get(self, request: Request) -> JsonResponse:
        """Newest first, with what it has acknowledged."""
        rows = reminders.told(asking(request), most=reminders.PAGE)
        return JsonResponse({"recalls": [wire.told(one) for one in rows]})


class Acknowledgement(RecallView):
    """The recipient's word that it has taken a recall in."""

    def post(self, request: Request, release_id: UUID) -> JsonResponse:
        """Said twice, it stands from the first."""
        reminders.acknowledge(asking(request), release_id, now=timezone.now())
        return JsonResponse({"id": str(release_id), "acknowledged": True})


class Feedback(RecallView):
    """What the asker's member said of others' objects."""

    def get(self, request: Request) -> JsonResponse:
        """With the answers."""
        rows = feedback.answers(asking(request))
        return JsonResponse({"feedback": [wire.answer(one) for one in rows]})


class ObjectFeedback(RecallView):
    """Say seen, false positive or shared infrastructure of an object that is held."""

    def post(self, request: Request, stix_id: str) -> JsonResponse:
        """202: it is a contribution of one sighting, whose status can be followed."""
        said, circle_id = wire.remark(body_of(request, most=wire.MOST_OCTETS))
        made = remark.say(
            asking(request), stix_id, said, circle_id=circle_id, source="api", now=timezone.now()
        )
        return JsonResponse({"contribution": str(made)}, status=202)


class Tasks(RecallView):
    """What recipients said of the asker's objects, and nobody has answered."""

    def get(self, request: Request) -> JsonResponse:
        """Oldest first."""
        rows = feedback.tasks(asking(request))
        return JsonResponse({"tasks": [wire.task(one) for one in rows]})


class TaskAnswer(RecallView):
    """Answer one of them, and leave the object as it is."""

    def post(self, request: Request, task_id: UUID) -> JsonResponse:
        """A word of the list for who said it, and a note for one's own files."""
        answer, note = wire.answered(body_of(request, most=wire.MOST_OCTETS))
        feedback.answer(asking(request), task_id, answer=answer, note=note, now=timezone.now())
        said: dict[str, Any] = {"id": str(task_id), "answer": answer}
        return JsonResponse(said)
