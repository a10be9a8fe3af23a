"""Workers take a file in piece by piece; each is a transaction, so what a dead one left is open.

1. the first reading, slice by slice    2. the parts are cut    3. each part is contributed
4. after the last one the sealed file is deleted
"""

from datetime import datetime, timedelta
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q

from exchange import contribute
from exchange.celery import nudge
from exchange.files import converting, reading, sealed, words
from exchange.models import File, FilePart
from exchange.proof.refused import Refused
from indicators.models import Item
from members.auth import Principal

_TRIES = 5
_STILL = timedelta(seconds=60)
_ENDED = (File.State.TAKEN, File.State.REFUSED)
_GIVEN_UP = "This part could not be taken in. The forum's operator finds the reason in the log."
log = structlog.get_logger()


def work(file_id: UUID, *, now: datetime) -> bool:
    """Do one piece of the work on a file; whether there may be more to do."""
    state = _begin(file_id)
    has_more = False
    if state in (File.State.WAITING, File.State.READING):
        _read(file_id, now=now)
        has_more = True
    elif state == File.State.TAKING:
        has_more = _take(file_id, now=now)
    if File.objects.filter(pk=file_id, state__in=words.UNDER_WAY).exists():
        return has_more
    # Whatever ended it: the bytes go, and go again where a crash came between.
    sealed.drop(file_id)
    return False


def standing_still(*, now: datetime) -> tuple[UUID, ...]:
    """Files on which nobody has worked for a while: their hint was lost, or their worker."""
    rows = File.objects.filter(state__in=words.UNDER_WAY, moved_at__lt=now - _STILL)
    return tuple(rows.order_by("received_at").values_list("id", flat=True)[:10])


def sweep(*, now: datetime) -> int:
    """Delete what was never sent, never taken, or long ago; and bytes that no row asks for."""
    late = File.objects.filter(state__in=words.UNDER_WAY, sent_at__lt=now - words.UNTAKEN)
    for file_id in late.values_list("id", flat=True):
        said = Refused("file.time", "The file was not taken in within seven days.", "file")
        _refuse(file_id, said, now=now)
    File.objects.filter(
        Q(state=File.State.CHOSEN, received_at__lt=now - words.UNSENT)
        | Q(state__in=_ENDED, ended_at__lt=now - words.TOLD)
    ).delete()
    dropped = 0
    for file_id in set(sealed.lying(before=now - words.UNSENT)):
        if not File.objects.filter(pk=file_id, state__in=words.OPEN).exists():
            sealed.drop(file_id)
            dropped += 1
    return dropped


def _begin(file_id: UUID) -> str:
    """Its state; how often a piece was begun and not done is counted."""
    File.objects.filter(pk=file_id, state__in=words.UNDER_WAY).update(tries=F("tries") + 1)
    row = File.objects.filter(pk=file_id).values_list("state", flat=True).first()
    return row or ""


@transaction.atomic
def _read(file_id: UUID, *, now: datetime) -> None:
    """One slice of the first reading, and after the last one the parts; who comes second goes."""
    row = (
        File.objects.select_for_update(skip_locked=True, of=("self",))
        .filter(pk=file_id, state__in=(File.State.WAITING, File.State.READING))
        .first()
    )
    if row is None:
        return
    if row.tries > _TRIES:
        log.warning("file.given-up", file=str(file_id))
        said = Refused("file.given-up", "The file could not be read to its end.", "file")
        _refuse(file_id, said, now=now)
        return
    try:
        with transaction.atomic():
            if row.kind == File.Kind.MISP and row.converted is None:
                converting.convert(row)
                row.moved_at, row.tries = now, 0
                row.save(update_fields=["moved_at", "tries"])
            elif reading.read_on(row, now=now):
                reading.cut(row, now=now)
    except Refused as refused:
        log.info("file.refused", file=str(file_id), code=refused.code)
        _refuse(file_id, refused, now=now)


def _refuse(file_id: UUID, refused: Refused, *, now: datetime) -> None:
    """Nothing of it is taken, or no more; the bytes go."""
    File.objects.filter(pk=file_id).update(
        state=File.State.REFUSED,
        code=refused.code,
        sentence=refused.sentence,
        place=refused.path,
        ended_at=now,
        moved_at=now,
    )


def _take(file_id: UUID, *, now: datetime) -> bool:
    part_id = _next(file_id, now=now)
    if part_id is not None:
        _contribute(part_id, now=now)
    _finish(file_id, now=now)
    return part_id is not None


def _next(file_id: UUID, *, now: datetime) -> int | None:
    """A part that nobody has, and for which nothing else has to be there first."""
    before = FilePart.objects.filter(
        file=OuterRef("file"), number=OuterRef("after"), taken_at__isnull=True
    )
    with transaction.atomic():
        row = (
            FilePart.objects.select_for_update(skip_locked=True, of=("self",))
            .filter(file_id=file_id, file__state=File.State.TAKING, taken_at__isnull=True)
            .exclude(Exists(before))
            .order_by("tries", "number")
            .only("id", "tries", "own")
            .first()
        )
        if row is None:
            return None
        if row.tries < _TRIES:
            FilePart.objects.filter(pk=row.pk).update(tries=F("tries") + 1)
        else:
            log.warning("file.part-given-up", file=str(file_id), part=row.pk)
            _leave_out(row, _GIVEN_UP, now=now)
    return row.pk


@transaction.atomic
def _contribute(part_id: int, *, now: datetime) -> None:
    """One part: contributed, taken in and marked in one commit."""
    part = (
        FilePart.objects.select_for_update(skip_locked=True, of=("self",))
        .select_related("file")
        .filter(pk=part_id, taken_at__isnull=True, file__state=File.State.TAKING)
        .first()
    )
    circle_id = part.file.circle_id if part is not None else None
    if part is None or circle_id is None:
        return
    row = part.file
    try:
        with transaction.atomic():
            sent = contribute.submit(
                _principal(row),
                reading.body_of(part),
                circle_id=circle_id,
                source="file",
                default_basis=row.default_basis,
                attributed=row.attributed,
                now=now,
            )
            contribute.accept(sent, now=now)
    except Refused as refused:
        log.info("file.part-refused", file=str(row.id), part=part.pk, code=refused.code)
        _leave_out(part, refused.sentence, now=now)
        return
    own = Item.objects.filter(contribution_id=sent, position__lt=part.own)
    good = own.filter(success=True).count()
    FilePart.objects.filter(pk=part.pk).update(contribution_id=sent, taken_at=now)
    transaction.on_commit(lambda: nudge("exchange.tasks.release", str(sent), queue="render"))
    File.objects.filter(pk=row.id).update(
        successes=F("successes") + good,
        failures=F("failures") + part.own - good,
        moved_at=now,
        tries=0,
    )


def _leave_out(part: FilePart, sentence: str, *, now: datetime) -> None:
    """A part that is not taken: its objects are told as failures, and the others go on."""
    FilePart.objects.filter(pk=part.pk).update(taken_at=now, sentence=sentence)
    File.objects.filter(pk=part.file_id).update(
        failures=F("failures") + part.own, moved_at=now, tries=0
    )


@transaction.atomic
def _finish(file_id: UUID, *, now: datetime) -> None:
    """After the last part it is done."""
    if FilePart.objects.filter(file_id=file_id, taken_at__isnull=True).exists():
        return
    File.objects.filter(pk=file_id, state=File.State.TAKING).update(
        state=File.State.TAKEN, ended_at=now, moved_at=now
    )


def _principal(row: File) -> Principal:
    """Who handed it in; that they might was judged then, and is not taken back for a part of it."""
    return Principal(
        member_id=row.member_id,
        user_id=row.user_id,
        credential_id=row.credential_id,
        roles=frozenset({"analyst"}),
        scopes=frozenset({"api-write"}),
    )
