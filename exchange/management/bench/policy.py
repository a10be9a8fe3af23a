"""What deciding and rendering cost, and that the cost follows audiences, not members."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

from django.db import transaction

from exchange import audiences, collector, lists, release, renditions
from exchange.management.bench import forum, material
from exchange.management.bench.report import Report, computed, timed, typical
from exchange.models import Outcome
from exchange.policy import decide, render, terms, tokens
from exchange.policy.outcomes import Context
from indicators import store
from indicators.models import Contribution

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
ROUNDS = 5
LEAST_RATE = 5_000
MOST_FOR_MEMBERS = 1.3
SIZES = (500,)
_ISSUER = "identity--11111111-1111-4111-8111-111111111111"


def run(sizes: Sequence[int], report: Report) -> None:
    """Both measurements, for contributions of each size."""
    for size in sizes or SIZES:
        _one_audience(size, report)
    forum.found(now=NOON)
    few = forum.circle("Few", 3, now=NOON)
    many = forum.circle("Many", 100, now=NOON)
    for size in sizes or SIZES:
        _audiences(size, few, many, report)


def _one_audience(size: int, report: Report) -> None:
    objects = material.indicators(size)
    octets = material.octets(objects)
    report.title(f"Deciding and rendering, {size:,} indicators of {octets:,} octets, one audience")
    floor = terms.Floor.parse(terms.shipped_floor())
    with collector.at_rest():  # as in the release transaction
        pure = [computed(partial(_decided_and_rendered, objects, floor)) for _ in range(ROUNDS)]
    plain = [computed(partial(_written_and_read, objects)) for _ in range(ROUNDS)]
    each = typical(pure) / size
    beside = f"{each * 1e6:,.0f} us each, {typical(plain) / size * 1e6:,.1f} us as bare JSON"
    ratio = typical(pure) / typical(plain)
    report.ratio("to writing and reading the same as JSON", ratio, beside=beside)
    report.rate("objects, on one core", 1 / each, beside=beside, at_least=LEAST_RATE)


def _written_and_read(objects: Sequence[dict[str, object]]) -> None:
    for obj in objects:
        json.loads(json.dumps(obj))


def _decided_and_rendered(objects: Sequence[dict[str, object]], floor: terms.Floor) -> None:
    context = Context("contributor", "forum", (), NOON)
    entitlement = terms.Entitlement(
        member="recipient",
        circles=frozenset({"forum"}),
        agreement=True,
        tlp_ceiling="amber+strict",
        active=True,
    )
    joined = terms.join(
        floor,
        terms.MemberPolicy.none(),
        entitlement,
        contributor="contributor",
        circle="forum",
        on=NOON.date(),
    )
    scope = tokens.key_for(bytes(32), "forum", tokens.epoch(NOON))
    subjects = [decide.read(obj) for obj in objects]
    standings = decide.standing(subjects, context, floor)
    for number, (subject, standing) in enumerate(zip(subjects, standings, strict=True)):
        verdict = decide.verdict(subject, standing, joined)
        shape = render.shape(subject, verdict, standing, refs={}, tokens=scope)
        if shape is None:
            raise ValueError("a typical indicator leaves")
        render.finish(
            shape,
            stix_id=subject.stix_id,
            created="2026-11-24T12:00:00.000Z",
            modified=f"2026-11-24T12:00:00.{number % 999_999 + 1:06d}Z",
            issuer=_ISSUER,
        )


def _audiences(size: int, few: forum.Forum, many: forum.Forum, report: Report) -> None:
    report.title(f"{size:,} indicators to 3 and to 100 members, in 3 audiences each")
    made: dict[str, list[float]] = {"few": [], "many": []}
    whole: dict[str, list[float]] = {"few": [], "many": []}
    for number in range(ROUNDS):
        for name, where in (("few", few), ("many", many)):
            now = NOON + timedelta(hours=number + 1)
            objects = material.indicators(size, seed=number + size * 10)
            sent = where.give(objects, now=now - timedelta(hours=1))
            made[name].append(computed(partial(_decide_and_render, sent, now=now)))
            whole[name].append(timed(partial(release.release_contribution, sent, now=now)))
    for title, times, bar in (
        ("100 members to 3: deciding and rendering", made, MOST_FOR_MEMBERS),
        ("100 members to 3: the release transaction", whole, None),
    ):
        one, other = typical(times["many"]), typical(times["few"])
        beside = f"{one * 1000:,.0f} ms for 100, {other * 1000:,.0f} ms for 3"
        report.ratio(title, one / other, beside=beside, at_most=bar)


def _decide_and_render(contribution_id: UUID, *, now: datetime) -> None:
    """What a release does before it writes releases, and then undone."""
    with transaction.atomic():
        contribution = Contribution.objects.get(pk=contribution_id)
        force = audiences.in_force(contribution.member_id)
        leaving = _leaving(contribution, force, now=now)
        names = lists.names_of(contribution.member_id, leaving)
        groups, held = lists.audiences_of(contribution, leaving, force, names=names, now=now)
        renditions.make(leaving, groups, held, contribution.circle_id)
        transaction.set_rollback(True)


def _leaving(
    contribution: Contribution, force: audiences.InForce, *, now: datetime
) -> list[lists.Leaving]:
    rows = Outcome.objects.select_related("version__object").filter(contribution=contribution)
    by_version = {row.version_id: row for row in rows}
    objects = store.originals(contribution.member_id, list(by_version))
    standings = audiences.standings(contribution, list(objects.values()), force, now=now)
    return [
        lists.Leaving(
            outcome_id=by_version[version_id].id,
            version=by_version[version_id].version,
            obj=obj,
            standing=standing,
            nominal_at=now,
        )
        for (version_id, obj), standing in zip(objects.items(), standings, strict=True)
    ]
