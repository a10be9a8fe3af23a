"""Walks through a holding: pages keep their borders, are shared, lose what is taken back."""

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import zstandard
from django.conf import LazySettings
from django.db import connection

from exchange import access, pages, recall, shelf
from exchange.access import Query
from exchange.models import ReleaseItem, Rendition, ServedNote
from exchange.pages import Served, Walk, Wanted
from exchange.taxii import wire
from members import onboarding
from members.models import Member
from tests.cast import Cast
from tests.shell import sharing
from tests.shell.sharing import NOON, Object, Way

pytestmark = pytest.mark.django_db
PAGE = 20


@pytest.fixture
def cast(settings: LazySettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cast:
    settings.SEALED_DIR = tmp_path / "sealed"
    monkeypatch.setattr(access, "MOST", PAGE)  # a full page of a size that a test can fill
    return sharing.set_up(settings, tmp_path)


@pytest.fixture
def given(cast: Cast) -> list[Object]:
    """Enough for three full pages and a rest, from Aurora to the relay watch."""
    objects = [sharing.range_indicator(f"198.18.{n}.0/24") for n in range(3 * PAGE + 5)]
    Way(cast, cast.relay_watch).pass_on(*objects)
    return objects


def ask(
    member: Member,
    *,
    after: int = -1,
    encoding: str = "identity",
    has: str = "",
    circle: bool = True,
) -> Served:
    """One page of what a member holds through the relay watch, as a door asks for it."""
    who = sharing.analyst_of(member)
    kind = "circle" if circle else "holding"
    chosen = next(
        one
        for one in access.collections(who)
        if one.kind == kind and (not circle or one.alias == "circle-relay-watch")
    )
    query = Query(limit=PAGE, after=after)
    assert pages.is_walk(chosen, query)
    wanted = Wanted(lambda walk: wire.walked(query, walk), encoding, frozenset({has}))
    return pages.serve(who, chosen, query, wanted, now=NOON)


def walked(member: Member, *, circle: bool = True) -> Iterator[tuple[Walk, bytes]]:
    """Page after page, with the bytes that go out."""
    after = -1
    while True:
        found = ask(member, after=after, circle=circle)
        if found.walk is None:
            return
        yield found.walk, found.file.read() if found.file else found.body
        if not found.walk.more:
            return
        after = found.walk.last_number


def ids_of(body: bytes) -> list[str]:
    return [str(obj["id"]) for obj in json.loads(body)["objects"]]


def indicators(member: Member, *, circle: bool = True) -> list[str]:
    """What was contributed of all that the member walks through."""
    names = [name for _, body in walked(member, circle=circle) for name in ids_of(body)]
    return [name for name in names if name.startswith("indicator--")]


def files_in(folder: Path) -> list[Path]:
    return sorted((folder / "sealed").rglob("*.json"))


def test_a_second_walk_gives_the_same_bytes_out_of_files(cast: Cast, given: list[Object]) -> None:
    first = [body for _, body in walked(cast.borealis)]
    second = list(walked(cast.borealis))
    assert [body for _, body in second] == first
    *full, rest = [walk for walk, _ in second]
    assert all(walk.key and not walk.bodies for walk in full)  # read from files, not from rows
    assert not rest.key
    assert 0 < len(rest.bodies) < PAGE
    assert len(indicators(cast.borealis)) == len(given)


def test_equal_feeds_share_their_files(cast: Cast, given: list[Object], tmp_path: Path) -> None:
    made = list(walked(cast.borealis))
    files = files_in(tmp_path)
    assert len(files) == len(made) - 1
    assert [walk.key for walk, _ in walked(cast.ember)] == [walk.key for walk, _ in made]
    assert files_in(tmp_path) == files


def test_every_served_page_is_noted_and_an_unchanged_one_is_not(
    cast: Cast, given: list[Object]
) -> None:
    first = ask(cast.borealis)
    assert first.walk is not None
    notes = ServedNote.objects.filter(recipient=cast.borealis)
    before = notes.count()
    again = ask(cast.borealis, has=first.walk.key)
    assert (again.body, again.file) == (b"", None)
    assert notes.count() == before
    ask(cast.borealis)
    note = notes.latest("id")
    assert (note.first_seq, note.last_seq) == (first.walk.first_number, first.walk.last_number)


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_page_is_compressed_once(cast: Cast, given: list[Object], encoding: str) -> None:
    plain = ask(cast.borealis)
    assert plain.file is not None
    small = ask(cast.borealis, encoding=encoding)
    assert small.file is not None
    packed = small.file.read()
    made = gzip.decompress(packed) if encoding == "gzip" else zstandard.decompress(packed)
    assert made == plain.file.read()
    made_at = small.file.path.stat().st_mtime_ns
    again = ask(cast.borealis, encoding=encoding)
    assert again.file is not None
    assert again.file.path.stat().st_mtime_ns == made_at


def test_what_is_taken_back_is_missing_from_its_page_and_nothing_else_moves(
    cast: Cast, given: list[Object]
) -> None:
    before = list(walked(cast.borealis))
    number, (_, body) = next(
        (number, one) for number, one in enumerate(before) if b"indicator--" in one[1]
    )
    victim = next(name for name in ids_of(body) if name.startswith("indicator--"))
    items = ReleaseItem.objects.filter(rendition__stix_id=victim)
    items.update(recalled=True)
    after = list(walked(cast.borealis))
    assert [walk.last_number for walk, _ in after] == [walk.last_number for walk, _ in before]
    for page, ((_, old), (_, new)) in enumerate(zip(before, after, strict=True)):
        gone = [victim] if page == number else []
        assert [one for one in ids_of(old) if one not in gone] == ids_of(new)
    assert victim not in indicators(cast.borealis)


def test_a_later_version_leaves_the_page_of_the_earlier_when_it_can_be_read(
    cast: Cast, given: list[Object]
) -> None:
    list(walked(cast.borealis))
    later = sharing.NOON.replace(hour=13)
    changed = sharing.newer(given[0], confidence=40)
    way = Way(cast, cast.relay_watch)
    way.give(changed, now=later)
    held = indicators(cast.borealis)
    assert len(held) == len(set(held)) == len(given)
    sharing.leave(now=later)
    held = indicators(cast.borealis)
    assert len(held) == len(set(held)) == len(given)  # one version of each, never none, never two


def test_a_page_of_which_nothing_is_left_is_passed_over(cast: Cast, given: list[Object]) -> None:
    made = list(walked(cast.borealis))
    ReleaseItem.objects.filter(rendition__stix_id__in=ids_of(made[1][1])).update(recalled=True)
    left = list(walked(cast.borealis))
    assert len(left) == len(made) - 1
    assert all(ids_of(body) for _, body in left)


def test_a_dropped_file_is_made_again(cast: Cast, given: list[Object]) -> None:
    first = ask(cast.borealis)
    assert first.file is not None
    assert first.walk is not None
    body = first.file.read()
    assert shelf.drop(first.walk.key) == 1
    again = ask(cast.borealis)
    assert again.file is not None
    assert again.file.read() == body


def test_pages_and_files_of_a_release_can_be_forgotten(
    cast: Cast, given: list[Object], tmp_path: Path
) -> None:
    list(walked(cast.borealis))
    list(walked(cast.ember))
    releases = ReleaseItem.objects.filter(rendition__stix_type="indicator")
    assert pages.drop(list(releases.values_list("release_id", flat=True).distinct())) > 0
    assert not any(b"indicator--" in path.read_bytes() for path in files_in(tmp_path))
    assert len(indicators(cast.borealis)) == len(given)


def test_what_was_erased_is_in_no_file_any_more(
    cast: Cast, given: list[Object], tmp_path: Path
) -> None:
    list(walked(cast.borealis))
    name = indicators(cast.borealis)[0].encode()
    assert any(name in path.read_bytes() for path in files_in(tmp_path))
    row = Rendition.objects.get(stix_id=name.decode())
    assert row.object_id is not None
    alma = cast.as_(cast.alma)
    recall.order(
        alma, row.object_id, reason="leak", note="a person is in it", erases=True, now=NOON
    )
    recall.tell_waiting(now=NOON)
    assert not any(name in path.read_bytes() for path in files_in(tmp_path))
    sharing.sequence(now=NOON)
    assert name.decode() in indicators(cast.borealis)  # its revoked version


def test_who_leaves_the_circle_gets_no_page_of_it(cast: Cast, given: list[Object]) -> None:
    list(walked(cast.borealis, circle=False))
    onboarding.leave_circle(cast.borealis, cast.relay_watch, now=NOON)
    held = indicators(cast.borealis, circle=False)
    assert not set(held) & {one.stix_id for one in Rendition.objects.filter(stix_type="indicator")}


def test_who_left_the_first_circle_walks_to_it_by_the_other(
    cast: Cast, given: list[Object]
) -> None:
    later = NOON.replace(minute=1)
    Way(cast, cast.forum).pass_on(given[0], now=later)
    before = indicators(cast.borealis, circle=False)
    assert len(before) == len(set(before)) == len(given)  # listed in both, held once
    onboarding.leave_circle(cast.borealis, cast.relay_watch, now=later)
    (left,) = indicators(cast.borealis, circle=False)
    assert left in before


def test_a_walk_that_began_elsewhere_finds_the_borders(cast: Cast, given: list[Object]) -> None:
    made = [walk.last_number for walk, _ in walked(cast.borealis)]
    start = made[0] - 7
    found = ask(cast.borealis, after=start)
    assert found.walk is not None
    assert (found.walk.last_number, found.walk.more) == (made[0], True)


def explained() -> list[str]:
    """The plans of all that is asked from now on, nested statements too."""
    plans: list[str] = []

    def heard(told: psycopg.errors.Diagnostic) -> None:
        # Behind the text of the query.
        text = str(told.message_primary)
        plans.extend([text[text.index("Limit  (") :]] if "Limit  (" in text else [])

    connection.connection.add_notice_handler(heard)
    with connection.cursor() as cursor:
        cursor.execute("LOAD 'auto_explain'")
        for name, value in (
            ("auto_explain.log_min_duration", "0"),
            ("auto_explain.log_nested_statements", "on"),
            ("auto_explain.log_level", "notice"),
        ):
            cursor.execute("SELECT set_config(%s, %s, true)", [name, value])
    return plans


def of_a_holding(plans: list[str]) -> list[str]:
    """Those that read what is held: the condition stands in them, and is no call for each row."""
    found = [plan for plan in plans if "exchange_rendition" in plan]
    assert found
    assert all("recalled" in plan and "weir_is_mine" not in plan for plan in found)
    return found


def test_the_walk_is_planned_by_its_indexes(cast: Cast, given: list[Object]) -> None:
    """No sort of a whole holding and no scan of a table, wherever the page lies."""
    plans = explained()
    ask(cast.borealis, after=40)
    for plan in of_a_holding(plans):
        assert "feed_of_recipient" in plan
        assert "Index Scan using item_current" in plan or "using release_position" in plan
        assert "Incremental Sort" in plan
        assert "Seq Scan" not in plan


def test_a_sifted_page_passes_over_what_was_superseded(cast: Cast, given: list[Object]) -> None:
    plans = explained()
    who = sharing.analyst_of(cast.borealis)
    access.page(who, access.collections(who)[0], Query(types=("indicator",)), now=NOON)
    for plan in of_a_holding(plans):
        assert "feed_of_recipient" in plan
        assert "item_current" in plan or "NOT item.superseded" in plan or "NOT superseded" in plan


def test_an_object_is_found_by_its_name(cast: Cast, given: list[Object]) -> None:
    """And not by a walk through the whole of a feed."""
    name = indicators(cast.borealis)[0]
    who = sharing.analyst_of(cast.borealis)
    with connection.cursor() as cursor:  # what the planner knows is no matter of earlier tests
        cursor.execute("ANALYZE exchange_rendition, exchange_releaseitem, exchange_release")
    plans = explained()
    found = access.page(who, access.collections(who)[0], Query(ids=(name,)), now=NOON)
    assert [one.stix_id for one in found.items] == [name]
    for plan in of_a_holding(plans):
        # What drives the joins stands first.
        indexes = re.findall(r"(?:using|Bitmap Index Scan on) (\w+)", plan)
        assert indexes[0].startswith("rendition_by_id")
        assert "Seq Scan" not in plan


def test_what_is_asked_for_all_the_time_is_prepared_once(cast: Cast, given: list[Object]) -> None:
    ask(cast.borealis)
    ask(cast.borealis)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT generic_plans + custom_plans FROM pg_prepared_statements"
            " WHERE statement LIKE 'SELECT * FROM weir_sealed%'"
        )
        ((times,),) = cursor.fetchall()
    assert times >= 2
