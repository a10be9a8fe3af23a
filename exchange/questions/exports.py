"""Answers taken along: a worker writes them down with the rights of who asked, in files.

An export is an order in the database. Each step of it is one transaction: a page of rows read as
the web would read it for that person, or one archive with the evidence of its rows. What a dead
worker left is begun again where its last step ended.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from uuid import UUID

import structlog
from django.conf import settings
from django.db import transaction

from exchange import archive, ledger, openings
from exchange.archive import Wish
from exchange.celery import nudge
from exchange.models import AnswerExport, AnswerFile
from exchange.proof import answers, jcs
from exchange.proof import archive as form
from exchange.proof.answers import Answer, Row
from exchange.proof.keys import Signer
from exchange.proof.refused import Forbidden, NotFound, Refused
from exchange.questions import book, bytes_of, report
from exchange.questions.asking import RECEIVED, Asked, Filters, Line, Value, parse
from members.auth import Principal, principal_of
from members.scope import acting
from members.seals import Seal, for_forum, for_member

CSV, JSON, ARCHIVE, REPORT = "csv", "json", "archive", "report"
FORMS = (CSV, JSON, ARCHIVE)
STEP = 1_000  # rows of one step, and of one archive: with their bytes they fit into one
MOST = 100_000  # rows of a table in one file
MOST_KEPT = 60
_TASK = "exchange.tasks.answer"
_STILL = timedelta(seconds=20)
_PIECE = ""  # the name of what is no file yet
_OPEN = (AnswerExport.State.WAITING, AnswerExport.State.RUNNING)
_MEDIA = {CSV: "text/csv; charset=utf-8", JSON: "application/json", ARCHIVE: "application/zip"}
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class File:
    """One file of an export, as who ordered it sees it."""

    n: int
    name: str
    media: str
    rows: int
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Export:
    """One export, how far it has come, and its files."""

    id: UUID
    question: str
    title: str
    filters: dict[str, str]
    form: str
    state: str
    done: int
    failure: str
    created_at: datetime
    finished_at: datetime | None
    files: tuple[File, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether a worker is still at it."""
        return self.state in _OPEN


# --- ordering, looking, taking -------------------------------------------------------------------


@transaction.atomic
def order(
    principal: Principal, name: str, wanted: str, given: dict[str, str], *, now: datetime
) -> UUID:
    """Have an answer, or the monthly report, written down by a worker."""
    if principal.user_id is None:
        raise Forbidden("Exports are ordered by people.")
    if name == REPORT:
        report.demand(principal, given.get("month", ""), now=now)
        filters = {"month": given.get("month", "")}
        book.note(principal, "monthly report", "pdf", now=now)
    else:
        chosen = book.question(principal, name)
        if wanted not in FORMS:
            raise Refused(
                "export.form", "An answer is taken along as csv, json or archive.", "form"
            )
        narrowed = book.narrowed(principal, chosen, given)
        book.demand(chosen, narrowed)
        filters = narrowed.plain()
        book.note(principal, name, wanted, narrowed, now=now)
    kept = AnswerExport.objects.filter(user_id=principal.user_id)
    if kept.count() >= MOST_KEPT:
        raise Refused("export.many", f"You have {MOST_KEPT} exports: wait until some are over.")
    row = AnswerExport(
        member_id=principal.member_id,
        user_id=principal.user_id,
        question=name,
        filters=filters,
        form=wanted if name != REPORT else REPORT,
        created_at=now,
        moved_at=now,
    )
    row.save(force_insert=True)
    transaction.on_commit(lambda: nudge(_TASK, str(row.id), queue="render"))
    return row.id


def exports(principal: Principal) -> tuple[Export, ...]:
    """What this person ordered and is kept, the newest first."""
    rows = AnswerExport.objects.filter(book.of_whom(principal), user_id=openings.person(principal))
    return tuple(_shown(row) for row in rows.order_by("-created_at")[:MOST_KEPT])


def export(principal: Principal, export_id: UUID) -> Export:
    """One export of one's own, with its files."""
    row = _own(principal, export_id)
    files = row.files.exclude(name=_PIECE).order_by("n")
    listed = tuple(
        File(one.n, one.name, one.media, one.rows, one.size, bytes(one.digest).hex())
        for one in files.defer("sealed")
    )
    return _shown(row, listed)


def take(principal: Principal, export_id: UUID, n: int, *, now: datetime) -> tuple[File, bytes]:
    """A file, for who ordered it; that it was taken is noted before."""
    row = _own(principal, export_id)
    one = row.files.filter(n=n).exclude(name=_PIECE).first()
    if one is None:
        raise NotFound
    if row.question != REPORT:
        book.question(principal, row.question)  # the right to ask may be gone since
    if one.parts and principal.member_id is not None:
        archive.note_bundles(principal, principal.member_id, one.parts, now=now)
    book.note(principal, row.question, f"taken as {row.form}", _filters(row), now=now)
    body = _seal(row).open(bytes(one.sealed), aad=aad(row.id, n))
    return File(n, one.name, one.media, one.rows, one.size, bytes(one.digest).hex()), body


# --- a worker's steps ----------------------------------------------------------------------------


def standing_still(*, now: datetime) -> tuple[UUID, ...]:
    """Exports of which no step was finished for a while: their hint was lost, or their worker."""
    rows = AnswerExport.objects.filter(state__in=_OPEN, moved_at__lt=now - _STILL)
    return tuple(rows.order_by("created_at").values_list("id", flat=True)[:20])


def end_due(*, now: datetime) -> int:
    """Let go of exports whose time is over; that they were made stays in the log of views."""
    over = now - timedelta(days=settings.ARCHIVE_DAYS)
    return AnswerExport.objects.filter(created_at__lt=over).delete()[0]


@transaction.atomic
def work(export_id: UUID, *, signer: Signer, now: datetime) -> bool:
    """One step of an export; whether there is more to do.

    1. nobody else is at it     2. who ordered it may still ask     3. a page of rows, or an archive
    4. the last step makes the file
    """
    row = (
        AnswerExport.objects.select_for_update(skip_locked=True, of=("self",))
        .select_related("user")
        .filter(pk=export_id, state__in=_OPEN)
        .first()
    )
    if row is None:  # 1
        return False
    try:
        with transaction.atomic():
            principal = _still(row)  # 2
            more = _step(row, principal, signer=signer, now=now)  # 3, 4
    except Refused as refused:
        if refused.code.startswith("signer."):
            raise
        log.warning("export.failed", export=str(export_id), code=refused.code)
        row.state, row.failure, row.finished_at = row.State.FAILED, refused.sentence, now
        row.save(update_fields=["state", "failure", "finished_at"])
        return False
    row.moved_at = now
    row.state = row.State.RUNNING if more else row.State.FINISHED
    row.finished_at = None if more else now
    row.save(update_fields=["done", "cursor", "moved_at", "state", "finished_at"])
    return more


def _still(row: AnswerExport) -> Principal:
    """Who ordered it, with the roles of now: a right that was lost meanwhile is lost here too."""
    principal = principal_of(row.user)
    if principal.member_id != row.member_id or not principal.is_authenticated:
        raise Forbidden("Who ordered it acts for this member no more.")
    return principal


def _step(row: AnswerExport, principal: Principal, *, signer: Signer, now: datetime) -> bool:
    if row.form == REPORT:
        with acting(principal.acting(), role="web"):
            told = report.gather(principal, row.filters["month"], now=now)
        name = f"weir-report-{row.filters['month']}.pdf"
        _keep(row, 1, name, "application/pdf", report.pdf(told), rows=0)
        return False
    chosen = book.question(principal, row.question)
    filters = _filters(row)
    with acting(principal.acting(), role="web"):
        found = book.answered(
            principal, chosen, filters, cursor=row.cursor, limit=STEP, now=row.created_at
        )
        lines = _provable(principal, found.lines) if row.form == ARCHIVE else found.lines
        files = _bytes(principal, lines) if row.form == ARCHIVE else {}
    made = Answer(tuple(one.title for one in found.columns), tuple(_row(line) for line in lines))
    row.cursor, row.done = found.next, row.done + len(lines)
    number = row.files.count() + 1
    if row.form == ARCHIVE:
        side = Asked(principal, filters, now).side
        about = {
            "question": chosen.number,
            "title": chosen.title,
            "filters": filters.plain(),
            "side": side,
            "part": number,
            "for": row.user.name,
            "asked at": row.created_at.isoformat(timespec="seconds"),
        }
        _pack(row, principal, number, made, files, about, signer=signer, now=now)
        return bool(found.next)
    _keep(row, number, _PIECE, "", made.json(), rows=len(lines))
    if found.next and row.done < MOST:
        return True
    _join(row, more=bool(found.next))
    return False


def _pack(  # noqa: PLR0913 - what one archive is made of
    row: AnswerExport,
    principal: Principal,
    number: int,
    made: Answer,
    files: dict[str, bytes],
    about: dict[str, object],
    *,
    signer: Signer,
    now: datetime,
) -> None:
    wish = Wish(
        principal=principal,
        kind="answer",
        about=about,
        places=sorted({(mark.index, mark.slot) for one in made.rows for mark in one.marks}),
        files={**files, form.ANSWER: made.json(), form.TABLE: made.csv()},
        with_bundles=about["side"] == RECEIVED,
    )
    packed, parts = archive.written(wish, signer=signer, now=now)
    name = f"weir-{row.question}-{row.created_at:%Y%m%d}-part{number}.zip"
    _keep(row, number, name, _MEDIA[ARCHIVE], packed, rows=len(made.rows), parts=parts)


def _join(row: AnswerExport, *, more: bool) -> None:
    """The pieces as one file; they go."""
    pieces = row.files.filter(name=_PIECE).order_by("n")
    read = [
        answers.parse(_seal(row).open(bytes(one.sealed), aad=aad(row.id, one.n))) for one in pieces
    ]
    whole = Answer(read[0].columns, tuple(line for one in read for line in one.rows))
    pieces.delete()
    body = whole.csv() if row.form == CSV else whole.json()
    cut = "-cut" if more else ""
    name = f"weir-{row.question}-{row.created_at:%Y%m%d}{cut}.{row.form}"
    _keep(row, 1, name, _MEDIA[row.form], body, rows=len(whole.rows))


def _provable(principal: Principal, lines: Sequence[Line]) -> tuple[Line, ...]:
    """The rows with the entries that can be opened: what was erased is told without its proof."""
    wanted = sorted({(mark.index, mark.slot) for line in lines for mark in line.marks})
    found: set[tuple[int, str]] = set()
    for start in range(0, len(wanted), ledger.MOST_OPENINGS):
        part = wanted[start : start + ledger.MOST_OPENINGS]
        found |= ledger.openings_at(principal, part).keys()
    return tuple(
        Line(
            line.values,
            tuple(mark for mark in line.marks if (mark.index, mark.slot) in found),
            line.shown,
            line.link,
            line.rendition,
            line.verdict,
        )
        for line in lines
    )


def _bytes(principal: Principal, lines: Sequence[Line]) -> dict[str, bytes]:
    """Exact bytes and verdicts of what one gave, or audits; what one received is in bundles."""
    files: dict[str, bytes] = {}
    for line in lines:
        name = f"rendition-{line.rendition}.json"
        if line.shown is None or name in files:
            continue
        try:
            seen = bytes_of.opened(principal, *line.shown)
        except NotFound:
            continue
        if seen.side != RECEIVED and not seen.is_erased:
            files[name] = seen.body
        document = bytes_of.verdict_of(bytes.fromhex(line.verdict)) if line.verdict else None
        if document is not None:
            spelled = jcs.encode(document)
            if sha256(spelled).hexdigest() == line.verdict:
                files[f"verdict-{line.verdict}.json"] = spelled
    return files


def _row(line: Line) -> Row:
    return Row(tuple(_cell(value) for value in line.values), tuple(line.marks))


def _cell(value: Value) -> str | int | None:
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds").replace("+00:00", "Z")
    return value


def _keep(  # noqa: PLR0913 - the fields of one file
    row: AnswerExport,
    n: int,
    name: str,
    media: str,
    body: bytes,
    *,
    rows: int,
    parts: Sequence[int] = (),
) -> None:
    AnswerFile.objects.create(
        export=row,
        user_id=row.user_id,
        n=n,
        name=name,
        media=media,
        rows=rows,
        size=len(body),
        digest=sha256(body).digest(),
        sealed=_seal(row).seal(body, aad=aad(row.id, n)),
        parts=list(parts),
    )


def _filters(row: AnswerExport) -> Filters:
    if row.question == REPORT:
        return Filters()
    return parse(row.filters, book.QUESTIONS[row.question])


def _own(principal: Principal, export_id: UUID) -> AnswerExport:
    rows = AnswerExport.objects.filter(book.of_whom(principal), user_id=openings.person(principal))
    row = rows.filter(pk=export_id).first()
    if row is None:
        raise NotFound
    return row


def _shown(row: AnswerExport, files: tuple[File, ...] = ()) -> Export:
    chosen = book.QUESTIONS.get(row.question)
    title = f"{chosen.number}. {chosen.title}" if chosen else "Monthly report"
    return Export(
        id=row.id,
        question=row.question,
        title=title,
        filters=dict(row.filters),
        form=row.form,
        state=row.state,
        done=row.done,
        failure=row.failure,
        created_at=row.created_at,
        finished_at=row.finished_at,
        files=files,
    )


def _seal(row: AnswerExport) -> Seal:
    return for_member(row.member_id) if row.member_id else for_forum()


def aad(export_id: UUID, n: int) -> bytes:
    """Where a file of an export belongs."""
    return b"answer-file:" + export_id.bytes + b":%d" % n
