"""The text of an algorithm is class C12, S3: sealed for its member, or for the forum if shipped."""

from uuid import UUID

from exchange.models import AlgorithmText
from members.seals import Seal, for_forum, for_member


def seal_of(member_id: UUID | None) -> Seal:
    """The seal of whose it is."""
    return for_member(member_id) if member_id is not None else for_forum()


def text_aad(algorithm_id: UUID) -> bytes:
    """Where a document belongs."""
    return b"algorithm:" + algorithm_id.bytes


def tests_aad(algorithm_id: UUID) -> bytes:
    """Where the answer of its tests belongs."""
    return b"algorithm-tests:" + algorithm_id.bytes


def act_aad(algorithm_id: UUID) -> bytes:
    """Where the words of an act on it belong."""
    return b"algorithm-act:" + algorithm_id.bytes


def given_aad(algorithm_id: UUID) -> bytes:
    """Where the copy for all members belongs."""
    return b"algorithm-given:" + algorithm_id.bytes


def open_text(row: AlgorithmText) -> str:
    """The document as it was written."""
    sealed = bytes(row.sealed)
    return seal_of(row.member_id).open(sealed, aad=text_aad(row.algorithm_id)).decode()
