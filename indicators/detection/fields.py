"""The fields that a Sigma rule may name: the columns of three services, and what each takes.

Every text that a rule may state is a word of a closed list, so a text is matched here, once, and an
engine only ever compares numbers and whole words. What names one thing (account, token, template,
fingerprint, shape of a day) can be grouped by and counted, and takes no value.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from indicators.detection import schema
from indicators.stix import extensions

SHARES = tuple(range(0, 11, 2))
DIGITS = tuple(range(10))
# Counts of a day stand as one digit and zeros: an exact one would be somebody's own.
ROUND = tuple(digit * 10**power for power in range(7) for digit in range(1, 10))


@dataclass(frozen=True, slots=True)
class Field:
    """One field: where it stands, and what may be asked of it."""

    column: str
    kind: str  # `number`, `flag`, `bucket`, `word`, `name`
    domain: tuple[int, ...] = ()  # of a number: every value that it may have, or be compared with
    words: Mapping[str, int | str] = None  # type: ignore[assignment]  # of buckets and words
    edges: Mapping[int, int] = None  # type: ignore[assignment]  # of buckets: lower end, index
    table: str = ""  # of a list: the table whose rows are its elements
    of: str = ""  # the `kind` of those rows
    may_be_absent: bool = False
    is_exact: bool = True  # whether one value of it may be asked for
    may_group: bool = True
    of_account: bool = False  # stands in the table `account`

    @property
    def is_list(self) -> bool:
        """Whether its elements are rows of another table."""
        return bool(self.table)


@dataclass(frozen=True, slots=True)
class Service:
    """One of the three: its table, what a hit is, and its fields."""

    name: str
    place: str  # `log` or `pool`
    table: str
    unit: str
    fields: Mapping[str, Field]


def _vocabulary(name: str) -> Mapping[str, int | str]:
    words: Mapping[str, Any] = extensions.CONTEXT_SCHEMA["properties"][name]
    return {word: word for word in words["items"]["enum"]}


def _bucket(
    column: str, words: tuple[str, ...], edges: tuple[int, ...] = (), *, few: str = ""
) -> Field:
    coded: dict[str, int | str] = {word: index for index, word in enumerate(words)}
    if few:
        coded[few] = -1
    return Field(
        column,
        "bucket",
        domain=tuple(sorted(int(code) for code in coded.values())),
        words=coded,
        edges={edge: index for index, edge in enumerate(edges)},
    )


def _lower_ends(words: tuple[str, ...]) -> tuple[int, ...]:
    scale = {"k": 1_000, "M": 1_000_000, "": 1}
    found = [re.match(r"(\d+)([kM]?)", word) for word in words]
    return tuple(int(one[1]) * scale[one[2]] for one in found if one is not None)


def _name(column: str, *, may_group: bool = True, may_be_absent: bool = False) -> Field:
    return Field(column, "name", may_group=may_group, may_be_absent=may_be_absent)


def _list(table: str, column: str, of: str = "") -> Field:
    return Field(column, "name", table=table, of=of, may_be_absent=True)


def _tags(table: str) -> dict[str, Field]:
    return {
        field: Field(
            "tag", "word", words=_vocabulary(words), table=table, of=kind, may_be_absent=True
        )
        for field, kind, words in (
            ("capabilities", "capability", "capability_targets"),
            ("methods", "method", "elicitation_methods"),
            ("surface", "surface", "surfaces"),
        )
    }


def _held(table: str) -> dict[str, Field]:
    return {kind: _list(table, "token", kind) for kind in schema.KINDS}


_FLAG = "flag"
_ACCOUNT_DAY: dict[str, Field] = {
    "account": _name("account"),
    "day": _name("day"),
    "events": Field("events", "number", domain=ROUND, is_exact=False),
    "flat": Field("flat", "number", domain=DIGITS),
    "am": _name("am"),
    "pm": _name("pm"),
    **{name: Field(name, _FLAG, domain=(0, 1)) for name in ("mid", "mismatch", "moved")},
    "client": _name("client", may_be_absent=True),
    "first_day": Field("first_day", "name", of_account=True),
    **{name: Field(name, _FLAG, domain=(0, 1), of_account=True) for name in ("carded", "deviced")},
    **_held("account_token"),
    **_tags("account_tag"),
    "templates": _list("account_template", "template"),
}
_CLUSTER_ROW: dict[str, Field] = {
    "row": _name("row"),
    "cluster": _name("cluster", may_group=False),
    "size": _bucket("size", schema.SIZES, schema.SIZE_FLOORS),
    "payers": _bucket("payers", schema.SIZES, schema.SIZE_FLOORS),
    "devices": _bucket("devices", schema.SIZES, schema.SIZE_FLOORS, few=schema.FEW),
    **{name: _name(name) for name in ("day", "first_day", "last_day", "am", "pm")},
    "flat": Field("flat", "number", domain=DIGITS),
    **{name: Field(name, "number", domain=SHARES) for name in schema.SHARES},
    "start_days": Field("start_days", "number", domain=schema.START_DAYS),
    **_held("row_token"),
    "client": _list("row_client", "client"),
    **_tags("row_tag"),
    "templates": _list("row_template", "template"),
}
_TEMPLATE_ROW: dict[str, Field] = {
    "template": _name("template"),
    "day": _name("day"),
    "length": _bucket("length", schema.LENGTHS, _lower_ends(schema.LENGTHS)),
    "samples": _bucket("samples", schema.SAMPLES, _lower_ends(schema.SAMPLES)),
    "base_rate": _bucket("base_rate", schema.BASE_RATES),
    # Who asks for one language in effect asks for one country.
    "languages": _name("languages", may_group=False, may_be_absent=True),
    "bands": _list("template_band", "value"),
}
SERVICES: Mapping[str, Service] = {
    service.name: service
    for service in (
        Service("account-day", "log", "account_day", "account", _ACCOUNT_DAY),
        Service("cluster-row", "pool", "cluster_row", "row", _CLUSTER_ROW),
        Service("template-row", "pool", "template_row", "template", _TEMPLATE_ROW),
    )
}
