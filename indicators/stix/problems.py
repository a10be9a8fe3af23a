"""What is wrong with one object, and where; a sentence never repeats a value."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One reason for which an object is refused by form."""

    code: str
    path: str
    sentence: str
