"""By form: which objects of a body are taken in, and who may contribute them where."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.conf import settings

from exchange import constants
from exchange.models import ReleaseItem
from exchange.policy import facts, intake
from exchange.policy.facts import Facts
from exchange.proof.refused import Forbidden, NotFound, Refused
from indicators import store
from indicators.stix import parse
from indicators.stix.validate import Problem, problems
from members.auth import Principal
from members.models import Circle, CircleMember, Member

SMALLEST_CIRCLE = 3


def may_contribute(principal: Principal, circle_id: UUID) -> UUID:
    """The member for which somebody may contribute to a circle; Refused, where they may not."""
    if principal.member_id is None or not principal.may("contribute"):
        raise Forbidden("Your role may not contribute.")
    in_circle = CircleMember.objects.filter(circle_id=circle_id, left_at__isnull=True)
    members = set(in_circle.values_list("member_id", flat=True))
    if principal.member_id not in members and not _is_exchange(principal, circle_id):
        raise NotFound
    if len(members) < SMALLEST_CIRCLE:
        raise Refused("circle.too-small", "A circle carries nothing before it has three members.")
    return principal.member_id


def _is_exchange(principal: Principal, circle_id: UUID) -> bool:
    """Whether this is the exchange itself, in the circle of all: it has no seat, and needs none.

    It has no people and no credential either: nobody signs in as it.
    """
    if principal.member_id is None or principal.user_id or principal.credential_id:
        return False
    in_forum = Circle.objects.filter(pk=circle_id, is_forum=True).exists()
    return in_forum and Member.everyone.filter(pk=principal.member_id, is_exchange=True).exists()


def issued_here(member_id: UUID, stix_ids: Sequence[str]) -> frozenset[str]:
    """Which of these are forum ids that the member has held: its own objects among them."""
    return frozenset(
        ReleaseItem.objects.filter(
            rendition__stix_id=store.among("text", stix_ids),
            rendition__object__isnull=False,
            release__recipients__recipient_id=member_id,
            release__recipients__idx__isnull=False,
        ).values_list("rendition__stix_id", flat=True)
    )


def candidates_of(member_id: UUID, items: Sequence[parse.Item]) -> tuple[store.Candidate, ...]:
    """Judge every object of a body by its form; nothing is stored."""
    return tuple(candidate for candidate, _ in judge(member_id, items))


def judge(
    member_id: UUID, items: Sequence[parse.Item]
) -> list[tuple[store.Candidate, Facts | None]]:
    """Every object of a body with what is wrong with it by form, and the facts that were read."""
    ids = [str(i.obj["id"]) for i in items if i.obj is not None and _is_named(i.obj)]
    issued = issued_here(member_id, ids)
    issuer = constants.issuer_id()
    judged: list[tuple[store.Candidate, Facts | None]] = []
    for item in items:
        obj = item.obj or {}
        if item.problem is not None or not obj:
            judged.append((store.Candidate(item.position, obj, _problem(item)), None))
            continue
        subject, written = facts.read(obj), store.canonical(obj)
        problem = _problem_of(subject, written, issued, issuer)
        candidate = store.Candidate(item.position, obj, problem, subject.pattern, written)
        judged.append((candidate, subject))
    return judged


def _problem(item: parse.Item) -> Problem | None:
    """Of what is no object, or an empty one."""
    if item.problem is not None or item.obj is None:
        return item.problem
    return problems(item.obj)[0]


def _problem_of(
    subject: Facts, written: bytes, issued: frozenset[str], issuer: str
) -> Problem | None:
    """The first reason by form, or none."""
    obj = subject.obj
    found = intake.problems(subject) or problems(obj, written)
    if found:
        return found[0]
    if obj["id"] in constants.ids():
        return None
    return intake.looped(obj, issuer=issuer, held=issued)


def _is_named(obj: Mapping[str, Any]) -> bool:
    return isinstance(obj.get("id"), str)


def limits() -> parse.Limits:
    return parse.Limits(octets=settings.MAX_CONTENT_LENGTH)
