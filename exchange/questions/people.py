"""Which people saw what, what is kept about a person, what was passed on (questions 13, 14, 17)."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
from django.conf import settings
from django.db import connection
from django.db.models import Q

from exchange import search, written
from exchange.models import (
    HoldAct,
    Inquiry,
    OriginalRead,
    Outcome,
    QuestionView,
    Recall,
    ReleaseRecipient,
    ServedNote,
)
from exchange.policy import tokens
from exchange.proof.answers import Mark
from exchange.proof.refused import NotFound
from exchange.questions.asking import (
    FORUM_OFFICER,
    OF_A_MEMBER,
    Answer,
    Asked,
    Column,
    Line,
    Question,
    cursor,
    moment,
    paged,
)
from exchange.questions.stated import attested, is_allowed, marks_of, words_of
from indicators import store
from indicators.models import Observable, Version
from members.models import CircleMember, User
from members.seals import for_member

_GROUP = "People"
_PERIOD = ("since", "until")
_QUARTERS = 5
_NOTE = (
    "The forum's operator runs the exchange and has no way to open content: no page, command or "
    "credential of that role shows any."
)


def _readers(asked: Asked) -> Answer:
    """Every reading of an original or of held material, and of one's own originals."""
    rows: list[tuple[datetime, str, Line]] = []
    rows += _readings(asked)
    if not asked.is_forum:
        rows += _acts(asked)
        rows += _own_reads(asked)
        rows += _looks(asked)
    rows.sort(key=lambda one: (one[0], one[1]), reverse=True)
    columns = (
        Column("at", "When", "when"),
        Column("who", "Who"),
        Column("role", "Role"),
        Column("what", "What was seen"),
        Column("reason", "Reason"),
    )
    lines = [(line, cursor(at, key)) for at, key, line in rows]
    return Answer(columns, *paged(lines, asked.limit), (_NOTE,))


def _before(asked: Asked) -> tuple[datetime | None, str]:
    place = asked.after()
    return (moment(place[0]), str(place[1])) if len(place) == 2 else (None, "")


def _take(
    asked: Asked, found: Iterable[tuple[datetime, str, tuple[Any, ...], tuple[Mark, ...]]]
) -> list[tuple[datetime, str, Line]]:
    at, key = _before(asked)
    return [
        (when, name, Line(cells, marks=marks))
        for when, name, cells, marks in found
        if at is None or (when, name) < (at, key)
    ]


def _within(asked: Asked, rows: Any, name: str = "at") -> Any:  # noqa: ANN401 - any rows with a time
    """The newest rows of the period, from the cursor on: a page of each kind is enough."""
    at, _ = _before(asked)
    filters = asked.filters
    if filters.start:
        rows = rows.filter(**{f"{name}__gte": filters.start})
    if filters.end:
        rows = rows.filter(**{f"{name}__lt": filters.end})
    if at is not None:
        rows = rows.filter(**{f"{name}__lte": at})
    return rows.order_by(f"-{name}", "-id")[: asked.limit * 2]


def _readings(asked: Asked) -> list[tuple[datetime, str, Line]]:
    filters = asked.filters
    at, _ = _before(asked)
    end = min((one for one in (filters.end, at + timedelta(microseconds=1) if at else None) if one),
              default=None)  # fmt: skip
    with connection.cursor() as run:
        run.execute(
            "SELECT * FROM weir_readings(%s, %s, NULL, %s)",
            [filters.start, end, asked.limit * 2],
        )
        rows = run.fetchall()
    said: dict[int, str] = {}
    if not asked.is_forum:
        own = OriginalRead.objects.filter(id__in=[row[0] for row in rows])
        said = {row.id: written.said(row) for row in own}
    found = []
    for pk, when, person, person_id, role, stix_type, _ in rows:
        if filters.person and person_id != filters.person:
            continue
        # To a contributor the forum's people have their role, not their name.
        who = person if asked.is_forum else role.replace("-", " ")
        cells = (when, who, role, f"an original ({stix_type})", said.get(pk, "sealed"))
        found.append((when, f"read-{pk:020d}", cells, ()))
    return _take(asked, found)


def _acts(asked: Asked) -> list[tuple[datetime, str, Line]]:
    rows = HoldAct.objects.filter(member_id=asked.member_id).select_related("user")
    if asked.filters.person:
        rows = rows.filter(user_id=asked.filters.person)
    found = []
    for row in _within(asked, rows):
        is_own = row.user.member_id == asked.principal.member_id
        who = row.user.name if is_own else row.role.replace("-", " ")
        cells = (row.at, who, row.role, f"held material ({row.act})", written.said(row))
        found.append((row.at, f"act-{row.id:020d}", cells, ()))
    return _take(asked, found)


def _own_reads(asked: Asked) -> list[tuple[datetime, str, Line]]:
    """One's own people and machines reading one's own collection of originals."""
    rows = ServedNote.objects.filter(recipient_id=asked.member_id, via__endswith="-own")
    if asked.filters.person:
        rows = rows.filter(user_id=asked.filters.person)
    names = _names(asked)
    found = []
    for row in _within(asked, rows):
        who = names.get(row.user_id, "a credential") if row.user_id else "a credential"
        what = f"own originals {row.first_seq} to {row.last_seq} ({row.via})"
        found.append((row.at, f"own-{row.id:020d}", (row.at, who, "own", what, ""), ()))
    return _take(asked, found)


def _looks(asked: Asked) -> list[tuple[datetime, str, Line]]:
    rows = QuestionView.objects.filter(member_id=asked.member_id, form="bytes").select_related(
        "user"
    )
    if asked.filters.person:
        rows = rows.filter(user_id=asked.filters.person)
    found = []
    for row in _within(asked, rows):
        what = f"the bytes of entry {row.filters.get('entry', '')}, beside the original"
        cells = (row.at, row.user.name, row.role, what, "")
        found.append((row.at, f"look-{row.id:020d}", cells, ()))
    return _take(asked, found)


def _names(asked: Asked) -> dict[UUID, str]:
    return dict(User.objects.filter(member_id=asked.member_id).values_list("id", "name"))


def _about_person(asked: Asked) -> Answer:
    """What is kept about a person: in one's own originals, and in what one received, by token."""
    columns = (
        Column("side", "Where"),
        Column("object", "Object", "code"),
        Column("type", "Type", "kind"),
        Column("at", "Since", "when"),
        Column("state", "What was done"),
        Column("has", "Who has it"),
    )
    if asked.filters.inquiry is None:
        return Answer(columns, ())
    kind, value = _sought(asked)
    lines = [*_in_own(asked, value), *_in_received(asked, kind, value)]
    start = int(asked.after()[0]) if asked.after() else 0
    numbered = [(line, cursor(n)) for n, line in enumerate(lines, 1) if n > start]
    return Answer(columns, *paged(numbered, asked.limit))


def _sought(asked: Asked) -> tuple[str, str]:
    wanted = asked.filters.inquiry or UUID(int=0)
    row = Inquiry.objects.filter(pk=wanted, member_id=asked.member_id).first()
    if row is None:
        raise NotFound
    sealed = for_member(row.member_id).open(bytes(row.sealed), aad=b"inquiry:" + row.id.bytes)
    kind, value = orjson.loads(sealed)
    return str(kind), str(value)


def _in_own(asked: Asked, value: str) -> list[Line]:
    member_id = asked.member_id
    digests = store.observable_digests(value)
    found = Observable.objects.filter(member_id=member_id, digest__in=digests)
    versions = list(
        Version.objects.filter(id__in=found.values("version_id"))
        .select_related("object", "contribution")
        .order_by("-id")[:500]
    )
    names = store.original_ids([row.object for row in versions])
    outcomes = {row.version_id: row for row in Outcome.objects.filter(version__in=versions)}
    recalls = {
        row.object_id: row
        for row in Recall.objects.filter(object_id__in=[row.object_id for row in versions])
    }
    return [
        Line(
            (
                "own original",
                names[row.object_id],
                row.object.stix_type,
                row.contribution.received_at,
                _done_with(outcomes.get(row.id), recalls.get(row.object_id)),
                _holders(row),
            ),
            link=("own-object", str(row.id)),
        )
        for row in versions
    ]


def _done_with(outcome: Outcome | None, recall: Recall | None) -> str:
    if recall is not None:
        if recall.erasure_recorded_at:
            return f"recalled, and erased on {recall.erasure_recorded_at:%Y-%m-%d}"
        return "recalled" if not recall.erases else "recalled, erasure under way"
    if outcome is None:
        return "stored only"
    return "left" if outcome.released_at else outcome.outcome


def _holders(version: Version) -> str:
    """The recipients that the contributor is told of; or the circle, where it is not."""
    parts = (
        ReleaseRecipient.objects.filter(
            release__items__rendition__version=version,
            member_id=version.member_id,
            told_here=True,
            idx__isnull=False,
        )
        .exclude(recipient_id=version.member_id)
        .values_list("recipient__name", "release__circle__name")
        .distinct()
    )
    named = {name or f"the circle {circle}" for name, circle in parts}
    return ", ".join(sorted(named)) or "nobody else"


def _in_received(asked: Asked, kind: str, value: str) -> list[Line]:
    """Objects of the holding that say the value, or its token of a circle and quarter."""
    spelled = [value, *_tokens(asked, kind, value)]
    found: dict[str, search.Hit] = {}
    for at in range(0, len(spelled), 200):
        part = spelled[at : at + 200]
        for one in search.look_up(asked.principal, part, via="web", now=asked.now):
            found |= {hit.stix_id: hit for hit in one.hits}
    return [
        Line(
            (
                "received",
                hit.stix_id,
                hit.stix_type,
                None,
                "served",
                "your company",
            ),
            link=("object", hit.stix_id),
        )
        for _, hit in sorted(found.items())
    ]


def _tokens(asked: Asked, kind: str, value: str) -> list[str]:
    seats = CircleMember.objects.filter(member_id=asked.member_id, left_at__isnull=True)
    moments = [asked.now - timedelta(days=91 * n) for n in range(_QUARTERS)]
    epochs = sorted({tokens.epoch(moment) for moment in moments})
    return [
        tokens.token(tokens.key_for(settings.TOKEN_KEY, str(circle), epoch), kind, value)
        for circle in seats.values_list("circle_id", flat=True)
        for epoch in epochs
    ]


def _passed_on(asked: Asked) -> Answer:
    """What a member attests to have passed on outside, under which mark."""
    rows = attested(asked.principal)
    filters = asked.filters
    if filters.object:
        rows = rows.filter(stix_id=filters.object)
    rows = filters.within(rows, "at")
    if filters.recipient and asked.is_auditor:
        rows = rows.filter(member_id=filters.recipient)
    place = asked.after()
    if len(place) == 2:
        at, last = moment(place[0]), UUID(str(place[1]))
        rows = rows.filter(Q(at__lt=at) | Q(at=at, id__lt=last))
    found = list(rows.select_related("member", "user").order_by("-at", "-id")[: asked.limit + 1])
    shown = found[: asked.limit]
    marks = marks_of(asked.principal, shown)
    columns = [Column("at", "Attested", "when"), Column("member", "Member")]
    columns += [] if asked.is_auditor else [Column("by", "By")]
    columns += [
        Column("object", "Object", "code"),
        Column("received", "Received under"),
        Column("passed", "Passed on under"),
        Column("whom", "To"),
        Column("day", "On", "text"),
        Column("fits", "Allowed by its mark"),
    ]
    columns += [] if asked.is_auditor else [Column("words", "What was attested")]
    lines = []
    for row in shown:
        cells: list[Any] = [row.at, row.member.name]
        cells += [] if asked.is_auditor else [row.user.name]
        cells += [row.stix_id, row.tlp_received, row.tlp_passed, row.whom]
        cells += [row.passed_on.isoformat(), "yes" if is_allowed(row) else "no"]
        cells += [] if asked.is_auditor else [words_of(row)]
        lines.append(Line(tuple(cells), marks=marks.get(row.id, ())))
    more = cursor(shown[-1].at, shown[-1].id) if len(found) > asked.limit else ""
    note = (
        "The exchange sees no re-sharing: these are the statements of members' officers, each "
        "fixed in the ledger by its digest."
    )
    return Answer(tuple(columns), tuple(lines), more, (note,))


QUESTIONS = (
    Question(
        13,
        _GROUP,
        "Which people saw raw or held material",
        "Openings of originals with their reasons, acts on holds, and readings of one's own.",
        ("person", *_PERIOD),
        OF_A_MEMBER | {FORUM_OFFICER},
        _readers,
    ),
    Question(
        14,
        _GROUP,
        "What is kept about a person",
        "For a request to know or to erase: own originals by value, received objects by token.",
        ("inquiry",),
        OF_A_MEMBER,
        _about_person,
        needs=("inquiry",),
    ),
    Question(
        17,
        _GROUP,
        "What was re-shared outside, and what was attested",
        "Under which mark it came, under which it was passed on, to whom, in the officer's words.",
        ("object", "recipient", *_PERIOD),
        OF_A_MEMBER | {FORUM_OFFICER},
        _passed_on,
    ),
)
