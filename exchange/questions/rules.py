"""Which rules applied, what loosened them, and whether they were kept (questions 9 to 12)."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from django.db.models import Q

from exchange import audiences, ledger, lookback, replay
from exchange.models import (
    FloorPolicy,
    JudgedTable,
    LedgerEntry,
    LedgerEvent,
    LookBack,
    LookedBack,
    MemberPolicyVersion,
    Preview,
    ReleaseAgain,
    StatisticsTable,
)
from exchange.policy import changes
from exchange.policy.documents import Kind
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

_GROUP = "Which rules applied"
_PERIOD = ("since", "until")


def _loosened(asked: Asked) -> Answer:
    """Policies that let anybody see more than the one before."""
    found = [
        *_versions(FloorPolicy.objects.order_by("id"), "floor", asked),
        *(_own_versions(asked) if not asked.is_forum else ()),
    ]
    found.sort(key=lambda one: one[0], reverse=True)
    place = asked.after()
    if place:
        found = [one for one in found if one[0] < moment(place[0])]
    columns = (
        Column("since", "In force", "when"),
        Column("policy", "Policy"),
        Column("version", "Version"),
        Column("drafted", "Asked for by"),
        Column("approved", "Approved by"),
        Column("what", "What it loosened"),
        Column("exposed", "Objects released again under it", "number"),
        Column("note", "Note"),
    )
    lines = [(line, cursor(at)) for at, line in found]
    note = (
        "A loosening acts forward only. Old objects leave under it by an act of their own, which "
        "its member orders behind a preview; what that let go is counted here."
    )
    return Answer(columns, *paged(lines, asked.limit), (note,))


def _own_versions(asked: Asked) -> Iterable[tuple[datetime, Line]]:
    rows = MemberPolicyVersion.objects.filter(member_id=asked.member_id)
    return _versions(rows.order_by("id"), "member", asked)


def _versions(rows: Any, kind: Kind, asked: Asked) -> list[tuple[datetime, Line]]:  # noqa: ANN401 - versions of either kind
    found = []
    before: dict[str, Any] | None = None
    for row in rows.select_related("drafted_by"):
        old, before = before, row.document
        if old is None or not _is_within(row.effective_at, asked):
            continue
        looser = [one for one in changes.compare(old, row.document, kind) if one.word == "looser"]
        if not looser:
            continue
        approver = row.activated_by if isinstance(row, FloorPolicy) else row.approved_by
        cells = (
            row.effective_at,
            "the floor" if kind == "floor" else "your own",
            str(row.document.get("version", "")),
            row.drafted_by.name if row.drafted_by else "",
            approver.name if approver else "",
            " ".join(one.sentence for one in looser),
            _again(row) if kind == "member" else None,
            row.note,
        )
        found.append((row.effective_at, Line(cells, marks=_policy_marks(row, kind, asked))))
    return found


def _is_within(at: datetime, asked: Asked) -> bool:
    start, end = asked.filters.start, asked.filters.end
    return (start is None or at >= start) and (end is None or at < end)


def _again(row: MemberPolicyVersion) -> int:
    """Objects that its member let go anew while this version was the one in force."""
    later = MemberPolicyVersion.objects.filter(member_id=row.member_id, id__gt=row.id)
    until = later.order_by("id").values_list("effective_at", flat=True).first()
    acts = ReleaseAgain.objects.filter(member_id=row.member_id, at__gte=row.effective_at)
    acts = acts.filter(at__lt=until) if until else acts
    return sum(acts.values_list("objects_again", flat=True))


def _policy_marks(row: Any, kind: Kind, asked: Asked) -> tuple[Mark, ...]:  # noqa: ANN401 - either kind
    digest = bytes(row.digest).hex()
    if kind == "floor":
        index = _floor_entries(asked).get(digest)
        return (Mark(index, "to", {"digest": digest}),) if index is not None else ()
    events = LedgerEvent.objects.filter(
        kind="policy", at=row.effective_at, from_member_id=asked.member_id
    )
    entries = LedgerEntry.objects.filter(kind="policy", ref__in=events.values("id"))
    indexes = entries.values_list("idx", flat=True)[:1]
    return tuple(Mark(index, "from", {"digest": digest}) for index in indexes)


def _floor_entries(asked: Asked) -> dict[str, int]:
    """The entries of floors by the digest of each: their slot is shown to all."""
    rows = LedgerEntry.objects.filter(
        kind="policy",
        to_member__isnull=True,
        from_member__isnull=True,
        idx__lt=ledger.published_size(),
    )
    places = [(idx, "to") for idx in rows.values_list("idx", flat=True)]
    found = {}
    for opening in ledger.openings_at(asked.principal, places).values():
        fields = orjson.loads(opening.value)
        if fields.get("policy") == "floor":
            found[fields["digest"]] = opening.index
    return found


def _replayed(asked: Asked) -> Answer:
    """What today's policy would have released otherwise of a past period: a finished preview."""
    columns = (
        Column("object", "Object", "code"),
        Column("type", "Type", "kind"),
        Column("way", "It would be"),
        Column("path", "Field", "code"),
        Column("class", "Class"),
        Column("before", "Then"),
        Column("after", "Under today's policy"),
        Column("rule", "Because of", "code"),
        Column("whom", "For"),
    )
    row = _finished(asked)
    if row is None:
        note = (
            "Nobody has replayed this period under the policy that is in force now. Start the "
            "replay: it runs on a worker, and its answer stands here when it has finished."
        )
        return Answer(columns, (), notes=(note,))
    place = asked.after()
    way = str(place[0]) if place else "visible"
    after = int(place[1]) if place else 0
    page = replay.lines(asked.principal, row.id, replay.Filters(way=way, after=after))
    lines = tuple(
        Line(
            (
                f"{one.stix_type}--{one.object_id}",
                one.stix_type,
                one.way,
                one.path,
                one.field_class,
                one.before,
                one.after,
                one.rule_after or one.rule_before,
                "; ".join(", ".join(each.names) or "the circle" for each in one.audiences),
            ),
            link=("preview", str(row.id)),
        )
        for one in page.lines
    )
    more = cursor(way, page.more) if page.more is not None else ""
    if not more and way == "visible":
        more = cursor("covered", 0)
    note = f"{row.total} objects were looked at; {row.shown} lines say more, {row.hidden} say less."
    return Answer(columns, lines, more, (note,))


def _finished(asked: Asked) -> Preview | None:
    kind, member_id, digest = _today(asked)
    rows = replay.finished_of(kind, member_id, digest)
    start, end = asked.filters.start, asked.filters.end
    if start is not None:
        rows = rows.filter(since=start)
    if end is not None:
        rows = rows.filter(until=min(end, asked.now)) if end <= asked.now else rows
    return rows.order_by("-finished_at").first()


def _today(asked: Asked) -> tuple[str, UUID | None, bytes]:
    if asked.is_forum:
        floor_id, _ = audiences.floor_in_force()
        document = FloorPolicy.objects.values_list("document", flat=True).get(pk=floor_id)
        return replay.FLOOR, None, replay.digest_of(document)
    member_id = asked.member_id
    rows = MemberPolicyVersion.objects.filter(member_id=member_id).order_by("-id")
    document = rows.values_list("document", flat=True).first() or {}
    return replay.MEMBER, member_id, replay.digest_of(document)


def _forbidden(asked: Asked) -> Answer:
    """What was looked back at and differs from what the recorded policies let pass."""
    filters = asked.filters
    rows = LookedBack.objects.exclude(fault__in=("", lookback.GONE))
    if not asked.is_forum:
        rows = rows.filter(member_id=asked.member_id)
    rows = filters.within(rows, "release__committed_at")
    place = asked.after()
    if place:
        rows = rows.filter(id__lt=int(place[0]))
    found = list(rows.order_by("-id")[: asked.limit + 1])
    shown = found[: asked.limit]
    entries = _entries_of([row.release_id for row in shown], asked)
    columns = (
        Column("at", "Looked at", "when"),
        Column("release", "Release", "code"),
        Column("rendition", "Rendition", "number"),
        Column("fault", "What differs"),
    )
    lines = tuple(
        Line(
            (row.at, str(row.release_id), row.rendition_id, lookback.FAULTS[row.fault]),
            marks=entries.get(row.release_id, ()),
        )
        for row in shown
    )
    more = cursor(shown[-1].id) if len(found) > asked.limit else ""
    return Answer(columns, lines, more, tuple(_coverage(asked)))


def _entries_of(releases: Sequence[UUID], asked: Asked) -> dict[UUID, tuple[Mark, ...]]:
    slot = "audit" if asked.is_forum else "from"
    rows = lookback.entries_of(releases, auditor=asked.is_auditor)
    if asked.is_forum and not asked.is_auditor:
        return {}
    return {
        release: tuple(Mark(idx, slot, {"release": str(release)}) for idx in indexes)
        for release, indexes in rows.items()
    }


def _coverage(asked: Asked) -> Iterable[str]:
    at = LookBack.objects.filter(pk=1).values_list("at", flat=True).first()
    if at is None:
        yield "Nothing was looked back at yet."
        return
    looked = LookedBack.objects.all()
    if not asked.is_forum:
        looked = looked.filter(member_id=asked.member_id)
    yield (
        f"{looked.count():,} objects of releases were decided again under the policies that were "
        f"recorded for them; the last time on {at:%Y-%m-%d at %H:%M} UTC."
    )
    gone = looked.filter(fault=lookback.GONE).count()
    if gone:
        yield f"{gone:,} cannot be decided any more: their originals were erased."


def _told(asked: Asked) -> Answer:
    """Each released statistics table, and whether it keeps the rules that it was made under."""
    filters = asked.filters
    rows = StatisticsTable.objects.order_by("-period", "measure").select_related("floor")
    rows = filters.within(rows, "due_at")
    place = asked.after()
    if len(place) == 2:
        period, measure = str(place[0]), str(place[1])
        rows = rows.filter(Q(period__lt=period) | Q(period=period, measure__gt=measure))
    found = list(rows.prefetch_related("cells")[: asked.limit + 1])
    shown = found[: asked.limit]
    judged = {row.table_id: row for row in JudgedTable.objects.filter(table__in=shown)}
    columns = (
        Column("period", "Quarter"),
        Column("measure", "Measure"),
        Column("told", "Figures told", "number"),
        Column("suppressed", "Suppressed", "number"),
        Column("floor", "Floor"),
        Column("digest", "Digest in the ledger", "digest"),
        Column("judged", "Judged again", "when"),
        Column("fault", "What it breaks"),
    )
    lines = []
    for row in shown:
        figures = [cell.figure for cell in row.cells.all()]
        again = judged.get(row.pk)
        told = sum(figure is not None for figure in figures)
        fault = "not judged again yet" if again is None else again.fault or "nothing"
        lines.append(
            Line(
                (
                    row.period,
                    row.measure,
                    told,
                    len(figures) - told,
                    row.floor.version,
                    bytes(row.digest).hex(),
                    again.at if again else None,
                    fault,
                )
            )
        )
    more = cursor(shown[-1].period, shown[-1].measure) if len(found) > asked.limit else ""
    note = (
        "Each table is judged alone (contributors, share, age, without one) and together with all "
        "that was told before (subtraction)."
    )
    return Answer(columns, tuple(lines), more, (note,))


QUESTIONS = (
    Question(
        9,
        _GROUP,
        "Which policy changes loosened anything",
        "Who asked, who approved, what it loosened, and what was let go under it.",
        _PERIOD,
        OF_A_MEMBER | {FORUM_COUNSEL, FORUM_OFFICER},
        _loosened,
    ),
    Question(
        10,
        _GROUP,
        "What today's policy would have released of a past period",
        "The difference alone, from a replay of what was contributed then.",
        _PERIOD,
        OF_A_MEMBER | {FORUM_COUNSEL},
        _replayed,
        needs=("since",),
    ),
    Question(
        11,
        _GROUP,
        "Whether anybody received what the policy in force forbade",
        "Every recorded release is decided again under its recorded policies, all the time.",
        _PERIOD,
        OF_A_MEMBER | {FORUM_COUNSEL, FORUM_OFFICER},
        _forbidden,
    ),
    Question(
        12,
        _GROUP,
        "Whether a statistic was told that its rules forbid",
        "Every released table is judged again, alone and together with those before it.",
        _PERIOD,
        OF_A_MEMBER | {FORUM_COUNSEL, FORUM_OFFICER},
        _told,
    ),
)
