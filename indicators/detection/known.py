"""Whether a group was found before, and whether what is said of it now differs enough to say it.

What is remembered of a finding is a set of keyed digests of its rows and tokens, sealed: whoever
opens the database sees neither whose rows they are nor how many. Standard library only.

A finding says something new only if its buckets or its sets of tokens changed, by rows of two or
more members, and on another day than the last time: so nobody sees one member's row come and go.
"""

import hmac
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from indicators.detection.values import Finding, Pooled

_PADDED = 4_096


@dataclass(frozen=True, slots=True)
class Memory:
    """What is remembered of a finding."""

    owner: str  # of a draft; empty for a finding of several members
    rows: Mapping[str, tuple[str, str]]  # of each row: who, and what it said
    tokens: frozenset[str]
    said: str  # what of it decides whether something new is said

    def as_bytes(self) -> bytes:
        """Padded: its length tells little."""
        document = {
            "owner": self.owner,
            "rows": {name: list(one) for name, one in sorted(self.rows.items())},
            "tokens": sorted(self.tokens),
            "said": self.said,
        }
        text = json.dumps(document, separators=(",", ":")).encode()
        return text + b" " * (-len(text) % _PADDED)

    @classmethod
    def of_bytes(cls, text: bytes) -> "Memory":
        """The same again."""
        found: dict[str, Any] = json.loads(text)
        rows = {name: (str(one[0]), str(one[1])) for name, one in found["rows"].items()}
        return cls(found["owner"], rows, frozenset(found["tokens"]), found["said"])

    @property
    def anchors(self) -> frozenset[str]:
        """By what the same group is recognised."""
        return self.tokens.union(self.rows)


@dataclass(frozen=True, slots=True)
class Names:
    """Keyed digests; `owners` are names of members that do not change from run to run."""

    key: bytes = field(repr=False)
    owners: Mapping[int, str]

    def row(self, pooled: Pooled) -> str:
        """The name of a member's group."""
        return self._digest("row", self.owners[pooled.member], pooled.row.cluster)

    def tokens(self, pooled: Pooled) -> frozenset[str]:
        """Those of its cards and devices."""
        return frozenset(self._digest("token", one) for one in _tokens(pooled))

    def memory(self, finding: Finding) -> Memory:
        """What is to be remembered of a finding."""
        of_one = len(finding.members) == 1
        owner = self.owners[finding.rows[0].member] if of_one else ""
        return Memory(
            owner=self._digest("owner", owner) if owner else "",
            rows={
                self.row(one): (self._who(one), self._digest(*_facts(one))) for one in finding.rows
            },
            tokens=frozenset().union(*(self.tokens(one) for one in finding.rows)),
            said=self._digest(*_said(finding)),
        )

    def _who(self, pooled: Pooled) -> str:
        return self._digest("owner", self.owners[pooled.member])

    def _digest(self, *parts: str) -> str:
        said = json.dumps(parts, separators=(",", ":")).encode()
        return hmac.new(self.key, said, sha256).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Step:
    """One finding of a run: which it is of those before, and whether it says something new."""

    finding: Finding
    memory: Memory
    before: str  # the id of what is remembered; empty for one that is new
    is_new: bool  # whether it says something that was not said


def steps(
    findings: Sequence[Finding],
    names: Names,
    before: Mapping[str, Memory],
    *,
    is_settled: Callable[[str], bool],
) -> tuple[Step, ...]:
    """Each finding with what is remembered of it; `is_settled`: said something today already."""
    made = [(one, names.memory(one)) for one in findings]
    places = {name: place for place, name in enumerate(before)}
    pairs = sorted(
        (-shared, places[name], number)
        for number, (_, memory) in enumerate(made)
        for name, old in before.items()
        if old.owner == memory.owner and (shared := len(old.anchors & memory.anchors))
    )
    by_place = list(before)
    chosen: dict[int, str] = {}
    for _, place, number in pairs:
        if number not in chosen and by_place[place] not in chosen.values():
            chosen[number] = by_place[place]
    return tuple(
        Step(finding, memory, name, _is_new(memory, before.get(name), is_settled(name)))
        for number, (finding, memory) in enumerate(made)
        for name in (chosen.get(number, ""),)
    )


def disputed(pooled: Pooled, names: Names, anchors: Collection[str]) -> bool:
    """Whether a row is one of a disputed finding, or holds one of its cards or devices."""
    return bool(anchors) and (
        names.row(pooled) in anchors or not names.tokens(pooled).isdisjoint(anchors)
    )


def _is_new(now: Memory, before: Memory | None, is_settled: bool) -> bool:  # noqa: FBT001 - private
    if before is None:
        return True
    if is_settled or now.said == before.said:
        return False
    changed = {
        who
        for old, new in ((before.rows, now.rows), (now.rows, before.rows))
        for name, (who, said) in old.items()
        if new.get(name, ("", ""))[1] != said
    }
    return len(changed) > 1 or bool(now.owner)


def _tokens(pooled: Pooled) -> tuple[str, ...]:
    return (*pooled.row.payment, *pooled.row.device)


def _facts(pooled: Pooled) -> tuple[str, ...]:
    """What a row says, but for the days that pass by themselves."""
    row = pooled.row
    plain = (row.size, row.payers, row.devices, str(row.flat), row.hours, str(row.pivot))
    lists = (row.payment, row.device, row.egress, row.client, row.capabilities, row.methods)
    bands = sorted(",".join(one.bands) for one in pooled.templates)
    return ("facts", *plain, *(",".join(one) for one in lists), *bands)


def _said(finding: Finding) -> tuple[str, ...]:
    """Buckets and sets: not days, hours or confidence, which move from day to day."""
    lists = (
        finding.linkage,
        finding.payment,
        finding.device,
        finding.clients,
        finding.capabilities,
        finding.methods,
        finding.surface,
    )
    bands = (",".join(one.bands) for one in finding.templates)
    return (
        "said",
        finding.accounts,
        finding.strength,
        *(",".join(one) for one in lists),
        *bands,
    )
