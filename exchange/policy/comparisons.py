"""Rule on what a pattern compares: each literal on its own, then what falls with those that go."""

from collections.abc import Mapping

from exchange.policy import coarsen, facts
from exchange.policy.facts import Facts, Literal
from exchange.policy.lattice import Ruling, Treatment, join
from exchange.policy.terms import Floor, Terms
from indicators.stix import patterns


def rule_on_pattern(
    subject: Facts,
    terms: Terms,
    own: str,
    rulings: dict[str, Ruling],
    *,
    doubtful: frozenset[int],
) -> None:
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
    by_class = terms.rulings(own)
    each = [
        terms.rule("token-scope", "token")
        if literal.index in doubtful
        else _literal_ruling(literal, by_class, terms)
        for literal in subject.literals
    ]
    if whole.treatment is Treatment.DROP:
        each = [join(whole, ruling) for ruling in each]
    if any(ruling.treatment is Treatment.DROP for ruling in each):
        _rule_on_comparisons(subject.pattern, each, terms.floor)
    for literal, ruling in zip(subject.literals, each, strict=True):
        rulings[f"pattern[{literal.index}]"] = ruling
    gone = all(ruling.treatment is Treatment.DROP for ruling in each)
    if gone and whole.treatment is not Treatment.DROP:
        rulings["pattern"] = terms.floor.rule("unfit-pattern", whole.field_class)


def _literal_ruling(literal: Literal, by_class: Mapping[str, Ruling], terms: Terms) -> Ruling:
    if literal.entry is None:
        return terms.rule("unknown", "unknown")
    field_class = literal.entry.field_class
    ruling = by_class[field_class]
    if ruling.treatment is Treatment.DROP:
        return ruling
    if not literal.fits:
        return terms.rule("off-grammar", field_class)
    if ruling.treatment is Treatment.TOKEN:
        exact = literal.operator in ("=", "!=", "IN")
        if not exact or facts.is_range(literal.value):
            return terms.rule("domain-s3", field_class)
    if field_class == "url" and literal.is_negative and _is_cut(str(literal.value), ruling):
        # "Not this page" would become "not these pages": it would match less, and say more.
        return terms.rule("unfit-pattern", field_class)
    return ruling


def _is_cut(page: str, ruling: Ruling) -> bool:
    depth = 10 - (ruling.parameter.step if ruling.parameter is not None else 0)
    return coarsen.page(page, depth) != page


def _rule_on_comparisons(pattern: patterns.Pattern, each: list[Ruling], floor: Floor) -> None:
    """Drop the literals that lose their meaning with what falls beside them.

    The rule is that a pattern may say less, never more. An alternative may go, of comparisons, of
    observations and of the values in a list. A part of a conjunction, an end of a FOLLOWEDBY or a
    value of a negation takes the whole of it along: what is left would match more than was meant.
    """
    flags = iter([ruling.treatment is not Treatment.DROP for ruling in each])

    def keep(comparison: patterns.Comparison) -> patterns.Comparison | None:
        own = [next(flags) for _ in facts.values_of(comparison)]
        return comparison if (all(own) if comparison.is_negative else any(own)) else None

    rewritten = patterns.rewrite(pattern, keep)
    # By identity: the same comparison may stand in one branch that falls and in one that stays.
    kept = {id(one) for one in rewritten.comparisons()} if rewritten is not None else set()
    index = 0
    for comparison in pattern.comparisons():
        for _ in facts.values_of(comparison):
            if id(comparison) not in kept and each[index].treatment is not Treatment.DROP:
                each[index] = floor.rule("unfit-pattern", each[index].field_class)
            index += 1
