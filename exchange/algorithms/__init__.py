"""Algorithms: written and approved by two people of a member, reviewed, activated, withdrawn."""

from exchange.algorithms.inforce import (
    DECADES,
    MEMBERS,
    Active,
    Wanted,
    active,
    answer,
    fail,
    suspend,
    wanted,
)

__all__ = [
    "DECADES",
    "MEMBERS",
    "Active",
    "Wanted",
    "active",
    "answer",
    "fail",
    "suspend",
    "wanted",
]
