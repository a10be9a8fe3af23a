"""A holding of any size, written straight into the database: what is measured is how it is read."""

from dataclasses import dataclass
from datetime import datetime

from django.db import connection

from exchange import search
from exchange.management.bench import forum, material
from exchange.models import FloorPolicy, Rendition
from exchange.policy import decide, render, terms, tokens
from exchange.policy.outcomes import Context
from members import credentials, onboarding
from members.auth import principal_of
from members.credentials import Wanted

LIST = 500
_TENTHS = 9
_ID = "indicator--00000000-0000-4000-8000-000000000000"
_MODIFIED = "2026-11-24T12:00:00.000001Z"
_ISSUER = "identity--11111111-1111-4111-8111-111111111111"
_OCTETS = 1_350
_NAMED = """
CREATE TEMPORARY TABLE seeded AS
SELECT i, i / %(list)s AS part, md5('release' || i / %(list)s)::uuid AS release,
    i < %(half)s AND i %% 10 < %(tenths)s AS is_old,
    -- What stands in the second half is a later version of what stands in the first.
    'indicator--' || overlay(overlay(md5('object' || CASE
        WHEN i >= %(half)s AND (i - %(half)s) %% 10 < %(tenths)s THEN i - %(half)s ELSE i
    END)::uuid::text placing '4' from 15) placing '8' from 20) AS stix_id,
    to_char(timestamp '2026-01-01' + i * interval '1 second', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
        AS modified
FROM generate_series(0, %(count)s - 1) AS i
"""
_RENDITIONS = """
INSERT INTO exchange_rendition
    (id, stix_id, stix_type, modified, body, digest, content_digest, has_later, takes_back)
SELECT %(base)s + i, stix_id, 'indicator', modified, convert_to(
        replace(replace(%(template)s, %(id)s, stix_id), %(modified)s, modified), 'UTF8'),
    sha256(stix_id::bytea), sha256(stix_id::bytea), is_old, false
FROM seeded
"""
_ENTRIES = """
INSERT INTO exchange_searchentry
    (rendition_id, stix_type, kind, phases, words, confidence, valid_from, valid_until)
SELECT %(base)s + i, 'indicator', entry.kind, entry.phases, entry.words, entry.confidence,
    entry.valid_from, entry.valid_until
FROM seeded, exchange_searchentry entry WHERE entry.rendition_id = %(pattern)s
"""
_VALUES = """
INSERT INTO exchange_searchvalue (rendition_id, digest, network)
SELECT %(base)s + i, value.digest, value.network
FROM seeded, exchange_searchvalue value WHERE value.rendition_id = %(pattern)s
"""
_RELEASES = """
INSERT INTO exchange_release (id, kind, circle_id, floor_id, circle_only, nominal_at, committed_at,
    count, size, listing, slots, told, reason)
SELECT release, 'release', %(circle)s, %(floor)s, false, now(), now(), count(*), 0, '', '', '', ''
FROM seeded GROUP BY release
"""
_ITEMS = """
INSERT INTO exchange_releaseitem (release_id, position, rendition_id, superseded, recalled)
SELECT release, i %% %(list)s, %(base)s + i, is_old, false FROM seeded
"""
_PARTS = """
INSERT INTO exchange_releaserecipient
    (release_id, recipient_id, told_here, idx, to_seq, running, added_at)
SELECT release, %(member)s, true, part, part + 1, part * %(list)s,
    timestamptz '2026-01-01' + part * interval '1 second'
FROM seeded GROUP BY release, part
"""
_CHECKPOINT = """
INSERT INTO ledger_checkpoint (size, root, note, at, spread)
VALUES (%(count)s + 1, '', '', now(), 0) ON CONFLICT DO NOTHING
"""


@dataclass(frozen=True, slots=True)
class Holding:
    """What one member holds, and the secret of its machine's credential."""

    secret: str
    count: int
    octets: int


def fill(count: int, *, superseded: bool = False, now: datetime) -> Holding:
    """So many objects in one circle; with `superseded`, nine tenths of the first half are old."""
    forum.found(now=now)
    made = forum.circle("Readers", 3, now=now)
    body = template(now)
    pattern = _indexed(body)
    given: dict[str, int | str] = {
        "count": count,
        "half": count // 2 if superseded else 0,
        "tenths": _TENTHS,
        "list": LIST,
        "base": 1_000_000,
        "pattern": pattern.id,
        "template": body.decode(),
        "id": _ID,
        "modified": _MODIFIED,
        "circle": str(made.circle.id),
        "floor": FloorPolicy.objects.values_list("id", flat=True).get(),
        "member": str(made.contributor.id),
    }
    with connection.cursor() as cursor:
        for statement in (_NAMED, _RENDITIONS, _ENTRIES, _VALUES, _RELEASES, _ITEMS, _PARTS):
            cursor.execute(statement, given)
        cursor.execute(_CHECKPOINT, given)
        cursor.execute("DROP TABLE seeded")
        search.forget(Rendition.objects.filter(pk=pattern.id))
        pattern.delete()
        cursor.execute("VACUUM (ANALYZE)")
    person = onboarding.create_person(
        onboarding.Person("reader@bench.example", "Reader", ("analyst",), made.contributor)
    )
    scopes = ("taxii-read", "taxii-write")
    _, secret = credentials.mint(principal_of(person), Wanted("bench", scopes), now=now)
    return Holding(secret, count, len(body))


def _indexed(body: bytes) -> Rendition:
    """One rendition with what the product writes to find it by, which all others get too."""
    row = Rendition.objects.create(
        stix_id=_ID,
        stix_type="indicator",
        modified=_MODIFIED,
        body=body,
        digest=b"",
        content_digest=b"",
    )
    search.index([row])
    return row


def template(now: datetime) -> bytes:
    """A typical indicator as a recipient gets it, of about 1.35 KB."""
    obj = material.indicators(3)[1]
    values = ", ".join(f"'r{n:02d}-front.relay.example'" for n in range(17))
    obj["pattern"] = f"[domain-name:value IN ({values})]"
    floor = terms.Floor.parse(terms.shipped_floor())
    entitled = terms.Entitlement("reader", frozenset({"circle"}), True, "amber+strict", True)  # noqa: FBT003 - a row
    joined = terms.join(
        floor,
        terms.MemberPolicy.none(),
        entitled,
        contributor="other",
        circle="circle",
        on=now.date(),
    )
    (standing,) = decide.standing([obj], Context("other", "circle", (), now), floor)
    scope = tokens.key_for(bytes(32), "circle", tokens.epoch(now))
    verdict = decide.verdict(obj, standing, joined)
    shape = render.shape(obj, verdict, standing, refs={}, tokens=scope)
    if shape is None:
        raise ValueError("a typical indicator leaves")
    made = render.finish(shape, stix_id=_ID, created=_MODIFIED, modified=_MODIFIED, issuer=_ISSUER)
    return made.body
