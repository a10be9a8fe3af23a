"""The exchange contributes what its runs find, and stands on no page, in no list and no count."""

from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.db import connection, transaction
from django.db.utils import IntegrityError
from django.urls import NoReverseMatch, reverse
from django.utils import timezone

from exchange import constants, contribute, membership, statistics
from exchange.ledger import statements
from exchange.models import LedgerEvent
from exchange.policy.statistics import Period
from exchange.web import urls
from indicators.models import Contribution
from members import onboarding
from members.models import CircleMember, Credential, Member, User
from tests.doors.test_web_pages import browser
from tests.shell import sharing
from tests.shell.sharing import Way, bundle, leave

pytestmark = pytest.mark.django_db
EVERYBODY = ("ana", "abel", "alma", "ben", "cleo", "dora", "otto", "pia")


def pages() -> list[str]:
    """Every page that needs nothing in its address."""
    found = []
    for pattern in urls.urlpatterns:
        try:
            found.append(reverse(f"web:{pattern.name}"))
        except NoReverseMatch:
            continue
    return found


@pytest.fixture
def way(settings: LazySettings, tmp_path: Path) -> Way:
    """The forum, with something that the exchange contributed to it."""
    cast = sharing.set_up(settings, tmp_path)
    sent = contribute.submit(
        onboarding.exchange(),
        bundle(sharing.range_indicator(), sharing.campaign()),
        circle_id=cast.forum.id,
        source="api",
        now=sharing.NOON,
    )
    contribute.take_in(sent, now=sharing.NOON)
    leave(now=sharing.NOON)
    return Way(cast, cast.forum)


def test_the_exchange_is_on_no_page(way: Way) -> None:
    exchange = Member.everyone.get(is_exchange=True)
    named = (exchange.name, exchange.slug, str(exchange.id))
    seen = 0
    for name in EVERYBODY:
        client = browser(getattr(way.cast, name))
        for page in pages():
            response = client.get(page)
            if response.status_code == 200 and not response.streaming:
                seen += 1
                text = response.content.decode("utf-8", "replace")
                for word in named:
                    assert word not in text, (name, page)
    assert seen > 100


def test_what_it_contributes_reaches_everybody_and_not_itself(way: Way) -> None:
    exchange = Member.everyone.get(is_exchange=True)
    held = [sharing.feed(way.cast.member(name)) for name in ("Aurora", "Cirrus", "Fjord")]
    assert held[0]
    assert [one.body for one in held[0]] == [one.body for one in held[1]]
    assert Contribution.objects.get().member_id == exchange.id
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM exchange_releaserecipient WHERE recipient_id = %s", [exchange.id]
        )
        assert cursor.fetchone() == (0,)


def test_it_is_counted_nowhere(way: Way) -> None:
    exchange = Member.everyone.get(is_exchange=True)
    assert {one.name for one in membership.members(way.cast.as_(way.cast.pia))} == {
        *("Aurora", "Borealis", "Cirrus", "Ember", "Fjord")
    }
    assert exchange.id not in onboarding.owners_of()
    assert exchange.name not in statistics.readers(
        {str(key): owner for key, owner in onboarding.owners_of().items()}
    )
    told = statistics.MEASURES["accepted"].count(Period(2026, 4))
    assert not list(told)
    statements.state_day(now=sharing.NOON + timedelta(days=1))
    stated = LedgerEvent.objects.filter(kind="statement")
    assert exchange.id not in set(stated.values_list("to_member_id", flat=True))


def test_nobody_becomes_it(way: Way) -> None:
    exchange = Member.everyone.get(is_exchange=True)
    now = timezone.now()
    attempts = (
        lambda: CircleMember.objects.create(circle=way.circle, member=exchange, joined_at=now),
        lambda: User.objects.create_user("somebody@aurora.example", name="Ana", member=exchange),
        lambda: Credential.objects.create(
            member=exchange,
            name="key",
            digest=b"d",
            hint="h",
            scopes=["api-read"],
            created_by=way.cast.pia,
            created_at=now,
            expires_at=now,
        ),
    )
    for attempt in attempts:
        with pytest.raises(IntegrityError, match="no people"), transaction.atomic():
            attempt()
    again = onboarding.found_exchange(now=now)
    assert again.pk == exchange.pk
    constants.found("Weir forum", now=now)
    assert Member.everyone.filter(is_exchange=True).count() == 1
