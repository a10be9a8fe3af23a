"""Sigma rules and correlations: pySigma parses and validates, our closed translation runs.

A rule becomes one Ibis condition over the table of its service; nothing of its text reaches an
engine but whole numbers and words of closed lists. What is found is a table (unit, key), as the
detectors give it: a rule gives each unit a key of its own, a correlation the values it groups by.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sigma.collection import SigmaCollection
from sigma.conditions import (
    ConditionAND,
    ConditionFieldEqualsValueExpression,
    ConditionNOT,
    ConditionOR,
)
from sigma.correlations import SigmaCorrelationRule
from sigma.exceptions import SigmaError
from sigma.rule import SigmaRule
from sigma.validation import SigmaValidator
from sigma.validators.core.condition import (
    AllOfThemConditionValidator,
    DanglingConditionValidator,
    DanglingDetectionValidator,
)
from sigma.validators.core.values import ControlCharacterValidator, DoubleWildcardValidator

from exchange.proof.refused import Refused
from indicators.detection import windows
from indicators.detection.document import Algorithm
from indicators.detection.fields import SERVICES, Field, Service
from indicators.detection.sources import Source
from indicators.detection.terms import Term, check_modifiers, field_of, term_of
from indicators.stix import plain

Table = Any  # of Ibis
Column = Any

MOST_TERMS = 50
# The smallest part of all possible rows that a rule may select: less would be one of them.
NARROWEST = 0.001
_READ_AS_ANOTHER = ("not", "and", "or", "all", "any", "of", "them", "1")
_VALIDATORS = (
    DanglingDetectionValidator,
    DanglingConditionValidator,
    AllOfThemConditionValidator,
    DoubleWildcardValidator,
    ControlCharacterValidator,
)
_FAULTS: Mapping[str, str] = {
    "SigmaConditionError": "The condition cannot be read, or names a detection that is not there.",
    "SigmaTypeError": "A modifier does not go with its value.",
    "SigmaModifierError": "A modifier cannot be applied here.",
    "SigmaDetectionError": "A detection has no form that Sigma knows.",
    "SigmaRuleNotFoundError": "The correlation names a rule that is not there.",
    "SigmaTimespanError": "The timespan is a number and one of s, m, h, d, w.",
    "DanglingDetectionIssue": "A detection is not used by the condition.",
    "DanglingConditionIssue": "The condition names a detection that is not there.",
    "AllOfThemConditionIssue": "Name what is meant instead of `all of them`.",
    "DoubleWildcardIssue": "Two wildcards stand side by side.",
    "ControlCharacterIssue": "A text holds a control character.",
}


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule, parsed and checked: its service, and its condition as pySigma's tree."""

    service: Service
    tree: Any
    place: str  # in the body

    def used(self) -> frozenset[str]:
        """The fields that its condition names."""
        return frozenset(leaf.field for leaf in _leaves(self.tree))

    def condition(self, frame: windows.Frame) -> Column:
        """The condition on the rows of a frame."""
        return _translated(self, self.tree, frame)


def find(source: Source, algorithm: Algorithm, *, is_negated: bool = False) -> Table:
    """What a Sigma algorithm finds in a log or a pool: (unit, key), each once.

    Negated it finds what it would leave: rows that do not fulfil the condition, and of a
    correlation the units of its service that it does not name.
    """
    rules, correlation = read(algorithm)
    if source.kind != rules[0].service.place:
        sentence = f"The service {rules[0].service.name} is of the {rules[0].service.place}."
        raise Refused("sigma.runs-on", sentence, "runs_on")
    if correlation is None:
        (rule,) = rules
        frame = windows.framed(source, rule.service, rule.used())
        condition = rule.condition(frame)
        hit = frame.rows.filter(~condition if is_negated else condition)
        found = hit.select("unit", key=hit.unit.cast("string")).distinct()
    else:
        asked = windows.Asked(algorithm.digest[:12], correlation, tuple(rules))
        found = windows.found(source, asked, is_negated=is_negated)
    return _of_rows(source, found) if rules[0].service.unit == "template" else found


def _of_rows(source: Source, found: Table) -> Table:
    """The rows of the pool that use the templates that were found."""
    used = source.table("row_template").inner_join(found.rename(template="unit"), "template")
    return used.select(unit=used.row, key=used.key).distinct()


def read(algorithm: Algorithm) -> tuple[list[Rule], SigmaCorrelationRule | None]:
    """The rules of an algorithm and its correlation, if it is one; Refused at the first fault."""
    bodies = list(_bodies(algorithm))
    for place, body in bodies:
        _check_names(body["detection"], f"{place}.detection")
    collection = _collected(algorithm, [body for _, body in bodies])
    parsed = [rule for rule in collection.rules if isinstance(rule, SigmaRule)]
    rules = [
        _rule(rule, SERVICES[body["logsource"]["service"]], place)
        for rule, (place, body) in zip(parsed, bodies, strict=True)
    ]
    if sum(len(list(_leaves(rule.tree))) for rule in rules) > MOST_TERMS:
        sentence = f"An algorithm has at most {MOST_TERMS} terms."
        raise Refused("sigma.terms", sentence, "body")
    for rule in rules:
        if _share(rule, rule.tree) < NARROWEST:
            sentence = "The terms together are so exact that they would single one row out."
            raise Refused("sigma.narrow", sentence, f"{rule.place}.detection")
    if algorithm.kind == "sigma":
        return rules, None
    (correlation,) = (one for one in collection.rules if isinstance(one, SigmaCorrelationRule))
    _check_rules(algorithm.body, rules)
    windows.check(correlation, rules[0].service)
    named = {body["name"]: rule for (_, body), rule in zip(bodies, rules, strict=True)}
    return [named[reference.reference] for reference in correlation.rules], correlation


def _bodies(algorithm: Algorithm) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if algorithm.kind == "sigma":
        yield "body", algorithm.body
    else:
        for index, body in enumerate(algorithm.body["rules"]):
            yield f"body.rules[{index}]", body


def _check_names(detection: Mapping[str, Any], place: str) -> None:
    """What pySigma would read as something else, or not at all, in our own words."""
    for name, items in detection.items():
        path = plain.step(place, name)
        if name == "condition":
            continue
        if name.split("_")[0].lower() in _READ_AS_ANOTHER:
            sentence = "A detection of this name is read as part of the condition: call it another."
            raise Refused("sigma.name", sentence, path)
        for item in items if isinstance(items, list) else [items]:
            for key in item:
                check_modifiers(key.split("|")[1:], plain.step(path, key))


def _collected(algorithm: Algorithm, bodies: list[Mapping[str, Any]]) -> SigmaCollection:
    """As pySigma has them: parsed, resolved and validated."""
    rules: list[dict[str, Any]] = [
        {"title": f"rule {index}", "status": "test", **body} for index, body in enumerate(bodies)
    ]
    if algorithm.kind != "sigma":
        rules.append({"title": "correlation", "correlation": algorithm.body["correlation"]})
    try:
        made = SigmaCollection.from_dicts(rules)
        made.resolve_rule_references()
        issues = SigmaValidator(_VALIDATORS).validate_rules(
            iter([rule for rule in made.rules if isinstance(rule, SigmaRule)])
        )
    except SigmaError as fault:  # its text repeats the rule's
        raise _fault(fault) from None
    for issue in issues:
        raise _fault(issue)
    return made


def _fault(fault: object) -> Refused:
    sentence = _FAULTS.get(type(fault).__name__, "pySigma does not read this.")
    return Refused("sigma.read", sentence, "body")


def _rule(rule: SigmaRule, service: Service, place: str) -> Rule:
    for name, detection in rule.detection.detections.items():
        for item in _items(detection):
            path = f"{place}.detection.{name}.{item.field or ''}"
            field = field_of(service, str(item.field), path)
            for value in item.value:
                term_of(str(item.field), field, value, path)
    try:
        (condition,) = rule.detection.parsed_condition
        tree = condition.parsed
    except SigmaError as fault:
        raise _fault(fault) from None
    return Rule(service, tree, place)


def _items(detection: Any) -> Iterator[Any]:  # noqa: ANN401 - of pySigma
    for item in detection.detection_items:
        if hasattr(item, "detection_items"):
            yield from _items(item)
        else:
            yield item


def _check_rules(body: Mapping[str, Any], rules: list[Rule]) -> None:
    names = [rule["name"] for rule in body["rules"]]
    if sorted(names) != sorted(body["correlation"]["rules"]):
        sentence = "Each rule has its own name, and the correlation names each of them."
        raise Refused("sigma.rules", sentence, "body.correlation.rules")
    if len({rule.service.name for rule in rules}) > 1:
        sentence = "Rules of one correlation are of one service: no table is joined with another."
        raise Refused("sigma.cross-join", sentence, "body.rules")


# --- the condition tree --------------------------------------------------------------------------


def _leaves(tree: Any) -> Iterator[ConditionFieldEqualsValueExpression]:  # noqa: ANN401 - pySigma
    if isinstance(tree, ConditionFieldEqualsValueExpression):
        yield tree
    else:
        for below in _parts(tree):
            yield from _leaves(below)


def _parts(tree: Any) -> list[Any]:  # noqa: ANN401 - of pySigma
    if not isinstance(tree, ConditionAND | ConditionOR | ConditionNOT) or None in tree.args:
        raise Refused("sigma.condition", "This condition is not of the subset.", "body")
    return list(tree.args)


def _term(rule: Rule, leaf: ConditionFieldEqualsValueExpression) -> Term:
    path = f"{rule.place}.detection"
    return term_of(leaf.field, field_of(rule.service, leaf.field, path), leaf.value, path)


def _translated(rule: Rule, tree: Any, frame: windows.Frame) -> Column:  # noqa: ANN401 - pySigma
    if isinstance(tree, ConditionFieldEqualsValueExpression):
        return _term(rule, tree).on(frame.rows, frame.elements)
    first, *others = (_translated(rule, below, frame) for below in _parts(tree))
    if isinstance(tree, ConditionNOT):
        return ~first
    for other in others:
        first = first & other if isinstance(tree, ConditionAND) else first | other
    return first


def _share(rule: Rule, tree: Any) -> float:  # noqa: ANN401 - of pySigma
    """How much of all possible rows a condition selects, as if fields were independent."""
    if isinstance(tree, ConditionFieldEqualsValueExpression):
        return _term(rule, tree).share
    if isinstance(tree, ConditionNOT):
        return 1 - _share(rule, tree.args[0])
    if isinstance(tree, ConditionOR):
        return min(1.0, sum(_share(rule, below) for below in _parts(tree)))
    return _share_of_all(rule, _parts(tree))


def _share_of_all(rule: Rule, parts: list[Any]) -> float:
    """Terms on one field are met together: two ends of a range are one condition."""
    picked: dict[str, tuple[Field, frozenset[Any]]] = {}
    whole = 1.0
    for part in parts:
        inner, is_not = (part.args[0], True) if isinstance(part, ConditionNOT) else (part, False)
        if isinstance(inner, ConditionAND) and not is_not:
            whole *= _share_of_all(rule, _parts(inner))
            continue
        term = (
            _term(rule, inner) if isinstance(inner, ConditionFieldEqualsValueExpression) else None
        )
        if term is None or term.field.is_list or term.is_there is not None:
            whole *= _share(rule, part)
            continue
        domain = frozenset(term.field.domain)
        fit = domain - term.picked if is_not else term.picked
        before = picked.get(inner.field, (term.field, domain))[1]
        picked[inner.field] = (term.field, before & fit)
    for field, fit in picked.values():
        whole *= len(fit) / len(field.domain)
    return whole
