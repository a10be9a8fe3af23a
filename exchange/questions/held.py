"""What was held, who decided, and what came of it (questions 6, 7, 8 and 16).

The contributor's own people see their own holds; the forum's counsel all, and never whose they are.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from django.db import connection
from django.db.models import Count, Q, QuerySet

from exchange import audiences, written
from exchange.ledger.intake import event_aad, seal
from exchange.models import (
    Hold,
    HoldAct,
    LedgerEntry,
    LedgerEvent,
    Recall,
    Revocation,
)
from exchange.proof.answers import Mark
from exchange.questions.asking import (
    FORUM_COUNSEL,
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

_GROUP = "What was held"
_PERIOD = ("since", "until")
_BUSINESS = ("C01", "C02", "C03", "C07")  # price, cost, capacity, roadmap
_NAMES = ("C05", "C13")  # a customer, and a named company or state
_WHO = {
    "forum-counsel": "the forum's counsel",
    "contributor-counsel": "the contributor's counsel",
}


def _holds(asked: Asked) -> QuerySet[Hold]:
    filters = asked.filters
    rows = Hold.objects.all()
    if not asked.is_forum:
        rows = rows.filter(member_id=asked.member_id)
    rows = filters.within(rows, "opened_at")
    if filters.field_class:
        rows = rows.filter(field_class=filters.field_class)
    if filters.rule:
        rows = rows.filter(rule=filters.rule)
    if filters.person:
        rows = rows.filter(acts__user_id=filters.person).distinct()
    if filters.circle:
        rows = rows.filter(circle_id=filters.circle)
    return rows


def _page(asked: Asked, rows: QuerySet[Hold]) -> tuple[list[Hold], str]:
    place = asked.after()
    if len(place) == 2:
        at, last = moment(place[0]), UUID(str(place[1]))
        rows = rows.filter(Q(opened_at__lt=at) | Q(opened_at=at, id__lt=last))
    found = list(
        rows.select_related("circle", "outcome__version__object").order_by("-opened_at", "-id")[
            : asked.limit + 1
        ]
    )
    shown = found[: asked.limit]
    more = cursor(shown[-1].opened_at, shown[-1].id) if len(found) > asked.limit else ""
    return shown, more


def _held(asked: Asked) -> Answer:
    return _listed(asked, _holds(asked))


def _overruled(asked: Asked) -> Answer:
    """Released although a tripwire had been set off."""
    return _listed(asked, _holds(asked).filter(state=Hold.State.RELEASED).exclude(places=[]))


def _listed(asked: Asked, rows: QuerySet[Hold]) -> Answer:
    shown, more = _page(asked, rows)
    acts = _acts(shown)
    marks = _marks(asked, shown, acts)
    columns = (
        Column("opened", "Held", "when"),
        Column("class", "Class"),
        Column("why", "Why"),
        Column("rule", "Rule", "code"),
        Column("places", "Set off by", "code"),
        Column("type", "Type", "kind"),
        Column("circle", "Circle"),
        Column("state", "State"),
        Column("decided", "Decided", "when"),
        Column("hours", "Hours it took", "number"),
        Column("by", "Who decided"),
        Column("reason", "Written reason"),
    )
    lines = tuple(
        Line(
            (
                row.opened_at,
                row.field_class,
                row.reason,
                row.rule,
                ", ".join(row.places),
                row.stix_type,
                row.circle.name,
                row.state,
                row.decided_at,
                _hours(row),
                "; ".join(_by(act, asked) for act in acts[row.id]),
                " / ".join(written.said(act) for act in acts[row.id]),
            ),
            marks=marks.get(row.id, ()),
            link=("hold", str(row.id)),
        )
        for row in shown
    )
    return Answer(columns, lines, more)


def _hours(row: Hold) -> int | None:
    if row.decided_at is None:
        return None
    return round((row.decided_at - row.opened_at).total_seconds() / 3600)


def _by(act: HoldAct, asked: Asked) -> str:
    """One's own people by name, the forum's by their role: a reader is not told whom to call."""
    role = _WHO.get(act.role, act.role)
    is_own = act.user.member_id == asked.principal.member_id
    return f"{act.user.name}, {role}" if is_own else role


def _acts(rows: Sequence[Hold]) -> dict[UUID, list[HoldAct]]:
    found: dict[UUID, list[HoldAct]] = {row.id: [] for row in rows}
    acts = HoldAct.objects.filter(hold__in=list(found)).select_related("user").order_by("at", "id")
    for act in acts:
        found[act.hold_id].append(act)
    return found


def _marks(
    asked: Asked, rows: Sequence[Hold], acts: Mapping[UUID, Iterable[HoldAct]]
) -> dict[UUID, tuple[Mark, ...]]:
    """The ledger's decisions on these holds, where who asks may open them."""
    if asked.is_forum:
        return {}
    times = {act.at for each in acts.values() for act in each}
    events = LedgerEvent.objects.filter(
        kind="decision", from_member_id=asked.member_id, at__in=times
    )
    named: dict[int, tuple[UUID, str]] = {}
    wanted = {row.id for row in rows}
    for event in events:
        fields = orjson.loads(seal().open(bytes(event.slots), aad=event_aad(event.id)))["from"]
        hold = UUID(fields["hold"]) if "hold" in fields else None
        if hold in wanted and hold is not None:
            named[event.id] = (hold, fields["decision"])
    entries = LedgerEntry.objects.filter(kind="decision", ref__in=named).order_by("idx")
    found: dict[UUID, tuple[Mark, ...]] = {}
    for index, ref in entries.values_list("idx", "ref"):
        if ref is not None:
            hold, decision = named[ref]
            mark = Mark(index, "from", {"hold": str(hold), "decision": decision})
            found[hold] = (*found.get(hold, ()), mark)
    return found


def _passed(asked: Asked) -> Answer:
    """Class by class: how often it was hit, what became of it, and what was taken out."""
    filters = asked.filters
    _, floor = audiences.floor_in_force()
    titles: Mapping[str, str] = floor.document["hold_classes"]
    names = [filters.field_class] if filters.field_class else sorted({*_BUSINESS, *titles})
    held: dict[str, dict[str, int]] = {}
    if not asked.is_auditor:
        rows = _holds(asked)
        if filters.recipient and not asked.is_forum:
            rows = rows.filter(circle__seats__member_id=filters.recipient).distinct()
        for row in rows.values("field_class", "state").annotate(n=Count("id", distinct=True)):
            held.setdefault(row["field_class"], {})[row["state"]] = row["n"]
    removed = _removed(asked) if not _counsel_alone(asked) else {}
    columns = [Column("class", "Class"), Column("title", "What it is")]
    if not asked.is_auditor:
        columns += [
            Column("hits", "Held", "number"),
            Column("open", "Not decided", "number"),
            Column("refused", "Refused", "number"),
            Column("released", "Released by counsel", "number"),
        ]
    columns += [Column("removed", "Objects it was taken out of", "number")] if removed else []
    lines = [
        (Line(_row(name, titles, held.get(name, {}), removed, asked)), cursor(name))
        for name in names
    ]
    lines += [
        (Line(_row(name, titles, {}, removed, asked)), cursor(name))
        for name in sorted(removed)
        if not filters.field_class
    ]
    note = (
        "Detectors are tripwires; free text never passes, whatever they say. Samples stay with "
        "counsel: open a hold to read one, and its contributor is told."
    )
    return Answer(tuple(columns), *paged(lines, 200), (note,))


def _counsel_alone(asked: Asked) -> bool:
    return asked.is_forum and not asked.is_auditor


def _row(
    name: str,
    titles: Mapping[str, str],
    held: Mapping[str, int],
    removed: Mapping[str, int],
    asked: Asked,
) -> tuple[Any, ...]:
    cells: list[Any] = [name, titles.get(name, "fields of this class")]
    if not asked.is_auditor:
        waiting = held.get("open", 0) + held.get("asked", 0)
        cells += [sum(held.values()), waiting, held.get("refused", 0), held.get("released", 0)]
    cells += [removed.get(name, 0)] if removed else []
    return tuple(cells)


_REMOVED = "SELECT class, n FROM weir_removed(%s::uuid, %s::uuid, %s::timestamptz, %s::timestamptz)"


def _removed(asked: Asked) -> dict[str, int]:
    """How many objects that left had something of a class taken out: never for a recipient."""
    filters = asked.filters
    given = [filters.contributor, filters.recipient, filters.start, filters.end]
    with connection.cursor() as run:
        run.execute(_REMOVED, given)
        return dict(run.fetchall())


def _named(asked: Asked) -> Answer:
    """What named a company and left: who approved it, and what became of it since."""
    rows = _holds(asked).filter(state=Hold.State.RELEASED)
    if not asked.filters.field_class:
        rows = rows.filter(field_class__in=_NAMES)
    shown, more = _page(asked, rows)
    acts = _acts(shown)
    marks = _marks(asked, shown, acts)
    objects = [row.outcome.version.object_id for row in shown]
    recalls = {one.object_id: one for one in Recall.objects.filter(object_id__in=objects)}
    back = {one.object_id: one for one in Revocation.objects.filter(object_id__in=objects)}
    columns = (
        Column("approved", "Approved", "when"),
        Column("class", "Class"),
        Column("type", "Type", "kind"),
        Column("by", "Approved by"),
        Column("reason", "Written reason"),
        Column("left", "Left", "when"),
        Column("withdrawn", "Taken back", "when"),
        Column("told", "Recipients told", "number"),
        Column("of", "Of", "number"),
        Column("last", "Last acknowledged", "when"),
    )
    lines = []
    for row in shown:
        object_id = row.outcome.version.object_id
        recall, revocation = recalls.get(object_id), back.get(object_id)
        told, of, last = progress(recall.id) if recall else (None, None, None)
        withdrawn = recall.at if recall else revocation.done_at if revocation else None
        lines.append(
            Line(
                (
                    row.decided_at,
                    row.field_class,
                    row.stix_type,
                    "; ".join(_by(act, asked) for act in acts[row.id] if act.act == "release"),
                    " / ".join(written.said(act) for act in acts[row.id]),
                    row.outcome.released_at,
                    withdrawn,
                    told,
                    of,
                    last,
                ),
                marks=marks.get(row.id, ()),
                link=("recall", str(recall.id)) if recall else ("hold", str(row.id)),
            )
        )
    return Answer(columns, tuple(lines), more)


def progress(recall_id: UUID) -> tuple[int, int, datetime | None]:
    """How many recipients have acknowledged a recall, of how many, and when the last one did."""
    with connection.cursor() as run:
        run.execute("SELECT state, at FROM weir_recall_progress(%s)", [recall_id])
        rows = run.fetchall()
    taken = [at for state, at in rows if state == "acknowledged"]
    return len(taken), len(rows), max(taken, default=None)


QUESTIONS = (
    Question(
        6,
        _GROUP,
        "That no price, cost, capacity or roadmap data passed",
        "Hits by class and what became of them, and out of how many objects that left something "
        "of a class was taken.",
        ("recipient", "contributor", "field_class", *_PERIOD),
        OF_A_MEMBER | {FORUM_OFFICER, FORUM_COUNSEL},
        _passed,
    ),
    Question(
        7,
        _GROUP,
        "Which objects were held, who decided, and why",
        "Each hold with its reason, its decision, the written words and how long it took.",
        ("field_class", "rule", "person", "circle", *_PERIOD),
        OF_A_MEMBER | {FORUM_COUNSEL},
        _held,
    ),
    Question(
        8,
        _GROUP,
        "Which holds were released although a detector had fired",
        "Released holds that a tripwire set off, with the words of who released them.",
        ("field_class", "rule", "person", "circle", *_PERIOD),
        OF_A_MEMBER | {FORUM_COUNSEL},
        _overruled,
    ),
    Question(
        16,
        _GROUP,
        "What named a company, who approved, and whether it was taken back",
        "Released holds of the classes that name somebody, with recall and acknowledgements.",
        ("field_class", "person", "circle", *_PERIOD),
        OF_A_MEMBER | {FORUM_COUNSEL},
        _named,
    ),
)
