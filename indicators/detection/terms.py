"""One term of a Sigma rule (a field and a value): what it selects, and how much of all it is.

Everything that a term may not say is refused here, each with its own sentence, before any engine
sees it; no sentence repeats the value.
"""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sigma.types import (
    SigmaBool,
    SigmaCompareExpression,
    SigmaExists,
    SigmaNull,
    SigmaNumber,
    SigmaString,
    SigmaType,
    SpecialChars,
)

from exchange.proof.refused import Refused
from indicators.detection.fields import ROUND, Field, Service

Table = Any  # of Ibis
Column = Any

# `|` modifiers that are read; what others would need no engine-free expression can give.
MODIFIERS = frozenset(
    {"contains", "startswith", "endswith", "gt", "gte", "lt", "lte", "exists", "all"}
)
_REFUSED_MODIFIERS = {
    "re": ("sigma.re", "Regular expressions are not read: they mean another thing on each engine."),
    "fieldref": ("sigma.fieldref", "One field is not compared with another."),
    "expand": ("sigma.placeholder", "Placeholders are not read: a rule says all that it means."),
    "cidr": ("sigma.cidr", "No table has an address in clear, so no range can be looked for."),
}
_LANGUAGE = "A language is not selected: who asks for one in effect asks for a country."
_NAME = (
    "This field names one account, token, template or fingerprint: it can be grouped by, counted "
    "and tested with `exists`, and takes no value."
)


def field_of(service: Service, name: str, path: str) -> Field:
    """The field of this name; Refused where the service has none."""
    if name == "member":
        sentence = "A member is not selected: an algorithm looks at all rows alike."
        raise Refused("sigma.member", sentence, path)
    found = service.fields.get(name)
    if found is None:
        known = ", ".join(service.fields)
        sentence = f"There is no such field; the service {service.name} has {known}."
        raise Refused("sigma.field", sentence, path)
    return found


def check_modifiers(modifiers: list[str], path: str) -> None:
    """Refused at the first modifier that is not of the subset."""
    for modifier in modifiers:
        if modifier in _REFUSED_MODIFIERS:
            raise Refused(*_REFUSED_MODIFIERS[modifier], path)
        if modifier not in MODIFIERS:
            sentence = f"Of modifiers only these are read: {', '.join(sorted(MODIFIERS))}."
            raise Refused("sigma.modifier", sentence, path)


def term_of(name: str, field: Field, value: SigmaType, path: str) -> "Term":
    """What a value asks of a field."""
    if isinstance(value, SigmaExists | SigmaNull):
        if not field.may_be_absent:
            raise Refused("sigma.exists", "This field is never absent.", path)
        return Term(field, is_there=isinstance(value, SigmaExists) and bool(value))
    if field.kind == "name":
        is_language = name == "languages"
        code, said = ("sigma.language", _LANGUAGE) if is_language else ("sigma.literal", _NAME)
        raise Refused(code, said, path)
    made = _TERMS[field.kind](field, value, path)
    if made.operator == "in" and not made.values:
        raise Refused("sigma.nothing", "This field never has such a value.", path)
    return made


@dataclass(frozen=True, slots=True)
class Term:
    """What is asked of one field: whether it is there, one of some values, or a comparison."""

    field: Field
    is_there: bool | None = None
    operator: str = ""
    values: tuple[Any, ...] = ()

    @property
    def share(self) -> float:
        """How much of what the field may hold this selects.

        Lists are had by many, whatever is in them: a word of one counts as a half.
        """
        if self.is_there is not None:
            return 1.0
        if self.field.is_list:
            return 0.5
        return len(self.picked) / len(self.field.domain)

    @property
    def picked(self) -> frozenset[Any]:
        """The values of the field's domain that fit."""
        if self.operator == "in":
            return frozenset(self.values)
        fits = OPERATORS[self.operator]
        return frozenset(value for value in self.field.domain if fits(value, self.values[0]))

    def on(self, rows: Table, elements: Callable[[Field], Table]) -> Column:
        """The condition on a table; `elements` gives the elements (unit, element) of a list."""
        if not self.field.is_list:
            return self._of(rows[self.field.column])
        found = elements(self.field)
        if self.is_there is None:
            found = found.filter(self._of(found.element))
        is_in = rows.unit.isin(found.unit)
        return ~is_in if self.is_there is False else is_in

    def _of(self, column: Column) -> Column:
        if self.is_there is not None:
            return column != "" if self.is_there else column == ""
        if self.operator != "in":
            return OPERATORS[self.operator](column, self.values[0])
        if self.field.kind == "flag":
            return column == self.values[0]
        return column.isin(self.values)


OPERATORS: Mapping[str, Callable[[Any, Any], Any]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


def _number(field: Field, value: SigmaType, path: str) -> Term:
    if isinstance(value, SigmaCompareExpression):
        number, asked = value.number.number, value.op.name.lower()
    elif isinstance(value, SigmaNumber):
        number, asked = value.number, "in"
    else:
        raise Refused("sigma.type", "This field is a number.", path)
    if not field.is_exact:
        if asked == "in":
            sentence = "One exact count would be somebody's own: compare it, with gte or lt."
            raise Refused("sigma.exact", sentence, path)
        if number not in ROUND:
            sentence = "Counts are compared with one digit and zeros: 20, 500, 3000."
            raise Refused("sigma.exact", sentence, path)
    elif not field.domain[0] <= number <= field.domain[-1]:
        sentence = f"This field lies between {field.domain[0]} and {field.domain[-1]}."
        raise Refused("sigma.nothing", sentence, path)
    elif asked == "in" and number not in field.domain:
        return Term(field, operator="in")
    return Term(field, operator=asked, values=(number,))


def _flag(field: Field, value: SigmaType, path: str) -> Term:
    if not isinstance(value, SigmaBool):
        raise Refused("sigma.type", "This field is true or false.", path)
    return Term(field, operator="in", values=(bool(value),))


def _bucket(field: Field, value: SigmaType, path: str) -> Term:
    if not isinstance(value, SigmaCompareExpression):
        return _word(field, value, path)
    number, asked = value.number.number, value.op.name.lower()
    if number not in field.edges or asked not in ("gte", "lt"):
        edges = ", ".join(str(edge) for edge in field.edges) or "none"
        sentence = f"Buckets are compared with gte and lt, at their lower ends: {edges}."
        raise Refused("sigma.bucket", sentence, path)
    return Term(field, operator=asked, values=(field.edges[number],))


def _word(field: Field, value: SigmaType, path: str) -> Term:
    if not isinstance(value, SigmaString):
        raise Refused("sigma.type", "This field is a word of a closed list.", path)
    pattern = "".join(_PARTS.get(part) or re.escape(str(part)) for part in value.s)
    fits = re.compile(pattern, re.IGNORECASE)
    return Term(
        field,
        operator="in",
        values=tuple(code for word, code in field.words.items() if fits.fullmatch(word)),
    )


_PARTS: Mapping[Any, str] = {
    SpecialChars.WILDCARD_MULTI: ".*",
    SpecialChars.WILDCARD_SINGLE: ".",
}
_TERMS: Mapping[str, Callable[[Field, SigmaType, str], Term]] = {
    "number": _number,
    "flag": _flag,
    "bucket": _bucket,
    "word": _word,
}
