"""Take back at once: an object that does harm is recalled, and its holders acknowledge it.

1. order (whoever may): not served from that moment; nothing of it leaves any more
2. tell (a worker): one revoked version, or a notice, to each holder, at once
3. erase (a worker): for personal data and secrets, the bytes go and the digests stay
4. lift (the contributor): the id may be contributed again, as a new object
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from django.conf import settings
from django.db import connection, transaction
from django.db.models import QuerySet

from exchange import (
    audiences,
    erasure,
    feedback,
    folds,
    ledger,
    legalholds,
    pages,
    reissue,
    reminders,
    revocation,
)
from exchange.celery import nudge
from exchange.models import (
    Outcome,
    Recall,
    Reissue,
    ReleaseItem,
    ReleaseRecipient,
    Rendition,
    Revocation,
)
from exchange.proof.refused import Forbidden, NotFound, Refused
from indicators import store
from indicators.models import ForumObject, Version
from members.auth import Principal
from members.roles import FORUM_COUNSEL
from members.scope import DatabaseRole, acting
from members.seals import for_member

REASONS = tuple(Recall.Reason.values)
# What one page of the list shows.
PAGE = 50
THE_CIRCLE = "the circle"
PATIENCE = timedelta(days=1)
# The states of progress in which a recipient still has something to do.
OPEN = ("sent", "waiting", "passed over")


@dataclass(frozen=True, slots=True)
class Effects:
    """What a recall would reach; without numbers where the object refers to another member's."""

    object_id: UUID
    stix_type: str
    is_foreign: bool
    recipients: int
    deliveries: int
    reissued: int
    circles: tuple[str, ...]
    has_left: bool


@dataclass(frozen=True, slots=True)
class RecallRow:
    """One recall in a list: by the forum's id and class, never content."""

    id: UUID
    stix_id: str
    stix_type: str
    own_id: str
    reason: str
    role: str
    erases: bool
    at: datetime
    told_at: datetime | None
    lifted_at: datetime | None
    is_mine: bool


@dataclass(frozen=True, slots=True)
class Progress:
    """One recipient's state, or the circle's where names are not for the asker."""

    name: str
    state: str
    at: datetime | None
    index: int | None


@dataclass(frozen=True, slots=True)
class RecallView:
    """One recall with its note and how far it has come."""

    row: RecallRow
    note: str
    by: str
    progress: tuple[Progress, ...]

    @property
    def acknowledged(self) -> int:
        """How many lines are done: acknowledged, or told where nobody may know more."""
        return sum(1 for one in self.progress if one.state not in OPEN)

    def overdue(self, *, now: datetime) -> tuple[str, ...]:
        """Who has not acknowledged it after a day: somebody should call."""
        if self.row.told_at is None or now - self.row.told_at < PATIENCE:
            return ()
        return tuple(one.name for one in self.progress if one.state in OPEN)


@transaction.atomic
def order(
    principal: Principal,
    object_id: UUID,
    *,
    reason: str,
    note: str,
    erases: bool = False,
    now: datetime,
) -> UUID:
    """Recall an object: from the commit on nobody is served it, and nothing of it leaves.

    Its contributor's analyst, officer or counsel may, or a machine of its own, and the forum's
    counsel; erasing is for officer and counsel. Works while a release of it is under way: whoever
    comes second waits.
    """
    _demand(reason, note)
    if not principal.may("recall") or not principal.is_authenticated:
        raise Forbidden("Your role may not recall objects.")
    if erases and not principal.may("erase"):
        raise Forbidden("To erase is for your officer or counsel, or the forum's counsel.")
    # A worker orders what counsel approved, with its own rights and for that person.
    role: DatabaseRole = "worker" if settings.DATABASE_ROLE == "worker" else "web"
    with acting(principal.acting(), role=role):
        row = _objects(principal).filter(pk=object_id).first()
        if row is None:
            raise NotFound
        if Recall.objects.filter(object=row).exists():
            raise Refused("recall.twice", "This object was recalled before.")
        if erases:
            legalholds.demand_free(object_id)
        with connection.cursor() as cursor:
            cursor.execute("SELECT weir_stop(%s)", [object_id])
        made = Recall(
            id=uuid4(),
            object=row,
            member_id=row.member_id,
            reason=reason,
            user_id=principal.user_id,
            role=_role(principal),
            erases=erases,
            at=now,
        )
        made.sealed_note = for_member(row.member_id).seal(note.encode(), aad=_aad(made.id))
        made.save(force_insert=True)
        fields = {"recall": str(made.id), "decision": "recall", "reason": reason, "role": made.role}
        ledger.record(
            "decision",
            by=row.member_id,
            slots={"from": fields, "audit": {**fields, **_who(principal)}},
            now=now,
        )
    transaction.on_commit(lambda: nudge("exchange.tasks.tell_recalls", queue="render"))
    return made.id


def tell_waiting(*, now: datetime) -> int:
    """Tell of every recall that was ordered, give anew what referred to it, record erasures."""
    waiting = Recall.objects.filter(told_at__isnull=True).order_by("at")
    ids = list(waiting.values_list("id", flat=True))
    told = sum(tell(pk, now=now) for pk in ids)
    _forget_pages(ids)
    if Reissue.objects.filter(done_at__isnull=True).exists():
        reissue.run_due(now=now)
    unrecorded = Recall.objects.filter(
        erases=True, told_at__isnull=False, erasure_recorded_at__isnull=True
    )
    erased = list(unrecorded.values_list("id", flat=True))
    _forget_pages(erased)  # once more: a page may have been sealed while the bytes went
    for pk in erased:
        record_erasure(pk, now=now)
    return told


def _forget_pages(recall_ids: Sequence[UUID]) -> None:
    """Files of pages that hold what was taken back; they are not served any more, and now gone."""
    items = ReleaseItem.objects.filter(rendition__object__recall__in=recall_ids)
    releases = list(items.values_list("release_id", flat=True).distinct())
    if releases:
        pages.drop(releases)


@transaction.atomic
def tell(recall_id: UUID, *, now: datetime) -> int:
    """Each holder gets one revoked version, at once; false where another worker has done it."""
    audiences.hold_policies_still()
    row = (
        Recall.objects.select_for_update(skip_locked=True, no_key=True, of=("self",))
        .filter(pk=recall_id, told_at__isnull=True)
        .first()
    )
    if row is None:
        return 0
    obj = ForumObject.objects.select_for_update(no_key=True).get(pk=row.object_id)
    taking = revocation.Taking(obj, row.at, f"recall/{row.reason}", row.role, recall=row)
    revocation.take_back(taking, now=now)
    Revocation.objects.filter(object=obj, done_at__isnull=True).update(done_at=now)
    folds.touch(obj.pk)
    feedback.close(obj.pk, now=now)
    if row.erases and legalholds.stops(obj.pk) is None:
        erasure.erase_bytes(obj)
    reminders.begin(row, now=now)
    row.told_at = now
    row.save(update_fields=["told_at"])
    return 1


@transaction.atomic
def record_erasure(recall_id: UUID, *, now: datetime) -> bool:
    """The ledger's `erase` entries, once the releases that they name have their numbers."""
    row = (
        Recall.objects.select_for_update(skip_locked=True, no_key=True, of=("self",))
        .filter(pk=recall_id, erasure_recorded_at__isnull=True)
        .first()
    )
    if row is None:
        return False
    if legalholds.stops(row.object_id) is not None:
        return False  # held since: erased when it is lifted
    erasure.erase_bytes(ForumObject.objects.get(pk=row.object_id))
    parts = erasure.given_parts([row.object_id])
    if any(part.idx is None for part in parts):
        return False
    parties = {("from", row.member_id): list[int](), **erasure.by_party(parts)}
    audit = {"recall": str(row.id), "role": row.role}
    erasure.tell(parties, {"what": erasure.BYTES, "ground": "recall"}, audit=audit, now=now)
    row.erasure_recorded_at = now
    row.save(update_fields=["erasure_recorded_at"])
    return True


@transaction.atomic
def lift(principal: Principal, recall_id: UUID, *, now: datetime) -> None:
    """The id may be contributed again: as a new object, for `revoked` is for ever."""
    if principal.member_id is None or not principal.may("recall"):
        raise Forbidden("Your role may not lift a recall.")
    row = Recall.objects.filter(pk=recall_id, member_id=principal.member_id).first()
    if row is None:
        raise NotFound
    if row.told_at is None:
        raise Refused("recall.under-way", "Its recipients are still being told. Try again soon.")
    moved = Recall.objects.filter(pk=row.pk, lifted_at__isnull=True).update(lifted_at=now)
    if moved:
        ForumObject.objects.filter(pk=row.object_id, state=ForumObject.State.RECALLED).update(
            state=ForumObject.State.WITHDRAWN
        )
        fields = {"recall": str(row.id), "decision": "lift"}
        audit = {**fields, **_who(principal)}
        ledger.record("decision", by=row.member_id, slots={"from": fields, "audit": audit}, now=now)


# --- asked before, and followed after ------------------------------------------------------------


def named(principal: Principal, stix_id: str) -> tuple[UUID, ...]:
    """The objects under a forum's id, as far as the asker may recall them."""
    if not stix_id.isprintable():
        return ()
    with acting(principal.acting()), connection.cursor() as cursor:
        cursor.execute("SELECT weir_objects_named(%s)", [stix_id])
        return tuple(object_id for (object_id,) in cursor.fetchall())


def named_by_owner(principal: Principal, stix_id: str) -> tuple[UUID, ...]:
    """The objects under a name: the contributor's own for what it gave, or the forum's."""
    if principal.member_id is not None and stix_id.isprintable():
        digest = store.name_digest(principal.member_id, stix_id)
        own = ForumObject.objects.filter(member_id=principal.member_id, id_digest=digest)
        # Of what was withdrawn and came again, the one that the name leads to now.
        found = tuple(own.exclude(state=ForumObject.State.WITHDRAWN).values_list("id", flat=True))
        if found:
            return found
    return named(principal, stix_id)


def of_version(principal: Principal, version_id: int) -> UUID | None:
    """The object of one's own version."""
    if principal.member_id is None:
        return None
    row = Version.objects.filter(pk=version_id, member_id=principal.member_id).first()
    return row.object_id if row is not None else None


def effects(principal: Principal, object_id: UUID) -> Effects:
    """What a recall of this object would reach, before it is confirmed."""
    if not principal.may("recall"):
        raise NotFound
    with acting(principal.acting()):
        row = _objects(principal).filter(pk=object_id).first()
        if row is None:
            raise NotFound
        with connection.cursor() as cursor:
            cursor.execute("SELECT * FROM weir_recall_effects(%s)", [object_id])
            is_foreign, recipients, deliveries, circles = cursor.fetchone()
    return Effects(
        object_id=object_id,
        stix_type=row.stix_type,
        is_foreign=is_foreign,
        recipients=0 if is_foreign else recipients,
        deliveries=0 if is_foreign else deliveries,
        reissued=_own_referrers(principal, row),
        circles=tuple(sorted(circles or ())),
        has_left=bool(circles),
    )


def recalls(principal: Principal, *, before: datetime | None = None) -> tuple[RecallRow, ...]:
    """Recalls, newest first: a member's own; for the forum's counsel all, by id and class."""
    rows = _visible(principal)
    if before is not None:
        rows = rows.filter(at__lt=before)
    return tuple(_row(principal, one) for one in rows.order_by("-at")[:PAGE])


def recall(principal: Principal, recall_id: UUID) -> RecallView:
    """One recall, and how far it has come with each recipient that the asker may know."""
    row = _visible(principal).select_related("user").filter(pk=recall_id).first()
    if row is None:
        raise NotFound
    with acting(principal.acting()), connection.cursor() as cursor:
        cursor.execute("SELECT * FROM weir_recall_progress(%s)", [recall_id])
        progress = tuple(Progress(*found) for found in cursor.fetchall())
    note = for_member(row.member_id).open(bytes(row.sealed_note), aad=_aad(row.id)).decode()
    by = row.user.name if row.user is not None else "a machine"
    return RecallView(_row(principal, row), note, by, progress)


def of_object(principal: Principal, object_id: UUID) -> RecallRow | None:
    """The recall of one's own object, if there is one."""
    row = _visible(principal).filter(object_id=object_id).first()
    return _row(principal, row) if row is not None else None


def still_holding(
    principal: Principal, version_id: int, *, shut_out: Collection[str]
) -> tuple[str, ...]:
    """Who still holds an earlier version of one's own object, and is sent nothing of this one.

    Of an object that nobody gets in its newest version, everybody who holds it; of one that left,
    those who are shut out from it. Only whom the contributor may know by name, else the circle.
    """
    if principal.member_id is None:
        return ()
    version = Version.objects.filter(pk=version_id, member_id=principal.member_id).first()
    if version is None:
        return ()
    newer = Version.objects.filter(object_id=version.object_id, modified_ns__gt=version.modified_ns)
    if newer.exists():
        return ()
    outcome = Outcome.objects.filter(version=version).order_by("-id").first()
    if outcome is None or (outcome.outcome == Outcome.Kind.ACCEPTED and not outcome.released_at):
        return ()
    earlier = ReleaseItem.objects.filter(
        rendition__object_id=version.object_id, rendition__takes_back=False, recalled=False
    ).exclude(rendition__version=version)
    told = ReleaseRecipient.objects.filter(
        release_id__in=earlier.values("release_id"),
        member_id=principal.member_id,
        told_here=True,
        idx__isnull=False,
    ).exclude(recipient_id=principal.member_id)
    names = {name or THE_CIRCLE for name in told.values_list("recipient__name", flat=True)}
    return tuple(sorted(names if not outcome.released_at else names & set(shut_out)))


# --- rows ----------------------------------------------------------------------------------------


def _own_referrers(principal: Principal, row: ForumObject) -> int:
    """How many of the contributor's own objects refer to an observable that is no longer served.

    Others' are given anew too, and counted for nobody.
    """
    if principal.member_id != row.member_id:
        return 0
    name = Rendition.objects.filter(object=row, modified="").values_list("stix_id", flat=True)
    ids = {str(one) for one in name}
    if not ids:
        return 0
    own = Rendition.objects.filter(object__member_id=row.member_id, takes_back=False).exclude(
        object=row
    )
    found = own.filter(stix_type__in=revocation.REFERRERS).values_list("object_id", "body")
    return len({pk for pk, body in found if any(one.encode() in bytes(body) for one in ids)})


def _objects(principal: Principal) -> QuerySet[ForumObject]:
    if FORUM_COUNSEL in principal.roles:
        return ForumObject.objects.all()
    if principal.member_id is None:
        return ForumObject.objects.none()
    return ForumObject.objects.filter(member_id=principal.member_id)


def _visible(principal: Principal) -> QuerySet[Recall]:
    if not principal.may("recall"):
        return Recall.objects.none()
    rows = Recall.objects.select_related("object")
    if FORUM_COUNSEL in principal.roles:
        return rows
    if principal.member_id is None:
        return rows.none()
    return rows.filter(member_id=principal.member_id)


def _row(principal: Principal, row: Recall) -> RecallRow:
    is_mine = principal.member_id is not None and row.member_id == principal.member_id
    own = store.original_ids([row.object])[row.object_id] if is_mine else ""
    return RecallRow(
        id=row.id,
        stix_id=f"{row.object.stix_type}--{row.object_id}",
        stix_type=row.object.stix_type,
        own_id=own,
        reason=row.reason,
        role=row.role,
        erases=row.erases,
        at=row.at,
        told_at=row.told_at,
        lifted_at=row.lifted_at,
        is_mine=is_mine,
    )


def _role(principal: Principal) -> str:
    order_of = ("forum-counsel", "counsel", "officer", "analyst")
    return next((one for one in order_of if one in principal.roles), "machine")


def _who(principal: Principal) -> dict[str, str]:
    if principal.user_id is None:
        return {"credential": str(principal.credential_id)}
    return {"user": str(principal.user_id)}


def _demand(reason: str, note: str) -> None:
    if reason not in REASONS:
        raise Refused("recall.reason", "The reason is one of the closed list.", "reason")
    if len(note.strip()) < 8:
        raise Refused("reason.missing", "Write down the reason, in a few words at least.", "note")


def _aad(recall_id: UUID) -> bytes:
    return b"recall:" + recall_id.bytes
