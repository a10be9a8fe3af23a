"""The way in: a contribution is stored all at once or not at all, and every object accounted for.

1. submit: what can be parsed is sealed and kept, and answered for from then on
2. accept (a worker): each object refused by form or stored; what holds for all recipients decided
3. the ledger records it; what may leave waits for its window
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Count
from django.db.models.expressions import RawSQL

from exchange import audiences, collector, constants, departures, folds, holds, ledger, lens
from exchange.celery import nudge
from exchange.departures import Departure
from exchange.models import Missing, Outcome, ReleaseItem, Revocation
from exchange.policy import catalogue, explain, facts, intake, windows
from exchange.policy.facts import Facts
from exchange.policy.outcomes import Standing
from exchange.proof.refused import Forbidden, NotFound, Refused
from indicators import store
from indicators.models import Contribution, ForumObject, Item, Submission
from indicators.stix import parse, references, vocab
from indicators.stix.validate import Problem, problems
from members.auth import Principal
from members.models import Circle, CircleMember, Member
from members.seals import for_member

PREVIEWED = 50  # objects of a body that are shown at once; all are judged and counted
SMALLEST_CIRCLE = 3
_BATCH = 2_000
_OUTCOMES = """
    INSERT INTO exchange_outcome
        (circle_id, member_id, contribution_id, floor_id, version_id, outcome, sensitivity, due_at,
         replaced)
    SELECT %s, %s, %s, %s, version, outcome, sensitivity, due, false
    FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::timestamptz[])
        AS new (version, outcome, sensitivity, due)
"""
_PREVIEW_ORDER = ("accepted", "held", "incomplete", "withheld", "refused")
_LATE = "Older than the newest version that you contributed: stored, never released."
_REVOKED = "Withdrawn: whoever holds it gets a revocation with the next daily window."
_CONSTANT = "A public constant: the exchange serves its own copy, and references lead to that."


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


@dataclass(frozen=True, slots=True)
class PreviewAudience:
    """What recipients who see it alike would get of one object."""

    members: tuple[str, ...]
    lines: tuple[explain.Line, ...]
    body: bytes | None


@dataclass(frozen=True, slots=True)
class PreviewItem:
    """What would become of one object."""

    position: int
    stix_id: str
    stix_type: str
    outcome: str
    sentence: str
    departure: Departure
    audiences: tuple[PreviewAudience, ...]
    cells: tuple["PreviewCell", ...]  # one for each circle; none where it is refused


@dataclass(frozen=True, slots=True)
class PreviewCell:
    """What one circle would get of one object."""

    circle: str
    gets: int  # recipients beside the contributor
    of: int
    # Of those who see most: how many fields of each class are removed.
    removed: tuple[tuple[str, int], ...]
    why_not: str | None


@dataclass(frozen=True, slots=True)
class Preview:
    """What would become of a contribution: some objects in full, all of them counted."""

    items: tuple[PreviewItem, ...]
    total: int
    counts: tuple[tuple[str, int], ...]
    circles: tuple[tuple[str, bool], ...]  # the names, and whether it is the one that was chosen
    after: int  # how many objects come before these

    @property
    def first(self) -> int:
        """The number of the first object that is shown."""
        return self.after + 1

    @property
    def last(self) -> int:
        """The number of the last object that is shown."""
        return self.after + len(self.items)

    @property
    def before(self) -> int:
        """Where the objects before these begin."""
        return max(0, self.after - PREVIEWED)

    @property
    def more(self) -> int | None:
        """Where the next objects begin; none after the last ones."""
        return self.last if self.last < self.total else None


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
    member_id = _may_contribute(principal, circle_id)
    if not set(default_basis) <= set(vocab.THREAT_BASES):
        raise Refused("basis.unknown", "A threat basis is one of the closed list.", "basis")
    items = parse.items(body, _limits())
    row = Contribution.objects.create(
        member_id=member_id,
        circle_id=circle_id,
        source=source,
        user_id=principal.user_id,
        credential_id=principal.credential_id,
        default_basis=list(default_basis),
        attributed=attributed,
        received_at=now,
        total=len(items),
    )
    sealed = for_member(member_id).seal(body, aad=_body_aad(row.id))
    Submission.objects.create(contribution=row, member_id=member_id, sealed=sealed)
    transaction.on_commit(lambda: nudge("exchange.tasks.accept", str(row.id), queue="render"))
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
    held = Submission.objects.get(contribution=row)
    body = for_member(row.member_id).open(bytes(held.sealed), aad=_body_aad(row.id))
    judged = _judged(row.member_id, parse.items(body, _limits()))
    del body
    candidates = [candidate for candidate, _ in judged]
    subjects = {candidate.position: subject for candidate, subject in judged}
    stored = store.accept(row, candidates, is_known=catalogue.knows, now=now)
    messages = {r.position: r.problem.sentence for r in stored if r.problem is not None}
    messages |= _decide(row, stored, subjects, now=now)
    messages |= _revoked(stored, now=now)
    store.record_items(row, stored, messages)
    row.successes = sum(1 for result in stored if result.problem is None)
    row.failures = len(stored) - row.successes
    row.state = Contribution.State.COMPLETE
    row.accepted_at = now
    row.save(update_fields=["successes", "failures", "state", "accepted_at"])
    held.delete()
    _record(row, stored, now=now)
    transaction.on_commit(lambda: nudge("exchange.tasks.open_windows", queue="render"))
    return True


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


def preview(  # noqa: PLR0913 - what is sent, where to, and which part of it is shown
    principal: Principal,
    body: bytes,
    *,
    circle_id: UUID,
    default_basis: Sequence[str] = (),
    attributed: bool = False,
    after: int = 0,
    limit: int = PREVIEWED,
    now: datetime,
) -> Preview:
    """What today's policies would make of a body, for each of one's circles; nothing is stored.

    Every object is judged and counted, `limit` of them are shown: from the place `after`, in the
    order of the body, each field by field for the circle that was chosen.
    """
    member_id = _may_contribute(principal, circle_id)
    draft = Contribution(
        member_id=member_id,
        circle_id=circle_id,
        default_basis=list(default_basis),
        received_at=now,
    )
    candidates = candidates_of(member_id, parse.items(body, _limits()))
    kept = [one for one in candidates if one.problem is None]
    force = audiences.in_force(member_id)
    standings = audiences.standings(draft, [one.obj for one in kept], force, now=now)
    counts = Counter(standing.outcome for standing in standings)
    counts["refused"] += len(candidates) - len(kept)
    shown = {one.position for one in candidates[after : after + limit]}
    places = {n: one.position for n, one in enumerate(kept) if one.position in shown}
    near = _referred(kept, places)
    leaving = lens.prospective(
        draft, [kept[n].obj for n in near], [standings[n] for n in near], places=near
    )
    circles: list[tuple[str, bool]] = []
    cells: dict[int, list[PreviewCell]] = {n: [] for n in places}
    chosen = lens.Foreseen({})
    own = Member.objects.values_list("name", flat=True).get(pk=member_id)
    for circle, seats in _circles(member_id):
        addressed = Contribution(
            member_id=member_id,
            circle_id=circle.id,
            default_basis=list(default_basis),
            attributed=attributed,
            received_at=now,
        )
        seen = lens.foresee(addressed, leaving, force, now=now)
        if circle.id == circle_id:
            chosen = seen
        circles.append((circle.name, circle.id == circle_id))
        for n, found in cells.items():
            found.append(_cell(circle.name, seen.by_position[n], own, others=seats - 1))
    items = [_refused_item(one) for one in candidates if one.problem and one.position in shown]
    for n in places:
        one, standing = kept[n], standings[n]
        items.append(
            PreviewItem(
                position=one.position,
                stix_id=str(one.obj["id"]),
                stix_type=str(one.obj["type"]),
                outcome=standing.outcome,
                sentence=standing.sentence,
                departure=departures.of_standing(
                    standing.outcome, standing.sensitivity, force, now=now
                ),
                audiences=tuple(
                    PreviewAudience(view.names, view.lines, view.body)
                    for view in chosen.by_position[n]
                ),
                cells=tuple(cells[n]),
            )
        )
    return Preview(
        items=tuple(sorted(items, key=lambda item: item.position)),
        total=len(candidates),
        counts=tuple((name, counts[name]) for name in _PREVIEW_ORDER if counts[name]),
        circles=tuple(circles),
        after=after,
    )


def _referred(kept: Sequence[store.Candidate], places: Iterable[int]) -> list[int]:
    """The places of some objects and of all that they refer to, directly or not.

    Whether an object leaves hangs on what it refers to, never on what refers to it.
    """
    by_id: dict[str, list[int]] = {}
    for n, one in enumerate(kept):
        by_id.setdefault(str(one.obj["id"]), []).append(n)
    found = dict.fromkeys(places)
    queue = list(found)
    while queue:
        for _, target in references.of(kept[queue.pop()].obj):
            for n in by_id.get(target, ()):
                if n not in found:
                    found[n] = None
                    queue.append(n)
    return sorted(found)


def _circles(member_id: UUID) -> list[tuple[Circle, int]]:
    """The circles to which a member may contribute today, with their seats, the largest first."""
    seats = Counter(
        CircleMember.objects.filter(left_at__isnull=True).values_list("circle_id", flat=True)
    )
    mine = CircleMember.objects.filter(member_id=member_id, left_at__isnull=True)
    rows = Circle.objects.filter(pk__in=mine.values("circle_id")).order_by("name")
    found = [(row, seats[row.id]) for row in rows if seats[row.id] >= SMALLEST_CIRCLE]
    return sorted(found, key=lambda pair: -pair[1])


def _cell(circle: str, views: Iterable[lens.AudienceView], own: str, *, others: int) -> PreviewCell:
    """One object in one circle: how many get it, and what those who see most do not see."""
    told = [view for view in views if set(view.names) - {own}]
    going = [view for view in told if view.body is not None]
    widest = max(going, key=lambda view: len(view.names), default=None)
    gets = sum(len(set(view.names) - {own}) for view in going)
    if widest is not None and widest.names == (lens.THE_CIRCLE,):
        gets = others
    removed = Counter(
        line.field_class
        for line in (widest.lines if widest else ())
        if line.treatment == "drop" and line.sent is None
    )
    why_not = None if going else next((view.withheld for view in told), None)
    return PreviewCell(circle, gets, others, tuple(sorted(removed.items())), why_not)


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


def issued_here(member_id: UUID, stix_ids: Sequence[str]) -> frozenset[str]:
    """Which of these are forum ids that the member has held: its own objects among them."""
    return frozenset(
        ReleaseItem.objects.filter(
            rendition__stix_id__in=RawSQL("SELECT unnest(%s::text[])", [list(stix_ids)]),
            rendition__object__isnull=False,
            release__recipients__recipient_id=member_id,
            release__recipients__idx__isnull=False,
        ).values_list("rendition__stix_id", flat=True)
    )


def candidates_of(member_id: UUID, items: Sequence[parse.Item]) -> tuple[store.Candidate, ...]:
    """Judge every object of a body by its form; nothing is stored."""
    return tuple(candidate for candidate, _ in _judged(member_id, items))


def _judged(
    member_id: UUID, items: Sequence[parse.Item]
) -> list[tuple[store.Candidate, Facts | None]]:
    """Every object of a body with what is wrong with it by form, and the facts that were read."""
    ids = [str(i.obj["id"]) for i in items if i.obj is not None and _is_named(i.obj)]
    issued = issued_here(member_id, ids)
    issuer = constants.issuer_id()
    judged: list[tuple[store.Candidate, Facts | None]] = []
    for item in items:
        obj = item.obj or {}
        subject = facts.read(obj) if item.problem is None and obj else None
        problem = _problem(item, subject, issued, issuer)
        pattern = subject.pattern if subject is not None else None
        judged.append((store.Candidate(item.position, obj, problem, pattern), subject))
    return judged


def _problem(
    item: parse.Item, subject: Facts | None, issued: frozenset[str], issuer: str
) -> Problem | None:
    """The first reason by form, or none."""
    if item.problem is not None or item.obj is None:
        return item.problem
    found = intake.problems(subject or item.obj) or problems(item.obj)
    if found:
        return found[0]
    if item.obj["id"] in constants.ids():
        return None
    return intake.looped(item.obj, issuer=issuer, held=issued)


def _decide(
    row: Contribution,
    stored: Sequence[store.Stored],
    subjects: Mapping[int, Facts | None],
    *,
    now: datetime,
) -> Mapping[int, str]:
    """Write what holds for all recipients; the sentences for the contributor by position."""
    force = audiences.in_force(row.member_id)
    kept = [result for result in stored if result.problem is None]
    rulings = audiences.standings(
        row, [subjects[r.position] or r.obj for r in kept], force, now=now
    )
    messages: dict[int, str] = {}
    fresh: list[_Decided] = []
    addressed = _already_addressed(row, kept)
    folded = _fold(row, kept, rulings, addressed)
    published = constants.ids()
    for result, standing in zip(kept, rulings, strict=True):
        is_sent = result.version_id in addressed
        if result.is_late and not is_sent:
            messages[result.position] = _LATE
            continue
        if result.obj["id"] in published:
            messages[result.position] = _CONSTANT
            continue
        messages[result.position] = standing.sentence
        if result.version_id is None or is_sent:
            continue
        addressed.add(result.version_id)
        taken = folded.get(result.position)
        if taken is not None and taken.sentence is not None:
            messages[result.position] = taken.sentence
            continue
        is_daily = taken is not None and taken.is_daily
        fresh.append(_Decided(result.version_id, str(result.obj["type"]), standing, is_daily))
    _write_outcomes(row, fresh, force, now=now)
    _replace_older(row, [result for result in kept if not result.is_repeat])
    return messages


@dataclass(frozen=True, slots=True)
class _Decided:
    """What is decided of one version in this circle."""

    version_id: int
    stix_type: str
    standing: Standing
    is_daily: bool  # it leaves with the day, not in its own window


def _write_outcomes(
    row: Contribution, decided: Sequence[_Decided], force: audiences.InForce, *, now: datetime
) -> None:
    """Outcomes as rows of columns; those for which a person must judge, with their holds."""
    windows_of: dict[tuple[str, str, bool], datetime | None] = {}

    def due(one: _Decided) -> datetime | None:
        key = (one.standing.outcome, one.standing.sensitivity, one.is_daily)
        if key not in windows_of:
            at = windows.next_revocation(now) if one.is_daily else None
            windows_of[key] = at or due_at(one.standing, force, now=now)
        return windows_of[key]

    plain = [one for one in decided if not one.standing.holds]
    for part in store.batched(plain, _BATCH):
        store.insert(
            _OUTCOMES,
            (row.circle_id, row.member_id, row.id, force.floor_id),
            [one.version_id for one in part],
            [one.standing.outcome for one in part],
            [one.standing.sensitivity for one in part],
            [due(one) for one in part],
        )
    judged = [one for one in decided if one.standing.holds]
    rows = [
        Outcome(
            version_id=one.version_id,
            circle_id=row.circle_id,
            member_id=row.member_id,
            contribution=row,
            floor_id=force.floor_id,
            outcome=one.standing.outcome,
            sensitivity=one.standing.sensitivity,
            due_at=due(one),
        )
        for one in judged
    ]
    Outcome.objects.bulk_create(rows, batch_size=_BATCH)
    holds.write(
        (
            holds.Held(outcome, one.stix_type, one.standing.holds)
            for outcome, one in zip(rows, judged, strict=True)
        ),
        now=now,
    )


def _fold(
    row: Contribution,
    kept: Sequence[store.Stored],
    rulings: Sequence[Standing],
    addressed: Collection[int | None],
) -> Mapping[int, folds.Taken]:
    """Fold what is accepted and counts, once each; by position."""
    counted: dict[int, store.Stored] = {}
    seen = set(addressed)
    for result, standing in zip(kept, rulings, strict=True):
        is_new = result.version_id not in seen and not result.is_late
        if is_new and standing.outcome == Outcome.Kind.ACCEPTED and folds.counts(result.obj):
            seen.add(result.version_id)
            counted[result.position] = result
    taken = folds.take(
        row.member_id,
        row.circle_id,
        [(one.object_id, one.obj) for one in counted.values() if one.object_id is not None],
    )
    return dict(zip(counted, taken, strict=True))


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


def due_at(standing: Standing, force: audiences.InForce, *, now: datetime) -> datetime | None:
    """When something decided now leaves; never, unless it is accepted."""
    if standing.outcome != Outcome.Kind.ACCEPTED:
        return None
    return force.opening(standing.sensitivity, after=now)


def _already_addressed(row: Contribution, kept: Sequence[store.Stored]) -> set[int | None]:
    ids = [r.version_id for r in kept if r.is_repeat and r.version_id is not None]
    rows = Outcome.objects.filter(circle_id=row.circle_id, version_id__in=ids)
    return set(rows.values_list("version_id", flat=True))


def _replace_older(row: Contribution, kept: Sequence[store.Stored]) -> None:
    """A newer stored version, whatever its outcome, replaces one that still waits."""
    times = Counter(result.object_id for result in kept)
    newest: dict[UUID, int] = {}
    for result in kept:
        is_only = result.is_new_object and times[result.object_id] == 1
        if result.object_id is not None and not is_only:
            ns = store.version_ns(result.obj)
            newest[result.object_id] = max(ns, newest.get(result.object_id, 0))
    if not newest:
        return
    older = Outcome.objects.filter(
        version__object_id__in=RawSQL("SELECT unnest(%s::uuid[])", [list(newest)]), replaced=False
    ).values_list("id", "version__object_id", "version__modified_ns")
    stale = [pk for pk, object_id, ns in older if ns < newest[object_id]]
    Outcome.objects.filter(pk__in=stale, released_at__isnull=True).update(replaced=True)
    # For some it left, others wait for an end that they lack: they wait no longer.
    Missing.objects.filter(outcome_id__in=stale).delete()


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


def _may_contribute(principal: Principal, circle_id: UUID) -> UUID:
    if principal.member_id is None or not principal.may("contribute"):
        raise Forbidden("Your role may not contribute.")
    in_circle = CircleMember.objects.filter(circle_id=circle_id, left_at__isnull=True)
    members = set(in_circle.values_list("member_id", flat=True))
    if principal.member_id not in members:
        raise NotFound
    if len(members) < SMALLEST_CIRCLE:
        raise Refused("circle.too-small", "A circle carries nothing before it has three members.")
    return principal.member_id


def _refused_item(one: store.Candidate) -> PreviewItem:
    sentence = one.problem.sentence if one.problem else ""
    return PreviewItem(
        position=one.position,
        stix_id=str(one.obj.get("id", "")),
        stix_type=str(one.obj.get("type", "")),
        outcome="refused",
        sentence=sentence,
        departure=Departure(departures.REFUSED_BY_FORM),
        audiences=(),
        cells=(),
    )


def _status_item(item: Item) -> StatusItem:
    text = store.item_text(item)
    return StatusItem(item.position, text["id"], text["version"], item.success, text["message"])


def _is_named(obj: Mapping[str, Any]) -> bool:
    return isinstance(obj.get("id"), str)


def _limits() -> parse.Limits:
    return parse.Limits(octets=settings.MAX_CONTENT_LENGTH)


def _body_aad(contribution_id: UUID) -> bytes:
    return b"submission:" + contribution_id.bytes
