"""What the readers of a list share: a page of rows, and whose they are."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from exchange.proof.refused import NotFound
from members.auth import Principal

PAGE = 25
THE_CIRCLE = "the circle"


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows, and where the next ones start."""

    rows: tuple[Any, ...]
    next: str = ""


def member_of(principal: Principal) -> UUID:
    """The member that somebody acts for; NotFound for the forum's own people."""
    if principal.member_id is None:
        raise NotFound
    return principal.member_id
