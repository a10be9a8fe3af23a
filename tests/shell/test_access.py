"""The one way out, as its callers see it: who is let in, and who is not."""

import pytest
from django.utils import timezone

from exchange import access
from exchange.proof.refused import Forbidden, NotFound
from members.auth import Principal
from members.models import Member
from tests.cast import Cast, make_cast

pytestmark = pytest.mark.django_db


@pytest.fixture
def cast() -> Cast:
    return make_cast(timezone.now())


@pytest.mark.parametrize("name", ["dora", "otto", "pia"])
def test_who_belongs_to_no_member_holds_nothing(cast: Cast, name: str) -> None:
    who = cast.as_(getattr(cast, name))
    for ask in (access.collections, access.holding):
        with pytest.raises(NotFound):
            ask(who)


def test_a_suspended_member_holds_nothing(cast: Cast) -> None:
    ben = cast.as_(cast.ben)
    assert access.collections(ben)
    Member.objects.filter(pk=cast.borealis.pk).update(state=Member.State.SUSPENDED)
    with pytest.raises(NotFound):
        access.collections(ben)


def test_an_administrator_reads_no_content(cast: Cast) -> None:
    who = Principal(member_id=cast.aurora.id, roles=frozenset({"administrator"}))
    with pytest.raises(Forbidden):
        access.holding(who)
    for chosen in access.collections(who):
        assert not chosen.can_read
        with pytest.raises(Forbidden):
            access.page(who, chosen, access.Query(), now=timezone.now())


def test_titles_are_told_apart_and_have_no_dot(cast: Cast) -> None:
    cast.relay_watch.name = "Relay.watch"
    cast.relay_watch.save(update_fields=["name"])
    titles = [one.title for one in access.collections(cast.as_(cast.ben))]
    assert len(set(titles)) == len(titles) == 6
    assert not any("." in title for title in titles)
