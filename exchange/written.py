"""What people write about an object is sealed with its contributor's key, as the object itself is.

A reason, a question or an answer may quote what it is about; so no such text lies in the clear, and
who may open it is who may see the row.
"""

from uuid import UUID

from exchange.models import HoldAct, OriginalRead, OriginalWord
from exchange.proof.refused import Refused
from members.seals import for_member

SHORTEST = 8
LONGEST = 2_000


def demand(text: str, *, path: str = "reason") -> str:
    """The text as it is kept; refused where it says nothing."""
    plain = text.strip()
    if len(plain) < SHORTEST:
        raise Refused("reason.missing", "Write down the reason, in a few words at least.", path)
    if len(plain) > LONGEST:
        raise Refused("reason.long", f"A reason has at most {LONGEST:,} characters.", path)
    return plain


def of_act(hold_id: UUID, member_id: UUID, text: str) -> bytes:
    """The text of an act on a hold, sealed."""
    return for_member(member_id).seal(text.encode(), aad=_act_aad(hold_id))


def of_read(version_id: int, member_id: UUID, text: str) -> bytes:
    """The reason of an opening, sealed."""
    return for_member(member_id).seal(text.encode(), aad=_read_aad(version_id))


def of_word(request_id: UUID, member_id: UUID, text: str) -> bytes:
    """What an officer wrote to a wish to read an original, sealed."""
    return for_member(member_id).seal(text.encode(), aad=_word_aad(request_id))


def said(row: HoldAct | OriginalRead | OriginalWord) -> str:
    """What was written, for who may see the row."""
    if isinstance(row, HoldAct):
        aad = _act_aad(row.hold_id)
    elif isinstance(row, OriginalRead):
        aad = _read_aad(row.version_id)
    else:
        aad = _word_aad(row.request_id)
    return for_member(row.member_id).open(bytes(row.sealed), aad=aad).decode()


def _act_aad(hold_id: UUID) -> bytes:
    return b"hold-act:" + hold_id.bytes


def _read_aad(version_id: int) -> bytes:
    return b"original-read:%d" % version_id


def _word_aad(request_id: UUID) -> bytes:
    return b"original-word:" + request_id.bytes
