"""What a preview of a floor costs that changes every object: two workers, sealed originals."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from uuid import UUID

from django.db import connection, transaction

from exchange import replay
from exchange.management.bench import forum, material
from exchange.management.bench.report import Report
from exchange.models import FloorPolicy, MemberPolicyVersion, Outcome, Preview
from exchange.policy import catalogue, terms
from exchange.policy.catalogue import CONTEXT
from exchange.proof import jcs
from exchange.replay import asking
from indicators import store
from indicators.models import Contribution
from members import onboarding
from members.auth import Principal
from members.models import Member

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
OBJECTS, RECIPIENTS, AUDIENCES = 20_000, 20, 4
WORKERS = 2
CONTRIBUTORS = 4
EACH = 500  # objects in a contribution
MOST_SECONDS = 120
MOST_OCTETS = 300 * 1024 * 1024
# What a contributor does not send to the second, the third and the fourth audience.
_NOT_SENT = ((), ("reseller-domain",), ("client-fingerprint",), ("egress-range",))


@dataclass(frozen=True, slots=True)
class _Worked:
    """What one process took."""

    octets: int
    seconds: float


def run(sizes: Sequence[int], report: Report, *, recipients: int, audiences: int) -> None:
    """Seed, start, let two processes work, and say how long and how large they were."""
    forum.found(now=NOON)
    size = next(iter(sizes), OBJECTS)
    given = _forums(recipients, min(audiences, len(_NOT_SENT)))
    started = time.perf_counter()
    _seed(given, size)
    report.say(f"  {size:,} objects stored in {time.perf_counter() - started:,.0f} s")
    counsel = Principal(
        user_id=onboarding.create_person(
            onboarding.Person("counsel@forum.example", "Counsel", ("counsel",))
        ).id,
        roles=frozenset({"forum-counsel"}),
    )
    report.title(
        f"A floor previewed over {size:,} objects, {recipients} recipients, {audiences} audiences"
    )
    for name, draft in (("every object changes", _stricter()), ("nothing changes", _renamed())):
        asked = replay.start(
            counsel,
            kind=asking.FLOOR,
            member_id=None,
            document=draft,
            since=NOON - timedelta(days=1),
            until=NOON + timedelta(days=1),
            now=NOON,
        )
        _measured(report, name, asked, size)


def _measured(report: Report, name: str, asked: UUID, size: int) -> None:
    connection.close()
    before = time.perf_counter()
    worked = _work(asked)
    took = time.perf_counter() - before
    row = Preview.objects.get(pk=asked)
    lines = f"{row.shown:,} lines say more, {row.hidden:,} less"
    report.time(
        f"{name}: {WORKERS} processes",
        took,
        beside=f"{size / took:,.0f} objects/s, {lines}, {row.state}",
        at_most=MOST_SECONDS * max(1.0, size / 100_000),
    )
    largest = max(one.octets for one in worked)
    report.ratio(
        f"{name}: largest process to 300 MB",
        largest / MOST_OCTETS,
        beside=", ".join(
            f"{one.octets / 2**20:,.0f} MB, {one.seconds:,.0f} s of a core" for one in worked
        ),
        at_most=1.0,
    )


def _stricter() -> dict[str, object]:
    document = terms.shipped_floor()
    document["version"] += 1
    document["classes"]["confidence"] = {"treatment": "drop", "can": ["drop"]}
    return document


def _renamed() -> dict[str, object]:
    document = terms.shipped_floor()
    document["version"] += 1
    return document


def _forums(recipients: int, audiences: int) -> list[forum.Forum]:
    """One circle; of each contributor's objects the others get as many different parts."""
    made = forum.circle("Bench", recipients + 1, now=NOON)
    labs = list(Member.objects.filter(circle_memberships__circle=made.circle).order_by("name"))
    for contributor in labs[:CONTRIBUTORS]:
        others = [lab for lab in labs if lab != contributor]
        denied = {str(lab.id): list(_NOT_SENT[n % audiences]) for n, lab in enumerate(others)}
        document = {"version": 2, "deny_kinds": {who: what for who, what in denied.items() if what}}
        MemberPolicyVersion.objects.create(
            member=contributor,
            document=document,
            digest=sha256(jcs.encode(document)).digest(),
            effective_at=NOON,
        )
    return [forum.Forum(lab, made.circle) for lab in labs[:CONTRIBUTORS]]


def _seed(given: Sequence[forum.Forum], size: int) -> None:
    """Stored by the ordinary store, sealed and indexed; what was checked and decided is written."""
    floor_id = FloorPolicy.objects.values_list("id", flat=True).get()
    for number, start in enumerate(range(0, size, EACH)):
        objects = material.indicators(min(EACH, size - start), seed=number)
        where = given[number % len(given)]
        _store(where, [store.Candidate(n, obj, None) for n, obj in enumerate(objects)], floor_id)


@transaction.atomic
def _store(where: forum.Forum, candidates: Sequence[store.Candidate], floor_id: int) -> None:
    row = Contribution.objects.create(
        member=where.contributor,
        circle=where.circle,
        source=Contribution.Source.API,
        state=Contribution.State.COMPLETE,
        received_at=NOON,
        accepted_at=NOON,
        total=len(candidates),
        successes=len(candidates),
    )
    stored = store.accept(row, candidates, is_known=catalogue.knows, now=NOON)
    store.record_items(row, stored, {})
    Outcome.objects.bulk_create(
        Outcome(
            version_id=one.version_id,
            circle=where.circle,
            member=where.contributor,
            contribution=row,
            floor_id=floor_id,
            outcome=Outcome.Kind.ACCEPTED,
            sensitivity=one.obj["extensions"][CONTEXT]["sensitivity"],
            due_at=NOON,
            released_at=NOON,
        )
        for one in stored
        if one.version_id is not None
    )


def _work(asked: UUID) -> list[_Worked]:
    """Two processes with a worker's rights share the preview; what each took, from the kernel."""
    env = os.environ | {"DATABASE_ROLE": "worker"}
    argv = [sys.executable, "-m", "exchange.management.bench.preview_worker", str(asked)]
    children = [
        subprocess.Popen(argv, env=env, stdout=subprocess.PIPE)  # noqa: S603 - the program is ours
        for _ in range(WORKERS)
    ]
    worked = []
    for child in children:
        said = child.stdout.read() if child.stdout is not None else b""
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        worked.append(_Worked(int(said or 0), usage.ru_utime + usage.ru_stime))
        if child.returncode:
            raise RuntimeError(f"a worker ended with {child.returncode}")
    return worked
