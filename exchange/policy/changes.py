"""What a new policy changes against an old one: looser, tighter or otherwise, each in a sentence.

Whatever is not plainly a tightening, nor a change of words alone, is called looser: a comparison
without a looser change never shows more to anybody.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from exchange.policy.catalogue import TLP_ORDER
from exchange.policy.decide import Verdict
from exchange.policy.documents import Kind
from exchange.policy.lattice import at_least
from exchange.policy.outcomes import ACCEPTED, Standing
from exchange.policy.terms import SENSITIVITIES, Floor

Document = Mapping[str, Any]


class Way(IntEnum):
    """Which way a change goes, the one to look at first before the others."""

    LOOSER = 0
    TIGHTER = 1
    OTHER = 2


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that differs: where, which way, and in words."""

    way: Way
    path: str
    sentence: str

    @property
    def word(self) -> str:
        """The way as pages write it."""
        return self.way.name.lower()


Changes = Iterator[Change]
Compare = Callable[[Any, Any, str], Changes]


def compare(old: Document, new: Document, kind: Kind) -> tuple[Change, ...]:
    """Everything that differs, looser first, each group in the order of the document."""
    found = list(_floor(old, new) if kind == "floor" else _member(old, new))
    return tuple(sorted(found, key=lambda change: change.way))


def is_looser(changes: tuple[Change, ...]) -> bool:
    """Whether anything may be shown that was not before."""
    return any(change.way is Way.LOOSER for change in changes)


def hides(was: tuple[Standing, Verdict], now: tuple[Standing, Verdict]) -> bool:
    """Whether of what one decision lets pass another lets less pass, in whatever respect."""
    (old, before), (new, after) = was, now
    if old.outcome != ACCEPTED or before.withheld is not None:
        return False
    if new.outcome != ACCEPTED or after.withheld is not None:
        return True
    if TLP_ORDER.index(after.tlp) > TLP_ORDER.index(before.tlp):
        return True
    if after.confidence_cap < before.confidence_cap:
        return True
    if (new.valid_until or "") < (old.valid_until or ""):
        return True
    return not all(
        path in after.by_path and at_least(ruling, after.by_path[path])
        for path, ruling in before.rulings
    )


# --- the ways in which one value goes ------------------------------------------------------------


def _said(value: object) -> str:
    if isinstance(value, (list, tuple, set, frozenset)):
        return ", ".join(sorted(map(str, value))) or "nothing"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_said(below)}" for key, below in sorted(value.items()))
    return "nothing" if value is None else str(value)


def _change(way: Way, path: str, old: object, new: object) -> Change:
    return Change(way, path, f"{path}: {_said(new)}, was {_said(old)}.")


def _words(old: Any, new: Any, path: str) -> Changes:  # noqa: ANN401 - any part of a document
    """What is read and decides nothing."""
    if old != new:
        yield Change(Way.OTHER, path, f"{path}: worded anew.")


def _names(old: Any, new: Any, path: str) -> Changes:  # noqa: ANN401 - any part of a document
    """What it is called, and decides nothing."""
    if old != new:
        yield _change(Way.OTHER, path, old, new)


def _looser(old: Any, new: Any, path: str) -> Changes:  # noqa: ANN401 - any part of a document
    """What may go either way is looked at as a loosening."""
    if old != new:
        yield _change(Way.LOOSER, path, old, new)


def _larger(old: int | None, new: int | None, path: str) -> Changes:
    """More is stricter; none at all is the loosest."""
    if old != new:
        is_more = new is not None and (old is None or new > old)
        yield _change(Way.TIGHTER if is_more else Way.LOOSER, path, old, new)


def _smaller(old: int | None, new: int | None, path: str) -> Changes:
    """Less is stricter; none at all is the loosest."""
    if old != new:
        is_less = new is not None and (old is None or new < old)
        yield _change(Way.TIGHTER if is_less else Way.LOOSER, path, old, new)


def _later(order: tuple[str, ...]) -> Compare:
    """What stands later in an order is stricter."""

    def compare_words(old: str, new: str, path: str) -> Changes:
        yield from (
            _change(Way.TIGHTER if order.index(new) > order.index(old) else Way.LOOSER, path, *both)
            for both in [(old, new)]
            if old != new
        )

    return compare_words


def _more(old: Any, new: Any, path: str) -> Changes:  # noqa: ANN401 - lists of words
    """Every further name is stricter."""
    for name in sorted(set(new or ()) - set(old or ())):
        yield Change(Way.TIGHTER, path, f"{path}: {name} is added.")
    for name in sorted(set(old or ()) - set(new or ())):
        yield Change(Way.LOOSER, path, f"{path}: {name} is taken away.")


def _fewer(old: Any, new: Any, path: str) -> Changes:  # noqa: ANN401 - lists of words
    """Every further name is looser."""
    for name in sorted(set(new or ()) - set(old or ())):
        yield Change(Way.LOOSER, path, f"{path}: {name} is added.")
    for name in sorted(set(old or ()) - set(new or ())):
        yield Change(Way.TIGHTER, path, f"{path}: {name} is taken away.")


def _only(old: list[str] | None, new: list[str] | None, path: str) -> Changes:
    """Those alone: without the list, everybody."""
    if old is None or new is None:
        if old is not new:
            yield _change(Way.LOOSER if new is None else Way.TIGHTER, path, old, new)
    else:
        yield from _fewer(old, new, path)


def _each(compare_one: Compare) -> Compare:
    """A table of names, each compared by itself; one that is not there is None."""

    def compare_table(old: Document | None, new: Document | None, path: str) -> Changes:
        olds, news = old or {}, new or {}
        for name in sorted({*olds, *news}):
            yield from compare_one(olds.get(name), news.get(name), f"{path}.{name}")

    return compare_table


def _held(old: Document | None, new: Document | None, path: str) -> Changes:
    """A table of what is held, by class: another class has other approvers."""
    olds, news = old or {}, new or {}
    for name in sorted({*olds, *news}):
        was, now = olds.get(name), news.get(name)
        if was == now:
            continue
        way = Way.TIGHTER if was is None else Way.LOOSER
        yield _change(way, f"{path}.{name}", was and f"held as {was}", now and f"held as {now}")


def _switch(old: bool | None, new: bool | None, path: str) -> Changes:  # noqa: FBT001 - a value
    """On is stricter."""
    if bool(old) != bool(new):
        yield _change(Way.TIGHTER if new else Way.LOOSER, path, bool(old), bool(new))


# --- the floor -----------------------------------------------------------------------------------


def _floor(old: Document, new: Document) -> Changes:
    ordered = _is_ordered(old) and _is_ordered(new)
    for section in dict.fromkeys((*new, *old)):
        was, now = old.get(section), new.get(section)
        if was == now:
            continue
        if section == "classes":
            yield from _classes(old, new)
        elif section == "types":
            yield from _types(was or {}, now or {})
        elif section in ("sensitivities", "kinds"):
            yield from _sensed(section, was or {}, now or {}, ordered=ordered)
        else:
            yield from _SECTIONS.get(section, _looser)(was, now, section)


def _is_ordered(document: Document) -> bool:
    """Whether a higher sensitivity is stricter in every respect: window, reach and treatment."""
    seconds = [document["windows"][name]["every_seconds"] for name in ("S0", "S1", "S2", "S3")]
    steps = zip(seconds, seconds[1:], strict=False)
    if not all(slow == fast or _is_slower(fast, slow) for fast, slow in steps):
        return False
    least = document["reach"]["at_least"]
    reach = [TLP_ORDER.index(least.get(name, "clear")) for name in SENSITIVITIES[:4]]
    if reach != sorted(reach):
        return False
    floor = Floor.parse(document)
    return all(at_least(floor.rulings_s3[name], floor.rulings[name]) for name in floor.rulings)


def _is_slower(fast: int, slow: int) -> bool:
    # A window that is no multiple of the old one would open before it now and then.
    return fast == 0 if fast == 0 or slow == 0 else slow > fast and slow % fast == 0


def _windows(old: Document, new: Document, path: str) -> Changes:
    for name in sorted({*old, *new}):
        was, now = (side[name]["every_seconds"] for side in (old, new))
        if was == now:
            continue
        is_slower = now > 0 if was == 0 else _is_slower(was, now)
        way = Way.TIGHTER if is_slower else Way.LOOSER
        said = [f"each {seconds} seconds" if seconds else "at once" for seconds in (now, was)]
        yield Change(way, f"{path}.{name}", f"{name} leaves {said[0]}, was {said[1]}.")


def _bases(old: list[Document], new: list[Document], path: str) -> Changes:
    olds, news = ({one["id"]: one for one in side} for side in (old, new))
    for name in sorted({*olds, *news}):
        was, now = olds.get(name), news.get(name)
        at = f"{path}.{name}"
        if was is None or now is None:
            added = was is None
            said = "is added: releases may rest on it" if added else "is taken away"
            yield Change(Way.LOOSER if added else Way.TIGHTER, at, f"Legal basis {name} {said}.")
            continue
        yield from _dates(was, now, at)
        yield from _words(
            {key: was.get(key) for key in ("title", "review")},
            {key: now.get(key) for key in ("title", "review")},
            at,
        )
    if [*olds] != [*news] and {*olds} == {*news}:
        yield Change(Way.OTHER, path, f"{path}: another one is named first.")


def _dates(was: Document, now: Document, at: str) -> Changes:
    never = "9999-12-31"
    if was["from"] != now["from"]:
        way = Way.TIGHTER if now["from"] > was["from"] else Way.LOOSER
        yield _change(way, f"{at}.from", was["from"], now["from"])
    ends = [side["until"] or never for side in (was, now)]
    if ends[0] != ends[1]:
        way = Way.TIGHTER if ends[1] < ends[0] else Way.LOOSER
        said = [side["until"] or "no end" for side in (was, now)]
        yield _change(way, f"{at}.until", *said)


def _reach(old: Document, new: Document, path: str) -> Changes:
    tlp = _later(TLP_ORDER)
    # A narrower default makes marks on parts of an object mean less: it goes either way.
    yield from _looser(old["default"], new["default"], f"{path}.default")
    yield from tlp(old["observables"], new["observables"], f"{path}.observables")
    yield from _more(old["withheld"], new["withheld"], f"{path}.withheld")
    for name in sorted({*old["at_least"], *new["at_least"]}):
        was, now = (side["at_least"].get(name, "clear") for side in (old, new))
        yield from tlp(was, now, f"{path}.at_least.{name}")


def _approvers(old: Document, new: Document, path: str) -> Changes:
    for name in sorted({*old, *new}):
        was, now = (side.get(name, side["default"]) for side in (old, new))
        yield from _more(was, now, f"{path}.{name}")


def _classes(old: Document, new: Document) -> Changes:
    if {*old["classes"]} != {*new["classes"]}:
        yield _change(Way.LOOSER, "classes", {*old["classes"]}, {*new["classes"]})
    was, now = Floor.parse(old), Floor.parse(new)
    for name in sorted(was.rulings.keys() & now.rulings.keys()):
        for level, olds, news in (
            ("", was.rulings, now.rulings),
            (" at S3", was.rulings_s3, now.rulings_s3),
        ):
            before, after = olds[name], news[name]
            said = [
                f"{one.treatment.name.lower()}"
                + (f" ({one.parameter.scale} {one.parameter.step})" if one.parameter else "")
                for one in (before, after)
            ]
            if said[0] != said[1]:
                way = Way.TIGHTER if at_least(after, before) else Way.LOOSER
                text = f"Fields of class {name}{level}: {said[1]}, was {said[0]}."
                yield Change(way, f"classes.{name}", text)
        able = [{word.name.lower() for word in side.abilities[name]} for side in (was, now)]
        yield from _fewer(able[0], able[1], f"classes.{name}.can")


_RANKS = ("passes", "is held", "is withheld", "is refused")


def _types(old: Document, new: Document) -> Changes:
    names = {name for side in (old, new) for section in side.values() for name in section}
    for name in sorted(names):
        was, now = _rank(old, name), _rank(new, name)
        if was != now:
            way = Way.TIGHTER if now > was else Way.LOOSER
            text = f"{name} {_RANKS[now]}, before it {_RANKS[was].replace('is ', 'was ')}."
            yield Change(way, f"types.{name}", text.replace("before it passes", "before it passed"))
        elif was == 1:
            yield from _held({name: old["held"][name]}, {name: new["held"][name]}, "types.held")
        elif (name in old["tokenised"]) != (name in new["tokenised"]):
            yield Change(Way.LOOSER, f"types.{name}", f"{name} is listed otherwise.")


def _rank(types: Document, name: str) -> int:
    if name in types["refused"]:
        return 3
    if name in types["held"]:
        return 1
    return 0 if name in types["pass"] or name in types["tokenised"] else 2


def _sensed(section: str, old: Document, new: Document, *, ordered: bool) -> Changes:
    """What sets a sensitivity: a higher one is stricter where the floor is ordered so."""
    found = _sensitivities(old, new) if section == "sensitivities" else _kinds(old, new)
    for change in found:
        by_level = change.way is Way.TIGHTER and change.path.endswith(_LEVELS)
        if by_level and not ordered:
            yield Change(Way.LOOSER, change.path, change.sentence)
        else:
            yield change


_LEVELS = ("sensitivity", "default", "address_range", "address_single", "inherited_at_most", ":")


def _sensitivities(old: Document, new: Document) -> Changes:
    level = _later(SENSITIVITIES)
    for name in ("default", "address_range", "address_single", "inherited_at_most"):
        yield from level(old[name], new[name], f"sensitivities.{name}")
    for name in sorted({*old["types"], *new["types"]}):
        # Alone the default stands for it, in a pattern S1: both are compared.
        for absent, where in ((None, "alone"), ("S1", "in a pattern")):
            was, now = (side["types"].get(name, absent or side["default"]) for side in (old, new))
            for change in level(was, now, f"sensitivities.types.{name}"):
                yield Change(change.way, f"{change.path}:", f"{change.sentence[:-1]} ({where}).")


def _kinds(old: Document, new: Document) -> Changes:
    level = _later(SENSITIVITIES)
    for name in sorted({*old, *new}):
        at = f"kinds.{name}"
        if name not in old or name not in new:
            said = "is added" if name in new else "is taken away"
            yield Change(Way.LOOSER, at, f"The kind {name} {said}: objects count otherwise.")
            continue
        was, now = old[name], new[name]
        yield from level(was["sensitivity"], now["sensitivity"], f"{at}.sensitivity")
        yield from _smaller(was["days"], now["days"], f"{at}.days")
        held = [{name: one["held"]} if "held" in one else {} for one in (was, now)]
        yield from _held(held[0], held[1], "kinds.held")


def _tripwires(old: Document, new: Document, path: str) -> Changes:
    for name in sorted({*old, *new}):
        was, now = (side.get(name, {"class": None, "hold": False}) for side in (old, new))
        yield from _switch(was["hold"], now["hold"], f"{path}.{name}.hold")
        if was["hold"] and now["hold"]:
            yield from _looser(was["class"], now["class"], f"{path}.{name}.class")


def _holds(old: Document, new: Document, path: str) -> Changes:
    for name in sorted({*old, *new}):
        was, now = old.get(name), new.get(name)
        if was is None or now is None:
            yield Change(Way.OTHER, f"{path}.{name}", f"{path}.{name}: the rule's words.")
        elif was["class"] != now["class"]:
            yield _change(Way.LOOSER, f"{path}.{name}", was["class"], now["class"])
        else:
            yield from _words(was, now, f"{path}.{name}")


def _parts(**by_name: Compare) -> Compare:
    """A section of fixed names."""

    def compare_parts(old: Document | None, new: Document | None, path: str) -> Changes:
        for name, compare_one in by_name.items():
            olds, news = old or {}, new or {}
            yield from compare_one(olds.get(name), news.get(name), f"{path}.{name}")

    return compare_parts


_STATISTICS = _parts(contributors=_larger, share_percent=_smaller, age_months=_larger)
_SECTIONS: Mapping[str, Compare] = {
    **dict.fromkeys(("title", "note", "review", "hold_classes"), _words),
    **dict.fromkeys(("id", "version"), _names),
    "rules": _each(_words),
    "catalogue": _each(_words),
    "legal_bases": _bases,
    "windows": _windows,
    "reach": _reach,
    "minimum_circle": _larger,
    "approvers": _approvers,
    "drop_properties": _more,
    "confidence_cap": _smaller,
    "pattern_qualifiers": _fewer,
    "url_path_segments": _smaller,
    "threat_basis": _parts(asked_of=_more, not_enough_alone=_more),
    "default_days": _smaller,
    "days_at_most": _smaller,
    "address_days": _smaller,
    "relationships": _parts(**{"pass": _fewer, "held": _held}),
    "ranges": _parts(ipv4_prefix=_larger, ipv6_prefix=_larger),
    "shared_lists": _more,
    "fewest_prompts_held": _more,
    "fingerprint_kinds": _more,
    "no_base_rate": _more,
    "announced_capabilities": _fewer,
    "declared_holds": _held,
    "restricted_sources": _more,
    "watched_names": _more,
    "tripwires": _tripwires,
    "holds": _holds,
    "statistics": _STATISTICS,
    "pool": _parts(
        **dict.fromkeys(("every_hours", "accounts", "payers", "egress_holders"), _larger),
        **dict.fromkeys(("flat", "mismatch", "fresh"), _larger),
        **dict.fromkeys(("template_permille", "home_template_permille"), _smaller),
        **dict.fromkeys(("token_accounts", "egress_accounts"), _smaller),
    ),
}


# --- a member's own ------------------------------------------------------------------------------


def _member(old: Document, new: Document) -> Changes:
    for name in dict.fromkeys((*new, *old)):
        was, now = old.get(name), new.get(name)
        if was == now:
            continue
        if name in _DEFAULTS:
            was, now = (_DEFAULTS[name] if one is None else one for one in (was, now))
        yield from _SETTINGS.get(name, _looser)(was, now, name)


_DEFAULTS = {
    **{"tlp_at_least": "clear", "dates": "day", "counts": "decade", "backfill": "none"},
    "drafts": "ask",
}
_SETTINGS: Mapping[str, Compare] = {
    **dict.fromkeys(("title", "because", "reasons"), _words),
    "version": _names,
    **dict.fromkeys(("drop_types", "drop_kinds", "drop_classes", "drop_properties"), _more),
    **dict.fromkeys(("reject_classes", "deny_recipients", "deny_circles"), _more),
    "two_people": _switch,
    "stay_hidden": _switch,
    "allow_recipients": _only,
    "deny_kinds": _each(_more),
    "in_circles": _each(_parts(deny_recipients=_more, allow_recipients=_only, drop_kinds=_more)),
    "min_circle": _larger,
    "delay_seconds": _each(_larger),
    "tlp_at_least": _later(TLP_ORDER),
    "dates": _later(("day", "month", "none")),
    "counts": _later(("decade", "none")),
    "url_path_segments": _smaller,
    "days_at_most": _smaller,
    "statistics": _parts(
        opt_out=_switch, contributors=_larger, share_percent=_smaller, age_months=_larger
    ),
    "backfill": _later(("live", "none")),
    "drafts": _later(("send", "ask")),
}
