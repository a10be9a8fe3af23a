"""The way in: a contribution is stored all at once or not at all, and every object accounted for.

1. submit: what can be parsed is sealed and kept, and answered for from then on
2. accept (a worker): each object refused by form or stored; what holds for all recipients decided
3. the ledger records it; what may leave waits for its window
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from uuid import UUID

import structlog
import zstandard
from celery.exceptions import SoftTimeLimitExceeded
from django.db import transaction
from django.db.models import Count

from exchange import collector, decided, folds, judged, ledger, release, telemetry
from exchange.celery import nudge
from exchange.models import Outcome, Revocation
from exchange.policy import catalogue, windows
from exchange.proof.refused import Forbidden, NotFound, Refused
from indicators import store
from indicators.models import Contribution, ForumObject, Item, Submission
from indicators.stix import parse, vocab
from members.auth import Principal
from members.seals import for_member

QUICK = 100  # objects of a contribution that takes a moment, and never waits behind larger ones
# What stands before a kept body: no JSON text begins with it.
_CLEAN, _DOUBTFUL = b"\x01", b"\x02"
_SUBMISSION = """
    INSERT INTO indicators_submission (contribution_id, member_id, sealed)
    SELECT %s, %s, sealed FROM unnest(%b::bytea[]) AS new (sealed)
"""
_REVOKED = "Withdrawn: whoever holds it gets a revocation with the next daily window."
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class StatusItem:
    """What the status says of one object."""

    position: int
    stix_id: str
    version: str
    success: bool
    message: str


@dataclass(frozen=True, slots=True)
class Status:
    """How far a contribution has come; the counts always add up to the total."""

    id: UUID
    state: str
    received_at: datetime
    total: int
    successes: int
    failures: int
    pendings: int
    items: tuple[StatusItem, ...]


@transaction.atomic
def submit(  # noqa: PLR0913 - what is sent, where to, and what its contributor says of it
    principal: Principal,
    body: bytes,
    *,
    circle_id: UUID,
    source: str,
    default_basis: Sequence[str] = (),
    attributed: bool = False,
    now: datetime,
) -> UUID:
    """Keep a contribution's bytes, sealed, and answer for them from then on.

    With `attributed` the circle is told who contributed these objects; nobody else ever is.

    Raises `Refused` for a body that cannot be understood at all; nothing is kept then.
    """
    member_id = judged.may_contribute(principal, circle_id)
    if not set(default_basis) <= set(vocab.THREAT_BASES):
        raise Refused("basis.unknown", "A threat basis is one of the closed list.", "basis")
    total, is_clean = parse.look(body, judged.limits())
    row = Contribution.objects.create(
        member_id=member_id,
        circle_id=circle_id,
        source=source,
        user_id=principal.user_id,
        credential_id=principal.credential_id,
        default_basis=list(default_basis),
        attributed=attributed,
        received_at=now,
        total=total,
    )
    _keep(row, body, is_clean=is_clean)
    queue = "quick" if row.total <= QUICK else "render"
    transaction.on_commit(lambda: nudge("exchange.tasks.accept", str(row.id), queue=queue))
    return row.id


@collector.at_rest()
@transaction.atomic
def accept(contribution_id: UUID, *, now: datetime) -> bool:
    """Take a kept contribution in; false where another worker has done it already."""
    row = (
        Contribution.objects.select_for_update(skip_locked=True, no_key=True, of=("self",))
        .filter(pk=contribution_id, state=Contribution.State.PENDING)
        .first()
    )
    if row is None:
        return False
    found = judged.judge(row.member_id, _kept_items(row))
    candidates = [candidate for candidate, _ in found]
    subjects = {candidate.position: subject for candidate, subject in found}
    stored = store.accept(row, candidates, is_known=catalogue.knows, now=now)
    messages = {r.position: r.problem.sentence for r in stored if r.problem is not None}
    messages |= decided.outcomes(row, stored, subjects, now=now)
    messages |= _revoked(stored, now=now)
    store.record_items(row, stored, messages)
    row.successes = sum(1 for result in stored if result.problem is None)
    row.failures = len(stored) - row.successes
    row.state = Contribution.State.COMPLETE
    row.accepted_at = now
    row.save(update_fields=["successes", "failures", "state", "accepted_at"])
    Submission.objects.filter(contribution=row).delete()
    _record(row, stored, now=now)
    return True


def take_in(contribution_id: UUID, *, now: datetime) -> bool:
    """Take a kept contribution in, and set free at once what of it waits for no window.

    What is large is released as a piece of work of its own.
    """
    if not accept(contribution_id, now=now):
        return False
    if release.is_due(contribution_id, now=now):
        if Contribution.objects.values_list("total", flat=True).get(pk=contribution_id) > QUICK:
            nudge("exchange.tasks.release", str(contribution_id), queue="render")
        else:
            release.release_contribution(contribution_id, now=now)
    return True


def take_in_each(contribution_ids: Iterable[UUID], *, now: datetime) -> None:
    """Take in one by one; what cannot be taken in now is tried again, and keeps back no other."""
    for contribution_id in contribution_ids:
        try:
            take_in(contribution_id, now=now)
        except SoftTimeLimitExceeded:
            raise
        except Exception:
            telemetry.count("contribution.put-off")
            log.exception("contribution.put-off", contribution=str(contribution_id))


def waiting(*, limit: int = 200) -> tuple[UUID, ...]:
    """Contributions that are kept and not yet taken in, oldest first."""
    rows = Contribution.objects.filter(state=Contribution.State.PENDING).order_by("received_at")
    return tuple(rows.values_list("id", flat=True)[:limit])


def status(principal: Principal, contribution_id: UUID) -> Status:
    """The state of one's own contribution; `complete` once it can be read back."""
    may_read = principal.may("contribute") or principal.may("read-own-originals")
    if principal.member_id is None or not may_read:
        raise NotFound
    row = Contribution.objects.filter(pk=contribution_id, member_id=principal.member_id).first()
    if row is None:
        raise NotFound
    is_complete = row.state == Contribution.State.COMPLETE and row.added_at is not None
    items = Item.objects.filter(contribution=row).order_by("position") if is_complete else ()
    return Status(
        id=row.id,
        state="complete" if is_complete else "pending",
        received_at=row.received_at,
        total=row.total,
        successes=row.successes if is_complete else 0,
        failures=row.failures if is_complete else 0,
        pendings=0 if is_complete else row.total,
        items=tuple(_status_item(item) for item in items),
    )


@transaction.atomic
def withdraw(principal: Principal, stix_id: str, *, now: datetime) -> None:
    """Take one's own object back in the ordinary way: gone here at once, revoked daily elsewhere.

    An observable cannot be revoked by the standard, so it is no longer served from that moment.
    """
    if principal.member_id is None or not principal.may("contribute"):
        raise Forbidden("Your role may not withdraw objects.")
    row = (
        ForumObject.objects.select_for_update(no_key=True, of=("self",))
        .filter(
            member_id=principal.member_id,
            id_digest=store.name_digest(principal.member_id, stix_id),
            state=ForumObject.State.LIVE,
        )
        .first()
    )
    if row is None:
        raise NotFound
    _take_back(row, now=now)


def _take_back(row: ForumObject, *, now: datetime) -> None:
    row.state = ForumObject.State.WITHDRAWN
    row.save(update_fields=["state"])
    Outcome.objects.filter(version__object=row, released_at__isnull=True).update(replaced=True)
    folds.touch(row.id)
    Revocation.objects.create(
        object=row, member_id=row.member_id, due_at=windows.next_revocation(now)
    )


def _revoked(stored: Sequence[store.Stored], *, now: datetime) -> Mapping[int, str]:
    """A version that says `revoked` takes its object back: it leaves with the daily window.

    At once, it would tell recipients when its contributor acted.
    """
    said = {
        result.object_id: result.position
        for result in stored
        if result.obj.get("revoked") is True
        and result.problem is None
        and not (result.is_late or result.is_repeat)
    }
    rows = ForumObject.objects.select_for_update(no_key=True).filter(
        pk__in=[pk for pk in said if pk], state=ForumObject.State.LIVE
    )
    for row in rows.order_by("id"):
        _take_back(row, now=now)
    return dict.fromkeys(said.values(), _REVOKED)


def _record(row: Contribution, stored: Sequence[store.Stored], *, now: datetime) -> None:
    kept = [result for result in stored if result.problem is None]
    listing = [
        [
            str(result.obj["id"]),
            store.version_text(result.obj),
            result.sha256,
        ]
        for result in kept
    ]
    counts = dict.fromkeys(Outcome.Kind.values, 0)
    decided = Outcome.objects.filter(contribution=row).values_list("outcome")
    counts |= dict(decided.annotate(Count("id")))
    fields = {
        "contribution": str(row.id),
        "circle": str(row.circle_id),
        "counts": {**counts, "refused": len(stored) - len(kept), "total": len(stored)},
        "items": {"count": len(listing), "sha256": sha256(store.canonical(listing)).hexdigest()},
    }
    ledger.record(
        "contribution",
        by=row.member_id,
        slots={"to": {}, "from": fields, "audit": {"contribution": str(row.id)}},
        contribution_id=row.id,
        # Positions run over all objects of the body, so that those of the next lie behind.
        count=len(stored),
        now=now,
    )


def _status_item(item: Item) -> StatusItem:
    text = store.item_text(item)
    return StatusItem(item.position, text["id"], text["version"], item.success, text["message"])


def _keep(row: Contribution, body: bytes, *, is_clean: bool) -> None:
    """Seal a body, drawn together; with it, that it needs no second look when it is taken in."""
    drawn = (_CLEAN if is_clean else _DOUBTFUL) + zstandard.ZstdCompressor(1).compress(body)
    sealed = for_member(row.member_id).seal(drawn, aad=_body_aad(row.id))
    store.insert(_SUBMISSION, (row.id, row.member_id), [sealed])


def _kept_items(row: Contribution) -> tuple[parse.Item, ...]:
    """The objects of a kept body; what is no more than read again was found clean before."""
    sealed = Submission.objects.values_list("sealed", flat=True).get(contribution=row)
    kept = for_member(row.member_id).open(bytes(sealed), aad=_body_aad(row.id))
    mark = kept[:1]
    if mark not in (_CLEAN, _DOUBTFUL):  # kept as it came, before bodies were drawn together
        return parse.items(kept, judged.limits())
    body = zstandard.ZstdDecompressor().decompress(memoryview(kept)[1:])
    return parse.looked_at(body) if mark == _CLEAN else parse.items(body, judged.limits())


def _body_aad(contribution_id: UUID) -> bytes:
    return b"submission:" + contribution_id.bytes
