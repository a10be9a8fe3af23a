"""Sealing at rest: who has the database alone learns nothing."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from django.conf import settings
from django.db import transaction

from exchange.proof.refused import Refused
from members import onboarding, seals
from members.models import DataKey, Member

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
WORDS = b"our own words"


class Undone(Exception):
    """What makes a transaction roll back here."""


def _lab(name: str = "Aurora") -> UUID:
    return onboarding.create_member(name, now=NOON).id


def test_what_is_sealed_opens_for_its_member_and_place_only() -> None:
    aurora, borealis = _lab(), _lab("Borealis")
    sealed = seals.for_member(aurora).seal(WORDS, aad=b"here")
    assert seals.for_member(aurora).open(sealed, aad=b"here") == WORDS
    for member_id, aad in ((aurora, b"there"), (borealis, b"here")):
        with pytest.raises(Refused, match="do not open"):
            seals.for_member(member_id).open(sealed, aad=aad)


@pytest.mark.parametrize("at", [0, 1, 2, 13, 14, -1])
def test_a_changed_octet_anywhere_does_not_open(at: int) -> None:
    seal = seals.Seal(bytes(32), epoch=1)
    sealed = bytearray(seal.seal(WORDS, aad=b""))
    sealed[at] ^= 1
    with pytest.raises(Refused):
        seal.open(bytes(sealed), aad=b"")


@pytest.mark.parametrize("sealed", [b"", b"\0", b"\0\1", b"\0\1short", bytes(30)])
def test_what_was_never_sealed_does_not_open(sealed: bytes) -> None:
    with pytest.raises(Refused):
        seals.Seal(bytes(32), epoch=1).open(sealed, aad=b"")


def test_equal_words_are_sealed_to_unequal_bytes() -> None:
    seal = seals.for_member(_lab())
    first, second = (seal.seal(WORDS, aad=b"") for _ in range(2))
    assert first != second
    assert first[:2] == second[:2] == b"\0\1"
    assert WORDS not in first


def test_the_database_holds_the_key_wrapped_for_its_member_and_epoch() -> None:
    aurora, borealis = _lab(), _lab("Borealis")
    wrapped = bytes(DataKey.objects.get(member_id=aurora).wrapped)
    key = seals.Seal(settings.WRAPPING_KEY).open(wrapped, aad=b"data-key:" + aurora.bytes + b":1")
    assert len(key) == 32
    assert key not in wrapped
    DataKey.objects.filter(member_id=borealis).update(wrapped=wrapped)
    with pytest.raises(Refused):
        seals.for_member(borealis)


def test_older_epochs_still_open_when_a_newer_key_seals() -> None:
    old, new = b"a" * 32, b"b" * 32
    before = seals.Seal(old, epoch=1).seal(WORDS, aad=b"")
    both = seals.Seal(new, epoch=2, earlier={1: old})
    assert both.open(before, aad=b"") == WORDS
    assert both.seal(WORDS, aad=b"")[:2] == b"\0\2"
    with pytest.raises(Refused):
        seals.Seal(new, epoch=2).open(before, aad=b"")


def test_a_key_whose_transaction_rolled_back_seals_nothing_later() -> None:
    row = Member.objects.create(name="Aurora", slug="aurora", joined_at=NOON)

    def undone() -> None:
        with transaction.atomic():
            seals.for_member(row.id)
            seals.for_member(row.id)  # the second use would be the one that is kept
            raise Undone

    with pytest.raises(Undone):
        undone()
    sealed = seals.for_member(row.id).seal(WORDS, aad=b"")
    wrapped = bytes(DataKey.objects.get(member=row).wrapped)
    key = seals.Seal(settings.WRAPPING_KEY).open(wrapped, aad=b"data-key:" + row.id.bytes + b":1")
    assert seals.Seal(key, epoch=1).open(sealed, aad=b"") == WORDS


def test_a_data_key_is_read_once_for_many_uses(django_assert_num_queries: object) -> None:
    aurora = _lab()
    seals.for_member(aurora)
    with django_assert_num_queries(0):  # type: ignore[operator] # a fixture without a public type
        seals.for_member(aurora)


def test_equal_values_have_equal_digests_within_one_purpose_and_member() -> None:
    aurora, borealis = uuid4(), uuid4()
    digests = [
        seals.index_digest(purpose, member_id, value)
        for purpose in ("observable", "content")
        for member_id in (None, aurora, borealis)
        for value in (b"192.0.2.1", b"192.0.2.2")
    ]
    assert len(set(digests)) == len(digests)
    assert digests[0] == seals.index_digest("observable", None, b"192.0.2.1")
