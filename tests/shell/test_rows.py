"""Row-level security: a forgotten filter shows nothing; read by raw SQL as each of the cast."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from django.conf import LazySettings
from django.db import connection, transaction
from django.db.utils import IntegrityError, ProgrammingError

from exchange import (
    backfill,
    contribute,
    delivery,
    legalholds,
    lookback,
    openings,
    persons,
    policies,
    pool,
    recall,
    release,
    replay,
    review,
    statistics,
    tokens,
)
from exchange.models import (
    Affected,
    Algorithm,
    AlgorithmAct,
    AlgorithmText,
    AnswerExport,
    AnswerFile,
    Archive,
    Attempt,
    Attestation,
    ColumnMapping,
    Delivery,
    DryRun,
    Erasure,
    Feedback,
    File,
    FileFault,
    FilePart,
    Finding,
    FindingObject,
    Following,
    Hold,
    JudgedTable,
    Kept,
    KeptList,
    Mail,
    Missing,
    Preparation,
    Recall,
    Reissue,
    ReleaseAgain,
    ReleaseItem,
    ReleaseRecipient,
    RetentionRun,
    Run,
    SealedPage,
    StatisticsBlock,
    StatisticsTable,
    Subscription,
    Twin,
)
from exchange.proof import oprf
from exchange.questions import book, exports, stated
from indicators.models import Original, Version
from members import onboarding
from members.auth import Principal
from members.models import User
from members.scope import Acting, acting
from tests.cast import Cast
from tests.extracts import extract, parts
from tests.shell import sharing
from tests.shell.sharing import NOON, Way
from tests.shell.test_tokens import machine

pytestmark = pytest.mark.django_db

# What stands about a member's own things, for its officer and counsel.
OWN_LAW = ("legalhold", "personrequest", "keptlist")
# Tables without row-level security, and why each may be without.
OPEN_TABLES = {
    "members_member": "names of the labs are known in the forum",
    "members_datakey": "keys wrapped by a key that the database does not hold",
    "members_user": "sign-in reads it before anyone is known",
    "members_userrole": "sign-in reads it before anyone is known",
    "members_circle": "names of circles; no content",
    "members_circlemember": "seats; entitlement is checked with them",
    "members_agreement": "the same text for all",
    "members_acceptance": "entitlement is checked with it",
    "members_credential": "authentication reads it before anyone is known; digests only",
    "members_signinlink": "sign-in reads it before anyone is known; digests only",
    "members_invitation": "acceptance reads it before anyone is known; digests only",
    "exchange_forum": "the forum's own names",
    "exchange_floorpolicy": "the floor is every member's to read",
    "ledger_head": "size and root of the log, published",
    "ledger_tile": "hashes of the log, published",
    "ledger_checkpoint": "signed heads, published",
    "ledger_account": "no grant to the web",
    "ledger_witness": "public keys",
    "ledger_cosignature": "signatures of witnesses, published",
    "ledger_gate": "one number, which every recipient sees by what it may read",
    "ledger_intake": "row numbers of what waits; the web may only insert",
    "ledger_signing_key": "public keys",
    "axes_accessattempt": "failed sign-ins",
    "axes_accessattemptexpiration": "failed sign-ins",
    "axes_accessfailurelog": "failed sign-ins",
    "axes_accesslog": "sign-ins",
    "django_session": "signed sessions; no content",
    "django_content_type": "names of models",
    "django_migrations": "names of migrations",
    "auth_group": "Django's own, without rows",
    "auth_permission": "Django's own, names of models",
    "auth_group_permissions": "Django's own, without rows",
}
# Views have the rights of their owner: these show commitments and nothing that they hide.
OPEN_VIEWS = {"ledger_leaf", "ledger_digest"}
# Of these the web role sees its own part of what the exchange gave to all.
SHARED_TABLES = {
    "exchange_release",
    "exchange_releaseitem",
    "exchange_releaserecipient",
    "exchange_rendition",
    "ledger_entry",
    "ledger_slot",
}


@dataclass(frozen=True, slots=True)
class Scene:
    """A contribution of Ana's to the relay watch, in every state that leaves rows."""

    cast: Cast
    sent: UUID
    held: Version


@pytest.fixture
def scene(settings: LazySettings, tmp_path: Path) -> Scene:
    cast = sharing.set_up(settings, tmp_path)
    way = Way(cast, cast.relay_watch)
    subscription = Subscription.objects.create(
        member=cast.borealis,
        name="SIEM",
        url="https://siem.borealis.example/in",
        state="active",
        created_at=NOON,
    )
    sharing.member_policy(cast.aurora, now=NOON, version=1)
    policies.draft(cast.as_(cast.abel), "version: 2\ndrop_types: [sighting]\n", now=NOON)
    root, link, later = sharing.campaign(), sharing.range_indicator(), sharing.domain_indicator()
    sent = way.pass_on(
        root,
        link,
        later,
        sharing.indicates(link["id"], root["id"]),
        sharing.indicates(later["id"], root["id"]),
        {"type": "ipv4-addr", "spec_version": "2.1", "id": _sco_id(), "value": "198.51.100.9"},
        sharing.sdo("sighting", sighting_of_ref=link["id"], count=3),
        sharing.sdo("threat-actor", name="Somebody Ltd"),
        {"type": "artifact", "spec_version": "2.1", "id": _sco_id("artifact"), "url": "x"},
    )
    delivery.make_ready(now=NOON)
    ready = Delivery.objects.filter(subscription=subscription).first()
    assert ready is not None
    Attempt.objects.create(delivery=ready, member=cast.borealis, n=1, started_at=NOON)
    contribute.withdraw(cast.as_(cast.ana), link["id"], now=NOON)
    sharing.feed(cast.borealis)
    waiting = way.give(sharing.campaign(), now=NOON + timedelta(minutes=1))
    _preview(cast)
    _file(cast, sent)
    contribute.submit(
        cast.as_(cast.ana),
        sharing.bundle(sharing.campaign()),
        circle_id=cast.relay_watch.id,
        source="file",
        now=NOON,
    )
    assert waiting
    settings.TOKEN_QUOTA_NEW = 1  # so that the one value raises an alarm
    tokens.evaluate(
        machine(cast.ana), cast.forum.id, "2026Q4", [oprf.point("handle", "ana")], now=NOON
    )
    held = Version.objects.get(outcomes__outcome="held")
    _workspace(cast)
    _extract(cast)
    return Scene(cast, sent, held)


def _extract(cast: Cast) -> None:
    """A day of Ana's in the pool, and Abel who looks at it."""
    extractor = machine(cast.ana, scopes=("extracts",), name="extractor")
    with acting(extractor.acting()):
        sent = pool.send(extractor, parts(extract(1, day=NOON.date())), now=NOON)
    abel = cast.as_(cast.abel)
    with acting(abel.acting()):
        pool.ask(abel, sent.id, now=NOON)


def _file(cast: Cast, sent: UUID) -> None:
    """A file of Ana's, with a part, a fault and a way to read its columns."""
    row = File.objects.create(
        member=cast.aurora,
        circle=cast.relay_watch,
        user=cast.ana,
        kind="table",
        sealed_name=b"s",
        octets=1,
        received_at=NOON,
        moved_at=NOON,
    )
    of = {"file": row, "member": cast.aurora}
    spans = {"places": [1], "own": 1, "offsets": [0], "lengths": [1]}
    FilePart.objects.create(**of, number=0, contribution_id=sent, **spans)
    FileFault.objects.create(**of, place=2, sealed=b"s")
    ColumnMapping.objects.create(
        member=cast.aurora, shape=b"s", sealed=b"s", made_at=NOON, used_at=NOON
    )


def _workspace(cast: Cast) -> None:
    """Abel asks, takes along and attests; a worker looks back."""
    abel = cast.as_(cast.abel)
    with acting(abel.acting()):
        book.ask(abel, "q1", {}, now=NOON)
        exports.order(abel, "q1", "csv", {}, now=NOON)
        stated.inquire(abel, "email-address", "ana@aurora.example", now=NOON)
    Attestation.objects.create(
        member=cast.aurora,
        user=cast.abel,
        stix_id="indicator--x",
        rendition_digest=b"x",
        tlp_received="amber",
        tlp_passed="amber",
        whom="authority",
        passed_on=NOON.date(),
        sealed=b"x",
        text_digest=b"x",
        at=NOON,
    )
    AnswerFile.objects.create(
        export=AnswerExport.objects.get(),
        user=cast.abel,
        n=1,
        name="x.csv",
        media="text/csv",
        rows=0,
        size=0,
        digest=b"x",
        sealed=b"x",
    )
    stated.state_nature(cast.as_(cast.pia), cast.fjord.id, is_public_body=True, now=NOON)
    with acting(Acting(), role="worker"):
        lookback.work(now=NOON)


def _preview(cast: Cast) -> None:
    """Abel looks at what a draft of his own policy would change."""
    asked = replay.start(
        cast.as_(cast.abel),
        kind="member",
        member_id=cast.aurora.id,
        document={"version": 2, "drop_kinds": ["reseller-domain"]},
        since=NOON - timedelta(days=1),
        until=NOON + timedelta(hours=1),
        now=NOON,
    )
    assert not replay.work(asked, now=NOON)


def taken_back(scene: Scene) -> None:
    """A recall, and what other tests make of it, row by row."""
    cast, item = scene.cast, ReleaseItem.objects.exclude(outcome=None).earliest("id")
    outcome, said = item.outcome, item.rendition
    assert outcome is not None
    assert said.object_id is not None
    recall.order(cast.as_(cast.ana), said.object_id, reason="error", note="It was wrong.", now=NOON)
    Kept.objects.create(item=item, recipient=cast.ember)
    Twin.objects.create(release=item.release, rendition=said)
    Reissue.objects.create(outcome=outcome, member=cast.aurora, cause="policy", at=NOON)
    draft = policies.draft(cast.as_(cast.alma), "version: 2\ntitle: Ours\n", now=NOON)
    prepared = Preparation.objects.create(draft_id=draft, digest=b"x", against=b"", at=NOON)
    Affected.objects.create(preparation=prepared, item=item, recipients=[cast.ember.id])
    Feedback.objects.create(
        object_id=said.object_id,
        member=cast.aurora,
        version=outcome.version,
        circle=cast.relay_watch,
        disposition="false-positive",
        at=NOON,
    )
    for lab, is_told in ((cast.borealis, True), (cast.ember, False)):
        part = ReleaseRecipient.objects.get(release=item.release, recipient=lab)
        Following.objects.create(
            recall=Recall.objects.get(),
            release=item.release,
            part=part,
            recipient=lab,
            is_told=is_told,
        )
    Mail.objects.create(user=cast.ben, kind="recall", at=NOON)
    legalholds.place(
        cast.as_(cast.alma), legalholds.Wanted("member"), reason="a regulator asked", now=NOON
    )
    persons.ask(
        cast.as_(cast.abel), kind="access", values=["jo@x.example"], reason="a letter", now=NOON
    )
    Erasure.objects.create(ground="clock", at=NOON)
    RetentionRun.objects.create(clock="notes", at=NOON, before=NOON, count=1)
    KeptList.objects.create(contribution_id=scene.sent, member=cast.aurora, sealed=b"x")


def in_the_pool(scene: Scene) -> Finding:
    """A run over the extract of the scene, and what it found in Aurora's own rows."""
    aurora = scene.cast.aurora
    run = Run.objects.create(number=1, at=NOON, state="done", inputs=b"i", engine="e")
    found = Finding.objects.create(
        name="n",
        member=aurora,
        memory=b"m",
        sealed=b"s",
        first_run=run,
        run=run,
        made_at=NOON,
        changed_at=NOON,
    )
    FindingObject.objects.create(finding=found, member=aurora, id_digest=b"d", sealed_id=b"s")
    return found


def test_a_draft_of_the_pool_is_its_labs_and_a_run_is_nobodys(scene: Scene) -> None:
    in_the_pool(scene)
    drafts = "SELECT id FROM exchange_finding"
    for name, count in (("ana", 1), ("abel", 1), ("ben", 0), ("cleo", 0), ("dora", 0), ("pia", 0)):
        with web_as(scene.cast, getattr(scene.cast, name)), connection.cursor() as cursor:
            cursor.execute(drafts)
            assert len(cursor.fetchall()) == count, name
            cursor.execute("SELECT number FROM exchange_run")
            assert len(cursor.fetchall()) == (name in ("dora", "pia")), name
    with (
        web_as(scene.cast, scene.cast.ana),
        pytest.raises(ProgrammingError),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT memory FROM exchange_finding")


def reviewed(scene: Scene) -> Algorithm:
    """An algorithm of Ana's that the forum's counsel has reviewed, with a dry run that waits."""
    cast = scene.cast
    row = Algorithm.objects.create(
        document_id=uuid4(),
        version=1,
        member=cast.aurora,
        kind="detector",
        runs_on="both",
        title="Shared tokens",
        digest=b"x",
        valid_days=90,
        valid_until=(NOON + timedelta(days=90)).date(),
        state="reviewed",
        author=cast.ana,
        approved_by=cast.alma,
        created_at=NOON,
        changed_at=NOON,
    )
    AlgorithmText.objects.create(algorithm=row, member=cast.aurora, sealed=b"x", given=b"g")
    AlgorithmAct.objects.create(
        algorithm=row, member=cast.aurora, user=cast.ana, role="analyst", act="submit", at=NOON
    )
    DryRun.objects.create(
        algorithm=row,
        member=cast.aurora,
        user=cast.ana,
        document_id=row.document_id,
        digest=b"x",
        day=NOON.date(),
        asked_at=NOON,
    )
    return row


@pytest.mark.parametrize(
    ("name", "sees"),
    [
        ("ana", {"algorithm", "algorithmtext", "algorithmact", "dryrun"}),
        ("abel", {"algorithm", "algorithmtext", "algorithmact", "dryrun"}),
        ("dora", {"algorithm", "algorithmtext", "algorithmact", "dryrun"}),
        ("ben", set()),
        ("cleo", set()),
        ("otto", set()),
        ("pia", {"algorithm", "dryrun"}),
    ],
)
def test_the_text_of_an_algorithm_is_its_members_and_the_forums_counsels(
    scene: Scene, name: str, sees: set[str]
) -> None:
    reviewed(scene)
    tables = ("algorithm", "algorithmtext", "algorithmact", "dryrun")
    with web_as(scene.cast, getattr(scene.cast, name)):
        assert {table for table in tables if rows(f"exchange_{table}")} == sees
    with web_as(scene.cast, None):
        assert [table for table in tables if rows(f"exchange_{table}")] == []


@pytest.mark.parametrize(
    ("name", "runs_on", "given"),
    [("cleo", "both", b"g"), ("cleo", "pool", b""), ("ben", "log", b"g"), ("otto", "pool", b"")],
)
def test_those_in_force_are_shown_to_all_without_their_member_and_what_pools_keep(
    scene: Scene, name: str, runs_on: str, given: bytes
) -> None:
    row = reviewed(scene)
    sql = "SELECT * FROM weir_algorithms_in_force(%s)"
    with connection.cursor() as cursor:
        Algorithm.objects.filter(pk=row.pk).update(state="draft")
        Algorithm.objects.filter(pk=row.pk).update(runs_on=runs_on)
        for state, day, many in (
            ("reviewed", NOON.date(), 0),
            ("active", NOON.date(), 1),
            ("active", (NOON + timedelta(days=91)).date(), 0),
        ):
            Algorithm.objects.filter(pk=row.pk).update(state=state)
            with web_as(scene.cast, getattr(scene.cast, name)):
                cursor.execute(sql, [day])
                found = cursor.fetchall()
            assert len(found) == many
            for told in found:
                assert bytes(told[-1]) == given
                assert scene.cast.aurora.id not in told


@pytest.mark.parametrize(
    ("name", "state"),
    [("ana", "reviewed"), ("ana", "active"), ("dora", "active"), ("dora", "approved")],
)
def test_nobody_takes_the_step_of_another(scene: Scene, name: str, state: str) -> None:
    row = reviewed(scene)
    with (
        web_as(scene.cast, getattr(scene.cast, name)),
        pytest.raises(ProgrammingError, match="row-level security"),
        transaction.atomic(),
    ):
        Algorithm.objects.filter(pk=row.pk).update(state=state)


def test_what_counsel_read_is_not_written_anew(scene: Scene) -> None:
    row = reviewed(scene)
    with pytest.raises(IntegrityError, match="stays as it is"), transaction.atomic():
        AlgorithmText.objects.filter(pk=row.pk).update(sealed=b"y")
    with pytest.raises(IntegrityError, match="stays as it is"), transaction.atomic():
        Algorithm.objects.filter(pk=row.pk).update(digest=b"y")


@pytest.mark.parametrize(
    ("name", "sees"),
    [
        ("ana", {"recall", "feedback", "keptlist"}),
        ("alma", {"recall", "feedback", "preparation", *OWN_LAW}),
        ("abel", {"recall", "feedback", "preparation", *OWN_LAW}),
        ("dora", {"recall", "feedback", "legalhold", "retentionrun"}),
        ("ben", {"following"}),
        ("cleo", set()),
        ("otto", {"following", "legalhold", "retentionrun"}),
        ("pia", {"retentionrun"}),
    ],
)
def test_what_was_taken_back_is_shown_to_its_contributor_and_the_forums_counsel(
    scene: Scene, name: str, sees: set[str]
) -> None:
    taken_back(scene)
    tables = (
        *("recall", "reissue", "kept", "twin", "feedback", "preparation", "affected"),
        *("following", "mail", "legalhold", "personrequest", "erasure", "retentionrun", "keptlist"),
    )
    with web_as(scene.cast, getattr(scene.cast, name)):
        assert {table for table in tables if rows(f"exchange_{table}")} == sees
    with web_as(scene.cast, None):
        assert [table for table in tables if rows(f"exchange_{table}")] == ["kept"]


def _sco_id(stix_type: str = "ipv4-addr") -> str:
    return f"{stix_type}--7d3c9bde-52ff-5b8f-8d3c-1f9a3a6b7c55"


@contextmanager
def web_as(cast: Cast, user: User | None) -> Iterator[None]:
    """The web's database role, with the settings that a request of this person has."""
    principal = cast.as_(user) if user else sharing.analyst_of(cast.ember)
    with acting(principal.acting()):
        yield


def rows(table: str) -> list[tuple[object, ...]]:
    """All rows that are shown now; none where reading is not granted at all."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SELECT * FROM {table}")  # noqa: S608 - a name from the catalogue
            return [
                tuple(bytes(v) if isinstance(v, memoryview) else v for v in row)
                for row in cursor.fetchall()
            ]
    except ProgrammingError as error:
        if "permission denied" not in str(error):
            raise
        return []


def column(table: str, name: str) -> list[object]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {name} FROM {table}")  # noqa: S608 - names of this module
        return [row[0] for row in cursor.fetchall()]


def secured() -> list[str]:
    """The tables that have row-level security."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND relrowsecurity "
            "AND relnamespace = 'public'::regnamespace ORDER BY relname"
        )
        return [name for (name,) in cursor.fetchall()]


def test_every_table_has_row_level_security_or_a_reason() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname, relkind FROM pg_class WHERE NOT relrowsecurity "
            "AND relkind IN ('r', 'p', 'v', 'm', 'f') "
            "AND relnamespace = 'public'::regnamespace"
        )
        found = cursor.fetchall()
    assert {name for name, kind in found if kind == "r"} - OPEN_TABLES.keys() == set()
    assert {name for name, kind in found if kind != "r"} == OPEN_VIEWS


def test_no_policy_speaks_to_everyone() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT tablename, policyname FROM pg_policies WHERE 'public' = ANY(roles)")
        assert cursor.fetchall() == []


def test_the_web_role_cannot_put_itself_above_the_rows() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT rolname FROM pg_roles WHERE rolname LIKE 'weir\\_%' "
            "AND (rolsuper OR rolbypassrls OR rolcreaterole OR rolcanlogin)"
        )
        assert cursor.fetchall() == []
        cursor.execute("SELECT count(*) FROM pg_tables WHERE tableowner LIKE 'weir\\_%'")
        assert cursor.fetchone() == (0,)


def test_every_table_with_content_has_rows_in_this_scene(scene: Scene) -> None:
    review.open_original(
        scene.cast.as_(scene.cast.dora),
        Hold.objects.get(outcome__version=scene.held).id,
        reason="a named actor",
        now=NOON,
    )
    review.act(
        scene.cast.as_(scene.cast.dora),
        [Hold.objects.get(outcome__version=scene.held).id],
        act="ask",
        reason="who is behind this name?",
        now=NOON,
    )
    openings.offer(
        scene.cast.as_(scene.cast.abel), scene.held.pk, reason="to settle a dispute", now=NOON
    )
    statistics.make_due(now=NOON + timedelta(days=200))
    table = StatisticsTable.objects.earliest("id")
    StatisticsBlock.objects.create(table=table, name="all", parts={})
    JudgedTable.objects.create(table=table, at=NOON)
    Missing.objects.get_or_create(
        outcome=scene.held.outcomes.get(), recipient=scene.cast.borealis, wanted=b"x"
    )
    taken_back(scene)
    backfill.work(now=NOON)
    ReleaseAgain.objects.create(
        member=scene.cast.aurora,
        user=scene.cast.abel,
        since=NOON,
        until=NOON,
        preview_id=scene.sent,
        at=NOON,
    )
    Archive.objects.create(
        member=scene.cast.aurora,
        user=scene.cast.abel,
        kind="member",
        order=b"s",
        ordered_at=NOON,
        ends_at=NOON,
    )
    SealedPage.objects.create(
        member=scene.cast.borealis,
        after=-1,
        until=999,
        signature=b"s",
        digest=b"d",
        count=1000,
        first_number=0,
        first_at=NOON,
        last_at=NOON,
    )
    reviewed(scene)
    in_the_pool(scene)
    assert [table for table in secured() if not rows(table)] == []


def test_cleo_sees_nothing_but_public_constants(scene: Scene) -> None:
    tables = secured()
    with web_as(scene.cast, scene.cast.cleo):
        shown = {table: rows(table) for table in tables}
        assert set(column("exchange_rendition", "object_id")) == {None}
        assert set(column("exchange_release", "member_id")) == {None}
        assert set(column("exchange_release", "circle_id")) == {None}
        assert set(column("exchange_releaserecipient", "recipient_id")) == {scene.cast.cirrus.id}
        assert set(column("ledger_entry", "to_member_id")) <= {scene.cast.cirrus.id, None}
        assert set(column("ledger_entry", "from_member_id")) == {None}
        assert set(column("ledger_slot", "member_id")) <= {scene.cast.cirrus.id, None}
    assert {table for table, found in shown.items() if found} == SHARED_TABLES
    assert len(shown["exchange_release"]) == len(shown["exchange_releaserecipient"]) == 1
    assert len(shown["exchange_rendition"]) == len(shown["exchange_releaseitem"])


def test_ben_sees_exactly_his_holding(scene: Scene) -> None:
    borealis = scene.cast.borealis
    mine = ReleaseRecipient.objects.filter(recipient=borealis)
    releases = set(mine.values_list("release_id", flat=True))
    renditions = set(mine.values_list("release__items__rendition_id", flat=True))
    held = {one.stix_id for one in sharing.feed(borealis)}
    assert held
    tables = secured()
    with web_as(scene.cast, scene.cast.ben):
        shown = {table: rows(table) for table in tables}
        assert set(column("exchange_release", "id")) == releases
        assert set(column("exchange_rendition", "id")) == renditions
        assert set(column("exchange_releaserecipient", "recipient_id")) == {borealis.id}
        assert set(column("exchange_bundle", "release_id")) <= releases
        assert set(column("exchange_delivery", "member_id")) == {borealis.id}
        assert set(column("exchange_servednote", "recipient_id")) == {borealis.id}
        with connection.cursor() as cursor:
            cursor.execute("SELECT stix_id FROM exchange_rendition WHERE object_id IS NOT NULL")
            assert {stix_id for (stix_id,) in cursor.fetchall()} == held
    own = {"subscription", "delivery", "attempt", "bundle", "servednote"}
    allowed = SHARED_TABLES | {f"exchange_{name}" for name in own}
    assert {table for table, found in shown.items() if found} == allowed


def test_what_is_not_yet_published_is_shown_to_nobody(scene: Scene) -> None:
    with web_as(scene.cast, scene.cast.ben):
        before = rows("exchange_rendition"), rows("exchange_release")
    way = Way(scene.cast, scene.cast.relay_watch)
    way.give(sharing.range_indicator("203.0.113.128/25"), now=NOON + timedelta(minutes=2))
    assert release.open_windows(now=NOON + timedelta(minutes=2)) > 0
    with web_as(scene.cast, scene.cast.ben):
        assert (rows("exchange_rendition"), rows("exchange_release")) == before
    sharing.sequence(now=NOON + timedelta(minutes=2))
    with web_as(scene.cast, scene.cast.ben):
        assert len(rows("exchange_release")) > len(before[1])


def test_who_left_the_circle_sees_nothing_of_it_any_more(scene: Scene) -> None:
    onboarding.leave_circle(scene.cast.borealis, scene.cast.relay_watch, now=NOON)
    with web_as(scene.cast, scene.cast.ben):
        assert set(column("exchange_rendition", "object_id")) == {None}
        assert set(column("exchange_release", "circle_id")) == {None}
        assert rows("exchange_bundle") == []


def test_ana_sees_her_own(scene: Scene) -> None:
    aurora = scene.cast.aurora
    owned = [
        f"indicators_{name}"
        for name in "contribution submission forumobject version original observable item".split()
    ] + [f"exchange_{name}" for name in "outcome hold revocation memberpolicyversion".split()]
    owned += [f"exchange_preview{name}" for name in ("", "part", "audience", "line")]
    owned += [f"exchange_extract{name}" for name in ("", "try", "view")]
    counts = {table: len(rows(table)) for table in owned}
    with web_as(scene.cast, scene.cast.ana):
        for table in owned:
            assert set(column(table, "member_id")) == {aurora.id}, table
            assert len(rows(table)) == counts[table], table
        for table in ("exchange_subscription", "exchange_delivery", "exchange_attempt"):
            assert rows(table) == []
        assert set(column("exchange_servednote", "recipient_id")) <= {aurora.id}
        parties = column("exchange_releaserecipient", "member_id")
        assert set(parties) <= {aurora.id, None}


def test_dora_sees_the_queue_and_an_original_only_after_she_opened_it(scene: Scene) -> None:
    cast = scene.cast
    hold = Hold.objects.get(outcome__version=scene.held)
    with web_as(cast, cast.dora):
        assert column("exchange_hold", "id") == [hold.id]
        for table in ("original", "item", "submission", "observable"):
            assert rows(f"indicators_{table}") == [], table
        for table in ("rendition", "release", "releaseitem", "releaserecipient", "bundle"):
            assert rows(f"exchange_{table}") == [], table
        assert column("ledger_slot", "member_id") == []
        shown = review.open_original(cast.as_(cast.dora), hold.id, reason="a named actor", now=NOON)
        assert shown["type"] == "threat-actor"
        assert column("indicators_original", "version_id") == [scene.held.pk]
    assert Original.objects.count() > 1
    with web_as(cast, cast.otto):
        assert rows("indicators_original") == []
    with web_as(cast, cast.ana):
        assert column("exchange_originalread", "version_id") == [scene.held.pk]
    with web_as(cast, cast.ben):
        assert rows("exchange_originalread") == []


def test_a_role_without_the_opening_person_opens_nothing(scene: Scene) -> None:
    """An opening is one person's: another of the same role has her own to record."""
    cast = scene.cast
    hold = Hold.objects.get(outcome__version=scene.held)
    review.open_original(cast.as_(cast.dora), hold.id, reason="a named actor", now=NOON)
    dora = cast.as_(cast.dora)
    other = Principal(user_id=cast.otto.id, roles=dora.roles)
    with acting(other.acting()):
        assert rows("indicators_original") == []


def test_pia_sees_no_content_at_all(scene: Scene) -> None:
    tables = secured()
    with web_as(scene.cast, scene.cast.pia):
        shown = {table for table in tables if rows(table)}
    # Of an alarm the member and the day, never how much; and what she has stated herself.
    assert shown <= {"ledger_entry", "ledger_slot", "exchange_tokenalarm", "exchange_nature"}


def test_nobody_sees_nothing(scene: Scene) -> None:
    tables = secured()
    with acting(Principal().acting()):
        shown = {table for table in tables if rows(table)}
    assert shown <= {"ledger_entry", "ledger_slot"}


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE exchange_hold SET state = 'released'",
        "UPDATE exchange_outcome SET replaced = true",
        "UPDATE indicators_forumobject SET state = 'withdrawn'",
        "UPDATE exchange_subscription SET url = 'https://cirrus.example'",
    ],
)
def test_cleo_changes_no_row_of_another(scene: Scene, sql: str) -> None:
    with web_as(scene.cast, scene.cast.cleo), connection.cursor() as cursor:
        cursor.execute(sql)
        assert cursor.rowcount == 0


def test_cleo_writes_no_row_in_another_name(scene: Scene) -> None:
    sql = (
        "INSERT INTO indicators_submission (contribution_id, member_id, sealed) "
        "VALUES (%s, %s, 'x')"
    )
    with (
        web_as(scene.cast, scene.cast.cleo),
        pytest.raises(ProgrammingError, match="row-level security"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(sql, [scene.sent, scene.cast.aurora.id])
