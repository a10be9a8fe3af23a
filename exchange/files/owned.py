"""Whose a file is: another's is the same as none."""

from uuid import UUID

from exchange.models import File
from exchange.proof.refused import NotFound
from members.auth import Principal


def own(principal: Principal, file_id: UUID, *, lock: bool = False) -> File:
    """The caller's own file; another's is the same as none."""
    may_read = principal.may("contribute") or principal.may("read-own-originals")
    if principal.member_id is None or not may_read:
        raise NotFound
    rows = File.objects.select_for_update(of=("self",)) if lock else File.objects.all()
    row = rows.filter(pk=file_id, member_id=principal.member_id).first()
    if row is None:
        raise NotFound
    return row
