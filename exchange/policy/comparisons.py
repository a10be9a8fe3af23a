"""Rule on what a pattern compares: each literal on its own, then what falls with those that go."""

from collections.abc import Sequence
from typing import Any

from exchange.policy import facts
from exchange.policy.facts import Facts, Literal
from exchange.policy.lattice import Ruling, Treatment, join
from exchange.policy.terms import Floor, Terms
from indicators.stix import patterns


def rule_on_pattern(subject: Facts, terms: Terms, own: str, rulings: dict[str, Ruling]) -> None:
    """Add a ruling for each literal of an indicator's pattern to those of its leaves."""
    whole = rulings.get("pattern")
    if whole is None:
        return
    if subject.pattern is None:
        rulings["pattern"] = terms.floor.rule("off-grammar", whole.field_class)
        return
    allowed = terms.floor.document["pattern_qualifiers"]
    if not set(facts.qualifiers(subject.pattern.root)) <= set(allowed):
        # Without it the pattern would match more, with it any number or moment could be said.
        whole = rulings["pattern"] = terms.floor.rule("qualifier", whole.field_class)
    each = [_literal_ruling(literal, terms, own) for literal in subject.literals]
    if whole.treatment is Treatment.DROP:
        each = [join(whole, ruling) for ruling in each]
    if any(ruling.treatment is Treatment.DROP for ruling in each):
        _rule_on_comparisons(subject.pattern, each, terms.floor)
    for literal, ruling in zip(subject.literals, each, strict=True):
        rulings[f"pattern[{literal.index}]"] = ruling
    gone = all(ruling.treatment is Treatment.DROP for ruling in each)
    if gone and whole.treatment is not Treatment.DROP:
        rulings["pattern"] = terms.floor.rule("unfit-pattern", whole.field_class)


def _literal_ruling(literal: Literal, terms: Terms, own: str) -> Ruling:
    if literal.entry is None:
        return terms.rule("unknown", "unknown")
    field_class = literal.entry.field_class
    ruling = terms.ruling(field_class, own)
    if ruling.treatment is Treatment.DROP:
        return ruling
    if not literal.fits:
        return terms.rule("off-grammar", field_class)
    if ruling.treatment is Treatment.TOKEN:
        exact = literal.operator in ("=", "!=", "IN")
        if not exact or facts.is_range(literal.value):
            return terms.rule("domain-s3", field_class)
    return ruling


def _rule_on_comparisons(pattern: patterns.Pattern, each: list[Ruling], floor: Floor) -> None:
    """Drop the comparisons that lose their meaning, and all that falls with them."""
    survivors = iter(surviving(pattern, [r.treatment is not Treatment.DROP for r in each]))
    wanted = next(survivors, None)
    index = 0
    for comparison in pattern.comparisons():
        size = len(facts.values_of(comparison))
        span = range(index, index + size)
        index += size
        if wanted is not None and comparison == wanted and _stands(comparison, each, span):
            wanted = next(survivors, None)
            continue
        for place in span:
            if each[place].treatment is not Treatment.DROP:
                each[place] = floor.rule("unfit-pattern", each[place].field_class)


def _stands(comparison: patterns.Comparison, each: list[Ruling], span: range) -> bool:
    passing = [each[place].treatment is not Treatment.DROP for place in span]
    if comparison.is_negative:
        return all(passing)
    return any(passing)


def surviving(pattern: patterns.Pattern, passing: Sequence[bool]) -> tuple[Any, ...]:
    """The comparisons that remain when the literals that do not pass are gone.

    A value may leave a list of alternatives; it may not leave a negation, which would say more.
    """
    flags = iter(passing)

    def keep(comparison: patterns.Comparison) -> patterns.Comparison | None:
        own = [next(flags) for _ in facts.values_of(comparison)]
        return comparison if (all(own) if comparison.is_negative else any(own)) else None

    rewritten = patterns.rewrite(pattern, keep)
    return () if rewritten is None else tuple(rewritten.comparisons())
