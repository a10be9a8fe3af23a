"""One object as each recipient sees it, beside the original, with every removal explained.

For what has left: the bytes that left. For what waits, or is not even sent yet: what today's
policies would make of it. Nothing is written here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from exchange import audiences, lists
from exchange.models import Hold, Outcome, ReleaseItem
from exchange.policy import catalogue, decide, explain, render
from exchange.policy.outcomes import Standing, cleared
from exchange.policy.terms import Terms
from exchange.proof.refused import NotFound
from indicators import store
from indicators.models import Contribution, ForumObject, Item, Version
from members.auth import Principal
from members.models import Member

THE_CIRCLE = "the circle"
_UNTIL_IT_LEAVES = "2000-01-01T00:00:00.000Z"


@dataclass(frozen=True, slots=True)
class AudienceView:
    """One object for recipients who see it alike."""

    names: tuple[str, ...]
    leaves_at: datetime | None
    released_at: datetime | None
    lines: tuple[explain.Line, ...]
    body: bytes | None
    withheld: str | None


@dataclass(frozen=True, slots=True)
class Received:
    """What recipients had received of an object by a moment: the newest bytes that left by then."""

    names: tuple[str, ...]
    received_at: datetime
    body: bytes
    digest: str
    floor: str
    policy: str  # the contributor's own, of that time; empty where it had none


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What each group of recipients would get of a contribution, by the place of the object."""

    by_position: Mapping[int, tuple[AudienceView, ...]]


def views(principal: Principal, version_id: int, *, now: datetime) -> tuple[AudienceView, ...]:
    """One's own object as each audience of its circle sees it."""
    if principal.member_id is None:
        raise NotFound
    outcome = (
        Outcome.objects.filter(version_id=version_id, member_id=principal.member_id)
        .select_related("contribution", "version__object")
        .order_by("-id")
        .first()
    )
    if outcome is None:
        raise NotFound
    force = audiences.in_force(outcome.member_id)
    leaving = _contributed(outcome, force, now=now)
    seen = foresee(outcome.contribution, leaving, force, now=now)
    chosen = seen.by_position[outcome.id]
    if outcome.released_at is not None:
        sent = _sent(outcome)
        return tuple(made for view in chosen for made in _as_sent(view, sent, outcome))
    return tuple(
        AudienceView(v.names, outcome.due_at, None, v.lines, v.body, v.withheld) for v in chosen
    )


def received(principal: Principal, version_id: int, *, at: datetime) -> tuple[Received, ...]:
    """What each recipient had of one's own object at a moment: bytes that left, nothing computed.

    Where the object refers to another member's, one line for the circle. What was taken back since
    is shown as it was, unless its bytes are erased.
    """
    if principal.member_id is None:
        raise NotFound
    version = Version.objects.filter(pk=version_id, member_id=principal.member_id).first()
    if version is None:
        raise NotFound
    rows = (
        ReleaseItem.objects.filter(
            rendition__object_id=version.object_id,
            release__recipients__member_id=principal.member_id,
            release__recipients__told_here=True,
            release__recipients__added_at__lte=at,
        )
        .order_by("release__recipients__added_at", "id")
        .values_list(
            "release__recipients__recipient__name",
            "release__recipients__added_at",
            "rendition__body",
            "rendition__digest",
            "release__floor__version",
            "release__policy__document",
        )
    )
    newest = {name or THE_CIRCLE: row for name, *row in rows}
    alike: dict[tuple[bytes, datetime], list[str]] = {}
    for name, (added_at, _, digest, _, _) in sorted(newest.items()):
        alike.setdefault((bytes(digest), added_at), []).append(name)
    found = []
    for (digest, added_at), names in alike.items():
        _, body, _, floor, policy = newest[names[0]]
        version_of_policy = str((policy or {}).get("version", ""))
        found.append(
            Received(tuple(names), added_at, bytes(body), digest.hex(), floor, version_of_policy)
        )
    return tuple(found)


def once_released(
    outcome: Outcome, *, alone: Mapping[str, Any] | None = None, now: datetime
) -> tuple[AudienceView, ...]:
    """What would leave of a held object once its approvers had released it.

    `alone` is the object for a reader who may see nothing else of its contribution, and nothing of
    its contributor's own policy: the floor's ruling on this one object, the most that can leave.
    """
    if alone is None:
        force = audiences.in_force(outcome.member_id)
        leaving = _contributed(outcome, force, now=now)
    else:
        force = audiences.floor_alone()
        leaving = [_alone(outcome, alone, force, now=now)]
    freed = [
        replace(one, standing=_freed(one.standing)) if one.outcome_id == outcome.id else one
        for one in leaving
    ]
    return foresee(outcome.contribution, freed, force, now=now).by_position[outcome.id]


def foresee(
    contribution: Contribution,
    leaving: Sequence[lists.Leaving],
    force: audiences.InForce,
    *,
    now: datetime,
) -> Foreseen:
    """What today's policies would give to whom, if all of this left together now."""
    names = lists.names_of(contribution.member_id, leaving)
    named = dict(Member.objects.values_list("id", "name"))
    accepted = [one for one in leaving if one.standing.outcome == Outcome.Kind.ACCEPTED]
    groups, _ = lists.audiences_of(contribution, accepted, force, names=names, now=now)
    by_terms = audiences.by_terms(contribution.member_id, contribution.circle_id, force, now=now)
    found: dict[int, tuple[AudienceView, ...]] = {}
    for one in leaving:
        is_foreign = names.is_foreign(one.obj, contribution.member_id)
        made = _of_groups(one, groups, named) or _of_terms(one, by_terms, named)
        if is_foreign and made:
            # The contributor's own view: it holds what it refers to, whoever else may lack it.
            me = named[contribution.member_id]
            mine = next((view for view in made if me in view.names), made[0])
            made = (_for_the_circle(mine),)
        elif one.standing.outcome == Outcome.Kind.ACCEPTED:
            made += _shut_out(by_terms, named)
        found[one.outcome_id] = made
    return Foreseen(found)


def under(outcome: Outcome, force: audiences.InForce, *, now: datetime) -> tuple[AudienceView, ...]:
    """One's own object as each audience would see it under other policies than today's."""
    leaving = _contributed(outcome, force, now=now)
    return foresee(outcome.contribution, leaving, force, now=now).by_position[outcome.id]


def alone_under(
    outcome: Outcome, obj: Mapping[str, Any], force: audiences.InForce, *, now: datetime
) -> tuple[AudienceView, ...]:
    """An opened object under a floor, for a reader who may see nothing else of its contribution."""
    leaving = [_alone(outcome, obj, force, now=now)]
    return foresee(outcome.contribution, leaving, force, now=now).by_position[outcome.id]


def prospective(
    contribution: Contribution,
    objects: Sequence[Mapping[str, Any]],
    standings: Sequence[Standing],
    *,
    places: Sequence[int],
) -> list[lists.Leaving]:
    """Objects that are not stored, in the form in which they would leave, by their places."""
    return [
        lists.Leaving(
            outcome_id=place,
            version=Version(
                object=ForumObject(
                    member_id=contribution.member_id, stix_type=obj["type"], name=_name(obj)
                )
            ),
            obj=obj,
            standing=standing,
            nominal_at=contribution.received_at,
        )
        for place, obj, standing in zip(places, objects, standings, strict=True)
    ]


def _alone(
    outcome: Outcome, obj: Mapping[str, Any], force: audiences.InForce, *, now: datetime
) -> lists.Leaving:
    """One object judged by itself, with what it inherits from the rest as it was decided."""
    (standing,) = audiences.standings(outcome.contribution, [obj], force, now=now)
    least = force.floor.document["reach"]["at_least"]
    inherited = least.get(min(outcome.sensitivity, "S3"), "clear")
    standing = replace(
        standing,
        sensitivity=outcome.sensitivity,
        reach=catalogue.stricter_tlp(standing.reach, inherited),
    )
    return lists.Leaving(outcome.id, outcome.version, obj, standing, nominal_at=now)


def _freed(standing: Standing) -> Standing:
    return cleared(standing, frozenset(reason.rule for reason in standing.holds))


def _contributed(
    outcome: Outcome, force: audiences.InForce, *, now: datetime
) -> list[lists.Leaving]:
    """The whole contribution as it stands now, so that what refers to what is seen."""
    contribution = outcome.contribution
    rows = {
        row.version_id: row
        for row in Outcome.objects.filter(contribution=contribution, replaced=False).select_related(
            "version__object"
        )
    }
    rows[outcome.version_id] = outcome
    items = Item.objects.filter(contribution=contribution, version__isnull=False)
    ids = [pk for pk in items.order_by("position").values_list("version_id", flat=True) if pk]
    objects = store.originals(contribution.member_id, ids)
    order = [pk for pk in dict.fromkeys(ids) if pk in objects]
    rulings = audiences.standings(contribution, [objects[pk] for pk in order], force, now=now)
    standings = dict(zip(order, rulings, strict=True))
    approved = _approved(list(rows.values()))
    return [
        lists.Leaving(
            outcome_id=row.id,
            version=row.version,
            obj=objects[pk],
            standing=cleared(standings[pk], approved.get(row.id, frozenset())),
            nominal_at=row.due_at or now,
        )
        for pk, row in rows.items()
        if pk in objects
    ]


def _approved(rows: Sequence[Outcome]) -> Mapping[int, frozenset[str]]:
    found: dict[int, frozenset[str]] = {}
    holds = Hold.objects.filter(outcome__in=rows, state=Hold.State.RELEASED)
    for outcome_id, rule in holds.values_list("outcome_id", "rule"):
        found[outcome_id] = found.get(outcome_id, frozenset()) | {rule}
    return found


def _of_groups(
    one: lists.Leaving, groups: Sequence[lists.Audience], named: Mapping[UUID, str]
) -> tuple[AudienceView, ...]:
    merged: dict[tuple[tuple[explain.Line, ...], bytes | None, str | None], list[str]] = {}
    for group in groups:
        if one.outcome_id not in group.verdicts:
            continue
        verdict = group.verdicts[one.outcome_id]
        shape = group.closed.shapes.get(one.outcome_id)
        body = _body(one, shape) if shape is not None else None
        lines = explain.lens(one.obj, verdict, body)
        withheld = verdict.withheld.reason if verdict.withheld else None
        if body is None and withheld is None:
            withheld = "It waits for an object that it refers to and that is not released yet."
        key = (lines, body, withheld)
        merged.setdefault(key, []).extend(named[member] for member in group.recipients)
    return tuple(
        AudienceView(tuple(sorted(names)), one.nominal_at, None, lines, body, withheld)
        for (lines, body, withheld), names in merged.items()
    )


def _of_terms(
    one: lists.Leaving, by_terms: Mapping[Terms, Sequence[UUID]], named: Mapping[UUID, str]
) -> tuple[AudienceView, ...]:
    """Held, incomplete or withheld: nobody gets it now, yet every field has its ruling."""
    open_terms = [(t, ids) for t, ids in by_terms.items() if t.withhold_all is None]
    return tuple(
        AudienceView(
            tuple(sorted(named[member] for member in ids)),
            None,
            None,
            explain.lens(one.obj, decide.verdict(one.obj, one.standing, terms), None),
            None,
            one.standing.sentence,
        )
        for terms, ids in open_terms
    )


def _shut_out(
    by_terms: Mapping[Terms, Sequence[UUID]], named: Mapping[UUID, str]
) -> tuple[AudienceView, ...]:
    return tuple(
        AudienceView(
            tuple(sorted(named[member] for member in ids)), None, None, (), None,
            terms.withhold_all.reason,
        )
        for terms, ids in by_terms.items()
        if terms.withhold_all is not None
    )  # fmt: skip


def _for_the_circle(view: AudienceView) -> AudienceView:
    """It refers to another member's object: who holds that is not the contributor's to know."""
    return AudienceView(
        (THE_CIRCLE,), view.leaves_at, view.released_at, view.lines, view.body, None
    )


def _body(one: lists.Leaving, shape: render.Shape) -> bytes:
    made = render.finish(
        shape,
        stix_id=one.forum_id,
        created=_UNTIL_IT_LEAVES,
        modified=_UNTIL_IT_LEAVES,
        issuer="identity--00000000-0000-4000-8000-000000000000",
    )
    return made.body


def _sent(outcome: Outcome) -> Mapping[str, bytes]:
    """The bytes that left, by the name of each recipient that the contributor may know."""
    rows = ReleaseItem.objects.filter(
        outcome=outcome, release__recipients__recipient__isnull=False
    ).values_list("release__recipients__recipient__name", "rendition__body")
    # Of what was erased nothing is left to show.
    return {str(name): bytes(body) for name, body in rows if body}


def _as_sent(
    view: AudienceView, sent: Mapping[str, bytes], outcome: Outcome
) -> tuple[AudienceView, ...]:
    """What really left to those whom today's policies treat alike; once they were treated apart."""
    if view.names == (THE_CIRCLE,):
        sent = {THE_CIRCLE: next(iter(sent.values()))} if sent else {}
    by_body: dict[bytes | None, list[str]] = {}
    for name in view.names:
        by_body.setdefault(sent.get(name), []).append(name)
    return tuple(
        AudienceView(
            names=tuple(names),
            leaves_at=None,
            released_at=outcome.released_at if body is not None else None,
            lines=explain.beside(view.lines, body) if body is not None else view.lines,
            body=body if body is not None else view.body,
            withheld=view.withheld if body is None else None,
        )
        for body, names in by_body.items()
    )


def _name(obj: Mapping[str, Any]) -> str:
    """A stand-in for the name that is minted when the object is stored."""
    needs_one = catalogue.knows(str(obj["type"])) and obj["type"] in ("campaign", "infrastructure")
    prefix = "XC" if obj["type"] == "campaign" else "XI"
    return f"{prefix}-0000-00000" if needs_one else ""
