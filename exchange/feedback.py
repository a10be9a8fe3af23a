"""Feedback: a recipient's sighting says that something is wrong; a task for who answers for it.

Whoever said it stays unsaid. Nothing happens by it alone: its contributor, or the forum's counsel,
recalls the object, corrects it with a new version, or answers. Who said it is told which of these,
by a word of a closed list and the day: never who answered, and never in anybody's own words.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet

from exchange import lists
from exchange.models import Feedback
from exchange.proof.refused import Forbidden, NotFound, Refused
from indicators import store
from indicators.models import Contribution
from indicators.stix import extensions
from members.auth import Principal
from members.models import Member
from members.roles import FORUM_COUNSEL
from members.scope import acting
from members.seals import for_member

# What a sighting says that calls for somebody; one that merely was seen calls for nobody.
FAULTS = ("false-positive", "benign-shared-infrastructure")
# What an answer that changes nothing may say.
ANSWERS = (Feedback.Answer.STANDS.value, Feedback.Answer.UNCLEAR.value)
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


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of what one said of another's object: a word of the list, and the day."""

    version_id: int
    stix_id: str
    said: str
    at: datetime
    answer: str
    answered_on: date | None


def note(
    leaving: Iterable[lists.Leaving],
    names: lists.Names,
    given: Mapping[UUID, Collection[UUID]],
    *,
    contribution: Contribution,
    now: datetime,
) -> None:
    """In the release's transaction: a task for each such sighting that its target's member got.

    A version that came after what was said, and leaves now, is the correction.
    """
    said_before = Feedback.objects.filter(
        object_id__in={one.version.object_id for one in leaving},
        answered_at__isnull=True,
        at__lt=contribution.received_at,
    )
    said_before.update(answered_at=now, answer=Feedback.Answer.CORRECTED)
    tasks = []
    exchange = set(Member.everyone.filter(is_exchange=True).values_list("id", flat=True))
    for one in leaving:
        said = (extensions.context_of(one.obj) or {}).get("disposition")
        target = names.objects.get(str(one.obj.get("sighting_of_ref")))
        if one.obj["type"] != "sighting" or said not in FAULTS or target is None:
            continue
        is_own = target.member_id == one.version.member_id
        # The exchange receives nothing; of what its runs found the forum's counsel is told.
        is_told = one.version.object_id in given.get(target.member_id, ())
        if is_own or not (is_told or target.member_id in exchange):
            continue
        tasks.append(
            Feedback(
                object=target,
                member_id=target.member_id,
                version=one.version,
                circle_id=contribution.circle_id,
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


def answer(principal: Principal, task_id: UUID, *, answer: str, note: str, now: datetime) -> None:
    """Close a task and leave the object as it is: who said it is told the word of the list.

    The written note stays with the contributor and the forum's counsel.
    """
    if not principal.may("recall") or not principal.is_authenticated:
        raise Forbidden("Your role may not answer feedback.")
    if answer not in ANSWERS:
        raise Refused("feedback.answer", f"Answer one of {', '.join(ANSWERS)}.", "answer")
    if len(note.strip()) < 8:
        raise Refused("reason.missing", "Write down the reason, in a few words at least.", "note")
    row = _visible(principal).filter(pk=task_id, answered_at__isnull=True).first()
    if row is None:
        raise NotFound
    sealed = for_member(row.member_id).seal(note.strip().encode(), aad=_aad(row.id))
    moved = (
        _visible(principal)
        .filter(pk=task_id, answered_at__isnull=True)
        .update(
            answered_at=now, answered_by_id=principal.user_id, answer=answer, sealed_note=sealed
        )
    )
    if not moved:
        raise NotFound


def answers(principal: Principal, *, most: int = PAGE) -> tuple[Answer, ...]:
    """What became of what the asker's member said of others' objects, newest first."""
    if principal.member_id is None or not principal.may("read-own-originals"):
        return ()
    with acting(principal.acting()), connection.cursor() as cursor:
        cursor.execute("SELECT * FROM weir_answers_to_me(%s)", [most])
        return tuple(Answer(*found) for found in cursor.fetchall())


def close(object_id: UUID, *, now: datetime) -> None:
    """The object was recalled: that is the answer to all that was said of it."""
    Feedback.objects.filter(object_id=object_id, answered_at__isnull=True).update(
        answered_at=now, answer=Feedback.Answer.RECALLED
    )


def _aad(task_id: UUID) -> bytes:
    return b"feedback:" + task_id.bytes


def _visible(principal: Principal) -> QuerySet[Feedback]:
    if not principal.may("recall"):
        return Feedback.objects.none()
    if FORUM_COUNSEL in principal.roles:
        return Feedback.objects.all()
    if principal.member_id is None:
        return Feedback.objects.none()
    return Feedback.objects.filter(member_id=principal.member_id)
