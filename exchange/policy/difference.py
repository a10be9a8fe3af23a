"""Two verdicts on one object compared: what is newly shown, and what is newly hidden."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from exchange.policy import catalogue
from exchange.policy.decide import Verdict
from exchange.policy.lattice import Ruling, Treatment, at_least, effect
from exchange.policy.outcomes import ACCEPTED, HELD, Standing

SHOWN, HIDDEN, LOOSER, TIGHTER, OTHER = "shown", "hidden", "looser", "tighter", "other"
VISIBLE = (SHOWN, LOOSER)  # says more than before
COVERED = (HIDDEN, TIGHTER)  # says less than before
BACK = {SHOWN: HIDDEN, HIDDEN: SHOWN, LOOSER: TIGHTER, TIGHTER: LOOSER, OTHER: OTHER}
LEAVES, WAITS = "leaves", "waits"
# Two causes that are no rules: when a window opens, and an end that does not leave either.
WINDOW, REFERENCE = "window", "reference"
WHOLE = "object"  # the class of what concerns the object as a whole
_UNKNOWN_PATH = "(a property that the catalogue does not know)"


@dataclass(frozen=True, slots=True)
class Seen:
    """One object as one audience would have it: what was decided, and what leaves of it, if so."""

    standing: Standing
    verdict: Verdict
    content: Mapping[str, Any] | None
    wait_seconds: int = 0  # how often its window opens, and what its contributor adds to that

    @property
    def state(self) -> str:
        """Whether it leaves, or why not: withheld, held, incomplete, waits for an end."""
        if self.content is not None:
            return LEAVES
        if self.standing.outcome != ACCEPTED:
            return self.standing.outcome
        return "withheld" if self.verdict.withheld is not None else WAITS

    @property
    def rule(self) -> str:
        """The rule for which it does not leave; empty if it does, or waits for an end."""
        if self.standing.outcome == HELD and self.standing.holds:
            return self.standing.holds[0].rule
        return self.verdict.withheld.rule if self.verdict.withheld is not None else ""


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that is otherwise: a field by its path, or, without a path, the whole object."""

    way: str
    path: str
    field_class: str
    before: str
    after: str
    rule_before: str
    rule_after: str

    @property
    def reversed(self) -> "Change":
        """The same change, looked at from the other policy."""
        return Change(
            way=BACK[self.way],
            path=self.path,
            field_class=self.field_class,
            before=self.after,
            after=self.before,
            rule_before=self.rule_after,
            rule_after=self.rule_before,
        )

    @property
    def because(self) -> str:
        """What makes it so: the rule that is new, or the one that no longer holds, or neither."""
        without_rule = WINDOW if self.field_class == "timing" else REFERENCE
        return self.rule_after or self.rule_before or without_rule


def between(before: Seen, after: Seen) -> tuple[Change, ...]:
    """What one audience would see otherwise of an object; nothing for equal decisions.

    Of an object that newly leaves, or no longer does, the whole is one change: `classes` counts
    what is in it.
    """
    if before.content is None or after.content is None:
        return tuple(_of_whole(before, after))
    changes = list(_of_fields(before, after))
    changes += _of_content(before, after, {_head(change.path) for change in changes})
    if before.wait_seconds != after.wait_seconds:
        way = LOOSER if after.wait_seconds < before.wait_seconds else TIGHTER
        old, new = (f"leaves within {seen.wait_seconds} s" for seen in (before, after))
        changes.append(Change(way, "", "timing", old, new, "", ""))
    return tuple(changes)


def classes(seen: Seen) -> Counter[str]:
    """How many fields of each class leave with an object; what is dropped does not count."""
    if seen.content is None:
        return Counter()
    return Counter(
        ruling.field_class
        for _, ruling in seen.verdict.rulings
        if ruling.treatment is not Treatment.DROP
    )


def alike(before: Seen, after: Seen) -> bool:
    """Whether two decisions do the same, their reasons apart: what leaves is then the same too."""
    one, other = before.standing, after.standing
    if (one.outcome, one.kind, one.own_sensitivity, one.threat_basis, one.valid_until) != (
        (other.outcome, other.kind, other.own_sensitivity, other.threat_basis, other.valid_until)
    ):
        return False
    if before.wait_seconds != after.wait_seconds:
        return False
    return before.verdict is after.verdict or _same(before.verdict, after.verdict)


def word(ruling: Ruling) -> str:
    """A treatment as people say it, with how coarse it is."""
    if ruling.parameter is None:
        return ruling.treatment.name.lower()
    return f"{ruling.treatment.name.lower()} {ruling.parameter.scale} {ruling.parameter.step}"


def _same(one: Verdict, other: Verdict) -> bool:
    if (one.withheld is None) != (other.withheld is None):
        return False
    if (one.tlp, one.confidence_cap, one.unsaid) != (other.tlp, other.confidence_cap, other.unsaid):
        return False
    if one.rulings == other.rulings:
        return True
    return len(one.rulings) == len(other.rulings) and all(
        path == path_of_other and effect(ruling) == effect(ruling_of_other)
        for (path, ruling), (path_of_other, ruling_of_other) in zip(
            one.rulings, other.rulings, strict=True
        )
    )


def _of_whole(before: Seen, after: Seen) -> Iterator[Change]:
    if before.state == after.state:
        return
    way = OTHER
    if after.content is not None:
        way = SHOWN
    elif before.content is not None:
        way = HIDDEN
    yield Change(way, "", WHOLE, before.state, after.state, before.rule, after.rule)


def _of_fields(before: Seen, after: Seen) -> Iterator[Change]:
    """Fields whose treatment is another, in the order of the object."""
    old, new = before.verdict.by_path, after.verdict.by_path
    for path in dict.fromkeys((*old, *new)):
        one, other = old.get(path), new.get(path)
        if one is None or other is None:
            yield from _of_lone(path, one, other)
        elif effect(one) != effect(other):
            yield Change(
                way=_way(one, other),
                path=_named(path, other),
                field_class=other.field_class,
                before=word(one),
                after=word(other),
                rule_before=one.rule,
                rule_after=other.rule,
            )


def _of_lone(path: str, one: Ruling | None, other: Ruling | None) -> Iterator[Change]:
    """A field that only one of the two policies rules on: the other leaves it out."""
    if one is not None and one.treatment is not Treatment.DROP:
        yield Change(HIDDEN, _named(path, one), one.field_class, word(one), "drop", one.rule, "")
    if other is not None and other.treatment is not Treatment.DROP:
        name, field_class = _named(path, other), other.field_class
        yield Change(SHOWN, name, field_class, "drop", word(other), "", other.rule)


def _way(one: Ruling, other: Ruling) -> str:
    if one.treatment is Treatment.DROP:
        return SHOWN
    if other.treatment is Treatment.DROP:
        return HIDDEN
    if at_least(one, other):
        return LOOSER
    return TIGHTER if at_least(other, one) else OTHER


def _of_content(before: Seen, after: Seen, told: set[str]) -> Iterator[Change]:
    """What reads otherwise without a ruling of its own: mark, validity, references that close."""
    old, new = before.content or {}, after.content or {}
    for head in dict.fromkeys((*old, *new)):
        one, other = old.get(head), new.get(head)
        if one == other or head in told or (told and head == _FOLLOWS):
            continue
        way = _way_of_values(one, other)
        if head == "object_marking_refs":
            order = catalogue.TLP_ORDER.index
            wider = order(after.verdict.tlp) < order(before.verdict.tlp)
            way = LOOSER if wider else TIGHTER
        field_class = max(_class_of_head(seen, head) for seen in (before, after))
        yield Change(
            way=way,
            path=head,
            field_class=field_class,
            before=_said(one),
            after=_said(other),
            rule_before=_rule_of_head(before, head),
            rule_after=_rule_of_head(after, head),
        )


# The exchange writes a name out of other fields: its change follows from theirs.
_FOLLOWS = "name"


def _way_of_values(one: object, other: object) -> str:
    if one is None:
        return SHOWN
    if other is None:
        return HIDDEN
    if isinstance(one, list) and isinstance(other, list):
        more, less = all(item in other for item in one), all(item in one for item in other)
        if more != less:
            return SHOWN if more else HIDDEN
    return OTHER


def _said(value: object) -> str:
    """Never the value: only whether one is there."""
    if value is None:
        return "left out"
    return f"{len(value)} listed" if isinstance(value, list) else "written"


def _class_of_head(seen: Seen, head: str) -> str:
    for path, ruling in seen.verdict.rulings:
        if _head(path) == head:
            return ruling.field_class
    return "structure"


def _rule_of_head(seen: Seen, head: str) -> str:
    for path, ruling in seen.verdict.rulings:
        if _head(path) == head:
            return ruling.rule
    return ""


def _head(path: str) -> str:
    return path.split(".")[0].split("[")[0]


def _named(path: str, ruling: Ruling) -> str:
    """The path; a name that the catalogue does not know is the contributor's own wording."""
    return _UNKNOWN_PATH if ruling.field_class == "unknown" else path
