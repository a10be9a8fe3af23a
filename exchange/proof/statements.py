"""Compare the daily statements with what was seen: each day, each number, in a row."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta

from exchange.proof.log import Contradiction
from exchange.proof.records import Recorded
from exchange.proof.refused import Refused

_SLOTS = (("to", "received"), ("from", "contributed"))


@dataclass(slots=True)
class Days:
    """How far the statements have come; the first one that is seen says where they begin."""

    day: str = ""
    received: int = 0
    contributed: int = 0
    faults: list[Refused] = field(default_factory=list)

    def see(self, each: Recorded, signed: str) -> None:
        """A statement must follow on the last one, and count without a gap."""
        if each.fields.get("kind") != "statement" or each.slot != "to":
            return
        told = str(each.fields.get("day"))
        try:
            day = date.fromisoformat(told)
            expected = date.fromisoformat(self.day) + timedelta(days=1) if self.day else day
        except ValueError:
            self._fault("statement.form", "A statement names no day.", each, signed)
            return
        if day != expected:
            self._fault("statement.day", f"There is no statement of {expected}.", each, signed)
        for _, name in _SLOTS:
            self._count(name, each, signed)
        self.day = told

    def _count(self, name: str, each: Recorded, signed: str) -> None:
        stated, before = each.fields.get(name), int(getattr(self, name))
        if not isinstance(stated, Mapping):
            self._fault("statement.form", "A statement counts nothing.", each, signed)
            return
        first, last, count = (stated.get(one) for one in ("first", "last", "count"))
        if count == 0 and first is None and last is None:
            return
        if type(first) is not int or type(last) is not int or count != last - first + 1:
            self._fault("statement.count", f"What was {name} is not counted right.", each, signed)
            return
        if (before or self.day) and first != before + 1:
            self._fault(
                "statement.count",
                f"Of what was {name}, the statement begins at {first}, the one before ended at "
                f"{before}.",
                each,
                signed,
            )
        own = each.fields.get("seq")
        if name == "received" and type(own) is int and last >= own:
            self._fault("statement.count", "A statement counts what came after it.", each, signed)
        setattr(self, name, last)

    def _fault(self, code: str, sentence: str, each: Recorded, signed: str) -> None:
        self.faults.append(Contradiction(code, sentence, signed, path=f"entry {each.index}"))
