"""A18, A19: statistics that nobody can subtract a lab out of, and affiliates that count as one."""

import random
import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import combinations, product
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.db.utils import IntegrityError, ProgrammingError
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from exchange import contribute, statistics, tasks
from exchange.ledger import intake
from exchange.ledger.sequencer import slot_aad
from exchange.models import (
    LedgerEntry,
    LedgerSlot,
    StatisticsBlock,
    StatisticsCell,
    StatisticsTable,
)
from exchange.policy import statistics as rules
from exchange.policy.statistics import TOTAL
from exchange.proof.refused import Forbidden, Refused
from members import onboarding
from members.models import Member, User
from members.scope import Acting, acting
from tests.cast import Cast, make_floor
from tests.doors.stage import as_owner
from tests.shell import sharing
from tests.shell.sharing import NOON, sequence, set_up

pytestmark = pytest.mark.django_db

SMALL = {"contributors": 4, "share_percent": 34, "age_months": 3}  # what five labs can ever meet
DUE = datetime(2027, 4, 1, tzinfo=UTC)  # the tables of the quarter in which NOON lies
QUARTERS = tuple(
    (datetime(2026 + month // 12, month % 12 + 1, 24, 12, tzinfo=UTC)) for month in (10, 13, 16, 19)
)
BACKEND = "django.contrib.auth.backends.ModelBackend"
EVERYBODY = ("ana", "abel", "alma", "ben", "cleo", "dora", "otto", "pia")


@pytest.fixture
def cast(settings: LazySettings, tmp_path: Path) -> Iterator[Cast]:
    yield set_up(settings, tmp_path)
    as_owner()


def labs(cast: Cast) -> list[Member]:
    return [cast.aurora, cast.borealis, cast.cirrus, cast.ember, cast.fjord]


def lower_the_floor() -> None:
    make_floor(NOON, version=2, statistics=SMALL)


def give(cast: Cast, member: Member, n: int, *, now: datetime = NOON, kind: str = "range") -> None:
    """A lab contributes so many indicators, or as many campaigns."""
    ranges = (sharing.range_indicator(f"203.0.{i % 256}.0/24", at=now) for i in range(n))
    campaigns = (sharing.campaign(at=now) for _ in range(n))
    sent = contribute.submit(
        sharing.analyst_of(member),
        sharing.bundle(*(ranges if kind == "range" else campaigns)),
        circle_id=cast.forum.id,
        source="api",
        default_basis=sharing.BASIS,
        now=now,
    )
    assert contribute.accept(sent, now=now)


def told(measure: str = "accepted") -> dict[str, dict[str, int | None]]:
    """The figures of a measure as they stand, quarter by quarter."""
    found: dict[str, dict[str, int | None]] = {}
    for cell in StatisticsCell.objects.filter(table__measure=measure).select_related("table"):
        found.setdefault(cell.table.period, {})[cell.row] = cell.figure
    return found


def test_five_alike_labs_are_suppressed_by_the_shipped_floor(cast: Cast) -> None:
    for lab in labs(cast):
        give(cast, lab, 2)
    assert statistics.make_due(now=DUE) == len(statistics.MEASURES)
    assert set(told()["2026-Q4"].values()) == {None}


def test_what_enough_alike_labs_gave_is_told_rounded(cast: Cast) -> None:
    lower_the_floor()
    for lab, n in zip(labs(cast), (3, 3, 3, 3, 4), strict=True):
        give(cast, lab, n)
    give(cast, cast.aurora, 1, kind="campaign")
    statistics.make_due(now=DUE)
    made = told()["2026-Q4"]
    assert made["indicator"] == 20
    assert made["campaign"] is None
    assert made[TOTAL] is None  # 17 less 16 would be Aurora's campaign


def test_nothing_is_made_before_all_of_it_is_three_months_old(cast: Cast) -> None:
    give(cast, cast.aurora, 1)
    assert statistics.make_due(now=DUE - timedelta(seconds=1)) == 0
    assert statistics.make_due(now=DUE) == 2
    assert statistics.make_due(now=DUE + timedelta(days=60)) == 0


def test_the_calendar_makes_them(cast: Cast) -> None:
    tasks.calendar()  # of a forum founded this quarter nothing is due
    assert not StatisticsTable.objects.exists()


def test_a18_a_table_is_made_once_and_stays(cast: Cast) -> None:
    lower_the_floor()
    for lab in labs(cast):
        give(cast, lab, 3)
    statistics.make_due(now=DUE)
    before = told()
    give(cast, cast.aurora, 9)  # comes late into the same quarter
    statistics.make_due(now=DUE + timedelta(days=1))
    assert told() == before
    for sql in (
        "UPDATE exchange_statisticscell SET figure = 1",
        "DELETE FROM exchange_statisticstable",
    ):
        with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(sql)


def test_a18_no_two_released_figures_differ_by_a_single_lab(cast: Cast) -> None:
    lower_the_floor()
    dice = random.Random(18)  # noqa: S311 - draws, no secrets
    truth: dict[str, dict[str, Counter[str]]] = {}
    for place, now in enumerate(QUARTERS):
        period = f"{now.year}-Q{(now.month + 2) // 3}"
        rows = truth.setdefault(period, {"indicator": Counter(), "campaign": Counter()})
        for lab in labs(cast):
            for row, kind in (("indicator", "range"), ("campaign", "campaign")):
                n = 3 + place if row == "indicator" else dice.choice((0, 1, 3, 3))
                if place == 3 and lab == cast.fjord and row == "indicator":
                    n += 3  # all others as one quarter before and one more: one lab stands out
                if n:
                    give(cast, lab, n, now=now, kind=kind)
                rows[row][lab.name] += n
    statistics.make_due(now=QUARTERS[-1] + timedelta(days=200))
    figures = told()
    assert any(n is not None for cells in figures.values() for n in cells.values())
    sums = {
        (period, row): rows[row] if row != TOTAL else rows["indicator"] + rows["campaign"]
        for period, rows in truth.items()
        for row in ("indicator", "campaign", TOTAL)
        if figures[period][row] is not None
    }
    panel = rules.Panel(rules.Rules.parse(SMALL), {}, frozenset(lab.name for lab in labs(cast)))
    for one, other in combinations(sums, 2):
        if one[0] != other[0] and one[1] != other[1]:
            continue  # another row of another quarter: nothing of the one is in the other
        for signs in product((1, -1), repeat=2):
            left = {
                lab.name: signs[0] * sums[one][lab.name] + signs[1] * sums[other][lab.name]
                for lab in labs(cast)
            }
            if any(left.values()) and (one[1] == other[1] or TOTAL in (one[1], other[1])):
                assert rules.fault(left, panel) == "", (one, other)


def test_a19_an_affiliate_leaves_the_count_of_contributors_unchanged(cast: Cast) -> None:
    lower_the_floor()
    onboarding.set_owner(cast.fjord, "Ember", by=cast.as_(cast.pia))
    for lab in labs(cast):
        give(cast, lab, 3)
    statistics.make_due(now=DUE)
    assert set(told()["2026-Q4"].values()) == {None}  # four owners: three are left without a reader


def test_a19_two_labs_of_one_parent_outside_count_as_one(cast: Cast) -> None:
    for lab in (cast.ember, cast.fjord):
        onboarding.set_owner(lab, " Glacier  Holding ", by=cast.as_(cast.pia))
    onboarding.set_owner(cast.cirrus, "fjord", by=cast.as_(cast.pia))
    behind = onboarding.owners_of()
    assert behind[cast.ember.id] == behind[cast.fjord.id] == behind[cast.cirrus.id]
    assert len(set(behind.values())) == 3
    onboarding.set_owner(cast.cirrus, "", by=cast.as_(cast.pia))
    assert len(set(onboarding.owners_of().values())) == 4


def test_a19_only_the_operator_states_an_owner(cast: Cast) -> None:
    for user in (cast.alma, cast.abel, cast.dora, cast.otto):
        with pytest.raises(Forbidden):
            onboarding.set_owner(cast.fjord, "Ember", by=cast.as_(user))
    with pytest.raises(Refused):
        onboarding.set_owner(cast.fjord, "E" * 201, by=cast.as_(cast.pia))
    call_command("member_owner", "fjord", "Ember", by=cast.pia.email, verbosity=0)
    cast.fjord.refresh_from_db()
    assert cast.fjord.owner == "Ember"
    with pytest.raises(CommandError):
        call_command("member_owner", "fjord", "", by=cast.alma.email)


def test_a19_a_circle_of_affiliates_is_none(cast: Cast) -> None:
    for lab in (cast.ember, cast.fjord):
        onboarding.set_owner(lab, "Cirrus", by=cast.as_(cast.pia))
    with pytest.raises(Refused) as refused:
        onboarding.create_circle("Family", [cast.cirrus, cast.ember, cast.fjord], now=NOON)
    assert refused.value.code == "circle.too-small"


def test_a19_a_circle_whose_members_became_affiliates_carries_nothing(cast: Cast) -> None:
    way = sharing.Way(cast, cast.relay_watch)
    way.pass_on(sharing.range_indicator())
    assert len(sharing.feed(cast.borealis)) == 1
    onboarding.set_owner(cast.ember, "Borealis", by=cast.as_(cast.pia))
    way.pass_on(sharing.range_indicator("198.51.100.0/24"), now=NOON + timedelta(minutes=5))
    assert len(sharing.feed(cast.borealis, now=NOON + timedelta(hours=1))) == 1


def test_who_opts_out_is_in_no_figure(cast: Cast) -> None:
    lower_the_floor()
    sharing.member_policy(cast.fjord, now=NOON, statistics={"opt_out": True})
    for lab in labs(cast):
        give(cast, lab, 3)
    statistics.make_due(now=DUE)
    assert set(told()["2026-Q4"].values()) == {None}
    assert not StatisticsBlock.objects.exists()


def test_no_web_role_reads_what_a_figure_is_made_of(cast: Cast) -> None:
    lower_the_floor()
    for lab in labs(cast):
        give(cast, lab, 3)
    statistics.make_due(now=DUE)
    assert StatisticsBlock.objects.exists()
    for name in EVERYBODY:
        with acting(cast.as_(getattr(cast, name)).acting()):
            assert StatisticsCell.objects.exists()
            with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
                StatisticsBlock.objects.exists()


def test_the_worker_makes_them_with_its_own_rights_and_cannot_change_them(cast: Cast) -> None:
    lower_the_floor()
    for lab in labs(cast):
        give(cast, lab, 3)
    with acting(Acting(), role="worker"):
        assert statistics.make_due(now=DUE) == 2
        assert StatisticsBlock.objects.exists()
        with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
            StatisticsCell.objects.update(figure=1)


def test_the_ledger_has_the_digest_of_each_table(cast: Cast) -> None:
    statistics.make_due(now=DUE)
    sequence(now=DUE)
    digests = {bytes(table.digest).hex() for table in StatisticsTable.objects.all()}
    said = set()
    for entry in LedgerEntry.objects.filter(kind="decision"):
        slot = LedgerSlot.objects.get(idx=entry.idx, slot="audit")
        opened = intake.seal().open(bytes(slot.sealed), aad=slot_aad(entry.idx, "audit"))
        said |= {digest for digest in digests if digest.encode() in opened}
    assert said == digests


def page(user: User, address: str = "/statistics/") -> str:
    as_owner()
    client = Client()
    client.force_login(user, backend=BACKEND)
    answer = client.get(address)
    as_owner()
    assert answer.status_code == 200
    return answer.content.decode().partition("<main")[2]


def test_everybody_reads_the_same_page_and_suppressed_is_no_zero(cast: Cast) -> None:
    lower_the_floor()
    for lab in labs(cast):
        give(cast, lab, 3)
    give(cast, cast.aurora, 2, kind="campaign")
    statistics.make_due(now=DUE)
    pages = {page(getattr(cast, name)) for name in EVERYBODY}
    assert len(pages) == 1
    (shown,) = pages
    assert "about 20" in shown
    assert "too few contributors" in shown
    assert ">0<" not in shown
    assert re.findall(r"about (\d+)", shown) == ["20"]


def test_no_word_in_the_address_asks_for_another_table(cast: Cast) -> None:
    statistics.make_due(now=DUE)
    plain = page(cast.ben)
    assert page(cast.ben, "/statistics/?before=9%27%20OR%201&kind=indicator&member=aurora") == plain


def test_the_page_costs_as_many_queries_with_many_quarters(
    cast: Cast, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    statistics.make_due(now=DUE + timedelta(days=365 * 3))
    as_owner()
    client = Client()
    client.force_login(cast.abel, backend=BACKEND)
    with django_assert_max_num_queries(20):
        shown = client.get("/statistics/").content.decode()
    as_owner()
    assert "Earlier quarters" in shown
    earlier = page(cast.abel, "/statistics/?before=2028-Q1")
    assert "2027-Q4" in earlier
    assert "2028-Q1" not in earlier
