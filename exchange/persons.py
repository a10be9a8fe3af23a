"""A person asks what is held about them, or that it be erased: found, who has it, what was done.

1. an officer asks, with the values by which the person is found; they are sealed
2. a worker searches: a member's own originals, by value and by text, and what it received, by the
   tokens of its circles; for the forum, what was released, by value and by token
3. counsel, another person, decides on what was found
4. approved for erasure: each object is recalled with its bytes, its originals go, and then the
   slots of its entries; a legal hold refuses that, and names itself
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import orjson
import structlog
from django.conf import settings
from django.db import connection, transaction
from django.db.models import QuerySet

from exchange import erasure, ledger, legalholds, recall
from exchange.celery import nudge
from exchange.models import Erasure, PersonRequest, Recall, Rendition, SearchValue
from exchange.policy import observables, tokens
from exchange.policy.observables import Value
from exchange.proof import jcs, oprf
from exchange.proof.refused import Forbidden, NotFound, Refused
from exchange.telemetry import count as count_one
from indicators import store
from indicators.models import ForumObject, Observable, Original
from members.auth import Principal
from members.models import Circle, CircleMember
from members.roles import COUNSEL, FORUM_COUNSEL
from members.scope import acting
from members.seals import Seal, for_forum, for_member

KINDS = tuple(PersonRequest.Kind.values)
MOST_VALUES = 20
PAGE = 100
_CHUNK = 2_000
_CHUNKS = 10  # of originals, in one call of the worker
_State = PersonRequest.State

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Row:
    """One request in the list."""

    id: UUID
    kind: str
    state: str
    asked_at: datetime
    decided_at: datetime | None
    done_at: datetime | None
    objects: int
    is_searched: bool


@dataclass(frozen=True, slots=True)
class Holder:
    """One line of who has an object: by name, or by circle where the asker may know no more."""

    name: str
    kind: str
    index: int | None
    at: datetime | None
    erased: bool


@dataclass(frozen=True, slots=True)
class Found:
    """One object that speaks of the person, and who has it."""

    object_id: UUID
    stix_type: str
    state: str
    own_id: str
    holders: tuple[Holder, ...]

    @property
    def stix_id(self) -> str:
        """The forum's id of it."""
        return f"{self.stix_type}--{self.object_id}"


@dataclass(frozen=True, slots=True)
class View:
    """One request, for the two people of the side that asked."""

    row: Row
    values: tuple[str, ...]
    reason: str
    decision: str
    found: tuple[Found, ...]
    received: tuple[str, ...]
    may_decide: bool


@transaction.atomic
def ask(
    principal: Principal, *, kind: str, values: Sequence[str], reason: str, now: datetime
) -> UUID:
    """An officer's request; nothing but a search happens before counsel has decided."""
    if not principal.may("ask-for-person") or principal.user_id is None:
        raise Forbidden("A person's request is entered by an officer.")
    if kind not in KINDS:
        raise Refused("person.kind", f"It asks for one of {', '.join(KINDS)}.", "kind")
    wanted = tuple(dict.fromkeys(one.strip() for one in values if one.strip()))
    if not 1 <= len(wanted) <= MOST_VALUES or any(not 4 <= len(one) <= 320 for one in wanted):
        sentence = f"1 to {MOST_VALUES} values of 4 to 320 letters: less would find everybody."
        raise Refused("person.values", sentence, "values")
    if len(reason.strip()) < 8:
        raise Refused("reason.missing", "Write down the reason, in a few words at least.", "reason")
    made = PersonRequest(
        id=uuid4(),
        kind=kind,
        member_id=principal.member_id,
        asked_by_id=principal.user_id,
        asked_at=now,
    )
    content = jcs.encode({"values": list(wanted), "reason": reason.strip()})
    made.sealed = _seal(made).seal(content, aad=_aad(made.id))
    with acting(principal.acting()):
        made.save(force_insert=True)
        _record(made, "person-asked", principal, now=now)
    transaction.on_commit(lambda: nudge("exchange.tasks.persons", queue="render"))
    return made.id


@transaction.atomic
def decide(
    principal: Principal, request_id: UUID, *, approves: bool, reason: str, now: datetime
) -> None:
    """Counsel's yes or no to what was found; never by who asked."""
    if not principal.may("decide-for-person") or principal.user_id is None:
        raise Forbidden("A person's request is decided by counsel.")
    if len(reason.strip()) < 8:
        raise Refused("reason.missing", "Write down the reason, in a few words at least.", "reason")
    with acting(principal.acting()):
        row = _visible(principal).filter(pk=request_id, state=_State.ASKED).first()
        if row is None:
            raise NotFound
        if row.asked_by_id == principal.user_id:
            raise Refused("person.two-people", "Who asked does not decide.")
        if row.searched_at is None:
            raise Refused("person.searching", "The search is under way. Try again in a moment.")
        if approves and row.kind == PersonRequest.Kind.ERASURE:
            for object_id in row.objects_found:
                legalholds.demand_free(object_id)
        sealed = _seal(row).seal(reason.strip().encode(), aad=_aad(row.id))
        moved = PersonRequest.objects.filter(pk=row.pk, state=_State.ASKED).update(
            state=_State.APPROVED if approves else _State.REFUSED,
            decided_by_id=principal.user_id,
            decided_at=now,
            sealed_decision=sealed,
        )
        if not moved:
            raise NotFound
        word = "person-approved" if approves else "person-refused"
        _record(row, word, principal, now=now)
    transaction.on_commit(lambda: nudge("exchange.tasks.persons", queue="render"))


def listed(principal: Principal) -> tuple[Row, ...]:
    """The requests of one's own side, newest first."""
    with acting(principal.acting()):
        return tuple(_row(one) for one in _visible(principal).order_by("-asked_at")[:PAGE])


def view(principal: Principal, request_id: UUID) -> View:
    """One request: which objects speak of the person, who has them, what was done."""
    with acting(principal.acting()):
        row = _visible(principal).filter(pk=request_id).first()
        if row is None:
            raise NotFound
        with connection.cursor() as cursor:
            cursor.execute("SELECT * FROM weir_who_has(%s)", [row.pk])
            lines = cursor.fetchall()
        asked = orjson.loads(_seal(row).open(bytes(row.sealed), aad=_aad(row.id)))
        said = bytes(row.sealed_decision)
        found = _found(principal, lines)
    return View(
        row=_row(row),
        values=tuple(asked["values"]),
        reason=asked["reason"],
        decision=_seal(row).open(said, aad=_aad(row.id)).decode() if said else "",
        found=found,
        received=tuple(row.names_received),
        may_decide=row.state == _State.ASKED
        and principal.may("decide-for-person")
        and row.asked_by_id != principal.user_id,
    )


def work(*, now: datetime) -> int:
    """Search what was asked, and do what was approved; how many are finished with a step."""
    done = 0
    rows = PersonRequest.objects.filter(state__in=[_State.ASKED, _State.APPROVED])
    for pk, state, searched_at in list(
        rows.order_by("asked_at").values_list("id", "state", "searched_at")
    ):
        try:
            if state == _State.APPROVED:
                done += _do(pk, now=now)
            elif searched_at is None:
                done += _search(pk, now=now)
        except Refused as refused:  # one that cannot go on stops no other
            count_one("persons.refused")
            log.warning("person.refused", request=str(pk), code=refused.code)
    return done


# --- searching -----------------------------------------------------------------------------------


@transaction.atomic
def _search(request_id: UUID, *, now: datetime) -> bool:
    row = _locked(request_id, _State.ASKED)
    if row is None or row.searched_at is not None:
        return False
    values = orjson.loads(_seal(row).open(bytes(row.sealed), aad=_aad(row.id)))["values"]
    found = set(row.objects_found)
    is_over = True
    if row.member_id is None:
        found |= set(_released(_digests(values, circles=_all_circles(), now=now)))
    else:
        found |= set(_indexed(row.member_id, values))
        is_over = _scan(row, values, found)
        if is_over:
            seats = CircleMember.objects.filter(member_id=row.member_id)
            circles = list(seats.values_list("circle_id", flat=True))
            row.names_received = _received(
                row.member_id, _digests(values, circles=circles, now=now)
            )
    row.objects_found = sorted(found, key=str)
    row.searched_at = now if is_over else None
    row.save(update_fields=["objects_found", "names_received", "after", "searched_at"])
    if not is_over:
        transaction.on_commit(lambda: nudge("exchange.tasks.persons", queue="render"))
    return is_over


def _indexed(member_id: UUID, values: Iterable[str]) -> list[UUID]:
    """One's own objects with such a value in an observable or a pattern."""
    digests = [one for value in values for one in store.observable_digests(value)]
    rows = Observable.objects.filter(member_id=member_id, digest__in=digests)
    return list(rows.values_list("version__object_id", flat=True).distinct())


def _scan(row: PersonRequest, values: Sequence[str], found: set[UUID]) -> bool:
    """Read one's own originals for the values, wherever they stand; whether that is all of them."""
    assert row.member_id is not None  # noqa: S101 - the forum's requests do not come here
    spelled = [value.casefold() for value in values]
    for _ in range(_CHUNKS):
        rows = Original.objects.filter(member_id=row.member_id, version_id__gt=row.after)
        owners = dict(
            rows.order_by("version_id").values_list("version_id", "version__object_id")[:_CHUNK]
        )
        if not owners:
            return True
        for version_id, obj in store.originals(row.member_id, list(owners)).items():
            text = orjson.dumps(obj).decode().casefold()
            if any(value in text for value in spelled):
                found.add(owners[version_id])
        row.after = max(owners)
    return False


def _digests(values: Iterable[str], *, circles: Sequence[UUID], now: datetime) -> list[bytes]:
    """What renditions are found by: the values that leave in the clear, and all their tokens."""
    found = []
    for value in values:
        try:
            asked = observables.asked(value)
        except Refused:  # a person's value: it left as a token, if at all
            asked = None
        found += list(asked.digests) if asked is not None else []
        if asked is not None:
            found += [one.digest for one in asked.values]
        found += [Value("hex", one).digest for one in _tokens(value, circles, now=now)]
    return found


def _tokens(value: str, circles: Sequence[UUID], *, now: datetime) -> list[str]:
    """The value's tokens of these circles, for every quarter since anything was released."""
    kinds = []
    for kind in oprf.NORMALISATIONS:
        try:
            oprf.checked(kind, value)
        except Refused:
            continue
        kinds.append(kind)
    made = []
    for circle_id in circles:
        for epoch in _epochs(now):
            scope = tokens.key_for(settings.TOKEN_KEY, str(circle_id), epoch)
            made += [tokens.token(scope, kind, value) for kind in kinds]
    return made


def _epochs(now: datetime) -> list[str]:
    first = ForumObject.objects.filter(created_at__isnull=False).order_by("created_at").first()
    start = first.created_at if first is not None and first.created_at is not None else now
    quarters = range(start.year * 4 + (start.month - 1) // 3, now.year * 4 + (now.month + 2) // 3)
    return [f"{n // 4:04d}Q{n % 4 + 1}" for n in quarters]


def _released(digests: Sequence[bytes]) -> list[UUID]:
    rows = SearchValue.objects.filter(digest__in=digests, rendition__object__isnull=False)
    ids = rows.values_list("rendition__object_id", flat=True).distinct()
    return [pk for pk in ids if pk is not None]


def _received(member_id: UUID, digests: Sequence[bytes]) -> list[str]:
    """Others' objects that the member was given and that hold such a value or token."""
    named = SearchValue.objects.filter(digest__in=digests)
    rows = Rendition.objects.filter(
        pk__in=named.values("rendition_id"),
        items__release__recipients__recipient_id=member_id,
        items__recalled=False,
    ).exclude(object__member_id=member_id)
    return sorted(set(rows.values_list("stix_id", flat=True)))


def _all_circles() -> list[UUID]:
    return list(Circle.objects.values_list("id", flat=True))


# --- doing ---------------------------------------------------------------------------------------


@transaction.atomic
def _do(request_id: UUID, *, now: datetime) -> bool:
    """One step of what was approved; it goes on at the next where something is under way.

    1. each object is recalled with its bytes     2. all are told, and the bytes are recorded gone
    3. the member's own originals go              4. the slots of the entries     5. done
    """
    row = _locked(request_id, _State.APPROVED)
    if row is None:
        return False
    if row.kind == PersonRequest.Kind.ERASURE and row.objects_found:
        if any(legalholds.stops(pk) is not None for pk in row.objects_found):
            return False  # held since it was approved: it waits until the hold is lifted
        is_told = [
            _recalled(row, object_id, now=now) for object_id in sorted(row.objects_found)
        ]  # 1
        if not all(is_told):  # 2
            return False
        if not _slots_gone(row, now=now):  # 3, 4
            return False
    PersonRequest.objects.filter(pk=row.pk).update(state=_State.DONE, done_at=now)  # 5
    fields = {"decision": "person-done", "request": str(row.id), "kind": row.kind}
    _enter(row, {**fields, "objects": len(row.objects_found)}, {}, now=now)
    return True


def _recalled(row: PersonRequest, object_id: UUID, *, now: datetime) -> bool:
    """Whether it is taken back and its bytes are recorded as erased; ordered where it is not."""
    made = Recall.objects.filter(object_id=object_id).first()
    if made is None:
        role = FORUM_COUNSEL if row.member_id is None else COUNSEL
        who = Principal(row.member_id, row.decided_by_id, roles=frozenset({role}))
        note = f"A person's request, {row.id}."
        recall.order(who, object_id, reason="leak", note=note, erases=True, now=now)
        return False
    if not made.erases:
        Recall.objects.filter(pk=made.pk).update(erases=True, erasure_recorded_at=None)
        return False
    return made.told_at is not None and made.erasure_recorded_at is not None


def _slots_gone(row: PersonRequest, *, now: datetime) -> bool:
    act = Erasure.objects.filter(request=row).first()
    if act is None:
        for member_id, versions in erasure.object_versions(row.objects_found).items():
            # The forum reads no original, and erases none: those are their contributor's to erase.
            if row.member_id == member_id:
                erasure.erase_originals(versions, member_id=member_id)
        objects = list(row.objects_found)
        made = Erasure(ground=Erasure.Ground.REQUEST, request=row, objects_erased=objects)
        erasure.begin(made, now=now)
        return False
    return act.done_at is not None


# --- rows ----------------------------------------------------------------------------------------


def _locked(request_id: UUID, state: str) -> PersonRequest | None:
    rows = PersonRequest.objects.select_for_update(skip_locked=True, no_key=True, of=("self",))
    return rows.filter(pk=request_id, state=state).first()


def _visible(principal: Principal) -> QuerySet[PersonRequest]:
    if not (principal.may("ask-for-person") or principal.may("decide-for-person")):
        raise NotFound
    if principal.member_id is None:
        return PersonRequest.objects.filter(member__isnull=True)
    return PersonRequest.objects.filter(member_id=principal.member_id)


def _row(row: PersonRequest) -> Row:
    return Row(
        id=row.id,
        kind=row.kind,
        state=row.state,
        asked_at=row.asked_at,
        decided_at=row.decided_at,
        done_at=row.done_at,
        objects=len(row.objects_found),
        is_searched=row.searched_at is not None,
    )


def _found(principal: Principal, lines: Sequence[tuple[Any, ...]]) -> tuple[Found, ...]:
    holders: dict[UUID, list[Holder]] = {}
    heads: dict[UUID, tuple[str, str]] = {}
    for object_id, stix_type, state, name, kind, index, at, erased in lines:
        heads[object_id] = (stix_type, state)
        held = holders.setdefault(object_id, [])
        if kind:
            held.append(Holder(name, kind, index, at, erased))
    own: dict[UUID, str] = {}
    if principal.member_id is not None:
        own = store.original_ids(list(ForumObject.objects.filter(pk__in=heads)))
    return tuple(
        Found(pk, stix_type, state, own.get(pk, ""), tuple(holders[pk]))
        for pk, (stix_type, state) in heads.items()
    )


def _record(row: PersonRequest, word: str, principal: Principal, *, now: datetime) -> None:
    fields = {"decision": word, "request": str(row.id), "kind": row.kind}
    _enter(row, fields, {"user": str(principal.user_id)}, now=now)


def _enter(
    row: PersonRequest, fields: Mapping[str, object], audit: Mapping[str, object], *, now: datetime
) -> None:
    slots: dict[str, Mapping[str, object]] = {"audit": {**fields, **audit}}
    if row.member_id is not None:
        slots["from"] = fields
    ledger.record("decision", by=row.member_id, slots=slots, now=now)


def _seal(row: PersonRequest) -> Seal:
    return for_member(row.member_id) if row.member_id is not None else for_forum()


def _aad(request_id: UUID) -> bytes:
    return b"person:" + request_id.bytes
