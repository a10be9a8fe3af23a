"""The twenty questions, who may ask which, and the log of who asked what.

An answer and every export of it is written down before it is shown: who, when, which question, with
which filters. The member's officer and counsel read that log; of the forum's people, its officer.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Q

from exchange.models import QuestionView
from exchange.proof.refused import NotFound, Refused
from exchange.questions import held, people, rules, sharing, whole
from exchange.questions.asking import PAGE, Answer, Asked, Filters, Question, parse
from members.auth import Principal
from members.models import Circle, Member, User

QUESTIONS: Mapping[str, Question] = {
    one.name: one
    for one in sorted(
        (
            *sharing.QUESTIONS,
            *held.QUESTIONS,
            *rules.QUESTIONS,
            *people.QUESTIONS,
            *whole.QUESTIONS,
        ),
        key=lambda one: one.number,
    )
}


@dataclass(frozen=True, slots=True)
class Put:
    """A question put by somebody, with its answer."""

    question: Question
    filters: Filters
    answer: Answer
    # Which of the filters that it needs is still missing; empty once it has an answer.
    lacks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Choices:
    """What the filters of a question can be set to, as far as the asker may know the names."""

    members: tuple[tuple[str, str], ...]
    circles: tuple[tuple[str, str], ...]
    people: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class View:
    """One line of the log of views."""

    at: datetime
    who: str
    role: str
    what: str
    form: str
    filters: tuple[tuple[str, str], ...]


def questions(principal: Principal) -> tuple[Question, ...]:
    """The questions that this person may ask, in their order."""
    return tuple(one for one in QUESTIONS.values() if one.is_for(principal))


def question(principal: Principal, name: str) -> Question:
    """One question; unknown and not for this role are the same answer."""
    found = QUESTIONS.get(name)
    if found is None or not found.is_for(principal):
        raise NotFound
    return found


def ask(
    principal: Principal,
    name: str,
    given: Mapping[str, str],
    *,
    cursor: str = "",
    now: datetime,
) -> Put:
    """A page of an answer; who asked is written down first."""
    chosen = question(principal, name)
    filters = narrowed(principal, chosen, given)
    note(principal, chosen.name, "screen", filters, now=now)
    lacks = _lacks(chosen, filters)
    if lacks:
        return Put(chosen, filters, Answer((), ()), lacks)
    return Put(chosen, filters, answered(principal, chosen, filters, cursor=cursor, now=now))


def answered(
    principal: Principal,
    chosen: Question,
    filters: Filters,
    *,
    cursor: str = "",
    limit: int = PAGE,
    now: datetime,
) -> Answer:
    """The answer by itself: for who has noted the view, or the export, already."""
    return chosen.answer(Asked(principal, filters, now, cursor, limit))


def narrowed(principal: Principal, chosen: Question, given: Mapping[str, str]) -> Filters:
    """The filters as this person may set them: a member never narrows by who contributed."""
    filters = parse(given, chosen)
    if principal.member_id is not None:
        return replace(filters, contributor=None)
    return replace(filters, side="")


def demand(chosen: Question, filters: Filters) -> None:
    """Refuse where a question has no answer yet, for want of what it is about."""
    lacks = _lacks(chosen, filters)
    if lacks:
        raise Refused("filter.missing", "Say first what the question is about.", lacks[0])


def _lacks(chosen: Question, filters: Filters) -> tuple[str, ...]:
    """One of what is needed is enough."""
    given = filters.plain()
    return () if not chosen.needs or given.keys() & set(chosen.needs) else chosen.needs


def choices(principal: Principal, chosen: Question) -> Choices:
    """Names for the filters: the labs and circles of the forum, one's own people."""
    rows = Member.objects.order_by("name").values_list("id", "name")
    circles = Circle.objects.order_by("name")
    if principal.member_id is not None:
        circles = circles.filter(seats__member_id=principal.member_id).distinct()
    own = User.objects.filter(of_whom(principal)).order_by("name")
    wants = set(chosen.filters)
    return Choices(
        members=_named(rows) if wants & {"recipient", "contributor"} else (),
        circles=_named(circles.values_list("id", "name")) if "circle" in wants else (),
        people=_named(own.values_list("id", "name")) if "person" in wants else (),
    )


def _named(rows: Any) -> tuple[tuple[str, str], ...]:  # noqa: ANN401 - a queryset of pairs
    return tuple((str(pk), name) for pk, name in rows)


def of_whom(principal: Principal) -> Q:
    """Of rows with a member: one's own, or those of the forum's own people."""
    if principal.member_id is None:
        return Q(member__isnull=True)
    return Q(member_id=principal.member_id)


def note(
    principal: Principal, what: str, form: str, filters: Filters | None = None, *, now: datetime
) -> None:
    """Write down that somebody is about to be shown this; an officer's name stands for it."""
    if principal.user_id is None:
        raise NotFound
    QuestionView(
        member_id=principal.member_id,
        user_id=principal.user_id,
        role=", ".join(sorted(principal.roles)),
        question=what,
        form=form,
        filters=filters.plain() if filters is not None else {},
        at=now,
    ).save(force_insert=True)


def note_entry(principal: Principal, form: str, entry: int, *, now: datetime) -> None:
    """Write down that somebody is about to be shown the bytes of an entry."""
    note(principal, "bytes", form, Filters(entry=entry), now=now)


def views(
    principal: Principal, *, before: int | None = None, limit: int = PAGE
) -> tuple[tuple[View, ...], int | None]:
    """The log of views, newest first: one's own member's, or the forum's own people's."""
    rows = QuestionView.objects.filter(of_whom(principal)).select_related("user")
    if before is not None:
        rows = rows.filter(id__lt=before)
    found = list(rows.order_by("-id")[: limit + 1])
    shown = found[:limit]
    named = dict(_names(shown))
    made = tuple(
        View(
            at=row.at,
            who=row.user.name,
            role=row.role,
            what=_title(row.question),
            form=row.form,
            filters=tuple(
                (name, named.get(value, value)) for name, value in sorted(row.filters.items())
            ),
        )
        for row in shown
    )
    return made, shown[-1].id if len(found) > limit else None


def _title(name: str) -> str:
    found = QUESTIONS.get(name)
    return f"{found.number}. {found.title}" if found else name


def _names(rows: list[QuestionView]) -> list[tuple[str, str]]:
    ids = [
        value
        for row in rows
        for name, value in row.filters.items()
        if name in ("recipient", "contributor", "circle", "person")
    ]
    found: list[tuple[UUID, str]] = []
    for model in (Member, Circle, User):
        found += model.objects.filter(pk__in=ids).values_list("id", "name")
    return [(str(pk), name) for pk, name in found]
