"""What pages and machines show of algorithms: to whom it belongs the text, to all what is in force.

Who contributed one is told to its member and the forum's counsel alone. Of those in force every
member knows the closed facts; the document itself only where it runs on members' logs.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Prefetch, QuerySet

from exchange.algorithms import life, sealed, trials
from exchange.models import Algorithm, AlgorithmAct, AlgorithmText, DryRun
from exchange.proof.refused import Forbidden, NotFound
from members.auth import Principal
from members.roles import FORUM_COUNSEL, OPERATOR
from members.seals import for_forum

PAGE = 100
_State = Algorithm.State
# What the forum's counsel has before it: never a member's drafts.
_FOR_COUNSEL = (*life.OPEN[2:], *life.IN_FORCE, _State.WITHDRAWN, _State.REPLACED)
_FOR_OPERATOR = (*life.OPEN[3:], *life.IN_FORCE)


@dataclass(frozen=True, slots=True)
class Told:
    """An algorithm in force, as everybody in the forum may know it."""

    id: UUID
    document_id: UUID
    version: int
    kind: str
    detector: str
    runs_on: str
    title: str
    look_alikes: tuple[str, ...]
    base_rate: str
    digest: str
    valid_until: date
    activated_at: datetime
    # The document, where it runs on members' logs; else empty.
    text: str
    is_in_force: bool = True


@dataclass(frozen=True, slots=True)
class Bucketed:
    """One dry run: what was asked when, and its three buckets."""

    asked_at: datetime
    state: str
    rows: str
    members: str
    look_alikes: str
    trouble: str


@dataclass(frozen=True, slots=True)
class Act:
    """One person's act on it; the name for those of the same side."""

    act: str
    role: str
    name: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a list: one version on its way, in force or at its end."""

    id: UUID
    document_id: UUID
    version: int
    title: str
    kind: str
    detector: str
    runs_on: str
    state: str
    trouble: str
    digest: str
    is_shipped: bool
    valid_until: date | None
    changed_at: datetime
    author: str


@dataclass(frozen=True, slots=True)
class View:
    """One algorithm, with as much of it as its reader may see, and what the reader may do now."""

    row: Row
    look_alikes: tuple[str, ...]
    base_rate: str
    text: str
    tried: trials.Tried | None
    acts: tuple[Act, ...]
    dry_runs: tuple[Bucketed, ...]
    left_today: int
    approver: str
    may: frozenset[str]
    # Why nobody here can move it now, where somebody else could.
    waits_for: str


def in_force(now: datetime) -> tuple[Told, ...]:
    """Those in force, by id; whoever asks belongs to the forum, or there is nothing."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM weir_algorithms_in_force(%s)", [now.astimezone(UTC).date()])
        rows = cursor.fetchall()
    return tuple(_told(*row) for row in rows)


def for_logs(principal: Principal, *, now: datetime) -> tuple[Told, ...]:
    """Those in force that run on a member's log, with their documents: for its extractor."""
    if principal.member_id is None or not principal.may("read-algorithms"):
        raise Forbidden("The scope `extracts` of a member's credential is needed.")
    return tuple(one for one in in_force(now) if one.text)


def told(now: datetime, algorithm_id: UUID) -> Told:
    """One that is or was in force, as everybody may know it; NotFound for all else."""
    found = [one for one in _known([algorithm_id], now=now) if one.id == algorithm_id]
    if not found:
        raise NotFound
    return found[0]


def named(pairs: Iterable[tuple[str, int]], *, now: datetime) -> tuple[Told, ...]:
    """Those of these documents and versions that are or were in force, each once: the newest."""
    wanted = set(pairs)
    found = _known([UUID(document_id) for document_id, _ in wanted], now=now) if wanted else ()
    by_pair = {(str(one.document_id), one.version): one for one in found}
    return tuple(by_pair[pair] for pair in sorted(by_pair) if pair in wanted)


def _known(ids: Sequence[UUID], *, now: datetime) -> tuple[Told, ...]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM weir_algorithms_known(%s)", [list(ids)])
        rows = cursor.fetchall()
    today = now.astimezone(UTC).date()
    made = [(_told(*row), state) for *row, state in rows]
    return tuple(
        one
        if state == _State.ACTIVE and one.valid_until >= today
        else replace(one, is_in_force=False, text="")
        for one, state in made
    )


def own(principal: Principal) -> tuple[Row, ...]:
    """What the reader's member has written, newest first."""
    if principal.member_id is None:
        return ()
    rows = Algorithm.objects.filter(member_id=principal.member_id).exclude(state=_State.DISCARDED)
    return tuple(_row(row) for row in _named(rows).order_by("-changed_at")[:PAGE])


def queue(principal: Principal) -> tuple[Row, ...]:
    """What waits for this person of the forum, or of a member: its own work first, oldest first."""
    states: tuple[str, ...]
    if FORUM_COUNSEL in principal.roles:
        states = (_State.APPROVED, _State.SUSPENDED, _State.REVIEWED)
    elif OPERATOR in principal.roles:
        states = (_State.REVIEWED, _State.SUSPENDED)
    elif principal.member_id is not None and principal.may("approve-algorithm"):
        states = (_State.SUBMITTED,)
    else:
        return ()
    rows = Algorithm.objects.filter(state__in=states)
    if principal.member_id is not None:
        rows = rows.filter(member_id=principal.member_id)
    found = [_row(row) for row in _named(rows).order_by("changed_at")[:PAGE]]
    return tuple(sorted(found, key=lambda row: states.index(row.state)))


def waiting(principal: Principal) -> int:
    """How many wait for this person's own word now."""
    if FORUM_COUNSEL in principal.roles:
        rows = Algorithm.objects.filter(state__in=(_State.APPROVED, _State.SUSPENDED))
    elif principal.member_id is not None and principal.may("approve-algorithm"):
        own = Algorithm.objects.filter(member_id=principal.member_id)
        rows = own.filter(state=_State.SUBMITTED).exclude(author_id=principal.user_id)
    else:
        return 0
    return rows.count()


def suspended(principal: Principal) -> tuple[Row, ...]:
    """Alarms: those that a failing run stopped, for the operator and the forum's counsel."""
    if not (FORUM_COUNSEL in principal.roles or OPERATOR in principal.roles):
        return ()
    rows = _named(Algorithm.objects.filter(state=_State.SUSPENDED))
    return tuple(_row(row) for row in rows.order_by("-changed_at")[:PAGE])


def view(principal: Principal, algorithm_id: UUID, *, now: datetime) -> View | None:
    """One algorithm of the reader's side; nothing for a stranger's, and for what is not there."""
    acts = Prefetch("acts", AlgorithmAct.objects.select_related("user").order_by("id"))
    runs = Prefetch("dry_runs", DryRun.objects.order_by("-asked_at"))
    rows = _named(_mine(principal)).prefetch_related(acts, runs)
    row = rows.filter(pk=algorithm_id).first()
    if row is None:
        return None
    said = AlgorithmText.objects.filter(pk=row.pk).first() if _reads(principal) else None
    answer = bytes(said.sealed_tests) if said is not None else b""
    if answer:
        answer = sealed.seal_of(row.member_id).open(answer, aad=sealed.tests_aad(row.id))
    return View(
        row=_row(row),
        look_alikes=tuple(row.look_alikes),
        base_rate=row.base_rate,
        text=sealed.open_text(said) if said is not None else "",
        tried=trials.read(answer) if answer else None,
        acts=tuple(_act(principal, row, act) for act in row.acts.all()),
        dry_runs=tuple(_bucketed(run) for run in row.dry_runs.all()[:20]),
        left_today=_left_today(row, now),
        approver=row.approved_by.name if row.approved_by else "",
        may=_may(principal, row),
        waits_for=_waits_for(principal, row),
    )


def document_for(principal: Principal, algorithm_id: UUID, *, now: datetime) -> str:
    """The document for one's own side, or as it is given to every member."""
    found = view(principal, algorithm_id, now=now)
    return found.text if found is not None else told(now, algorithm_id).text


def text_of(principal: Principal, algorithm_id: UUID) -> str:
    """The document of one's own, to write on."""
    row = _mine(principal).filter(pk=algorithm_id).first()
    said = AlgorithmText.objects.filter(pk=algorithm_id).first() if row is not None else None
    if said is None or principal.member_id is None:
        raise NotFound
    return sealed.open_text(said)


# --- below ---------------------------------------------------------------------------------------


def _mine(principal: Principal) -> QuerySet[Algorithm]:
    rows = Algorithm.objects.all()
    if principal.member_id is not None and principal.may("read-algorithms"):
        return rows.filter(member_id=principal.member_id)
    if FORUM_COUNSEL in principal.roles:
        return rows.filter(state__in=_FOR_COUNSEL)
    if OPERATOR in principal.roles:
        return rows.filter(state__in=_FOR_OPERATOR)
    return rows.none()


def _reads(principal: Principal) -> bool:
    """Whether this person reads texts at all: the forum's operator and officer do not."""
    return principal.member_id is not None or FORUM_COUNSEL in principal.roles


def _named(rows: QuerySet[Algorithm]) -> QuerySet[Algorithm]:
    return rows.select_related("author", "approved_by")


def _told(*columns: Any) -> Told:  # noqa: ANN401 - a row of the database's function
    *facts, digest, valid_until, activated_at, given = columns
    pk, document_id, version, kind, detector, runs_on, title, look_alikes, base_rate = facts
    text = ""
    if given:
        text = for_forum().open(bytes(given), aad=sealed.given_aad(pk)).decode()
    return Told(
        id=pk,
        document_id=document_id,
        version=version,
        kind=kind,
        detector=detector,
        runs_on=runs_on,
        title=title,
        look_alikes=tuple(look_alikes),
        base_rate=base_rate,
        digest=bytes(digest).hex(),
        valid_until=valid_until,
        activated_at=activated_at,
        text=text,
    )


def _row(row: Algorithm) -> Row:
    return Row(
        id=row.id,
        document_id=row.document_id,
        version=row.version,
        title=row.title,
        kind=row.kind,
        detector=row.detector,
        runs_on=row.runs_on,
        state=row.state,
        trouble=row.trouble,
        digest=bytes(row.digest).hex(),
        is_shipped=row.member_id is None,
        valid_until=row.valid_until,
        changed_at=row.changed_at,
        author=row.author.name if row.author else "",
    )


def _bucketed(run: DryRun) -> Bucketed:
    return Bucketed(
        asked_at=run.asked_at,
        state=run.state,
        rows=run.rows_bucket,
        members=run.members_bucket,
        look_alikes=run.look_alikes_hit,
        trouble=run.trouble,
    )


def _act(principal: Principal, row: Algorithm, act: AlgorithmAct) -> Act:
    """Names go to the own side: a member is told of the forum's people by their role."""
    is_forums = act.role in (FORUM_COUNSEL, OPERATOR)
    is_ours = is_forums == (principal.member_id is None)
    words = bytes(act.sealed)
    reason = ""
    if words and _reads(principal):
        reason = sealed.seal_of(row.member_id).open(words, aad=sealed.act_aad(row.id)).decode()
    name = act.user.name if act.user is not None and is_ours else ""
    return Act(act.act, act.role, name, reason, act.at)


def _left_today(row: Algorithm, now: datetime) -> int:
    if row.state != _State.REVIEWED:
        return 0
    with connection.cursor() as cursor:
        today = now.astimezone(UTC).date()
        cursor.execute("SELECT weir_dry_runs(%s, %s)", [row.document_id, today])
        return max(0, life.MOST_DRY_RUNS - int(cursor.fetchone()[0]))


_STEPS: Mapping[str, tuple[tuple[str, str, str], ...]] = {
    # state: what may be done, with which permission, on which side
    _State.DRAFT: (
        ("write", "write-algorithm", "member"),
        ("discard", "write-algorithm", "member"),
    ),
    _State.SUBMITTED: (
        ("approve", "approve-algorithm", "member"),
        ("send-back", "approve-algorithm", "member"),
        ("discard", "write-algorithm", "member"),
    ),
    _State.APPROVED: (
        ("review", "review-algorithm", "forum"),
        ("send-back", "review-algorithm", "forum"),
        ("discard", "withdraw-algorithm", "member"),
    ),
    _State.REVIEWED: (
        ("dry-run", "write-algorithm", "member"),
        ("dry-run", "approve-algorithm", "member"),
        ("dry-run", "review-algorithm", "forum"),
        ("send-back", "review-algorithm", "forum"),
        ("activate", "activate-algorithm", "forum"),
        ("discard", "withdraw-algorithm", "member"),
    ),
    _State.ACTIVE: (
        ("withdraw", "withdraw-algorithm", "member"),
        ("withdraw", "withdraw-algorithm", "forum"),
    ),
    _State.SUSPENDED: (
        ("lift", "review-algorithm", "forum"),
        ("withdraw", "withdraw-algorithm", "member"),
        ("withdraw", "withdraw-algorithm", "forum"),
    ),
}


def _may(principal: Principal, row: Algorithm) -> frozenset[str]:
    side = "forum" if principal.member_id is None else "member"
    may = {
        step
        for step, permission, whose in _STEPS.get(row.state, ())
        if whose == side and principal.may(permission)
    }
    if row.author_id == principal.user_id:
        may -= {"approve"}
    if row.runs_on == "log":
        may -= {"dry-run"}
    return frozenset(may)


def _waits_for(principal: Principal, row: Algorithm) -> str:
    if row.state == _State.SUBMITTED and row.author_id == principal.user_id:
        return "It waits for officer or counsel of your company: who wrote it cannot approve it."
    if row.state == _State.APPROVED and FORUM_COUNSEL not in principal.roles:
        return "It waits for the forum's counsel."
    if row.state == _State.REVIEWED and OPERATOR not in principal.roles:
        wish = "" if row.runs_on == "log" else "a dry run on the pool, and for "
        return f"It waits for {wish}the forum's operator, who puts it in force."
    return ""
