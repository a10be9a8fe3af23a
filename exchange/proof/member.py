"""What a member checks against a live exchange: the six checks, each fault with its evidence.

1. The log's checkpoint: signature, origin; it never shrinks and grows from the stored one.
2. Enough witnesses have cosigned, and not longer ago than an hour.
3. The member's openings: numbers without gaps, each leaf rebuilt, each at its place in the tree.
4. Each object that is held or was pushed is one that an opening records.
5. The daily statements count what was seen.
6. The time of each entry lies between the cosignatures before and behind it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from exchange.proof import claims, log, note, records
from exchange.proof.bundle import objects_of, rendition_digest
from exchange.proof.held import Held, objects_in, push_of
from exchange.proof.jws import KeySet
from exchange.proof.log import Contradiction, View
from exchange.proof.records import Recorded
from exchange.proof.refused import Refused
from exchange.proof.state import Account, State
from exchange.proof.statements import Days

LEEWAY = 300
STALE = 3600
MOST_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be checked beside the log and the own openings."""

    quorum: int | None = None
    is_full: bool = False
    collection: str = ""  # a TAXII collection, pulled whole
    folder: Path | None = None  # bundles, archives, pulled pages
    pushes: Path | None = None  # received pushes: <name>.body and <name>.headers


@dataclass(slots=True)
class Run:
    """One check as it goes: what was found, and what is wrong."""

    view: View
    state: State
    asked: Asked
    now: int
    lines: list[str] = field(default_factory=list)
    faults: list[Refused] = field(default_factory=list)
    to: list[Recorded] = field(default_factory=list)
    erased: set[int] = field(default_factory=set)
    gaps: list[tuple[str, int, int, int]] = field(default_factory=list)

    def check(self) -> State:
        """All of it; the new state, which counts only where there is no fault."""
        told = log.told_to_all(self.view)
        self.state = log.learn(self.view, self.state, told)
        self._check_quorum()
        start = State() if self._reads_all else self.state
        days = Days(start.day, start.received, start.contributed)
        ends = {slot: self._read(slot, account, days) for slot, account in _accounts(start)}
        self._compare_ends(ends)
        self._judge_gaps()
        self.faults += days.faults
        keys = self._key_set(told)
        self._check_held(keys)
        return replace(
            self.state,
            note=self.view.signed,
            to=ends["to"],
            from_=ends["from"],
            day=days.day,
            received=days.received,
            contributed=days.contributed,
            checked_at=self.now,
        )

    @property
    def _reads_all(self) -> bool:
        asked = self.asked
        return bool(asked.is_full or asked.collection or asked.folder or asked.pushes)

    # 2

    def _check_quorum(self) -> None:
        quorum = log.quorum_of(self.view, self.asked.quorum)
        names = ", ".join(sorted(one.name for one in self.view.active))
        if not quorum:
            self.lines.append(
                "2 witnesses: none is known to the log. Nothing but its own word says that other "
                "members see the same."
            )
            return
        try:
            signed = self.view.remote.text(f"/ledger/checkpoint?cosigned={quorum}")
        except Refused as refused:
            if refused.code != "exchange.404":
                raise
            signed = ""
        at = self._cosigned(signed, quorum) if signed else None
        if at is None:
            self._fault("quorum.none", f"No checkpoint has the cosignatures of {quorum} witnesses.")
            return
        self.state = self.state.seen(signed)
        is_newest = log.parsed(signed) == self.view.point
        if not is_newest and self.now - at > STALE:
            self._contradict(
                "quorum.stale",
                f"The newest checkpoint that {quorum} witnesses cosigned is of {_moment(at)}.",
                signed,
                self.view.signed,
            )
        self.lines.append(
            f"2 witnesses: {quorum} of {len(self.view.active)} ({names}) cosigned "
            f"{log.parsed(signed).size} entries at {_moment(at)}"
        )

    def _cosigned(self, signed: str, quorum: int) -> int | None:
        """When a checkpoint had its quorum; it must be the beginning of the newest."""
        log.follow(self.view, signed)
        trusted = [*note.parse_vkeys("\n".join(self.state.vkeys)), *self.view.active]
        _, signatures = note.open_checkpoint(signed, trusted)
        return note.cosigned_at(signatures, quorum)

    # 3 and 6

    def _read(self, slot: str, account: Account, days: Days) -> Account:
        last, index, count, broken = account.seq, account.index, 0, 0
        brackets = list(self._brackets())
        for opening in self.view.remote.openings(slot, account.seq):
            try:
                each = log.recorded(self.view, opening)
                seq = each.fields.get("seq")
                if opening.slot != slot or type(seq) is not int:
                    raise Refused("entry.seq", "An opening does not say its number.")
                if seq <= last or opening.index <= index:
                    raise Contradiction("entry.order", "Openings do not rise.", self.view.signed)
            except Refused as refused:
                self._add(refused, f"entry {opening.index} (slot {slot})")
                broken += 1  # its number is not missing: it is this one
                continue
            if seq - last - 1 > broken:
                self.gaps.append((slot, last + 1, seq - 1, index))
            last, index, count, broken = seq, opening.index, count + 1, 0
            self._note(each, days)
            self._check_time(each, brackets)
        self.lines.append(f"3 slot {slot}: {count} openings up to number {last}, each in the log")
        return Account(last, index)

    def _note(self, each: Recorded, days: Days) -> None:
        if each.slot == "to":
            self.to.append(each)
        if each.fields.get("kind") == "erase":
            self.erased |= _indexes(each.fields)
        days.see(each, self.view.signed)

    def _compare_ends(self, ends: Mapping[str, Account]) -> None:
        """What was shown the last time is shown again; only reading all of it tells."""
        for slot, known in _accounts(self.state):
            if known.seq > ends[slot].seq:
                self.gaps.append((slot, ends[slot].seq + 1, known.seq, ends[slot].index))

    def _judge_gaps(self) -> None:
        """A number is missing, unless the ledger says that its entry's content was erased."""
        left = set(self.erased)
        for slot, first, last, after in self.gaps:
            gone = sorted(one for one in left if one > after)[: last - first + 1]
            if len(gone) < last - first + 1:
                self._fault(
                    "entry.gap",
                    f"The numbers {first} to {last} of slot {slot} are not shown.",
                    f"entries behind {after}",
                )

    def _brackets(self) -> Iterator[tuple[int, int, str]]:
        """Size, second of cosigning, and the note, of all that this verifier saw cosigned."""
        quorum = log.quorum_of(self.view, self.asked.quorum)
        found = []
        for signed in self.state.cosigned:
            at = log.cosigned_at(self.view, signed, quorum)
            if at is not None:
                found.append((log.parsed(signed).size, at, signed))
        yield from sorted(found)

    def _check_time(self, each: Recorded, brackets: list[tuple[int, int, str]]) -> None:
        at = _seconds(each.fields.get("time"))
        if at is None:
            if each.fields:
                self._add(Refused("entry.time", "An entry has no time."), f"entry {each.index}")
            return
        before = [one for one in brackets if one[0] <= each.index]
        behind = [one for one in brackets if one[0] > each.index]
        low = before[-1][1] - LEEWAY if before else None
        high = (behind[0][1] if behind else self.now) + LEEWAY
        if (low is not None and at < low) or at > high:
            notes = [one[2] for one in (*before[-1:], *behind[:1])]
            self._contradict(
                "entry.backdated",
                f"An entry says {_moment(int(at))}, but witnesses saw the log without it "
                f"{'until ' + _moment(low + LEEWAY) if low else 'never'} and with it at "
                f"{_moment(high - LEEWAY)}.",
                *(notes or [self.view.signed]),
                path=f"entry {each.index}",
            )

    # 4

    def _key_set(self, told: Iterable[Recorded]) -> KeySet:
        """The published keys; each that has begun must be in the ledger."""
        published = KeySet.parse(self.view.remote.get("/.well-known/jwks.json"))
        known = {(key.public, key.purpose) for key in records.history(told)}
        for key in published.keys:
            is_new = key.status == "next" or (key.nbf or 0) > self.now - LEEWAY
            if not is_new and (key.public, key.purpose) not in known:
                self._fault("keys.unrecorded", "A published key is in no entry.", key.kid)
        return published

    def _check_held(self, keys: KeySet) -> None:
        if not self._reads_all:
            return
        held = Held(self.to)
        if self.asked.folder is not None:
            for name, obj in objects_in(self.asked.folder):
                self._compare(held, obj, name)
        if self.asked.collection:
            self._pull(held)
        if self.asked.pushes is not None:
            self._check_pushes(self.asked.pushes, held, keys)
        self.lines.append(f"4 objects: {held.count} held, each compared with its entry")

    def _pull(self, held: Held) -> None:
        seen: set[str] = set()
        for obj in self.view.remote.objects(self.asked.collection):
            seen.add(rendition_digest(obj).hex())
            self._compare(held, obj, self.asked.collection)
        for each, item in held.missing(seen, self.erased):
            self._contradict(
                "object.missing",
                "An entry records an object that is not served, and none takes it back. A recall "
                "may be on its way: ask again in a minute.",
                self.view.signed,
                path=f"entry {each.index}, {item.stix_id}",
            )

    def _check_pushes(self, folder: Path, held: Held, keys: KeySet) -> None:
        numbers: dict[str, set[int]] = {}
        known = {each.fields.get("seq") for each in self.to}
        for path in sorted(folder.glob("*.headers")):
            try:
                push = push_of(path, keys, self.view.remote.url)
            except Refused as refused:
                self._add(refused, path.name)
                continue
            numbers.setdefault(push.sub, set()).add(push.seq)
            for low, high in claims.parse_ranges(push.seqs):
                lost = [one for one in range(low, high + 1) if one not in known]
                if lost:
                    self._fault("push.unrecorded", "A push names an entry not shown.", path.name)
            body = path.with_suffix(".body").read_bytes()
            for obj in objects_of(body)[1] if push.event in ("bundle", "recall") else ():
                self._compare(held, obj, path.name)
        for sub, found in numbers.items():
            if len(found) != max(found) - min(found) + 1:
                self._fault("push.gap", "A push is missing: pull, and ask why.", sub)
        total = sum(map(len, numbers.values()))
        self.lines.append(f"4 pushes: {total} of {len(numbers)} subscriptions")

    # Faults

    def _compare(self, held: Held, obj: dict[str, object], where: str) -> None:
        fault = held.fault(obj, self.view.signed)
        if fault is not None:
            self._add(fault, where)

    def _fault(self, code: str, sentence: str, path: str = "") -> None:
        self.faults.append(Refused(code, sentence, path))

    def _contradict(self, code: str, sentence: str, *notes: str, path: str = "") -> None:
        self.faults.append(Contradiction(code, sentence, *notes, path=path))

    def _add(self, refused: Refused, where: str) -> None:
        if refused.code.startswith("exchange."):
            raise refused
        refused.path = refused.path or where
        self.faults.append(refused)


def _accounts(state: State) -> tuple[tuple[str, Account], ...]:
    return ("to", state.to), ("from", state.from_)


def _indexes(fields: object) -> set[int]:
    """The entries whose content an `erase` entry says is gone."""
    found: set[int] = set()
    for name in ("erased", "indexes"):
        value = fields.get(name) if isinstance(fields, dict) else None
        if isinstance(value, list):
            found |= {one for one in value if type(one) is int}
        elif isinstance(value, dict):
            first, last = value.get("first"), value.get("last")
            if type(first) is int and type(last) is int and last - first < 10_000_000:
                found |= set(range(first, last + 1))
    return found


def _seconds(text: object) -> float | None:
    if not isinstance(text, str) or not re.fullmatch(r"[0-9T:.-]{19,26}Z", text):
        return None
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None


def _moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
