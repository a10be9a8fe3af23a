"""A file on its way in: sealed, read whole, cut, taken in part by part, and every object told."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.conf import LazySettings

from exchange import files
from exchange.files import reading, sealed
from exchange.models import ColumnMapping, File, FilePart, Outcome
from exchange.proof.refused import Forbidden, NotFound, Refused
from indicators.models import Contribution, Version
from members.auth import Principal
from members.models import CircleMember, User
from tests.shell import sharing
from tests.shell.sharing import NOON, Way

pytestmark = pytest.mark.django_db
CANARY = "canary-7c1d-in-a-file"


@pytest.fixture
def way(settings: LazySettings, tmp_path: Path) -> Way:
    settings.FILES_DIR = tmp_path / "files"
    cast = sharing.set_up(settings, tmp_path)
    return Way(cast, cast.relay_watch)


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of four objects, slices of five: so that a short file has many."""
    monkeypatch.setattr(reading, "FULL", 4)
    monkeypatch.setattr(reading, "SLICE", 5)


def hand_in(
    way: Way, body: bytes, *, name: str = "campaign.json", by: User | None = None, kind: str = ""
) -> UUID:
    """Ana hands a file in, piece by piece, and sends it."""
    who = way.cast.as_(by or way.cast.ana)
    chosen = choose(who, body, name=name, kind=kind)
    files.send(who, chosen, files.Sent(way.circle.id, sharing.BASIS), now=NOON)
    return chosen


def choose(who: Principal, body: bytes, *, name: str = "campaign.json", kind: str = "") -> UUID:
    with files.receive(who, announced=len(body)) as writer:
        for start in range(0, len(body), 700):
            writer.write(body[start : start + 700])
        return files.keep(who, writer, name=name, kind=kind, now=NOON)


def take(file_id: UUID) -> int:
    """Workers take it in; how many pieces it took."""
    pieces = 1
    while files.work(file_id, now=NOON):
        pieces += 1
        assert pieces < 200
    return pieces


def told(way: Way, file_id: UUID, *, limit: int = 3) -> list[files.Line]:
    """The whole report, page by page."""
    ana = way.cast.as_(way.cast.ana)
    lines: list[files.Line] = []
    after = ""
    while True:
        page = files.report(ana, file_id, after=after, limit=limit)
        lines += page.lines
        after = page.next
        if not after:
            return lines


def status(way: Way, file_id: UUID) -> files.Status:
    return files.status(way.cast.as_(way.cast.ana), file_id)


def ranges(count: int, **more: Any) -> list[dict[str, Any]]:
    return [
        sharing.range_indicator(f"203.0.{n // 16}.{n % 16 * 16}/28", **more) for n in range(count)
    ]


def lying(settings: LazySettings) -> list[Path]:
    folder: Path = settings.FILES_DIR
    return sorted(folder.iterdir())


def test_a_file_is_taken_in_parts_and_every_object_is_told(
    way: Way, small_parts: None, settings: LazySettings
) -> None:
    objects: list[dict[str, Any]] = ranges(13)
    objects[6] = {"type": "artifact", "spec_version": "2.1", "id": f"artifact--{uuid4()}"}
    sent = hand_in(way, sharing.bundle(*objects))
    assert status(way, sent).state == "pending"
    take(sent)
    parts = FilePart.objects.filter(file=sent)
    assert parts.count() == 4
    assert {one.contribution.total for one in parts if one.contribution} == {1, 4}
    assert status(way, sent).state == "pending"  # it cannot be read back yet
    sharing.sequence(now=NOON)
    found = status(way, sent)
    assert (found.state, found.total, found.successes, found.failures) == ("complete", 13, 12, 1)
    assert found.name == "campaign.json"
    lines = told(way, sent)
    assert [one.place for one in lines] == list(range(1, 14))
    assert [one.stix_id for one in lines] == [one["id"] for one in objects]
    assert [one.place for one in lines if not one.success] == [7]
    assert lying(settings) == []


def test_what_lies_on_the_disk_says_nothing(way: Way, settings: LazySettings) -> None:
    body = sharing.bundle(*ranges(40, description=CANARY))
    chosen = choose(way.cast.as_(way.cast.ana), body, name=f"{CANARY}.json")
    (path,) = lying(settings)
    at_rest = path.read_bytes()
    assert CANARY.encode() not in at_rest
    assert path.stat().st_mode & 0o077 == 0
    row = File.objects.get(pk=chosen)
    assert CANARY.encode() not in bytes(row.sealed_name)
    with sealed.Reader(chosen, way.cast.aurora.id, len(body)) as read:
        assert read(0, len(body) + 5) == body
        assert read(1_000, 7) == body[1_000:1_007]


def test_pieces_cannot_be_moved_or_left_out(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealed, "PIECE", 1_000)
    body = bytes(range(256)) * 16
    chosen = choose(way.cast.as_(way.cast.ana), b"[" + body, name="a.json")
    path = sealed.path_of(chosen)
    whole, size = path.read_bytes(), 1_000 + 30
    for broken in (
        whole[size : 2 * size] + whole[:size] + whole[2 * size :],
        whole[:size] + whole[2 * size :],
        whole[:-1],
        bytes([whole[0], whole[1] ^ 1]) + whole[2:],
    ):
        path.write_bytes(broken)
        with sealed.Reader(chosen, way.cast.aurora.id, 4_097) as read:
            with pytest.raises(Refused) as refused:
                read(0, 4_097)
            assert refused.value.code == "seal.broken"


def test_sensitivity_is_inherited_across_the_parts(way: Way, small_parts: None) -> None:
    """The last range is the strictest, and the campaign that all indicate stands first."""
    root = sharing.campaign()
    strict = sharing.range_indicator(
        "198.51.100.0/28", extensions=sharing.context("egress-range", "S3")
    )
    plain = ranges(6)
    links = [sharing.indicates(one["id"], root["id"]) for one in (*plain, strict)]
    sent = hand_in(way, sharing.bundle(root, *plain, *links, strict))
    take(sent)
    found = dict(
        Outcome.objects.filter(member=way.cast.aurora).values_list(
            "version__object__stix_type", "sensitivity"
        )
    )
    assert found["campaign"] == "S3"


def test_a_knot_larger_than_a_part_is_cut_at_its_campaign(
    way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "FULL", 12)
    monkeypatch.setattr(reading, "MOST_OBJECTS", 20)
    monkeypatch.setattr(reading, "HUB", 5)
    root = sharing.campaign()
    many = ranges(19)
    many.append(
        sharing.range_indicator("198.51.100.0/28", extensions=sharing.context("egress-range", "S3"))
    )
    links = [sharing.indicates(one["id"], root["id"]) for one in many]
    sent = hand_in(way, sharing.bundle(root, *many, *links))
    take(sent)
    sharing.sequence(now=NOON)
    assert FilePart.objects.filter(file=sent).count() > 2
    outcome = Outcome.objects.get(version__object__stix_type="campaign")
    assert outcome.sensitivity == "S3"
    found = status(way, sent)
    assert (found.total, found.successes) == (41, 41)
    # The campaign went along with each part, and is told once.
    assert len(told(way, sent)) == 41
    assert Version.objects.count() == 41


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "file.empty"),
        (b"   \n", "file.empty"),
        (b"\x1f\x8b\x08\x00" + bytes(40), "file.packed"),
        (b"PK\x03\x04" + bytes(40), "file.packed"),
        (b"value\n203.0.113.0/24\n", "file.kind"),
    ],
)
def test_what_is_seen_at_once_is_refused_at_once(
    way: Way, settings: LazySettings, body: bytes, code: str
) -> None:
    with pytest.raises(Refused) as refused:
        hand_in(way, body)
    assert refused.value.code == code
    assert lying(settings) == []
    assert not File.objects.exists()


def said_of(way: Way, body: bytes) -> str:
    """Why a file is refused, at once or when it is read."""
    try:
        sent = hand_in(way, body)
    except Refused as refused:
        return refused.code
    take(sent)
    return status(way, sent).code


GOOD = json.dumps(sharing.range_indicator())


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (f'{{"objects":[{GOOD},'.encode(), "file.cut"),
        (f'{{"objects":[{GOOD}'.encode(), "file.cut"),
        (f'{{"objects":[{GOOD}, {GOOD[:99]}'.encode(), "file.cut"),
        (f'{{"objects":[{GOOD}]}} more'.encode(), "body.json"),
        (f'{{"objects":[{GOOD}],"objects":[]}}'.encode(), "json.duplicate-key"),
        (f'{{"objects":[{GOOD}, hello]}}'.encode(), "body.json"),
        (f'{{"objects":[{GOOD}, {{"a":"\xff"}}]}}'.encode("latin-1"), "body.encoding"),
        (b'{"objects":[' + b"[" * 10_000_000, "body.depth"),
        (b'{"objects":[{"a":"' + b"x" * 9_000_000 + b'"}]}', "file.object-size"),
        (b'{"objects":{}}', "body.objects"),
        (b'{"objects":[]}', "file.nothing"),
        (b'{"a":1}', "body.form"),
        (b"\xff\xfe[\x00", "file.kind"),
    ],
)
def test_a_file_that_is_not_what_it_should_be_leaves_nothing(
    way: Way, small_parts: None, settings: LazySettings, body: bytes, code: str
) -> None:
    assert said_of(way, body) == code
    assert not Contribution.objects.exists()
    assert lying(settings) == []


def test_one_object_is_a_file_too(way: Way) -> None:
    sent = hand_in(way, GOOD.encode())
    take(sent)
    assert status(way, sent).successes == 1


def test_a_fault_of_one_object_leaves_the_others_to_be_taken(way: Way) -> None:
    twice = GOOD.replace('"type"', '"type": "indicator", "type"', 1)
    other = json.dumps(sharing.range_indicator("198.51.100.0/24"))
    odd = other.replace('"spec_version"', '"confidence": NaN, "spec_version"')
    body = f'{{"objects":[{twice}, {odd}, 7, {json.dumps(sharing.range_indicator())}]}}'
    sent = hand_in(way, body.encode())
    take(sent)
    assert [one.success for one in told(way, sent)] == [False, False, False, True]


def test_the_same_file_twice_changes_nothing(way: Way, small_parts: None) -> None:
    body = sharing.bundle(*ranges(9))
    for _ in range(2):
        sent = hand_in(way, body)
        take(sent)
        assert status(way, sent).successes == 9
    assert (Version.objects.count(), Outcome.objects.count()) == (9, 9)


def test_more_objects_than_a_file_may_hold(
    way: Way, small_parts: None, settings: LazySettings
) -> None:
    settings.MAX_FILE_OBJECTS = 7
    sent = hand_in(way, sharing.bundle(*ranges(8)))
    take(sent)
    assert status(way, sent).code == "file.objects"
    assert not Contribution.objects.exists()


def test_a_file_that_grows_beyond_what_it_said_is_stopped(way: Way, settings: LazySettings) -> None:
    settings.MAX_FILE_LENGTH = 1_000
    ana = way.cast.as_(way.cast.ana)
    with pytest.raises(Refused) as refused:
        files.receive(ana, announced=1_001)
    assert refused.value.code == "file.size"
    with files.receive(ana, announced=5) as writer:
        writer.write(b"x" * 1_000)
        with pytest.raises(Refused) as refused:
            writer.write(b"x")
        writer.give_up()
    assert refused.value.code == "file.size"
    assert lying(settings) == []


def test_who_may_not_contribute_hands_nothing_in(way: Way, settings: LazySettings) -> None:
    for nobody in (way.cast.abel, way.cast.pia):
        with pytest.raises(Forbidden):
            files.receive(way.cast.as_(nobody), announced=5)
    machine = Principal(
        member_id=way.cast.aurora.id, credential_id=uuid4(), scopes=frozenset({"api-read"})
    )
    with pytest.raises(Forbidden):
        files.receive(machine, announced=5)
    assert not settings.FILES_DIR.exists() or lying(settings) == []


def test_nobody_else_finds_the_file(way: Way) -> None:
    sent = hand_in(way, sharing.bundle(*ranges(2)))
    take(sent)
    for other in (way.cast.ben, way.cast.dora, way.cast.otto, way.cast.pia):
        for asked in (sent, uuid4()):
            with pytest.raises(NotFound):
                files.status(way.cast.as_(other), asked)
            with pytest.raises(NotFound):
                files.report(way.cast.as_(other), asked)


def test_a_member_hands_in_only_so_many_at_once(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files.asking, "AT_ONCE", 2)
    ana = way.cast.as_(way.cast.ana)
    chosen = [choose(ana, GOOD.encode()) for _ in range(2)]
    with pytest.raises(Refused) as refused:
        choose(ana, GOOD.encode())
    assert refused.value.code == "file.busy"
    files.discard(ana, chosen[0])
    choose(ana, GOOD.encode())


def test_a_circle_that_was_left_meanwhile_gets_nothing_more(way: Way, small_parts: None) -> None:
    sent = hand_in(way, sharing.bundle(*ranges(8)))
    while FilePart.objects.filter(file=sent, taken_at__isnull=False).count() < 1:
        files.work(sent, now=NOON)
    CircleMember.objects.filter(circle=way.circle, member=way.cast.aurora).update(left_at=NOON)
    take(sent)
    sharing.sequence(now=NOON)
    found = status(way, sent)
    assert (found.state, found.successes, found.failures) == ("complete", 4, 4)
    assert [one.success for one in told(way, sent)] == [True] * 4 + [False] * 4


def test_what_is_never_sent_is_deleted_and_so_is_what_no_row_asks_for(
    way: Way, settings: LazySettings
) -> None:
    choose(way.cast.as_(way.cast.ana), GOOD.encode())
    writer = files.receive(way.cast.as_(way.cast.ana), announced=10)
    writer.write(b"cut off by a crash")
    writer.keep()
    assert len(lying(settings)) == 2
    from_now = File.objects.get().received_at
    assert files.sweep(now=from_now) == 0
    later = timedelta(days=400)  # the files on the disk have the clock of the machine
    files.sweep(now=from_now + later)
    assert lying(settings) == []
    assert not File.objects.exists()


def test_a_full_disk_is_said_and_leaves_nothing(
    way: Way, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealed, "_RESERVE", 10**18)
    with pytest.raises(Refused) as refused:
        files.receive(way.cast.as_(way.cast.ana), announced=5)
    assert refused.value.code == "file.room"
    assert lying(settings) == []


TABLE = (
    b"value,type,remark\n203.0.113.0/24,range,CANARY\nnot a value,,\nrelay.example,,\n"
    b"198.51.100.0/24,,\n\n=SUM(A1),,\nlast.example,,\n"
)


def test_the_rows_of_a_table_are_taken_and_those_that_cannot_be_read_are_told(
    way: Way, small_parts: None, settings: LazySettings
) -> None:
    sent = hand_in(way, TABLE, name="seen.csv")
    assert File.objects.get(pk=sent).kind == "table"
    take(sent)
    sharing.sequence(now=NOON)
    found = status(way, sent)
    assert (found.state, found.total, found.successes, found.failures) == ("complete", 6, 4, 2)
    lines = told(way, sent)
    assert [(one.place, one.success) for one in lines] == [
        (3, False), (7, False), (2, True), (4, True), (5, True), (8, True)
    ]  # fmt: skip
    assert not any("SUM" in one.message or "not a value" in one.message for one in lines)
    assert lying(settings) == []
    again = hand_in(way, TABLE.replace(b"CANARY", b"other"), name="seen.csv")
    take(again)
    assert status(way, again).successes == 4
    assert Version.objects.count() == 4


def test_a_table_is_read_as_its_member_said_for_that_first_row(way: Way) -> None:
    body = b"Adresse;Notiz\n203.0.113.0/24;relay.example\n"
    ana, ben = way.cast.as_(way.cast.ana), way.cast.as_(way.cast.ben)
    with pytest.raises(Refused) as refused:
        hand_in(way, body, name="seen.csv")
    assert refused.value.code == "csv.columns"
    chosen = choose(ana, body, name="seen.csv")
    seen = files.look(ana, chosen)
    assert (seen.head, seen.columns, seen.between) == (("Adresse", "Notiz"), ("", ""), "semicolon")
    assert seen.samples == (("203.0.113.0/24", "relay.example"),)
    made = files.remember(ana, seen.head, ("value", ""), now=NOON)
    files.send(ana, chosen, files.Sent(way.circle.id, sharing.BASIS), now=NOON)
    take(chosen)
    assert status(way, chosen).successes == 1
    files.change(ana, made, ("", "value"), now=NOON)
    assert [one.columns for one in files.remembered(ana)] == [("", "value")]
    assert files.remembered(ben) == ()
    with pytest.raises(NotFound):
        files.forget(ben, made)
    row = ColumnMapping.objects.get()
    assert b"Adresse" not in bytes(row.sealed)
    files.forget(ana, made)
    assert files.remembered(ana) == ()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"value" + b",x" * 999 + b"\n203.0.113.0/24\n", "csv.columns"),
        (b"value\n" + b"a" * 5_000_000, "csv.form"),
        (b'value\n"203.0.113.0/24\n' + b"b\n" * 200_000, "csv.form"),
        (b"value\n", "file.nothing"),
        (b"value\n\x00\n", "csv.nul"),
    ],
)
def test_what_is_no_table_leaves_nothing(
    way: Way, settings: LazySettings, body: bytes, code: str
) -> None:
    try:
        sent = hand_in(way, body, name="seen.csv")
    except Refused as refused:
        found = refused.code
        for path in lying(settings):  # chosen, and not sent
            path.unlink()
    else:
        take(sent)
        found = status(way, sent).code
    assert found == code
    assert not Contribution.objects.exists()
    assert lying(settings) == []
