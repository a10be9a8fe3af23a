"""Workers decide a preview part by part; a part is a transaction, so what a dead one left is open.

Nothing but ids travels to a worker. Originals are opened here and kept nowhere.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from django.db import connection, transaction
from django.db.models import F

from exchange import audiences
from exchange.audiences import InForce
from exchange.models import Preview, PreviewAudience, PreviewLine, PreviewPart
from exchange.policy import difference, terms
from exchange.proof.refused import Refused
from exchange.replay import asking, deciding
from exchange.replay.deciding import Found, Line, Sides

OBJECTS = 1_000  # in a part, unless one contribution alone has more
KEPT = timedelta(days=90)
_TRIES = 5
_STILL = timedelta(seconds=20)
# One statement for a part: COPY knows no row-level security.
_INSERT = """
    INSERT INTO exchange_previewline (preview_id, member_id, outcome_id, object_id, stix_type, way,
        path, field_class, before, after, rule_before, rule_after, audiences, classes)
    SELECT %s, %s, outcome_id, object_id, stix_type, way, path, field_class, before, after,
        rule_before, rule_after, audiences::bigint[], classes::text[]
    FROM unnest(%s::bigint[], %s::uuid[], %s::text[], %s::text[], %s::text[], %s::text[],
        %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[])
        AS line (outcome_id, object_id, stix_type, way, path, field_class, before, after,
            rule_before, rule_after, audiences, classes)
"""
log = structlog.get_logger()


def work(preview_id: UUID, *, now: datetime) -> bool:
    """Decide one part of a preview; whether there may be more to do.

    1. the first to come makes the parts   2. one part that nobody has   3. the last one counts up
    """
    _plan(preview_id, now=now)  # 1
    part_id = _next(preview_id, now=now)
    if part_id is None:
        _clear(preview_id)
        _finish(preview_id, now=now)
        return False
    try:
        _decide(part_id, now=now)  # 2
    except Refused as refused:
        log.warning("preview.failed", preview=str(preview_id), code=refused.code)
        _end(preview_id, Preview.State.FAILED, now=now)
        return False
    _finish(preview_id, now=now)  # 3
    return Preview.objects.filter(pk=preview_id, state=Preview.State.RUNNING).exists()


def standing_still(*, now: datetime) -> tuple[UUID, ...]:
    """Previews of which no part was finished for a while: their hint was lost, or their worker."""
    rows = Preview.objects.filter(
        state__in=(Preview.State.WAITING, Preview.State.RUNNING), moved_at__lt=now - _STILL
    )
    return tuple(rows.order_by("created_at").values_list("id", flat=True)[:10])


@transaction.atomic
def _plan(preview_id: UUID, *, now: datetime) -> None:
    """Make the parts; who comes while another makes them waits for that, and takes its share."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = '10s'")
    row = (
        Preview.objects.select_for_update(no_key=True, of=("self",))
        .filter(pk=preview_id, state=Preview.State.WAITING)
        .first()
    )
    if row is None:
        return
    stale = asking.of_whom(row.kind, row.member_id).filter(created_at__lt=now - KEPT)
    PreviewLine.objects.filter(preview__in=stale).delete()
    PreviewPart.objects.bulk_create(
        (
            PreviewPart(preview=row, member_id=row.member_id, contributions=ids)
            for ids in _parts(row)
        ),
        batch_size=500,
    )
    row.state, row.started_at, row.moved_at = Preview.State.RUNNING, now, now
    row.save(update_fields=["state", "started_at", "moved_at"])


def _parts(row: Preview) -> Iterator[list[UUID]]:
    """The range's contributions, member by member, in parts of about equal work."""
    rows = asking.in_range(row.member_id, since=row.since, until=row.until)
    part: list[UUID] = []
    size, of = 0, None
    for contribution_id, member_id, n in (
        rows.order_by("member_id", "received_at", "id")
        .values_list("id", "member_id", "successes")
        .iterator(chunk_size=5_000)
    ):
        if part and (member_id != of or size + n > OBJECTS):
            yield part
            part, size = [], 0
        part.append(contribution_id)
        size, of = size + n, member_id
    if part:
        yield part


def _next(preview_id: UUID, *, now: datetime) -> int | None:
    """A part that is open and in nobody's hands; it is counted how often one was begun."""
    with transaction.atomic():
        row = (
            PreviewPart.objects.select_for_update(skip_locked=True, of=("self",))
            .filter(preview_id=preview_id, preview__state=Preview.State.RUNNING)
            .filter(done_at__isnull=True)
            .order_by("tries", "id")
            .first()
        )
        if row is None:
            return None
        PreviewPart.objects.filter(pk=row.pk).update(tries=F("tries") + 1)
    if row.tries < _TRIES:
        return row.pk
    log.warning("preview.given-up", preview=str(preview_id), part=row.pk)
    _end(preview_id, Preview.State.FAILED, now=now)
    return None


@transaction.atomic
def _decide(part_id: int, *, now: datetime) -> None:
    """One part: its lines, its counts and its mark are committed together."""
    row = (
        PreviewPart.objects.select_for_update(skip_locked=True, of=("self",))
        .select_related("preview")
        .filter(pk=part_id, done_at__isnull=True, preview__state=Preview.State.RUNNING)
        .first()
    )
    if row is None:
        return
    contributions = asking.in_range(
        row.preview.member_id, since=row.preview.since, until=row.preview.until
    ).filter(pk__in=row.contributions)
    members = list(contributions.values_list("member_id", "successes"))
    found = Found()
    if members:
        contributor = members[0][0]
        found = deciding.part(
            contributor,
            row.contributions,
            _sides(row.preview, contributor, now=now),
            is_floor=row.preview.kind == Preview.Kind.FLOOR,
            now=now,
        )
    _write(row.preview, found)
    PreviewPart.objects.filter(pk=part_id).update(done_at=now, counts=found.counts())
    done = sum(n for _, n in members)
    Preview.objects.filter(pk=row.preview_id).update(done=F("done") + done, moved_at=now)


def _sides(preview: Preview, contributor_id: UUID, *, now: datetime) -> Sides:
    """The two policies, joined with what else is in force for this contributor."""
    force = audiences.in_force(contributor_id)
    before, after = (
        _under(preview.kind, document, force) for document in (preview.against, preview.document)
    )
    return Sides(before, after)


def _under(kind: str, document: dict[str, Any], force: InForce) -> InForce:
    policy = asking.parse(kind, document)
    if isinstance(policy, terms.Floor):
        return InForce(force.floor_id, policy, force.policy_id, force.policy, force.policy_digest)
    digest = asking.digest_of(document).hex()
    return InForce(force.floor_id, force.floor, force.policy_id, policy, digest)


def _write(preview: Preview, found: Found) -> None:
    """Lines in bulk; audiences in one order, so that two workers do not wait for each other."""
    rows = [_row(line) for line in found.lines]
    if rows:
        columns = [list(column) for column in zip(*rows, strict=True)]
        with connection.cursor() as cursor:
            cursor.execute(_INSERT, [preview.id, preview.member_id, *columns])
    PreviewAudience.objects.bulk_create(
        (
            PreviewAudience(
                preview=preview,
                member_id=preview.member_id,
                key=key,
                circle_id=label.circle_id,
                recipients=list(label.recipients),
            )
            for key, label in sorted(found.labels.items())
        ),
        ignore_conflicts=True,
    )


def _row(line: Line) -> tuple[Any, ...]:
    change = line.change
    return (
        line.outcome_id,
        line.object_id,
        line.stix_type,
        change.way,
        change.path,
        change.field_class,
        change.before,
        change.after,
        change.rule_before,
        change.rule_after,
        "{" + ",".join(map(str, line.audiences)) + "}",
        "{" + ",".join(line.classes) + "}",
    )


@transaction.atomic
def _finish(preview_id: UUID, *, now: datetime) -> None:
    """Count up once nothing is open; only one worker finds it so."""
    if PreviewPart.objects.filter(preview_id=preview_id, done_at__isnull=True).exists():
        return
    row = (
        Preview.objects.select_for_update(no_key=True, of=("self",))
        .filter(pk=preview_id, state=Preview.State.RUNNING)
        .first()
    )
    if row is None:
        return
    counts = _sum(PreviewPart.objects.filter(preview=row).values_list("counts", flat=True))
    lines = PreviewLine.objects.filter(preview=row)
    row.counts = counts
    row.shown = lines.filter(way__in=difference.VISIBLE).count()
    row.hidden = lines.filter(way__in=difference.COVERED).count()
    row.state, row.finished_at, row.moved_at = Preview.State.FINISHED, now, now
    row.save(update_fields=["counts", "shown", "hidden", "state", "finished_at", "moved_at"])


def _sum(parts: Iterable[list[list[Any]]]) -> list[list[Any]]:
    objects: Counter[tuple[Any, ...]] = Counter()
    fields: Counter[tuple[Any, ...]] = Counter()
    for rows in parts:
        for *key, n_objects, n_fields in rows:
            objects[tuple(key)] += n_objects
            fields[tuple(key)] += n_fields
    return [[*key, objects[key], fields[key]] for key in sorted(objects)]


@transaction.atomic
def _clear(preview_id: UUID) -> None:
    """What was cancelled, or failed, leaves no lines: half of an answer would mislead."""
    ended = (Preview.State.CANCELLED, Preview.State.FAILED)
    if Preview.objects.filter(pk=preview_id, state__in=ended).exists():
        PreviewLine.objects.filter(preview_id=preview_id).delete()
        PreviewAudience.objects.filter(preview_id=preview_id).delete()
        PreviewPart.objects.filter(preview_id=preview_id).delete()


def _end(preview_id: UUID, state: str, *, now: datetime) -> None:
    Preview.objects.filter(
        pk=preview_id, state__in=(Preview.State.WAITING, Preview.State.RUNNING)
    ).update(state=state, finished_at=now)
