"""The life of an algorithm: each step one transaction, by whom it belongs to, and on the record.

An analyst writes it, a second person of the member approves it, the forum's counsel reviews it,
and the forum's operator puts it in force: who judges the words does not start the machine, and who
starts the machine does not read the words. Its text is for its member and counsel alone, so the
operator goes by digest, counsel's review and the buckets of a dry run.
"""

from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings
from django.db import connection, transaction

from exchange import ledger
from exchange.algorithms import sealed, trials
from exchange.algorithms.inforce import record
from exchange.algorithms.trials import Tried
from exchange.models import Algorithm, AlgorithmAct, AlgorithmText, DryRun
from exchange.proof.refused import Forbidden, NotFound, Refused
from indicators.detection import document
from members.auth import Principal
from members.roles import FORUM_COUNSEL, OPERATOR
from members.seals import for_forum

_State = Algorithm.State
SHORTEST_REASON = 8
MOST_DRY_RUNS = 3  # of one document on one day, over all its versions
MOST_OPEN = 50  # of one member: drafts cost counsel's time
# What the forum's counsel answers for, each by a tick of its own.
POINTS = ("thresholds", "company", "country", "language", "words")
OPEN = (_State.DRAFT, _State.SUBMITTED, _State.APPROVED, _State.REVIEWED)
IN_FORCE = (_State.ACTIVE, _State.SUSPENDED)


# --- the member's two people ---------------------------------------------------------------------


@transaction.atomic
def write(
    principal: Principal, text: str, *, algorithm_id: UUID | None = None, now: datetime
) -> UUID:
    """Write a draft, or write it anew; what is no algorithm is refused with its first fault."""
    _demand(principal, "write-algorithm", "An algorithm is written by an analyst of a member.")
    found = document.parse(text.encode(), today=now.astimezone(UTC).date())
    member_id = _member_of(principal)
    _demand_free(member_id, found)
    facts = {**_facts(found), "author_id": principal.user_id, "changed_at": now}
    if algorithm_id is None:
        _demand_room(member_id, now)
        row = Algorithm(id=uuid4(), member_id=member_id, created_at=now, **facts)
        _demand_once(member_id, row)
        row.save(force_insert=True)
        AlgorithmText.objects.create(
            algorithm=row, member_id=row.member_id, sealed=_sealed(row, text)
        )
        return row.id
    row = _locked(principal, algorithm_id, _State.DRAFT)
    row.document_id, row.version = UUID(found.id), found.version
    _demand_once(member_id, row)
    Algorithm.objects.filter(pk=row.pk).update(approved_by=None, reviewed_by=None, **facts)
    AlgorithmText.objects.filter(pk=row.pk).update(sealed=_sealed(row, text), sealed_tests=b"")
    return row.id


def submit(principal: Principal, algorithm_id: UUID, *, now: datetime) -> Tried:
    """Have its tests run, and hand it to the member's second person; its text stays from then on.

    What fails a case, or has a case that cannot fail, stays a draft, and the answer says why.
    """
    _demand(principal, "write-algorithm", "An algorithm is submitted by an analyst of a member.")
    with transaction.atomic():
        row = _locked(principal, algorithm_id, _State.DRAFT)
        text = sealed.open_text(AlgorithmText.objects.get(pk=row.pk))
        tried = trials.of(principal, text, today=now.astimezone(UTC).date())
        if not tried.passes:
            return tried
        answer = sealed.seal_of(row.member_id).seal(tried.raw, aad=sealed.tests_aad(row.id))
        AlgorithmText.objects.filter(pk=row.pk).update(sealed_tests=answer)
        # Who submits answers for it: the approver is another person than this one, too.
        _move(row, _State.SUBMITTED, author_id=principal.user_id, now=now)
        _said(row, principal, "submit", now=now)
    return tried


@transaction.atomic
def approve(principal: Principal, algorithm_id: UUID, *, digest: str, now: datetime) -> None:
    """Contribute it to the forum: the second person of the member, never who wrote it."""
    _demand(principal, "approve-algorithm", "Officer or counsel of the member approve it.")
    row = _locked(principal, algorithm_id, _State.SUBMITTED)
    if row.author_id == principal.user_id:
        raise Refused("algorithm.own", "Who wrote an algorithm cannot approve it.")
    _demand_digest(row, digest)
    _move(row, _State.APPROVED, approved_by_id=principal.user_id, now=now)
    _said(row, principal, "approve", now=now)


@transaction.atomic
def send_back(principal: Principal, algorithm_id: UUID, *, reason: str, now: datetime) -> None:
    """Back to its author with a written reason, by the second person or by the forum's counsel."""
    _demand_reason(reason)
    if principal.member_id is None:
        _demand(principal, "review-algorithm", "The forum's counsel sends it back.")
        row = _locked(principal, algorithm_id, _State.APPROVED, _State.REVIEWED)
    else:
        _demand(principal, "approve-algorithm", "Officer or counsel of the member send it back.")
        row = _locked(principal, algorithm_id, _State.SUBMITTED)
    _said(row, principal, "send-back", reason=reason, now=now)
    _move(row, _State.DRAFT, approved_by=None, reviewed_by=None, now=now)


@transaction.atomic
def discard(principal: Principal, algorithm_id: UUID, *, now: datetime) -> None:
    """Put one's own aside for good, before it is in force."""
    _demand(principal, "withdraw-algorithm", "People of its member put it aside.")
    if principal.member_id is None:
        raise NotFound
    row = _locked(principal, algorithm_id, *OPEN)
    _said(row, principal, "discard", now=now)
    _move(row, _State.DISCARDED, ended_at=now, now=now)


# --- the floor -----------------------------------------------------------------------------------


@transaction.atomic
def review(
    principal: Principal,
    algorithm_id: UUID,
    *,
    digest: str,
    points: Collection[str],
    reason: str,
    now: datetime,
) -> None:
    """The forum's counsel has read it: nothing of one member's own limits, nobody singled out.

    Every point is answered, with a written reason; a document that runs on members' logs is then
    put under the forum's seal, for every member to be given once it is in force.
    """
    _demand(principal, "review-algorithm", "The forum's counsel reviews an algorithm.")
    _demand_reason(reason)
    row = _locked(principal, algorithm_id, _State.APPROVED)
    _demand_digest(row, digest)
    missing = [point for point in POINTS if point not in points]
    if missing:
        raise Refused("algorithm.points", "Each point is answered before it goes on.", missing[0])
    if row.runs_on != "pool":
        text = AlgorithmText.objects.get(pk=row.pk)
        _give(row, sealed.open_text(text))
    _move(row, _State.REVIEWED, reviewed_by_id=principal.user_id, now=now)
    _said(row, principal, "review", reason=reason, now=now)


@transaction.atomic
def ask_dry_run(principal: Principal, algorithm_id: UUID, *, now: datetime) -> UUID:
    """Have it tried on the pool; at most three times a day for a document, whatever its version.

    Only what counsel has reviewed: the pool is no place to try guesses on.
    """
    may = principal.may("write-algorithm") or principal.may("approve-algorithm")
    if not (may or principal.may("review-algorithm")) or principal.user_id is None:
        raise Forbidden("People of its member and the forum's counsel ask for a dry run.")
    row = _visible(principal, algorithm_id, _State.REVIEWED)
    if row.runs_on == "log":
        raise Refused("dry-run.log", "It runs on members' logs: there is nothing in the pool.")
    today = now.astimezone(UTC).date()
    with connection.cursor() as cursor:
        # Two who ask at once are counted one after the other.
        cursor.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, 22))", [str(row.document_id)]
        )
        cursor.execute("SELECT weir_dry_runs(%s, %s)", [row.document_id, today])
        (many,) = cursor.fetchone()
    if many >= MOST_DRY_RUNS:
        said = f"A document has at most {MOST_DRY_RUNS} dry runs a day. Ask again tomorrow (UTC)."
        raise Refused("dry-run.most", said)
    wish = DryRun(
        id=uuid4(),
        algorithm_id=row.id,
        member_id=row.member_id,
        user_id=principal.user_id,
        document_id=row.document_id,
        digest=bytes(row.digest),
        day=today,
        asked_at=now,
    )
    wish.save(force_insert=True)
    return wish.id


@transaction.atomic
def activate(principal: Principal, algorithm_id: UUID, *, digest: str, now: datetime) -> date:
    """Put it in force from now on, by digest; says its last day.

    1. the operator, who has not read it    2. exactly the digest that counsel reviewed
    3. a dry run of it has ended well, where it runs on the pool
    4. no other member's algorithm has its id, and the version before it ends here
    """
    _demand(
        principal, "activate-algorithm", "The forum's operator puts an algorithm in force."
    )  # 1
    row = _locked(principal, algorithm_id, _State.REVIEWED)
    _demand_digest(row, digest)  # 2
    if row.runs_on != "log" and not _was_tried(row):  # 3
        said = "It has to be tried on the pool before it is put in force: a dry run is missing."
        raise Refused("algorithm.dry-run", said)
    if _is_anothers(row.document_id, row.member_id):  # 4
        raise Refused("algorithm.taken", "Another algorithm in force has this id.")
    last = min(now.astimezone(UTC).date() + timedelta(days=row.valid_days), row.until or date.max)
    if last <= now.astimezone(UTC).date():
        raise Refused("algorithm.expired", "Its last day is over: its member writes a new version.")
    before = Algorithm.objects.filter(document_id=row.document_id, state__in=IN_FORCE)
    replaces = before.update(state=_State.REPLACED, ended_at=now, changed_at=now)
    _move(
        row,
        _State.ACTIVE,
        activated_by_id=principal.user_id,
        activated_at=now,
        valid_until=last,
        now=now,
    )
    _said(row, principal, "activate", now=now)
    row.valid_until = last
    people = (row.author_id, row.approved_by_id, row.reviewed_by_id, principal.user_id)
    record(row, "changed" if replaces else "active", by=people, now=now)
    return last


@transaction.atomic
def lift(principal: Principal, algorithm_id: UUID, *, reason: str, now: datetime) -> None:
    """Let one run again that a failed run has suspended, with a written reason."""
    _demand(principal, "review-algorithm", "The forum's counsel lifts a suspension.")
    _demand_reason(reason)
    row = _locked(principal, algorithm_id, _State.SUSPENDED)
    _move(row, _State.ACTIVE, trouble="", now=now)
    _said(row, principal, "lift", reason=reason, now=now)
    record(row, "lifted", by=(principal.user_id,), now=now)


@transaction.atomic
def withdraw(principal: Principal, algorithm_id: UUID, *, reason: str, now: datetime) -> None:
    """Take one out of force: people of its member their own, the forum's counsel anybody's.

    What it found stays; from the next run on it finds nothing more.
    """
    _demand(principal, "withdraw-algorithm", "Its member or the forum's counsel withdraw it.")
    _demand_reason(reason)
    row = _locked(principal, algorithm_id, *IN_FORCE)
    _said(row, principal, "withdraw", reason=reason, now=now)
    _move(row, _State.WITHDRAWN, ended_at=now, now=now)
    record(row, "withdrawn", by=(principal.user_id,), now=now)


# --- what is shipped -----------------------------------------------------------------------------


@transaction.atomic
def ship(texts: Collection[bytes], *, now: datetime) -> tuple[UUID, ...]:
    """Put the documents that come with the exchange in force, and tell the ids of those that moved.

    At the founding of a forum, and later by command: what is in force in this very version and has
    time left stays. Their authors and tests are the product's own.
    """
    today = now.astimezone(UTC).date()
    moved = []
    for text in texts:
        found = document.parse(text, today=today)
        rows = Algorithm.objects.select_for_update().filter(document_id=UUID(found.id))
        standing = rows.filter(state__in=IN_FORCE).first()
        if standing is not None and _stays(standing, found, today):
            continue
        ended = {"state": _State.REPLACED, "ended_at": now, "changed_at": now}
        replaces = rows.filter(state__in=IN_FORCE).update(**ended)
        row = Algorithm.objects.create(
            **_facts(found),
            state=_State.ACTIVE,
            created_at=now,
            changed_at=now,
            activated_at=now,
            valid_until=found.ends_on(today),
        )
        AlgorithmText.objects.create(algorithm=row, sealed=_sealed(row, text.decode()))
        if found.runs_on != "pool":
            _give(row, text.decode())
        record(row, "changed" if replaces else "active", now=now)
        moved.append(row.id)
    return tuple(moved)


def _stays(standing: Algorithm, found: document.Algorithm, today: date) -> bool:
    """In force in this version or a later one, and not in its last month."""
    if standing.member_id is not None:
        return True
    is_due = standing.valid_until is None or standing.valid_until < today + timedelta(days=30)
    return standing.version > found.version or (standing.version == found.version and not is_due)


# --- below ---------------------------------------------------------------------------------------


def _facts(found: document.Algorithm) -> dict[str, Any]:
    """What is told of a document beside its text: closed words, ids, and its digest."""
    return {
        "document_id": UUID(found.id),
        "version": found.version,
        "kind": found.kind,
        "detector": found.detector,
        "runs_on": found.runs_on,
        "title": found.title,
        "look_alikes": list(found.false_positives),
        "base_rate": found.base_rate_bucket,
        "digest": bytes.fromhex(found.digest),
        "until": found.valid_until,
        "valid_days": found.valid_days,
    }


def _sealed(row: Algorithm, text: str) -> bytes:
    return sealed.seal_of(row.member_id).seal(text.encode(), aad=sealed.text_aad(row.id))


def _give(row: Algorithm, text: str) -> None:
    given = for_forum().seal(text.encode(), aad=sealed.given_aad(row.id))
    AlgorithmText.objects.filter(pk=row.pk).update(given=given)


def _demand(principal: Principal, permission: str, sentence: str) -> None:
    if not principal.may(permission) or principal.user_id is None:
        raise Forbidden(sentence)


def _demand_reason(reason: str) -> None:
    if len(reason.strip()) < SHORTEST_REASON:
        raise Refused("reason.missing", "Write down the reason, in a few words at least.", "reason")


def _demand_digest(row: Algorithm, digest: str) -> None:
    if bytes(row.digest).hex() != digest:
        raise Refused("algorithm.changed", "The document has changed since you read it.")


def _member_of(principal: Principal) -> UUID:
    if principal.member_id is None:
        raise NotFound
    return principal.member_id


def _demand_room(member_id: UUID, now: datetime) -> None:
    """So many on their way, so many new ones a day: what is put aside counts for its day, too."""
    with connection.cursor() as cursor:
        # Of two who write at once the second is counted after the first.
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 24))", [str(member_id)])
    own = Algorithm.objects.filter(member_id=member_id)
    if own.filter(state__in=OPEN).count() >= MOST_OPEN:
        said = f"A member has at most {MOST_OPEN} algorithms on their way: finish some first."
        raise Refused("algorithm.many", said)
    begun = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    most = settings.ALGORITHM_QUOTA
    if own.filter(changed_at__gte=begun, created_at__gte=begun).count() >= most:
        said = f"A member writes at most {most} new algorithms a day. Go on tomorrow (UTC)."
        raise Refused("algorithm.quota", said)


def _demand_free(member_id: UUID, found: document.Algorithm) -> None:
    """Its id is nobody else's in force, and its version is newer than what was."""
    if _is_anothers(UUID(found.id), member_id):
        said = "An algorithm with this id is in force and not your company's: take a fresh id."
        raise Refused("algorithm.taken", said, "id")
    was = Algorithm.objects.filter(
        member_id=member_id, document_id=UUID(found.id), activated_at__isnull=False
    )
    newest = was.order_by("-version").values_list("version", flat=True).first()
    if newest is not None and found.version <= newest:
        said = f"Version {newest} was in force: give this one a higher number."
        raise Refused("algorithm.version", said, "version")


def _demand_once(member_id: UUID, row: Algorithm) -> None:
    """One draft of a version: the second would only be confused with the first."""
    same = Algorithm.objects.filter(
        member_id=member_id, document_id=row.document_id, version=row.version
    )
    if same.filter(state__in=(*OPEN, *IN_FORCE)).exclude(pk=row.pk).exists():
        raise Refused("algorithm.twice", "This version is on its way already.", "version")


def _is_anothers(document_id: UUID, member_id: UUID | None) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT weir_algorithm_is_anothers(%s, %s)", [document_id, member_id])
        return bool(cursor.fetchone()[0])


def _was_tried(row: Algorithm) -> bool:
    return DryRun.objects.filter(
        algorithm_id=row.pk, digest=bytes(row.digest), state=DryRun.State.DONE
    ).exists()


def _visible(principal: Principal, algorithm_id: UUID, *states: str) -> Algorithm:
    rows = Algorithm.objects.filter(pk=algorithm_id, state__in=states)
    if principal.member_id is not None:
        rows = rows.filter(member_id=principal.member_id)
    row = rows.first()
    if row is None:
        raise NotFound
    return row


def _locked(principal: Principal, algorithm_id: UUID, *states: str) -> Algorithm:
    row = _visible(principal, algorithm_id, *states)
    held = Algorithm.objects.select_for_update(no_key=True).filter(pk=row.pk, state__in=states)
    found = held.first()
    if found is None:
        raise NotFound
    return found


def _move(row: Algorithm, state: str, *, now: datetime, **changes: Any) -> None:  # noqa: ANN401 - fields of the row
    moved = Algorithm.objects.filter(pk=row.pk, state=row.state).update(
        state=state, changed_at=now, **changes
    )
    if moved != 1:
        raise NotFound
    row.state = state


def _said(
    row: Algorithm, principal: Principal, act: str, *, reason: str = "", now: datetime
) -> None:
    """The act beside the algorithm, and in the ledger for its member and the auditors."""
    role = _role(principal, act)
    words = reason.strip()
    seal, aad = sealed.seal_of(row.member_id), sealed.act_aad(row.id)
    AlgorithmAct.objects.bulk_create(
        [
            AlgorithmAct(
                algorithm_id=row.id,
                member_id=row.member_id,
                user_id=principal.user_id,
                role=role,
                act=act,
                sealed=seal.seal(words.encode(), aad=aad) if words else b"",
                at=now,
            )
        ]
    )
    fields = {
        "decision": act,
        "algorithm": str(row.document_id),
        "version": str(row.version),
        "digest": bytes(row.digest).hex(),
        "role": role,
    }
    slots: dict[str, Mapping[str, Any]] = {"audit": {**fields, "user": str(principal.user_id)}}
    if row.member_id is not None:
        slots["from"] = {**fields, "reason": words}
    ledger.record("decision", by=row.member_id, slots=slots, now=now)


def _role(principal: Principal, act: str) -> str:
    if principal.member_id is None:
        return OPERATOR if act == "activate" else FORUM_COUNSEL
    wanted = ("analyst",) if act == "submit" else ("officer", "counsel", "analyst")
    return next((role for role in wanted if role in principal.roles), "")
