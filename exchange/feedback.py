"""Feedback: a recipient's sighting says that something is wrong; a task for who answers for it.

Whoever said it stays unsaid. Nothing happens by it alone: its contributor, or the forum's counsel,
recalls the object, corrects it with a new version, or answers.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import QuerySet

from exchange import lists
from exchange.models import Feedback
from exchange.proof.refused import Forbidden, NotFound, Refused
from indicators import store
from indicators.stix import extensions
from members.auth import Principal
from members.roles import FORUM_COUNSEL

# What a sighting says that calls for somebody; one that merely was seen calls for nobody.
FAULTS = ("false-positive", "benign-shared-infrastructure")
PAGE = 25


@dataclass(frozen=True, slots=True)
class Task:
    """What was said of an object, never by whom."""

    id: UUID
    object_id: UUID
    version_id: int | None
    stix_id: str
    own_id: str
    stix_type: str
    disposition: str
    circle: str
    at: datetime


def note(
    leaving: Iterable[lists.Leaving],
    names: lists.Names,
    given: Mapping[UUID, Collection[UUID]],
    *,
    circle_id: UUID,
    now: datetime,
) -> None:
    """In the release's transaction: a task for each such sighting that its target's member got."""
    tasks = []
    for one in leaving:
        said = (extensions.context_of(one.obj) or {}).get("disposition")
        target = names.objects.get(str(one.obj.get("sighting_of_ref")))
        if one.obj["type"] != "sighting" or said not in FAULTS or target is None:
            continue
        is_own = target.member_id == one.version.member_id
        if is_own or one.version.object_id not in given.get(target.member_id, ()):
            continue
        tasks.append(
            Feedback(
                object=target,
                member_id=target.member_id,
                version=one.version,
                circle_id=circle_id,
                disposition=str(said),
                at=now,
            )
        )
    Feedback.objects.bulk_create(tasks, ignore_conflicts=True)


def tasks(principal: Principal, *, object_id: UUID | None = None) -> tuple[Task, ...]:
    """What waits for an answer, oldest first: of one's own objects, or for the forum's counsel."""
    rows = _visible(principal).filter(answered_at__isnull=True)
    if object_id is not None:
        rows = rows.filter(object_id=object_id)
    chosen = list(rows.select_related("object", "circle").order_by("at")[:PAGE])
    own = [row.object for row in chosen if row.member_id == principal.member_id]
    names = store.original_ids(own)
    newest = store.newest_versions([row.pk for row in own])
    return tuple(
        Task(
            id=row.id,
            object_id=row.object_id,
            version_id=newest.get(row.object_id),
            stix_id=f"{row.object.stix_type}--{row.object_id}",
            own_id=names.get(row.object_id, ""),
            stix_type=row.object.stix_type,
            disposition=row.disposition,
            circle=row.circle.name,
            at=row.at,
        )
        for row in chosen
    )


def answer(principal: Principal, task_id: UUID, *, text: str, now: datetime) -> None:
    """Close a task with a written word; it stays with the contributor and the forum's counsel."""
    if not principal.may("recall") or principal.user_id is None:
        raise Forbidden("Your role may not answer feedback.")
    if len(text.strip()) < 8:
        raise Refused("reason.missing", "Write down the answer, in a few words at least.", "answer")
    moved = (
        _visible(principal)
        .filter(pk=task_id, answered_at__isnull=True)
        .update(answered_at=now, answered_by_id=principal.user_id, answer=text.strip())
    )
    if not moved:
        raise NotFound


def close(object_id: UUID, *, now: datetime) -> None:
    """The object was recalled: that is the answer to all that was said of it."""
    Feedback.objects.filter(object_id=object_id, answered_at__isnull=True).update(
        answered_at=now, answer="recalled"
    )


def _visible(principal: Principal) -> QuerySet[Feedback]:
    if not principal.may("recall"):
        return Feedback.objects.none()
    if FORUM_COUNSEL in principal.roles:
        return Feedback.objects.all()
    if principal.member_id is None:
        return Feedback.objects.none()
    return Feedback.objects.filter(member_id=principal.member_id)
