"""A loosened policy acts forward only; to let go old objects under it is an act of its own.

1. order: the member's officer or counsel, for a range that a finished preview has covered
2. work (a worker, in batches): where today's verdict shows a recipient more than it has, the object
   waits for the next window; there it is decided again, and becomes a new version
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from exchange import audiences, ledger, lists, reissue, replay
from exchange.celery import nudge
from exchange.models import Hold, Missing, Outcome, ReleaseAgain, ReleaseItem
from exchange.policy import decide, terms
from exchange.policy.lattice import at_least
from exchange.policy.outcomes import Standing, cleared
from exchange.proof.refused import Forbidden, Refused
from indicators import store
from indicators.models import Contribution, ForumObject, Item, Version
from members.auth import Principal
from members.models import CircleMember


@dataclass(frozen=True, slots=True)
class Again:
    """One such act in the member's own list."""

    id: UUID
    since: datetime
    until: datetime
    at: datetime
    by: str
    objects: int
    done_at: datetime | None


@transaction.atomic
def order(principal: Principal, *, since: datetime, until: datetime, now: datetime) -> UUID:
    """Let go what left between two moments as far as today's policies show more of it.

    Refused without a finished preview of the floor or the member's policy in force that covers the
    range: who lets old objects go has seen which.
    """
    member_id = principal.member_id
    if member_id is None or principal.user_id is None or not principal.may("edit-member-policy"):
        raise Forbidden("Only your officer or counsel lets old objects go.")
    if not since < until <= now:
        raise Refused("again.range", "Say a range that has passed.", "since")
    force = audiences.in_force(member_id)
    seen = _seen(member_id, force, since=since, until=until)
    if seen is None:
        raise Refused(
            "again.preview",
            "Preview the policy that is in force over this range first, and look at the result.",
            "since",
        )
    row = ReleaseAgain.objects.create(
        member_id=member_id,
        user_id=principal.user_id,
        since=since,
        until=until,
        preview_id=seen.id,
        at=now,
    )
    fields = {
        "decision": "release-again",
        "again": str(row.id),
        "since": since.isoformat(),
        "until": until.isoformat(),
        "preview": str(seen.id),
        "floor": force.floor.digest,
        "policy": force.policy_digest,
    }
    audit = {"again": str(row.id), "decision": "release-again", "user": str(principal.user_id)}
    ledger.record("decision", by=member_id, slots={"from": fields, "audit": audit}, now=now)
    transaction.on_commit(lambda: nudge("exchange.tasks.let_go", queue="render"))
    return row.id


def acts(principal: Principal) -> tuple[Again, ...]:
    """The member's own acts, newest first."""
    if principal.member_id is None or not principal.may("edit-member-policy"):
        return ()
    rows = ReleaseAgain.objects.filter(member_id=principal.member_id).select_related("user")
    return tuple(
        Again(row.id, row.since, row.until, row.at, row.user.name, row.objects_again, row.done_at)
        for row in rows.order_by("-at")[:50]
    )


def work(*, now: datetime) -> int:
    """Every act that is not done; how many objects leave again."""
    found = 0
    for again_id in list(
        ReleaseAgain.objects.filter(done_at__isnull=True).values_list("id", flat=True)
    ):
        while (step := _step(again_id, now=now)) is not None:
            found += step
    return found


@transaction.atomic
def _step(again_id: UUID, *, now: datetime) -> int | None:
    """One contribution, in a transaction of its own; nothing where all is done."""
    audiences.hold_policies_still()
    act = (
        ReleaseAgain.objects.select_for_update(skip_locked=True, no_key=True, of=("self",))
        .filter(pk=again_id, done_at__isnull=True)
        .first()
    )
    if act is None:
        return None
    first = _old(act).first()
    if first is None:
        ReleaseAgain.objects.filter(pk=act.pk).update(done_at=now)
        return None
    rows = list(_old(act).filter(contribution_id=first.contribution_id))
    force = audiences.in_force(act.member_id)
    more = _more(first.contribution, rows, force, now=now)
    by_id = {row.id: row for row in rows}
    Missing.objects.bulk_create(
        (
            Missing(
                outcome_id=key,
                recipient_id=recipient,
                wanted=b"",
                act=Missing.Act.AGAIN,
                due_at=force.opening(by_id[key].sensitivity, after=now),
            )
            for key, recipients in more.items()
            for recipient in recipients
        ),
        batch_size=2_000,
        ignore_conflicts=True,
    )
    ReleaseAgain.objects.filter(pk=act.pk).update(
        after=max(by_id), objects_again=act.objects_again + len(more)
    )
    return len(more)


def _old(act: ReleaseAgain) -> QuerySet[Outcome]:
    """What left in the range, stands, and is the newest that was stored of its object."""
    newer = Version.objects.filter(
        object=OuterRef("version__object"), modified_ns__gt=OuterRef("version__modified_ns")
    )
    return (
        Outcome.objects.filter(
            ~Exists(newer),
            member_id=act.member_id,
            released_at__gte=act.since,
            released_at__lt=act.until,
            replaced=False,
            outcome=Outcome.Kind.ACCEPTED,
            version__object__state=ForumObject.State.LIVE,
            pk__gt=act.after,
        )
        .select_related("contribution", "version__object")
        .order_by("pk")
    )


def _seen(
    member_id: UUID, force: audiences.InForce, *, since: datetime, until: datetime
) -> replay.Finished | None:
    """The finished preview of what is in force now, over all of the range."""
    own = bytes.fromhex(force.policy_digest) if force.policy_digest else None
    found = [
        replay.finished_for("floor", None, bytes.fromhex(force.floor.digest)),
        replay.finished_for("member", member_id, own) if own else None,
    ]
    return next((one for one in found if one and one.since <= since and until <= one.until), None)


def _more(
    contribution: Contribution,
    rows: Sequence[Outcome],
    force: audiences.InForce,
    *,
    now: datetime,
) -> dict[int, set[UUID]]:
    """To whom today's verdict shows more of each outcome than what it has."""
    standings, objects = _standings(contribution, force, now=now)
    leaving = [
        lists.Leaving(
            outcome_id=row.id,
            version=row.version,
            obj=objects[row.version_id],
            standing=cleared(standings[row.version_id], _approved(row)),
            nominal_at=now,
        )
        for row in rows
        if row.version_id in objects
    ]
    accepted = [one for one in leaving if one.standing.outcome == Outcome.Kind.ACCEPTED]
    names = lists.names_of(contribution.member_id, accepted)
    groups, held = lists.audiences_of(contribution, accepted, force, names=names, now=now)
    past = _Past(contribution, force, now)
    left_at = {row.id: row.released_at for row in rows}
    joined = _joined(contribution.circle_id)
    found: dict[int, set[UUID]] = {}
    for group in groups:
        for one in accepted:
            shape = group.closed.shapes.get(one.outcome_id)
            if shape is None:
                continue
            for recipient in group.recipients:
                earlier = held.get((recipient, one.version.object_id), ())
                if not earlier:
                    # Kept out by the policy of then; who came later gets nothing old.
                    left = left_at[one.outcome_id]
                    is_more = left is not None and joined[recipient] <= left
                else:
                    is_more = earlier[-1].content_digest != shape.digest and past.shows_more(
                        one, group.verdicts[one.outcome_id], recipient, earlier[-1]
                    )
                if is_more:
                    found.setdefault(one.outcome_id, set()).add(recipient)
    return found


def _standings(
    contribution: Contribution, force: audiences.InForce, *, now: datetime
) -> tuple[dict[int, Standing], dict[int, dict[str, Any]]]:
    items = Item.objects.filter(contribution=contribution, version__isnull=False)
    ids = [pk for pk in items.order_by("position").values_list("version_id", flat=True) if pk]
    objects = store.originals(contribution.member_id, ids)
    order = [pk for pk in dict.fromkeys(ids) if pk in objects]
    rulings = audiences.standings(contribution, [objects[pk] for pk in order], force, now=now)
    return dict(zip(order, rulings, strict=True)), objects


def _approved(row: Outcome) -> frozenset[str]:
    rows = Hold.objects.filter(outcome=row, state=Hold.State.RELEASED)
    return frozenset(rows.values_list("rule", flat=True))


def _joined(circle_id: UUID) -> Mapping[UUID, datetime]:
    seats = CircleMember.objects.filter(circle_id=circle_id, left_at__isnull=True)
    return dict(seats.values_list("member_id", "joined_at"))


class _Past:
    """The verdicts under which things had left, each policy of then decided once."""

    def __init__(self, contribution: Contribution, force: audiences.InForce, now: datetime) -> None:
        self.contribution, self.force, self.now = contribution, force, now
        self.decided: dict[
            tuple[int, int | None], tuple[dict[UUID, terms.Terms], dict[int, Standing]]
        ] = {}

    def shows_more(
        self, one: lists.Leaving, today: decide.Verdict, recipient: UUID, held: lists.Held
    ) -> bool:
        """Whether any field is treated more openly than when the recipient got what it has."""
        item = ReleaseItem.objects.filter(
            rendition_id=held.rendition_id, release__recipients__recipient_id=recipient
        ).order_by("id")
        policies = item.values_list("release__floor_id", "release__policy_id").last()
        if policies is None:
            return False
        by_terms, standings = self._under(policies)
        if recipient not in by_terms:
            return True
        then = decide.verdict(one.obj, standings[one.version.id], by_terms[recipient])
        if then.withheld is not None or then.tlp != today.tlp:
            return True
        return any(
            path not in then.by_path or not at_least(ruling, then.by_path[path])
            for path, ruling in today.rulings
        )

    def _under(
        self, policies: tuple[int, int | None]
    ) -> tuple[dict[UUID, terms.Terms], dict[int, Standing]]:
        if policies not in self.decided:
            then = reissue.in_force_then(policies, self.force)
            groups = audiences.by_terms(
                self.contribution.member_id, self.contribution.circle_id, then, now=self.now
            )
            standings, _ = _standings(self.contribution, then, now=self.now)
            self.decided[policies] = (
                {who: joined for joined, ids in groups.items() for who in ids},
                standings,
            )
        return self.decided[policies]
