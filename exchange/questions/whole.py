"""Which corrections reached everybody, and whether the log is whole (questions 19 and 20)."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Q

from exchange import ledger
from exchange.ledger.sequencer import read_tiles
from exchange.models import Feedback, LedgerCheckpoint, LedgerEntry, LedgerHead, Recall
from exchange.proof import merkle, note
from exchange.proof.answers import Mark
from exchange.proof.refused import Refused
from exchange.questions.asking import (
    FORUM_COUNSEL,
    FORUM_OFFICER,
    OF_A_MEMBER,
    RECEIVED,
    Answer,
    Asked,
    Column,
    Line,
    Question,
    Value,
    cursor,
    moment,
    paged,
)
from exchange.questions.disclosed import disclosed, taken
from exchange.questions.held import progress

_GROUP = "The record itself"
_PERIOD = ("since", "until")
_CORRECTIONS = ("false-positive", "shared-infrastructure")
_CHECKPOINTS = 100


def _corrected(asked: Asked) -> Answer:
    """What recipients said was wrong, what its contributor did, and when everybody had that."""
    if asked.side == RECEIVED and not asked.is_forum:
        return _told_to_us(asked)
    filters = asked.filters
    rows = Feedback.objects.all()
    if not asked.is_forum:
        rows = rows.filter(member_id=asked.member_id)
    rows = filters.within(rows, "at")
    if filters.person:
        rows = rows.filter(answered_by_id=filters.person)
    place = asked.after()
    if len(place) == 2:
        at, last = moment(place[0]), UUID(str(place[1]))
        rows = rows.filter(Q(at__lt=at) | Q(at=at, id__lt=last))
    found = list(rows.select_related("object", "circle").order_by("-at", "-id")[: asked.limit + 1])
    shown = found[: asked.limit]
    recalls = {
        row.object_id: row
        for row in Recall.objects.filter(object_id__in=[row.object_id for row in shown])
    }
    columns = (
        Column("raised", "Raised", "when"),
        Column("said", "What was said", "said"),
        Column("object", "Object", "code"),
        Column("circle", "Circle"),
        Column("answered", "Answered", "when"),
        Column("answer", "Answer"),
        Column("recalled", "Taken back", "when"),
        Column("reason", "Reason told", "said"),
        Column("told", "Recipients told", "number"),
        Column("of", "Of", "number"),
        Column("last", "Last acknowledged", "when"),
    )
    lines = []
    for row in shown:
        recall = recalls.get(row.object_id)
        told, of, newest = progress(recall.id) if recall else (None, None, None)
        cells: tuple[Value, ...] = (
            row.at,
            row.disposition,
            f"{row.object.stix_type}--{row.object_id}",
            row.circle.name,
            row.answered_at,
            row.answer,
            recall.at if recall else None,
            recall.reason if recall else None,
            told,
            of,
            newest,
        )
        link = ("recall", str(recall.id)) if recall else ("feedback", str(row.id))
        lines.append(Line(cells, marks=_told_in(recall), link=link))
    more = cursor(shown[-1].at, shown[-1].id) if len(found) > asked.limit else ""
    return Answer(columns, tuple(lines), more, ("Who said it is not kept.",))


def _told_in(recall: Recall | None) -> tuple[Mark, ...]:
    """The entries that tell the contributor of its recall, one for each recipient."""
    if recall is None:
        return ()
    with connection.cursor() as run:
        run.execute("SELECT index FROM weir_recall_progress(%s)", [recall.id])
        indexes = [index for (index,) in run.fetchall() if index is not None]
    said = set(LedgerEntry.objects.filter(idx__in=indexes).values_list("idx", flat=True))
    return tuple(Mark(index, "from") for index in indexes if index in said)


def _told_to_us(asked: Asked) -> Answer:
    """The corrections that one's own member was told of, and when it took them."""
    rows, more = disclosed(asked, kind="recall")
    columns = (
        Column("when", "Told", "when"),
        Column("reason", "Reason told", "said"),
        Column("object", "Object", "code"),
        Column("taken", "Taken", "when"),
    )
    lines = tuple(
        row.line(asked.side, row.added_at, row.reason, row.stix_id, taken(row.part)[0])
        for row in rows
    )
    return Answer(columns, lines, more)


def _whole(asked: Asked) -> Answer:
    """Head, checkpoints and gaps, each checked now; the rest is the verifier's, without us."""
    columns = (
        Column("what", "What was checked"),
        Column("found", "What was found"),
        Column("at", "As of", "when"),
        Column("verdict", "Result"),
    )
    rows = [*_head(asked), *_gaps(asked), *_checkpoints(asked)]
    start = int(asked.after()[0]) if asked.after() else 0
    lines = [(Line(row), cursor(n)) for n, row in enumerate(rows, 1) if n > start]
    note_ = (
        "A server that checks itself proves little: take the verifier, and the checkpoint that you "
        "kept, to a machine of your own."
    )
    return Answer(columns, *paged(lines, asked.limit), (note_,))


def _head(asked: Asked) -> Iterator[tuple[Any, ...]]:
    head = LedgerHead.objects.filter(pk=1).first()
    if head is None:
        yield "head of the tree", "there is no entry yet", asked.now, "nothing to check"
        return
    try:
        root = merkle.edge_root(read_tiles(merkle.edge_of(head.size)), head.size)
    except Refused as refused:
        yield "head of the tree", refused.sentence, asked.now, "DIFFERS"
        return
    same = root == bytes(head.root)
    found = f"{head.size} entries, root {bytes(head.root).hex()}"
    yield "head of the tree, from its tiles", found, asked.now, "whole" if same else "DIFFERS"


def _checkpoints(asked: Asked) -> Iterator[tuple[Any, ...]]:
    """The newest signed heads: each note says its own size and root, and the tiles lead there."""
    filters = asked.filters
    rows = LedgerCheckpoint.objects.order_by("-size")
    rows = filters.within(rows, "at")
    for row in rows[:_CHECKPOINTS]:
        stated = note.parse_checkpoint(row.note.partition("\n\n")[0] + "\n")
        same = (stated.size, stated.root) == (row.size, bytes(row.root))
        same = same and _root_at(row.size) == stated.root
        found = f"{row.size} entries, root {stated.root.hex()}"
        yield "signed checkpoint", found, row.at, "whole" if same else "DIFFERS"


def _root_at(size: int) -> bytes:
    try:
        return merkle.root_at(size, lambda level, n: read_tiles([(level, n)]).get((level, n), b""))
    except Refused:
        return b""


def _gaps(asked: Asked) -> Iterator[tuple[Any, ...]]:
    """One's own numbers run 1, 2, 3 ... in each slot; for the auditors the log's own do."""
    member_id = asked.principal.member_id
    if member_id is None:
        size = ledger.published_size()
        with connection.cursor() as run:
            run.execute("SELECT count(*) FROM ledger_leaf WHERE idx < %s", [size])
            count = run.fetchone()[0]
        found = f"{count} leaves under the checkpoint of {size}"
        yield "numbers of the log", found, asked.now, "no gap" if count == size else "GAP"
        return
    for slot, words in (("to", "what you received"), ("from", "what you gave")):
        with connection.cursor() as run:
            # The column names are of the closed set above.
            run.execute(
                f"SELECT count(*), coalesce(max({slot}_seq), 0) FROM ledger_entry "  # noqa: S608
                f"WHERE {slot}_member_id = %s",
                [member_id],
            )
            count, last = run.fetchone()
        found = f"{count} entries, the last has number {last}"
        verdict = "no gap" if count == last else "GAP"
        yield f"numbers of {words}", found, asked.now, verdict


QUESTIONS = (
    Question(
        19,
        _GROUP,
        "Which corrections were raised, and when everybody had them",
        "False positives and shared infrastructure, the answer, the recall and its "
        "acknowledgements.",
        ("side", "person", *_PERIOD),
        OF_A_MEMBER | {FORUM_COUNSEL},
        _corrected,
    ),
    Question(
        20,
        _GROUP,
        "That the log is whole",
        "Head, signed checkpoints and gaps, checked now; and the verifier that needs no server.",
        _PERIOD,
        OF_A_MEMBER | {FORUM_COUNSEL, FORUM_OFFICER},
        _whole,
    ),
)
