"""Which column of a member's log is what: the built-in names, own maps, and what is missing.

The built-in map reads the OpenTelemetry conventions for generative AI, which are in development
and rename things: each need lists the names that were seen, newest first. An own map (TOML) goes
before it. Pure: names and types in, expressions of DuckDB out; no value of a log is ever here.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, available_timezones

from exchange.proof.refused import Refused

VERSION = "weir-map/1"
BUILT_IN = "otel-genai/2026-11"

# What is needed, and under which names it was seen.
NAMES: Mapping[str, tuple[str, ...]] = {
    "account": ("user.id", "enduser.pseudo.id", "enduser.id", "user_id", "account_id"),
    "time": (
        "start_time_unix_nano", "startTimeUnixNano", "start_time", "startTime", "Timestamp",
        "@timestamp", "timestamp", "time_unix_nano", "timeUnixNano", "time",
    ),
    "payment": (),
    "entity": (),
    "device": (),
    "signup": (),
    "prompt": ("gen_ai.input.messages", "gen_ai.prompt", "gen_ai.prompt.0.content"),
    "model": ("gen_ai.request.model", "gen_ai.response.model"),
    "operation": ("gen_ai.operation.name", "llm.request.type"),
    "egress": ("client.address", "http.client_ip", "net.peer.ip", "client.ip"),
    "client": (
        "header_order_hash", "tls.client.ja4", "ja4", "user_agent.original", "http.user_agent",
    ),
    "mismatch": (),
    "capability": (),
    "method": (),
    "surface": (),
    "own": (),
}  # fmt: skip
# Columns that hold the attributes of a span, as a map, a struct or JSON.
CONTAINERS = (
    "attributes", "Attributes", "SpanAttributes", "span_attributes", "LogAttributes",
    "log_attributes", "resource", "ResourceAttributes",
)  # fmt: skip

# What is lost where a column is missing. Those without which nothing runs are in REQUIRED.
LOST: Mapping[str, str] = {
    "payment": "no tie by payment; payers are counted by legal entity alone",
    "entity": "payers are counted by card: a firm with three cards looks like three payers",
    "signup": "an account is as old as its first day in this state, and as old as can be on the"
    " first: for six weeks hardly any group is new, so few rows can leave (R6)",
    "prompt": "no templates: no tie by template, and a finding's templates match nothing here",
    "model": "no account is seen to move to a newly released model",
    "operation": "no capability follows from the operation",
    "egress": "no egress addresses in rows, and none are matched at home",
    "client": "no client fingerprints in rows, and none are matched at home",
    "mismatch": "no account is seen to use another client than it says",
    "capability": "rows name a capability only where the operation tells it",
    "method": "rows name no method",
    "surface": "rows name no surface",
    "own": "your staff, tests and free trials are inside unless --own names their accounts (R8)",
}
REQUIRED: Mapping[str, str] = {
    "account": "whose use it was",
    "time": "when it was",
    "payment": "who pays: a fingerprint of the card, or the legal entity",
    "device": "the device: without it one customer with many accounts looks like a crowd",
}
KEYS = frozenset({"version", "base", "zone", "columns", "own", "releases"})
CALLED: Mapping[str, str] = {
    "account": "account", "time": "time", "payment": "payment", "entity": "legal entity",
    "device": "device", "signup": "day of sign-up", "prompt": "prompt", "model": "model",
    "operation": "operation", "egress": "address of the client", "client": "client",
    "mismatch": "client mismatch", "capability": "capability", "method": "method",
    "surface": "surface", "own": "own use",
}  # fmt: skip

_INSTANT = re.compile(r"TIMESTAMP WITH TIME ZONE")
_OFFSET = "[T ][0-9]{2}:.*[+-][0-9]{2}(:?[0-9]{2})?$"
_WHOLE = re.compile(r"U?(BIG|HUGE|SMALL|TINY)?INT(EGER)?")


@dataclass(frozen=True, slots=True)
class Column:
    """One column, or one attribute inside a column, as a file has it."""

    name: str
    expression: str  # of DuckDB
    kind: str  # DuckDB's type
    top: str = ""  # the column that it is inside of, if it is an attribute


@dataclass(frozen=True, slots=True)
class Map:
    """An own map, read; the built-in one has no columns of its own."""

    columns: Mapping[str, str] = field(default_factory=dict)
    has_built_in: bool = True
    zone: str = ""
    own_accounts: str = ""  # a file, one account a line
    releases: tuple[tuple[str, datetime], ...] = ()  # public ones


@dataclass(frozen=True, slots=True)
class Match:
    """Which column serves which need, and what each missing one costs."""

    columns: Mapping[str, Column]
    zone: str

    @property
    def missing(self) -> tuple[str, ...]:
        """The needs without a column, in the order of the map."""
        return tuple(need for need in NAMES if need not in self.columns)

    def sentences(self) -> list[str]:
        """What was found under which name, and what is lost by what is missing."""
        found = [
            f"{CALLED[need]}: column {column.name}"
            for need in NAMES
            if (column := self.columns.get(need)) is not None
        ]
        lost = [f"{CALLED[need]}: missing; {LOST[need]}" for need in self.missing if need in LOST]
        return found + lost


def parse(text: str) -> Map:
    """Read an own map; Refused for what it does not know, by its place."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise Refused("map.toml", "The map is not TOML.") from None
    unknown = sorted(document.keys() - KEYS)
    if unknown:
        raise Refused("map.key", f"A map has {', '.join(sorted(KEYS))}.", _shown(unknown[0]))
    if document.get("version") != VERSION:
        raise Refused("map.version", f'Say version = "{VERSION}".', "version")
    base = document.get("base", "otel")
    if base not in ("otel", "none"):
        raise Refused("map.base", 'Say base = "otel" or base = "none".', "base")
    own = _table(document, "own", {"column", "accounts"})
    columns = _table(document, "columns", set(NAMES) - {"own"})
    if "column" in own:
        columns["own"] = own["column"]
    return Map(
        columns=columns,
        has_built_in=base == "otel",
        zone=zone(document.get("zone", "")),
        own_accounts=own.get("accounts", ""),
        releases=_releases(document.get("releases", {})),
    )


def zone(name: object) -> str:
    """The name of a time zone, checked; empty for none."""
    if name == "":
        return ""
    if not isinstance(name, str) or name not in available_timezones():
        sentence = "A zone is a name such as Europe/Berlin or UTC."
        raise Refused("map.zone", sentence, "zone")
    return ZoneInfo(name).key


def match(columns: Sequence[Column], mapped: Map) -> Match:
    """Find a column for each need; Refused where the map names one that is not there."""
    there = {column.name: column for column in columns}
    inside = {_bare(column.name): column for column in reversed(columns)}
    found: dict[str, Column] = {}
    for need, names in NAMES.items():
        named = mapped.columns.get(need)
        if named is not None:
            if named not in there and named not in inside:
                sentence = f"The log has no column of the name that the map gives for {need}."
                raise Refused("map.column", sentence, f"columns.{need}")
            found[need] = there.get(named) or inside[named]
            continue
        seen = [name for name in names if mapped.has_built_in and (name in there or name in inside)]
        if seen:
            found[need] = there.get(seen[0]) or inside[seen[0]]
    return Match(found, mapped.zone)


def check(found: Match) -> None:
    """Refuse a log that lacks what nothing can be done without."""
    missing = [need for need in REQUIRED if need not in found.columns]
    if "payment" in missing and "entity" in found.columns:
        missing.remove("payment")
    if not missing:
        return
    told = "; ".join(f"{CALLED[need]} ({REQUIRED[need]})" for need in missing)
    sentence = f"The log has no column for: {told}. Name them in the map, under [columns]."
    raise Refused("log.columns", sentence, f"columns.{missing[0]}")


def instant(column: Column, *, has_offset: bool, zone: str) -> str:
    """Microseconds since 1970 in UTC, NULL where a time cannot be read; Refused for local times.

    `has_offset` says whether texts were seen to carry their offset.
    """
    name, kind = column.expression, column.kind.upper()
    if _INSTANT.fullmatch(kind):
        return f"epoch_us({name})"
    if _WHOLE.fullmatch(kind) or kind == "NUMBER":
        number = f"TRY_CAST({name} AS BIGINT)"
        return (
            f"CASE WHEN abs({number}) < 100000000000 THEN {number} * 1000000"
            f" WHEN abs({number}) < 100000000000000 THEN {number} * 1000"
            f" WHEN abs({number}) < 100000000000000000 THEN {number}"
            f" ELSE {number} // 1000 END"
        )
    local = "NULL"
    if zone:
        local = f"epoch_us(TRY_CAST({name} AS TIMESTAMP) AT TIME ZONE '{zone}')"
    elif kind != "VARCHAR" or not has_offset:
        sentence = (
            "The log's times carry no offset from UTC. Say in the map in which zone they are,"
            ' such as zone = "UTC".'
        )
        raise Refused("log.local-time", sentence, "zone")
    if kind != "VARCHAR":
        return local
    ends = f"right({name}, 1) = 'Z' OR regexp_matches({name}, '{_OFFSET}')"
    return f"CASE WHEN {ends} THEN epoch_us(TRY_CAST({name} AS TIMESTAMPTZ)) ELSE {local} END"


def carries_offset(text: str) -> bool:
    """Whether a time as text says how far from UTC it is."""
    return text.endswith("Z") or re.search(_OFFSET, text) is not None


def _bare(name: str) -> str:
    """The name without the column of attributes around it."""
    head, _, rest = name.partition(".")
    return rest if head in CONTAINERS and rest else name


def _table(document: Mapping[str, object], name: str, known: set[str]) -> dict[str, str]:
    table = document.get(name, {})
    if not isinstance(table, dict):
        raise Refused("map.form", f"[{name}] is a table.", name)
    for key, value in table.items():
        if key not in known:
            sentence = f"[{name}] knows {', '.join(sorted(known))}."
            raise Refused("map.key", sentence, f"{name}.{_shown(key)}")
        if not isinstance(value, str) or not value:
            raise Refused("map.form", "Name a column by a text.", f"{name}.{key}")
    return dict(table)


def _releases(table: object) -> tuple[tuple[str, datetime], ...]:
    if not isinstance(table, dict):
        raise Refused("map.form", "[releases] is a table of models and times.", "releases")
    for number, at in enumerate(table.values(), start=1):
        if not isinstance(at, datetime) or at.tzinfo is None:
            sentence = "A public release is a time with its offset, such as 2026-11-01T17:00:00Z."
            raise Refused("map.release", sentence, f"releases, line {number}")
    return tuple(sorted((str(model), at.astimezone(UTC)) for model, at in table.items()))


def _shown(key: str) -> str:
    """A key as far as it can be shown: a value may stand where a key should."""
    return key if re.fullmatch(r"[a-z_-]{1,20}", key) else "a key"
