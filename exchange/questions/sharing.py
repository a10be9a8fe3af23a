"""Who got what, when, in which bytes, under which rule (questions 1 to 5, 15 and 18)."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from django.db import connection

from exchange.models import FloorPolicy, Nature
from exchange.policy import terms, tokens
from exchange.proof.answers import Mark
from exchange.questions import bytes_of
from exchange.questions.asking import (
    ALL,
    FORUM_OFFICER,
    GIVEN,
    OF_A_MEMBER,
    RECEIVED,
    Answer,
    Asked,
    Column,
    Line,
    Question,
    cursor,
    paged,
)
from exchange.questions.disclosed import Disclosed, disclosed, taken
from members.models import Member

_GROUP = "What was shared"
_ASKERS = OF_A_MEMBER | {FORUM_OFFICER}
_PERIOD = ("since", "until")
_WHEN = Column("when", "Released", "when")
_RECIPIENT = Column("recipient", "Recipient")
_CONTRIBUTOR = Column("contributor", "Contributor")
_OBJECT = Column("object", "Object", "code")
_TYPE = Column("type", "Type", "kind")
_DIGEST = Column("sha256", "SHA-256 of the bytes", "digest")
_RULES = Column("rules", "Rules that took something out", "rules")
_NO_TRACE = (
    "Of what your company received, nothing is said of who gave it or what it was made from."
)


def _received(asked: Asked) -> Answer:
    rows, more = disclosed(asked)
    return _listed(asked, rows, more)


def _listed(asked: Asked, rows: list[Disclosed], more: str) -> Answer:
    side = asked.side
    columns = [_WHEN, _RECIPIENT]
    columns += [_CONTRIBUTOR] if side == ALL else []
    columns += [
        Column("circle", "Circle"),
        _OBJECT,
        _TYPE,
        Column("act", "Act"),
        _DIGEST,
        Column("octets", "Octets", "number"),
        Column("floor", "Floor"),
    ]
    if side != RECEIVED:
        columns += [Column("policy", "Contributor's policy"), _RULES]
    lines = tuple(row.line(side, *_cells(row, side)) for row in rows)
    return Answer(tuple(columns), lines, more, (_NO_TRACE,) if side == RECEIVED else ())


def _cells(row: Disclosed, side: str) -> Iterator[Any]:
    yield from (row.added_at, row.whom)
    if side == ALL:
        yield row.contributor
    act = row.reason or row.kind
    yield from (row.circle, row.stix_id, row.stix_type, act, bytes(row.digest).hex(), row.octets)
    yield row.floor
    if side != RECEIVED:
        yield row.policy
        yield " ".join(row.rules) if row.rules is not None else "not looked back at yet"


def _who(asked: Asked) -> Answer:
    rows, more = disclosed(asked)
    side = asked.side
    knows_reads = side != GIVEN
    columns = [_WHEN, _RECIPIENT]
    columns += [_CONTRIBUTOR] if side == ALL else []
    columns += [_OBJECT, Column("version", "Version"), _DIGEST, Column("state", "Served now")]
    columns += [Column("taken", "Taken", "when"), Column("how", "How")] if knows_reads else []
    lines = []
    for row in rows:
        at, how = taken(row.part) if knows_reads else (None, "")
        cells: list[Any] = [row.added_at, row.whom]
        cells += [row.contributor] if side == ALL else []
        cells += [row.stix_id, row.modified, bytes(row.digest).hex()]
        cells += ["taken back" if row.recalled else "yes"]
        cells += [at, how or "could have, and did not fetch it"] if knows_reads else []
        lines.append(row.line(side, *cells))
    note = "Whether a recipient has fetched it is that recipient's, and the forum's auditors'."
    return Answer(tuple(columns), tuple(lines), more, () if knows_reads else (note,))


_SHARED = "SELECT * FROM weir_shared(%s::uuid, %s::uuid, %s::timestamptz, %s::timestamptz)"


def _shared(asked: Asked) -> Answer:
    filters = asked.filters
    given = [filters.contributor, filters.recipient, filters.start, filters.end]
    with connection.cursor() as run:
        run.execute(_SHARED, given)
        rows = run.fetchall()
    columns = [_CONTRIBUTOR] if asked.is_auditor else []
    columns += [
        _RECIPIENT,
        Column("circle", "Circle"),
        Column("floor", "Floor"),
        Column("policy", "Contributor's policy"),
        Column("releases", "Releases", "number"),
        Column("objects", "Objects", "number"),
        Column("first", "First", "when"),
        Column("last", "Last", "when"),
    ]
    slot = "audit" if asked.is_auditor else "from"
    skip = 0 if asked.is_auditor else 1
    start = int(asked.after()[0]) if asked.after() else 0
    lines = [
        (
            Line(row[skip:9], tuple(Mark(idx, slot) for idx in dict.fromkeys(row[9:]))),
            cursor(place),
        )
        for place, row in enumerate(rows, 1)
        if place > start
    ]
    return Answer(tuple(columns), *paged(lines, asked.limit))


def _chain(asked: Asked) -> Answer:
    """Field by field: what was contributed, what was done with it, what left."""
    filters = asked.filters
    rows: list[Disclosed] = []
    if filters.entry is not None or filters.object:
        rows, _ = disclosed(replace(asked, limit=1, cursor=""))
    columns = (
        Column("field", "Field", "code"),
        Column("submitted", "Submitted"),
        Column("class", "Class"),
        Column("treatment", "Treatment", "treatment"),
        Column("rule", "Rule", "code"),
        Column("basis", "Basis"),
        Column("emitted", "Emitted"),
    )
    if not rows:
        return Answer(columns, ())
    row = rows[0]
    seen = bytes_of.opened(asked.principal, row.idx, row.place)
    lines = [
        (
            row.line(
                asked.side,
                field.path,
                "sealed" if field.value is None else field.value,
                field.field_class,
                field.treatment,
                field.rule,
                field.basis,
                field.sent,
            ),
            cursor(place),
        )
        for place, field in enumerate(seen.fields, 1)
        if place > (int(asked.after()[0]) if asked.after() else 0)
    ]
    notes = (
        ()
        if not asked.is_auditor
        else (
            "What was submitted stays sealed: an original is read together with its contributor's "
            "officer.",
        )
    )
    return Answer(columns, *paged(lines, asked.limit), notes)


def _applied(asked: Asked) -> Answer:
    """The versions, the token's quarter and the legal basis that applied to a delivery."""
    rows, more = disclosed(asked, heads=not asked.filters.object)
    side = asked.side
    floors = {
        row.version: (bytes(row.digest).hex(), terms.Floor.parse(row.document))
        for row in FloorPolicy.objects.filter(version__in={row.floor for row in rows})
    }
    columns = [_WHEN, _RECIPIENT, Column("release", "Release", "code"), Column("floor", "Floor")]
    columns += [Column("floor_sha256", "Digest of the floor", "digest")]
    columns += [Column("policy", "Contributor's policy")] if side != RECEIVED else []
    columns += [Column("epoch", "Token quarter"), Column("basis", "Legal basis")]
    lines = []
    for row in rows:
        digest, floor = floors[row.floor]
        cells: list[Any] = [row.added_at, row.whom, str(row.release), row.floor, digest]
        cells += [row.policy or "none"] if side != RECEIVED else []
        cells += [tokens.epoch(row.nominal_at), floor.legal_basis(row.nominal_at.date())]
        lines.append(row.line(side, *cells))
    return Answer(tuple(columns), tuple(lines), more)


def _own_traces(asked: Asked) -> Answer:
    """What a member received that names its own domains."""
    me = asked.principal.member_id or asked.filters.recipient
    if not asked.is_auditor:
        asked = replace(asked, filters=replace(asked.filters, side=RECEIVED, recipient=None))
    if me is None:
        return _listed(asked, [], "")
    row = Member.objects.filter(pk=me).first()
    domains = [domain for domain in row.verified_domains if domain] if row else []
    if not domains:
        note = "No domain is verified for this member, so there is nothing to look for."
        return Answer(_listed(asked, [], "").columns, (), notes=(note,))
    rows, more = disclosed(asked, words=domains)
    listed = _listed(asked, rows, more)
    note = "Looked for: " + ", ".join(domains)
    return Answer(listed.columns, listed.lines, more, (*listed.notes, note))


def _public_bodies(asked: Asked) -> Answer:
    """What a member that is a public body sent or received."""
    newest = Nature.objects.order_by("member_id", "-id").distinct("member_id")
    bodies = [row.member_id for row in newest if row.is_public_body]
    if asked.principal.member_id in bodies:
        rows, more = disclosed(asked)
    elif not bodies:
        rows, more = [], ""
    else:
        rows, more = disclosed(asked, bodies=bodies)
    named = Member.objects.filter(pk__in=bodies).order_by("name").values_list("name", flat=True)
    listed = _listed(asked, rows, more)
    note = "Public bodies: " + (", ".join(named) or "none has been stated by the operator")
    return Answer(listed.columns, listed.lines, more, (*listed.notes, note))


QUESTIONS = (
    Question(
        1,
        _GROUP,
        "Everything a company received about a campaign",
        "Each object with its exact bytes, when it was released to whom, and the rules that took "
        "something out of it.",
        (
            "side",
            "recipient",
            "contributor",
            "circle",
            "campaign",
            "object",
            *_PERIOD,
            "field_class",
            "rule",
        ),
        _ASKERS,
        _received,
    ),
    Question(
        2,
        _GROUP,
        "Who has received an object",
        "When and in which form; and, where you may know it, who could have and did not fetch it.",
        ("object", "campaign", "side", "recipient", "contributor", "circle", *_PERIOD),
        _ASKERS,
        _who,
        needs=("object", "campaign"),
    ),
    Question(
        3,
        _GROUP,
        "What we shared, to whom, under which policies",
        "Sums by recipient, circle, floor and the contributor's own policy.",
        ("recipient", "contributor", *_PERIOD),
        _ASKERS,
        _shared,
    ),
    Question(
        4,
        _GROUP,
        "The chain of every field of an object",
        "What was submitted, what was done with it by which rule, and what left.",
        ("object", "entry", "recipient", "contributor"),
        _ASKERS,
        _chain,
        needs=("object", "entry"),
    ),
    Question(
        5,
        _GROUP,
        "What applied to a delivery",
        "The floor, the contributor's policy, the quarter of tokens and the legal basis.",
        ("entry", "object", "side", "recipient", "contributor", *_PERIOD),
        _ASKERS,
        _applied,
    ),
    Question(
        15,
        _GROUP,
        "What a member got about itself",
        "Objects that it received and that name one of its verified domains.",
        ("recipient", *_PERIOD),
        _ASKERS,
        _own_traces,
    ),
    Question(
        18,
        _GROUP,
        "What a public body sent or received",
        "Releases from and to members that the operator has stated to be public bodies.",
        ("side", "recipient", "contributor", "circle", *_PERIOD),
        _ASKERS,
        _public_bodies,
    ),
)
