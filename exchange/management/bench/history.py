"""Twelve months of a forum of twenty: releases, holds, corrections, looks, numbered and proven.

Written straight into the database, for what is measured is asking. The ledger is not: each
release has its slots, and the sequencer itself numbers them and signs each head.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import orjson
from django.conf import settings
from django.db import connection

from exchange import ledger, statistics, tables
from exchange.management.bench import forum, holding
from exchange.models import FloorPolicy, MemberPolicyVersion, Preview, VerdictDocument
from exchange.policy import decide, terms
from exchange.policy.outcomes import Context
from exchange.proof import jcs
from exchange.signers import signer_for
from members import onboarding
from members.models import Member, User
from members.seals import Seal, for_member

MEMBERS, CIRCLES, SEATS = 20, 10, 3
GROUP = 10  # releases about one campaign
FLOORS, POLICIES = 6, 3
PERSON = "heron@lab0.example"
_YEAR = timedelta(days=365)
_SEEDED = """
CREATE TEMPORARY TABLE seeded AS
SELECT i, md5('release' || i)::uuid AS release, md5('object' || i)::uuid AS object,
    md5('given' || i / %(group)s)::uuid AS contribution,
    (i / %(group)s) %% %(circles)s AS circle,
    (i / %(group)s / %(circles)s) %% %(seats)s AS turn,
    %(start)s::timestamptz + (i::float8 / %(count)s) * interval '365 days' AS at,
    CASE i %% %(group)s WHEN 0 THEN 'campaign' WHEN 1 THEN 'relationship' ELSE 'indicator' END
        AS type,
    1 + i * %(floors)s / %(count)s AS floor, 1 + i * %(policies)s / %(count)s AS policy
FROM generate_series(0, %(count)s - 1) AS i
"""
_BODIES = """
CREATE TEMPORARY TABLE said AS
SELECT i, type || '--' || object AS stix_id, to_char(at AT TIME ZONE 'UTC',
        'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS modified,
    convert_to(CASE type
        WHEN 'campaign' THEN '{"created":"2026-01-01T00:00:00.000Z","id":"campaign--' || object
            || '","name":"XC-2026-' || upper(substr(md5(i::text), 1, 5)) || '","type":"campaign"}'
        WHEN 'relationship' THEN '{"id":"relationship--' || object
            || '","relationship_type":"indicates","source_ref":"indicator--'
            || md5('object' || i + 1)::uuid || '","target_ref":"campaign--'
            || md5('object' || i - 1)::uuid || '","type":"relationship"}'
        ELSE replace(%(template)s, %(id)s, 'indicator--' || object)
    END, 'UTF8') AS body
FROM seeded
"""
_ROWS = (
    """
    INSERT INTO indicators_contribution (id, member_id, circle_id, source, default_basis,
        attributed, state, received_at, accepted_at, total, successes, failures)
    SELECT DISTINCT ON (contribution) contribution, giver.member, giver.circle, 'taxii', '{}',
        false, 'complete', at, at, %(group)s, %(group)s, 0
    FROM seeded JOIN giver USING (circle_n, turn)
    """,
    """
    INSERT INTO indicators_forumobject
        (id, member_id, id_digest, sealed_id, stix_type, name, state, created_at, minted_at)
    SELECT object, giver.member, sha256(object::text::bytea), '', type,
        CASE type WHEN 'campaign' THEN 'XC-2026-' || upper(substr(md5(i::text), 1, 5)) ELSE '' END,
        'live', at, at
    FROM seeded JOIN giver USING (circle_n, turn)
    """,
    """
    INSERT INTO indicators_version (id, object_id, member_id, contribution_id, position,
        modified_ns, content_digest, is_late)
    SELECT 1 + i, object, giver.member, contribution, i %% %(group)s, i, '', false
    FROM seeded JOIN giver USING (circle_n, turn)
    """,
    """
    INSERT INTO exchange_outcome (id, version_id, circle_id, member_id, contribution_id, floor_id,
        outcome, sensitivity, due_at, released_at, replaced)
    SELECT 1 + i, 1 + i, giver.circle, giver.member, contribution, floors.id, 'accepted', 'S1', at,
        at, false
    FROM seeded JOIN giver USING (circle_n, turn) JOIN floors ON floors.n = floor
    """,
    """
    INSERT INTO exchange_rendition (id, object_id, version_id, stix_id, stix_type, modified, body,
        digest, content_digest, takes_back, has_later)
    SELECT 1 + i, object, 1 + i, said.stix_id, type, said.modified, said.body, sha256(said.body),
        sha256(said.body), false, false
    FROM seeded JOIN said USING (i)
    """,
    """
    INSERT INTO exchange_searchentry (rendition_id, stix_type, kind, phases, words)
    SELECT 1 + i, type, '', '{}', '{}' FROM seeded
    """,
    """
    INSERT INTO exchange_searchvalue (rendition_id, digest)
    SELECT 1 + i, sha256(('value' || i)::bytea) FROM seeded
    """,
    """
    INSERT INTO indicators_observable (version_id, member_id, kind, digest)
    SELECT 1 + i, giver.member, 'domain-name', sha256(('kept' || i)::bytea)
    FROM seeded JOIN giver USING (circle_n, turn)
    """,
    """
    INSERT INTO exchange_servednote
        (recipient_id, user_id, via, first_seq, last_seq, at)
    SELECT member.id, NULL, CASE WHEN n %% 20 = 0 THEN 'taxii-own' ELSE 'taxii' END,
        n * %(held)s / %(notes)s, (n + 1) * %(held)s / %(notes)s,
        %(start)s::timestamptz + (n::float8 / %(notes)s) * interval '365 days'
    FROM members_member member, generate_series(0, %(notes)s - 1) AS n
    """,
    """
    INSERT INTO exchange_hold (id, outcome_id, member_id, circle_id, field_class, rule, reason,
        basis, places, stix_type, approvers, approved, turn, state, opened_at, decided_at)
    SELECT md5('hold' || i)::uuid, 1 + i, giver.member, giver.circle,
        (ARRAY['C01', 'C02', 'C05', 'C07', 'C13'])[1 + i / 20 %% 5],
        'floor/1/hold/' || (ARRAY['C01', 'C02', 'C05', 'C07', 'C13'])[1 + i / 20 %% 5] || '/text',
        'A tripwire was set off.', '', CASE WHEN i / 20 %% 3 = 0 THEN '{description}'::text[]
        ELSE '{}' END, type, '{forum-counsel}', '{forum-counsel}', 1,
        CASE i / 20 %% 4 WHEN 0 THEN 'refused' ELSE 'released' END, at, at + interval '3 hours'
    FROM seeded JOIN giver USING (circle_n, turn) WHERE i %% 20 = 2
    """,
    """
    INSERT INTO exchange_feedback
        (id, object_id, member_id, version_id, circle_id, disposition, at, answer, sealed_note)
    SELECT md5('said' || i)::uuid, object, giver.member, 1 + i, giver.circle, 'false-positive', at,
        '', '' FROM seeded JOIN giver USING (circle_n, turn) WHERE i %% 200 = 3
    """,
    """
    INSERT INTO exchange_recall
        (id, object_id, member_id, reason, sealed_note, role, erases, at, told_at)
    SELECT md5('back' || i)::uuid, object, giver.member, 'false-positive', '', 'analyst', false,
        at + interval '1 day', at + interval '1 day'
    FROM seeded JOIN giver USING (circle_n, turn) WHERE i %% 400 = 3
    """,
    """
    INSERT INTO exchange_questionview
        (member_id, user_id, role, question, form, filters, at)
    SELECT person.member_id, person.id, 'officer', 'q' || 1 + n %% 20,
        CASE WHEN n %% 5 = 0 THEN 'bytes' ELSE 'screen' END, '{}',
        %(start)s::timestamptz + (n::float8 / %(looks)s) * interval '365 days'
    FROM members_user person, generate_series(0, %(looks)s - 1) AS n
    WHERE person.member_id IS NOT NULL
    """,
    """
    INSERT INTO exchange_originalread (version_id, member_id, user_id, role, sealed, at, written_in)
    SELECT 1 + i, giver.member, %(counsel)s, 'forum-counsel', '', at, 0
    FROM seeded JOIN giver USING (circle_n, turn) WHERE i %% 500 = 2
    """,
    """
    INSERT INTO exchange_lookedback (release_id, rendition_id, member_id, verdict, classes, rules,
        fault, at)
    SELECT release, 1 + i, giver.member, %(verdict)s, %(classes)s, %(rules)s, '', at
    FROM seeded JOIN giver USING (circle_n, turn)
    """,
)
_PARTS = """
INSERT INTO exchange_releaserecipient (id, release_id, recipient_id, member_id, told_here)
SELECT 1 + i * %(seats)s + seat.turn, release, seat.member, giver.member, true
FROM seeded JOIN giver USING (circle_n, turn) JOIN giver AS seat ON seat.circle_n = seeded.circle_n
"""
_ITEMS = """
INSERT INTO exchange_releaseitem
    (id, release_id, position, rendition_id, outcome_id, superseded, recalled)
SELECT 1 + i, release, 0, 1 + i, 1 + i, false, false FROM seeded
"""
_SEQUENCES = (
    "indicators_version", "exchange_outcome", "exchange_rendition", "exchange_releaseitem",
    "exchange_releaserecipient",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class History:
    """A forum with a year behind it, and the people who ask about it."""

    count: int
    start: datetime
    end: datetime
    officer: User
    forum_officer: User
    forum_counsel: User
    member: Member
    other: Member
    campaign: str
    object: str
    seconds: float = 0


def fill(count: int, *, now: datetime) -> History:
    """So many releases, each of one object to the three members of a circle."""
    end = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    start = end - _YEAR
    made = _founded(start)
    digest, classes, rules = _verdict(start)
    given = {
        "count": count,
        "start": start,
        "group": GROUP,
        "circles": CIRCLES,
        "seats": SEATS,
        "floors": FLOORS,
        "policies": POLICIES,
        "template": holding.template(start).decode(),
        "id": "indicator--00000000-0000-4000-8000-000000000000",
        "notes": max(count // 100, 1),
        "held": count * SEATS // MEMBERS,
        "looks": max(count // 100, 1),
        "counsel": made["counsel"].id,
        "verdict": digest,
        "classes": classes,
        "rules": rules,
    }
    with connection.cursor() as run:
        _name_seats(run, made["circles"])
        run.execute(_SEEDED, given)
        run.execute("ALTER TABLE seeded RENAME COLUMN circle TO circle_n")
        run.execute("CREATE INDEX ON seeded (i)")
        run.execute(_BODIES, given)
        run.execute("CREATE INDEX ON said (i)")
        for statement in _ROWS[:5]:
            run.execute(statement, given)
        _releases(run, digest.hex())
        run.execute(_ITEMS, given)
        run.execute(_PARTS, given)
        for statement in _ROWS[5:]:
            run.execute(statement, given)
        for table in _SEQUENCES:
            run.execute(f"SELECT setval('{table}_id_seq', (SELECT max(id) FROM {table}))")  # noqa: S608 - names of this module
    _number(count, start)
    _rest(made, start, end)
    with connection.cursor() as run:
        run.execute("DROP TABLE seeded, said, giver, floors")
        run.execute("VACUUM (ANALYZE)")
        run.execute(
            "SELECT 'campaign--' || object.id FROM indicators_forumobject object "
            "WHERE stix_type = 'campaign' AND member_id = %s ORDER BY created_at DESC LIMIT 1",
            [made["members"][0].id],
        )
        campaign = run.fetchone()[0]
        run.execute(
            "SELECT stix_id FROM exchange_rendition said JOIN indicators_forumobject object "
            "ON object.id = said.object_id WHERE object.member_id = %s "
            "AND said.stix_type = 'indicator' ORDER BY said.id DESC LIMIT 1",
            [made["members"][0].id],
        )
        newest = run.fetchone()[0]
    return History(
        count=count,
        start=start,
        end=end,
        officer=made["officers"][0],
        forum_officer=made["officer"],
        forum_counsel=made["counsel"],
        member=made["members"][0],
        other=made["members"][1],
        campaign=campaign,
        object=newest,
    )


def _founded(start: datetime) -> dict[str, Any]:
    """Members, circles, people, and the versions of policies that came one after another."""
    forum.found(now=start)
    labs = [
        onboarding.create_member(f"Lab {n}", verified_domains=[f"lab{n}.example"], now=start)
        for n in range(MEMBERS)
    ]
    circles = [
        onboarding.create_circle(
            f"Circle {n}", [labs[(2 * n + seat) % MEMBERS] for seat in range(SEATS)], now=start
        )
        for n in range(CIRCLES)
    ]
    officers = [
        onboarding.create_person(
            onboarding.Person(f"officer@{lab.slug}.example", "Officer", ("officer",), lab)
        )
        for lab in labs
    ]
    people = {
        role: onboarding.create_person(
            onboarding.Person(f"{role}@forum.example", role.capitalize(), (role,), None)
        )
        for role in ("officer", "counsel", "operator")
    }
    _policies(labs, start)
    uris = {name: getattr(settings, f"SIGNER_{name.upper()}") for name in ("ledger", "bundle")}
    for purpose, uri in uris.items():
        # A key is good for a year; these are in their last month.
        ledger.announce(purpose, signer_for(uri).public, now=start + timedelta(days=20))
    return {"members": labs, "circles": circles, "officers": officers, **people}


def _policies(labs: list[Member], start: datetime) -> None:
    shipped = terms.shipped_floor()
    for version in range(2, FLOORS + 1):
        document = {**shipped, "version": version, "days_at_most": 100 + version}
        FloorPolicy.objects.create(
            document=document,
            digest=sha256(jcs.encode(document)).digest(),
            version=str(version),
            effective_at=start + _YEAR * ((version - 1) / FLOORS),
        )
    for lab in labs:
        for version in range(1, POLICIES + 1):
            own = {"version": version, "days_at_most": 50 + 10 * version}
            MemberPolicyVersion.objects.create(
                member=lab,
                document=own,
                digest=sha256(jcs.encode(own)).digest(),
                effective_at=start + _YEAR * ((version - 1) / POLICIES),
            )


def _verdict(start: datetime) -> tuple[bytes, list[str], list[str]]:
    """The verdict that these releases record, kept by its digest."""
    floor = terms.Floor.parse(terms.shipped_floor())
    entitled = terms.Entitlement("reader", frozenset({"circle"}), True, "amber+strict", True)  # noqa: FBT003 - a row
    joined = terms.join(
        floor, terms.MemberPolicy.none(), entitled, contributor="other", circle="circle",
        on=start.date(),
    )  # fmt: skip
    obj = json.loads(holding.template(start))
    (standing,) = decide.standing([obj], Context("other", "circle", (), start), floor)
    made = decide.verdict(obj, standing, joined)
    digest = bytes.fromhex(made.digest)
    VerdictDocument.objects.create(digest=digest, document=made.document())
    changed = [ruling for _, ruling in made.rulings if ruling.treatment.name != "PASS"]
    classes = sorted({ruling.field_class for ruling in changed})
    return digest, classes, sorted({ruling.rule for ruling in changed})


def _name_seats(run: Any, circles: list[Any]) -> None:  # noqa: ANN401 - Django's cursor wrapper
    """Which member has which turn in which circle, and the floors by their numbers."""
    run.execute("CREATE TEMPORARY TABLE giver (circle_n int, turn int, circle uuid, member uuid)")
    for n, circle in enumerate(circles):
        seats = circle.seats.order_by("id").values_list("member_id", flat=True)
        for turn, member_id in enumerate(seats):
            run.execute(
                "INSERT INTO giver VALUES (%s, %s, %s, %s)", [n, turn, circle.id, member_id]
            )
    run.execute(
        "CREATE TEMPORARY TABLE floors AS "
        "SELECT row_number() OVER (ORDER BY id) AS n, id FROM exchange_floorpolicy"
    )


_READ = """
SELECT release, contribution, giver.member, giver.circle, floors.id, policies.id, at,
    said.stix_id, said.modified, sha256(said.body), octet_length(said.body)
FROM seeded JOIN said USING (i) JOIN giver USING (circle_n, turn) JOIN floors ON floors.n = floor
JOIN (SELECT id, member_id, row_number() OVER (PARTITION BY member_id ORDER BY id) AS n
      FROM exchange_memberpolicyversion) policies
    ON policies.member_id = giver.member AND policies.n = policy
ORDER BY i
"""
_COPY = """
COPY exchange_release (id, kind, contribution_id, member_id, circle_id, floor_id, policy_id,
    circle_only, nominal_at, committed_at, count, size, listing, slots, told, reason) FROM STDIN
"""


def _releases(run: Any, verdict: str) -> None:  # noqa: ANN401 - Django's cursor wrapper
    """The release rows, with sealed slots and lists as the verb writes them."""
    floors = {row.id: bytes(row.digest).hex() for row in FloorPolicy.objects.all()}
    own = {row.id: bytes(row.digest).hex() for row in MemberPolicyVersion.objects.all()}
    slots = Seal(settings.LEDGER_SLOT_KEY)
    seals = {pk: for_member(pk) for pk in Member.objects.values_list("id", flat=True)}
    run.execute(_READ)
    rows = run.fetchall()
    with run.copy(_COPY) as copy:
        for release, contribution, member, circle, floor, policy, at, *said in rows:
            stix_id, modified, digest, size = said
            listing = [[stix_id, modified, bytes(digest).hex()]]
            common = {"release": str(release), "floor": floors[floor]}
            one = {"id": stix_id, "version": modified, "rendition": bytes(digest).hex()}
            whole = {**common, **one, "policy": own[policy], "verdict": verdict}
            whole["source"] = sha256(stix_id.encode()).hexdigest()
            audit = {"release": str(release), "rules": ["floor/1/volume"], "basis": "contract-only"}
            fields = {"to": {**common, **one}, "from": whole, "audit": audit}
            told = seals[member].seal(orjson.dumps(listing), aad=b"told:" + release.bytes)
            sealed = slots.seal(jcs.encode(fields), aad=b"release:" + release.bytes)
            copy.write_row(
                (release, "release", contribution, member, circle, floor, policy, False, at, at, 1,
                 size, jcs.encode(listing), sealed, told, "")
            )  # fmt: skip


def _number(count: int, start: datetime) -> None:
    """The sequencer numbers all of it, batch by batch through the year, and signs each head."""
    signer = signer_for(settings.SIGNER_LEDGER)
    parts = count * SEATS
    batches = max(-(-parts // 4_900), 1)
    first = 1
    for batch in range(1, batches + 1):
        last = parts * batch // batches
        with connection.cursor() as run:
            run.execute(
                "INSERT INTO ledger_intake (kind, ref) "
                "SELECT 'release', id FROM exchange_releaserecipient WHERE id BETWEEN %s AND %s",
                [first, last],
            )
        at = start + _YEAR * (batch / batches)
        while ledger.integrate(now=at):
            pass
        ledger.publish(signer, now=at)
        first = last + 1


def _rest(made: dict[str, Any], start: datetime, end: datetime) -> None:
    """Statistics, a finished replay, an attestation and a public body."""
    statistics.make_due(now=end)
    while tables.judge(now=end):
        pass
    own = made["members"][0]
    newest = MemberPolicyVersion.objects.filter(member=own).order_by("-id").first()
    if newest is not None:
        Preview.objects.create(
            kind="member", member=own, user=made["officers"][0], document=newest.document,
            digest=newest.digest, against=newest.document, against_digest=newest.digest,
            is_against_force=False, since=start, until=end, state="finished", created_at=end,
            finished_at=end, moved_at=end, expected_seconds=1,
        )  # fmt: skip
    with connection.cursor() as run:
        run.execute("INSERT INTO exchange_lookback (id, seen, at) VALUES (1, 0, %s)", [end])
        run.execute(
            "INSERT INTO exchange_nature (member_id, is_public_body, stated_by_id, at) "
            "VALUES (%s, true, %s, %s)",
            [made["members"][1].id, made["operator"].id, start],
        )
        run.execute(
            "INSERT INTO exchange_previewline (preview_id, member_id, outcome_id, object_id, "
            "stix_type, way, path, field_class, before, after, rule_before, rule_after, audiences, "
            "classes) SELECT (SELECT id FROM exchange_preview), %s, row.id, object.id, "
            "object.stix_type, 'shown', 'confidence', 'technical', 'drop', 'pass', '', '', '{}', "
            "'{}' FROM exchange_outcome row JOIN indicators_version v ON v.id = row.version_id "
            "JOIN indicators_forumobject object ON object.id = v.object_id "
            "WHERE row.member_id = %s",
            [own.id, own.id],
        )
        run.execute(
            "INSERT INTO exchange_attestation (id, member_id, user_id, stix_id, rendition_digest, "
            "tlp_received, tlp_passed, whom, passed_on, sealed, text_digest, at) "
            "SELECT md5('attest' || n)::uuid, %s, %s, 'indicator--x', '', 'green', 'green', "
            "'authority', current_date, %s, '', %s::timestamptz - n * interval '1 day' "
            "FROM generate_series(1, 300) n",
            [own.id, made["officers"][0].id, b"", end],
        )
    _sealed_words(own)


def _sealed_words(own: Member) -> None:
    """The attested words and the counsel's reasons, sealed as they are when they are written."""
    with connection.cursor() as run:
        run.execute("ALTER TABLE exchange_attestation DISABLE TRIGGER only_grows")
        run.execute("SELECT id FROM exchange_attestation")
        for (made,) in list(run.fetchall()):
            words = for_member(own.id).seal(b"By its portal.", aad=b"attestation:" + made.bytes)
            run.execute("UPDATE exchange_attestation SET sealed = %s WHERE id = %s", [words, made])
        run.execute("ALTER TABLE exchange_attestation ENABLE TRIGGER only_grows")
        run.execute(
            "SELECT id, version_id FROM exchange_originalread WHERE member_id = %s", [own.id]
        )
        for read, version in list(run.fetchall()):
            words = for_member(own.id).seal(b"To judge it.", aad=b"original-read:%d" % version)
            run.execute("UPDATE exchange_originalread SET sealed = %s WHERE id = %s", [words, read])
