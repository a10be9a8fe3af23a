"""Circles, people, policies and health, each as the asker may know them."""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.db import connection

from exchange import audiences
from exchange.models import FloorPolicy, LedgerCheckpoint, LedgerHead
from exchange.policy import explain, prose, windows
from exchange.proof.refused import NotFound
from members.auth import Principal
from members.models import Circle, CircleMember, User


@dataclass(frozen=True, slots=True)
class CircleCard:
    """A circle with its members and their people, as the directory has them."""

    id: UUID
    name: str
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who acts for a member or for the forum."""

    name: str
    email: str
    roles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Policies:
    """The floor in force, when its windows open next, and the legal bases of the day."""

    floor_version: str
    floor_since: datetime
    floor_digest: str
    words: tuple[explain.Section, ...]
    windows: tuple[tuple[str, datetime], ...] = field(default=())
    # The basis that a release names now, empty where none is in force.
    basis: str = ""
    bases: tuple[prose.Basis, ...] = ()
    lapsed: tuple[prose.Basis, ...] = ()


def circles(principal: Principal) -> tuple[CircleCard, ...]:
    """The circles that the caller's member is in; for the forum's people, all."""
    rows = Circle.objects.order_by("name")
    if principal.member_id is not None:
        mine = CircleMember.objects.filter(member_id=principal.member_id, left_at__isnull=True)
        rows = rows.filter(id__in=mine.values("circle_id"))
    names: dict[UUID, list[str]] = defaultdict(list)
    inside = CircleMember.objects.filter(circle__in=rows, left_at__isnull=True)
    for circle_id, name in inside.order_by("member__name").values_list("circle_id", "member__name"):
        names[circle_id].append(name)
    return tuple(CircleCard(row.id, row.name, tuple(names[row.id])) for row in rows)


def people(principal: Principal) -> tuple[Person, ...]:
    """The people of the caller's own member; for the forum's people, the forum's own."""
    everybody = User.objects.filter(is_active=True)
    if principal.member_id is None:
        rows = everybody.filter(member__isnull=True)
    else:
        rows = everybody.filter(member_id=principal.member_id)
    return tuple(
        Person(row.name, row.email, tuple(sorted(one.role for one in row.role_rows.all())))
        for row in rows.order_by("name").prefetch_related("role_rows")
    )


def policies(*, now: datetime) -> Policies:
    """The floor in force, when its windows open next, and the legal bases of the day."""
    floor_id, floor = audiences.floor_in_force()
    row = FloorPolicy.objects.get(pk=floor_id)
    bases = prose.bases(floor.document, on=now.date())
    return Policies(
        floor_version=row.version,
        floor_since=row.effective_at,
        floor_digest=bytes(row.digest).hex(),
        words=explain.floor_in_words(floor),
        windows=tuple((name, windows.opening(floor, name, after=now)) for name in _WINDOWS),
        basis=floor.legal_basis(now.date()) or "",
        bases=tuple(one for one in bases if one.is_in_force),
        lapsed=tuple(one for one in bases if one.has_lapsed),
    )


_WINDOWS = ("S1", "S2", "S3")


@dataclass(frozen=True, slots=True)
class Health:
    """Work waiting and done, as numbers; nothing of what it is about."""

    ledger_size: int
    published_size: int
    published_at: datetime | None
    unsequenced: int
    intake_waiting: int
    oldest_intake: datetime | None
    deliveries: tuple[tuple[str, int], ...]
    subscriptions: tuple[tuple[str, int], ...]
    open_holds: int


def health(principal: Principal) -> Health:
    """What the operator watches; the database counts, and answers to nobody else."""
    if not principal.may("operate"):
        raise NotFound
    found: dict[str, list[tuple[str, int, datetime | None]]] = defaultdict(list)
    with connection.cursor() as cursor:
        cursor.execute("SELECT topic, name, n, at FROM weir_health()")
        for topic, name, n, at in cursor.fetchall():
            found[topic].append((name, n, at))
    head = LedgerHead.objects.first()
    checkpoint = LedgerCheckpoint.objects.order_by("-size").first()
    return Health(
        ledger_size=head.size if head else 0,
        published_size=checkpoint.size if checkpoint else 0,
        published_at=checkpoint.at if checkpoint else None,
        unsequenced=sum(n for _, n, _ in found["ledger"]),
        intake_waiting=sum(n for _, n, _ in found["intake"]),
        oldest_intake=next((at for _, _, at in found["intake"]), None),
        deliveries=tuple((name, n) for name, n, _ in found["deliveries"]),
        subscriptions=tuple((name, n) for name, n, _ in found["subscriptions"]),
        open_holds=sum(n for _, n, _ in found["holds"]),
    )
