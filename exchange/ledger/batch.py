"""Number a batch: what each entry's three slots say, in an order that says nothing.

Values in, values out; randomness is the system's, for order, salts and padding must not be guessed.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from secrets import SystemRandom, token_bytes
from typing import Any
from uuid import UUID

from exchange.ledger.intake import slot_time
from exchange.proof import entry, jcs

Fields = Mapping[str, Any]
WIDTHS = (16, 64, 256)
WIDEST = 1024
RELEASES = ("release", "recall")


@dataclass(frozen=True, slots=True)
class Part:
    """One thing to record: whom its slots are shown to, and what they say."""

    kind: str
    ref: int | None
    slots: Mapping[str, Fields]
    to: UUID | None = None
    by: UUID | None = None
    named: str = ""  # the recipient, as the contributor is told it
    given: int = 0  # objects that `to` gets
    own: int = 0  # objects that `by` contributed
    contribution_id: UUID | None = None
    recipient: UUID | None = None  # whose order it keeps, also where its `to` is empty
    at: str | None = None  # of an event: when it happened, as its row has it
    # Of a recall: by slot, the part that it undoes and that part's number, if it has one yet.
    undoes: Mapping[str, tuple[int, int | None]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Numbers:
    """What an entry has beside its part: its place, its time, and the numbers of its accounts."""

    index: int
    time: str
    to_seq: int | None
    from_seq: int | None
    recalled: Mapping[str, int | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Slot:
    """One slot of an entry: salt and exact bytes, and the commitment to them."""

    name: str
    salt: bytes
    value: bytes
    digest: bytes


@dataclass(frozen=True, slots=True)
class Entry:
    """One numbered entry."""

    index: int
    part: Part
    to_seq: int | None
    from_seq: int | None
    to_running: int
    from_running: int
    slots: tuple[Slot, Slot, Slot]
    leaf: bytes


@dataclass(slots=True)
class Account:
    """The last number given to a member in one slot, and its objects so far."""

    seq: int = 0
    running: int = 0


Accounts = dict[tuple[UUID, str], Account]


@dataclass(slots=True)
class Numbering:
    """Gives numbers: the log's own and those of each account."""

    index: int
    time: str
    accounts: Accounts = field(default_factory=dict)
    # Numbers given in this batch, by part.
    given: dict[int, int] = field(default_factory=dict)

    def entry(self, part: Part) -> Entry:
        """The next entry of the log."""
        to_seq, to_running = self._next(part.to, "to", part.given)
        from_seq, from_running = self._next(part.by, "from", part.own)
        numbers = Numbers(self.index, self.time, to_seq, from_seq, self._recalled(part))
        values = values_of(part, numbers)
        if part.ref is not None and part.kind in RELEASES:
            self.given[part.ref] = self.index
        slots = (_slot("to", values), _slot("from", values), _slot("audit", values))
        leaf = entry.leaf(slots[0].digest, slots[1].digest, slots[2].digest)
        made = Entry(self.index, part, to_seq, from_seq, to_running, from_running, slots, leaf)
        self.index += 1
        return made

    def _recalled(self, part: Part) -> dict[str, int | None]:
        """The index of what is undone, by slot; a recall never overtakes its release."""
        return {
            slot: self.given.get(ref) if index is None else index
            for slot, (ref, index) in part.undoes.items()
        }

    def _next(self, member: UUID | None, slot: str, objects: int) -> tuple[int | None, int]:
        if member is None:
            return None, 0
        account = self.accounts.setdefault((member, slot), Account())
        account.seq += 1
        before, account.running = account.running, account.running + objects
        return account.seq, before


def values_of(part: Part, numbers: Numbers) -> dict[str, Fields]:
    """What the three slots say of a part under its numbers: the same whenever it is asked."""
    head: dict[str, Any] = {"v": 1, "kind": part.kind, "index": numbers.index}
    heads = {
        slot: {**head, "time": numbers.time}
        | ({"recalls": numbers.recalled[slot]} if slot in numbers.recalled else {})
        for slot in ("to", "from")
    }
    return {
        "to": _to(part, heads["to"], numbers.to_seq),
        "from": _from(part, heads["from"], numbers.from_seq),
        "audit": {**part.slots.get("audit", {}), **head},
    }


def number(
    parts: Sequence[Part],
    size: int,
    accounts: Accounts,
    *,
    now: datetime,
    is_ordered: bool = False,
) -> list[Entry]:
    """Pad a batch, shuffle it and number it behind a log of `size`; `accounts` are moved on."""
    numbering = Numbering(size, slot_time(now), accounts)
    pads = [Part("pad", None, {})] * (padded(len(parts)) - len(parts))
    padded_parts = [*parts, *pads]
    order = padded_parts if is_ordered else shuffled(padded_parts)
    return [numbering.entry(part) for part in order]


def padded(count: int) -> int:
    """16, 64, 256 or a multiple of 1024 entries: all that the log's shape tells of a batch."""
    return next((width for width in WIDTHS if count <= width), -(-count // WIDEST) * WIDEST)


def shuffled(parts: Iterable[Part]) -> Iterator[Part]:
    """Mix recipients; the parts of one keep their order: a recall never overtakes its release."""
    queues: dict[object, list[Part]] = defaultdict(list)
    order: list[object] = []
    for part in parts:
        key: object = part.recipient or part.to or part.by or object()
        queues[key].append(part)
        order.append(key)
    SystemRandom().shuffle(order)
    heads = {key: iter(queue) for key, queue in queues.items()}
    return (next(heads[key]) for key in order)


def _to(part: Part, head: dict[str, Any], seq: int | None) -> Fields:
    fields = part.slots.get("to", {})
    if part.to is not None:
        return {**fields, **head, "seq": seq, "to": str(part.to)}
    return {**fields, **head} if fields else {}  # with content it is shown to all


def _from(part: Part, head: dict[str, Any], seq: int | None) -> Fields:
    if part.by is None:
        return {}
    fields = {**part.slots.get("from", {}), **head, "seq": seq, "from": str(part.by)}
    if part.kind in RELEASES:
        fields["to"] = part.named
    return fields


def _slot(name: str, values: Mapping[str, Fields]) -> Slot:
    # Most slots of a padded batch are empty.
    salt, value = token_bytes(entry.SALT), jcs.encode(values[name]) if values[name] else b"{}"
    return Slot(name, salt, value, entry.slot_digest(name, salt, value))
