"""Promise 8, as the database's superuser with every trigger off: what is changed is named."""

from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.db import connection, transaction

from exchange import ledger, recall
from exchange.ledger import check
from exchange.models import LedgerEntry, LedgerEvent, ReleaseItem, ReleaseRecipient
from exchange.proof import merkle
from indicators.models import ForumObject
from tests.shell.sharing import (
    NOON,
    Way,
    domain_indicator,
    feed,
    range_indicator,
    sequence,
    set_up,
)

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)


@pytest.fixture
def names(settings: LazySettings, tmp_path: Path) -> dict[str, object]:
    """Releases, a contribution, a recall, receipts and statements, all of it published."""
    cast = set_up(settings, tmp_path)
    way = Way(cast, cast.relay_watch)
    way.pass_on(range_indicator(), domain_indicator())
    way.pass_on(range_indicator("198.51.100.0/24"))
    feed(cast.borealis, now=NOON + timedelta(minutes=5))
    object_id = ForumObject.objects.order_by("id").values_list("id", flat=True)[0]
    later, ana = NOON + timedelta(minutes=30), cast.as_(cast.ana)
    recall.order(ana, object_id, reason="error", note="An error of ours.", now=later)
    recall.tell_waiting(now=later)
    sequence(now=later)
    ledger.receive_hour(now=NOON + HOUR)
    ledger.state_day(now=NOON + 13 * HOUR)
    sequence(now=NOON + 13 * HOUR)
    assert check.problems(full=True) == ()
    part = ReleaseRecipient.objects.filter(
        recipient=cast.borealis, release__kind="release", release__member=cast.aurora
    ).latest("idx")
    item = ReleaseItem.objects.filter(release=part.release).order_by("id")[0]
    recalled = ReleaseRecipient.objects.filter(
        recipient=cast.borealis, release__kind="recall", idx__isnull=False
    ).latest("idx")
    return {
        "entry": part.idx,
        "part": part.pk,
        "release": part.release_id,
        "rendition": item.rendition_id,
        "receipt": LedgerEvent.objects.filter(kind="receipt").earliest("id").pk,
        "recall": recalled.pk,
        "size": ledger.signed_size(),
        "cirrus": cast.cirrus.id,
    }


def tamper(*statements: str) -> None:
    """What a superuser does who switches triggers and references off."""
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        for sql in statements:
            cursor.execute(sql)
        cursor.execute("SET session_replication_role = origin")


def named(found: tuple[str, ...], what: str) -> bool:
    return any(each.startswith(what) for each in found)


_SWAP = (
    "UPDATE {table} SET idx = -1 WHERE idx = {{entry}}",
    "UPDATE {table} SET idx = {{entry}} WHERE idx = {{entry}} + 1",
    "UPDATE {table} SET idx = {{entry}} + 1 WHERE idx = -1",
)
CASES = {
    # A leaf, a tile, the head, a checkpoint
    "leaf changed": (
        ["UPDATE ledger_entry SET leaf = sha256('x') WHERE idx = {entry}"],
        ["ledger_entry {entry}", "ledger_tile 0/0"],
    ),
    "leaf dropped": (
        ["DELETE FROM ledger_entry WHERE idx = {entry}"],
        ["ledger_entry {entry} to {entry}", "ledger_tile 0/0", "exchange_releaserecipient {part}"],
    ),
    "leaf inserted": (
        ["INSERT INTO ledger_entry (idx, kind, leaf) VALUES ({size}, 'pad', sha256('x'))"],
        ["The head says", "ledger_slot of entry {size}"],
    ),
    "leaves reordered": (
        [sql.format(table="ledger_entry") for sql in _SWAP],
        ["ledger_entry {entry}", "ledger_tile 0/0"],
    ),
    "entries reordered whole": (
        [sql.format(table=table) for table in ("ledger_entry", "ledger_slot") for sql in _SWAP],
        ["ledger_tile 0/0", "ledger_slot to of entry {entry}"],
    ),
    "entry of another member": (
        ["UPDATE ledger_entry SET to_member_id = '{cirrus}' WHERE idx = {entry}"],
        ["ledger_entry {entry}"],
    ),
    "entry of another kind": (
        ["UPDATE ledger_entry SET kind = 'recall' WHERE idx = {entry}"],
        ["ledger_entry {entry}"],
    ),
    "tile changed": (
        ["UPDATE ledger_tile SET hashes = sha256('x') || substring(hashes FROM 33)"],
        ["The root of the head", "ledger_tile 0/0"],
    ),
    "tile dropped": (["DELETE FROM ledger_tile"], ["ledger_tile 0/0: missing"]),
    "tile inserted": (
        ["INSERT INTO ledger_tile (level, n, hashes) VALUES (0, 7, sha256('x'))"],
        ["ledger_tile 0/7"],
    ),
    "head changed": (["UPDATE ledger_head SET root = sha256('x')"], ["The root of the head"]),
    "checkpoint changed": (
        ["UPDATE ledger_checkpoint SET root = sha256('x') WHERE size = 16"],
        ["ledger_checkpoint 16"],
    ),
    "checkpoint backdated": (
        ["UPDATE ledger_checkpoint SET at = at - interval '15 minutes' WHERE size = {size}"],
        ["ledger_entry "],
    ),
    "account set back": (
        ["UPDATE ledger_account SET seq = seq - 1 WHERE slot = 'from'"],
        ["ledger_account from of member"],
    ),
    # A slot
    "slot changed": (
        ["UPDATE ledger_slot SET sealed = sha256('x') WHERE idx = {entry} AND slot = 'to'"],
        ["ledger_slot to of entry {entry}"],
    ),
    "slot's digest changed": (
        ["UPDATE ledger_slot SET digest = sha256('x') WHERE idx = {entry} AND slot = 'from'"],
        ["ledger_slot from of entry {entry}", "ledger_entry {entry}"],
    ),
    "slot dropped": (
        ["DELETE FROM ledger_slot WHERE idx = {entry} AND slot = 'audit'"],
        ["ledger_slot of entry {entry}"],
    ),
    "slot inserted": (
        [
            "INSERT INTO ledger_slot (idx, slot, digest, sealed)"
            " VALUES ({size} + 7, 'to', sha256('x'), sha256('x'))"
        ],
        ["ledger_slot of entry"],
    ),
    "slot of another entry": (
        [sql.format(table="ledger_slot") for sql in _SWAP],
        ["ledger_slot to of entry {entry}", "ledger_entry {entry}"],
    ),
    "slot shown to another": (
        ["UPDATE ledger_slot SET member_id = '{cirrus}' WHERE idx = {entry} AND slot = 'to'"],
        ["ledger_slot to of entry {entry}"],
    ),
    # A rendition
    "rendition changed": (
        ["UPDATE exchange_rendition SET body = 'x' WHERE id = {rendition}"],
        ["exchange_rendition {rendition}"],
    ),
    "rendition changed with its digest": (
        ["UPDATE exchange_rendition SET body = 'x', digest = sha256('x') WHERE id = {rendition}"],
        ["exchange_releaseitem of release {release}"],
    ),
    "rendition under another id": (
        ["UPDATE exchange_rendition SET stix_id = 'x' WHERE id = {rendition}"],
        ["exchange_releaseitem of release {release}"],
    ),
    "rendition backdated": (
        ["UPDATE exchange_rendition SET modified = '2020' WHERE id = {rendition}"],
        ["exchange_releaseitem of release {release}"],
    ),
    "rendition dropped": (
        ["DELETE FROM exchange_rendition WHERE id = {rendition}"],
        ["exchange_releaseitem of release {release}"],
    ),
    "item dropped": (
        ["DELETE FROM exchange_releaseitem WHERE release_id = '{release}'"],
        ["exchange_releaseitem of release {release}"],
    ),
    "item inserted": (
        [
            "INSERT INTO exchange_releaseitem"
            " (release_id, position, rendition_id, superseded, recalled)"
            " VALUES ('{release}', 99, {rendition}, false, false)"
        ],
        ["exchange_releaseitem of release {release}"],
    ),
    # A release
    "release backdated": (
        [
            "UPDATE exchange_release SET committed_at = committed_at - interval '15 minutes',"
            " nominal_at = nominal_at - interval '15 minutes' WHERE id = '{release}'"
        ],
        ["exchange_release {release}"],
    ),
    "release for another circle": (
        ["UPDATE exchange_release SET circle_id = NULL WHERE id = '{release}'"],
        ["exchange_release {release}"],
    ),
    "release with another list": (
        ["UPDATE exchange_release SET listing = '[]' WHERE id = '{release}'"],
        ["exchange_release {release}"],
    ),
    "release with another count": (
        ["UPDATE exchange_release SET count = count + 1 WHERE id = '{release}'"],
        ["exchange_release {release}"],
    ),
    "release told otherwise": (
        ["UPDATE exchange_release SET told = sha256('x') WHERE id = '{release}'"],
        ["exchange_release {release}"],
    ),
    "release with other slots": (
        ["UPDATE exchange_release SET slots = sha256('x') WHERE id = '{release}'"],
        ["exchange_releaserecipient {part}"],
    ),
    "release of another kind": (
        ["UPDATE exchange_release SET kind = 'recall' WHERE id = '{release}'"],
        ["ledger_entry {entry}"],
    ),
    "release dropped": (
        ["DELETE FROM exchange_release WHERE id = '{release}'"],
        ["exchange_releaserecipient {part}"],
    ),
    "release inserted": (
        [
            "INSERT INTO exchange_releaserecipient (release_id, recipient_id, told_here, idx,"
            " to_seq, running) VALUES ('{release}', '{cirrus}', true, {entry}, 99, 99)"
        ],
        ["exchange_releaserecipient "],
    ),
    "release unrecorded": (
        [
            "INSERT INTO exchange_releaserecipient (release_id, recipient_id, told_here)"
            " VALUES ('{release}', '{cirrus}', true)"
        ],
        ["exchange_releaserecipient "],
    ),
    "part dropped": (
        ["DELETE FROM exchange_releaserecipient WHERE id = {part}"],
        ["exchange_releaserecipient {part}"],
    ),
    "part of another recipient": (
        ["UPDATE exchange_releaserecipient SET recipient_id = '{cirrus}' WHERE id = {part}"],
        ["exchange_releaserecipient {part}", "ledger_entry {entry}"],
    ),
    "part of another number": (
        ["UPDATE exchange_releaserecipient SET idx = idx + 1 WHERE id = {part}"],
        ["exchange_releaserecipient {part}"],
    ),
    "part backdated": (
        [
            "UPDATE exchange_releaserecipient"
            " SET added_at = added_at - interval '15 minutes' WHERE id = {part}"
        ],
        ["exchange_releaserecipient {part}"],
    ),
    "part at another place": (
        ["UPDATE exchange_releaserecipient SET running = running + 1 WHERE id = {part}"],
        ["exchange_releaserecipient {part}"],
    ),
    "recall of another": (
        [
            "UPDATE exchange_releaserecipient"
            " SET undoes_to_id = (SELECT min(id) FROM exchange_releaserecipient)"
            " WHERE id = {recall}"
        ],
        ["exchange_releaserecipient {recall}"],
    ),
    # A receipt
    "receipt changed": (
        ["UPDATE ledger_event SET slots = sha256('x') WHERE id = {receipt}"],
        ["ledger_event {receipt}"],
    ),
    "receipt backdated": (
        ["UPDATE ledger_event SET at = at - interval '15 minutes' WHERE id = {receipt}"],
        ["ledger_event {receipt}"],
    ),
    "receipt of another": (
        ["UPDATE ledger_event SET to_member_id = '{cirrus}' WHERE id = {receipt}"],
        ["ledger_entry "],
    ),
    "receipt dropped": (
        ["DELETE FROM ledger_event WHERE id = {receipt}"],
        ["ledger_event {receipt}"],
    ),
    "receipt inserted": (
        [
            "INSERT INTO ledger_event (kind, to_member_id, slots, count, at)"
            " SELECT kind, to_member_id, slots, 0, at FROM ledger_event WHERE id = {receipt}"
        ],
        ["ledger_event "],
    ),
}


def test_the_full_check_names_what_was_changed(names: dict[str, object]) -> None:
    """Each in a transaction that is taken back, so that the next finds the log whole."""
    passed_over = []
    for case, (statements, expected) in CASES.items():
        with transaction.atomic():
            tamper(*(sql.format(**names) for sql in statements))
            found = check.problems(full=True)
            transaction.set_rollback(True)
        passed_over += [
            (case, what, found[:5]) for what in expected if not named(found, what.format(**names))
        ]
    assert passed_over == []
    assert check.problems(full=True) == ()


def test_a_history_rewritten_whole_is_not_that_of_its_checkpoints(
    names: dict[str, object],
) -> None:
    """Slot, digest, leaf, tiles, head and every root anew: the signed notes speak against it."""
    slot = "UPDATE ledger_slot SET digest = sha256('x'), sealed = '' WHERE idx = {entry}"
    tamper(slot.format(**names))
    leaves = [
        bytes(leaf) for leaf in LedgerEntry.objects.order_by("idx").values_list("leaf", flat=True)
    ]
    leaves[int(str(names["entry"]))] = b"\x01" * 32
    tiles, root = merkle.append({}, 0, [merkle.leaf_hash(leaf) for leaf in leaves])
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(
            "UPDATE ledger_entry SET leaf = %s WHERE idx = %s",
            [b"\x01" * 32, int(str(names["entry"]))],
        )
        for (level, n), hashes in tiles.items():
            cursor.execute(
                "UPDATE ledger_tile SET hashes = %s WHERE level = %s AND n = %s",
                [hashes, level, n],
            )
        cursor.execute("UPDATE ledger_head SET root = %s", [root])
        cursor.execute(
            "UPDATE ledger_checkpoint SET root = %s WHERE size = %s", [root, len(leaves)]
        )
        cursor.execute("SET session_replication_role = origin")
    found = check.problems(full=True)
    assert named(found, f"ledger_checkpoint {len(leaves)}: its note says something else")
    assert named(found, f"The checkpoint of {len(leaves)} that was signed has another root")
