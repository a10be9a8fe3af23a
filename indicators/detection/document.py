"""Algorithms as documents: one YAML form, read safely, judged by a published schema, by sense.

Here only form and sense are judged, with what the exchange itself carries. Whether the Sigma in it
can be translated, and whether its cases hold and can fail, is judged in a child (`trying`).
No sentence repeats a value of the document: it may be a token that must not be in it.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import jsonschema_rs

from exchange.proof import jcs
from exchange.proof.refused import Refused
from indicators.detection.tables import LOG, POOL
from indicators.stix import atlas, plain

MOST_OCTETS = 131_072
MOST_VALUES = 20_000
MOST_FAULTS = 40
MOST_ROWS = 200  # inline, of all tables of one case
MOST_DAYS = 180  # from activation to the end
FEWEST_MATCHES = 2
LOOK_ALIKES = (
    *("school", "hackathon", "firm", "lawful-reseller", "benchmark", "open-source-tool"),
    *("carrier-nat", "scheduled-job", "launch-rush", "multi-home"),
)
# What each detector of the closed set runs on (`ties.DETECTORS` has the functions).
DETECTORS: Mapping[str, str] = {
    "shared-token": "both",
    "template-family": "log",
    "near-template": "both",
    "row-pair": "pool",
    "synchronised-start": "both",
    "rate-shape": "both",
    "pivot": "both",
    "scorecard": "both",
}
# What a Sigma rule of each service looks at.
SERVICES: Mapping[str, str] = {"account-day": "log", "cluster-row": "pool", "template-row": "pool"}

_LIMITS = plain.Limits(MOST_OCTETS, MOST_VALUES, deepest=10, noun="An algorithm")
_SCHEMA = Path(__file__).with_name("schemas") / "algorithm.schema.json"
_WHO: Mapping[str, str] = {"accounts": "Accounts", "rows": "Groups", "templates": "Templates"}
_SHOWS: Mapping[str, str] = {
    "shared-card-or-device": "that share a card or a device",
    "shared-templates": "that use the same family of prompt templates",
    "near-templates": "that are nearly the same",
    "rare-template-pairs": "that share two rare templates",
    "started-together": "that started together, in waves",
    "equal-hours": "that keep the same machine-paced hours",
    "moved-after-release": "that moved within a day of a public release",
    "facts-of-a-campaign": "whose facts together are those of a campaign",
    "machine-paced": "that are paced by a machine",
    "steady-volume": "that keep to a middle volume",
    "new-in-the-window": "that are new",
    "soon-replaced": "that end early and are replaced",
    "client-mismatch": "whose client is not what it says it is",
    "many-cards": "that go through many cards",
    "many-devices": "that go through many devices",
    "elicitation": "that draw one kind of output",
    "capability": "that aim at one capability",
}
# What names one value in the world: a token, a fingerprint, a number, an address.
_SINGLING: tuple[re.Pattern[str], ...] = (
    re.compile(r"(?<![0-9a-z])(?=[0-9a-f]*\d)[0-9a-f]{12,}(?![0-9a-z])", re.IGNORECASE),
    re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE),
    re.compile(r"(?=[\w+/=-]*\d)(?=[\w+/=-]*[a-z])(?=[\w+/=-]*[A-Z])[\w+/=-]{20,}"),
    re.compile(r"(?<!\d)\d(?:[ .-]?\d){8,}"),
    re.compile(r"(?<!\d)\d{1,3}(?:\.(?:\d{1,3}|\*)){2,3}"),
    re.compile(r"(?<![0-9a-z])[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,}", re.IGNORECASE),
    re.compile(r"@|://|\bxn--"),
    re.compile(r"(?<![\w.-])(?:[a-z0-9][a-z0-9-]*\.)+[a-z]{2,}(?![\w-])", re.IGNORECASE),
    re.compile(r"\bAS\d{2,}", re.IGNORECASE),
)


@dataclass(frozen=True, slots=True)
class Fault:
    """One reason for which a document is refused, with its place."""

    code: str
    sentence: str
    path: str
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Parameter:
    """A number of an algorithm, the range that its author allows, and where in the body it is."""

    value: int
    least: int
    most: int
    at: tuple[str | int, ...] = ()  # of Sigma kinds; a detector's parameters go by their names


@dataclass(frozen=True, slots=True)
class Case:
    """One test that travels with an algorithm: rows of its own, or a named scene with a seed."""

    name: str
    is_match: bool
    why: str
    runs_on: str  # `log` or `pool`
    look_alike: str
    rows: Mapping[str, tuple[Mapping[str, Any], ...]]
    scene: str
    seed: int


@dataclass(frozen=True, slots=True)
class Algorithm:
    """What to look for, as one reviewed and versioned document."""

    id: str
    version: int
    title: str
    kind: str  # `sigma`, `sigma-correlation`, `detector`
    body: Mapping[str, Any]
    detector: str  # of kind `detector`, else empty
    runs_on: str  # `log`, `pool`, `both`
    parameters: Mapping[str, Parameter]
    false_positives: tuple[str, ...]
    tags: Mapping[str, tuple[str, ...]]
    tests: tuple[Case, ...]
    base_rate_bucket: str
    valid_until: date | None
    valid_days: int
    licence: str
    canonical: bytes  # RFC 8785 of the whole document
    digest: str  # SHA-256 of it, hex

    @property
    def values(self) -> dict[str, int]:
        """The parameters as a detector takes them."""
        return {name: parameter.value for name, parameter in self.parameters.items()}

    def ends_on(self, activated: date) -> date:
        """The last day on which it may act: never more than 180 days after its activation."""
        last = activated + timedelta(days=self.valid_days)
        return last if self.valid_until is None else min(last, self.valid_until)


@dataclass(frozen=True, slots=True)
class Checked:
    """A text that was read: the algorithm if it has no fault, else every fault that was found."""

    algorithm: Algorithm | None
    faults: tuple[Fault, ...]


def schema(*, address: str = "") -> dict[str, Any]:
    """The published schema of an algorithm; `address` is where it is served."""
    found: dict[str, Any] = json.loads(_SCHEMA.read_text(encoding="utf-8"))
    return {**found, "$id": address or found["$id"]}


def check(text: bytes, *, today: date | None = None) -> Checked:
    """Read a document and judge form and sense; with `today` also how long it may act."""
    try:
        document, lines = _read(text)
    except plain.Unreadable as fault:
        return Checked(None, (Fault("algorithm.read", fault.sentence, fault.path, fault.line),))
    faults = [placed(fault, lines) for fault in _faults(document, today=today)]
    if faults:
        faults.sort(key=lambda one: one.line or 0)
        return Checked(None, tuple(faults[:MOST_FAULTS]))
    return Checked(_algorithm(document), ())


def parse(text: bytes, *, today: date | None = None) -> Algorithm:
    """The algorithm that a document states; Refused names its first fault."""
    checked = check(text, today=today)
    if checked.algorithm is None:
        first = checked.faults[0]
        place = f"line {first.line}: {first.path}" if first.line else first.path
        raise Refused(first.code, first.sentence, place)
    return checked.algorithm


def lines_of(text: bytes) -> plain.Lines:
    """The line of each place in a text that can be read; none where it is no YAML."""
    try:
        return _read(text)[1]
    except plain.Unreadable:
        return {}


def placed(fault: Fault, lines: plain.Lines) -> Fault:
    """The fault with the line of its place."""
    return replace(fault, line=plain.line_of(lines, fault.path))


def with_values(algorithm: Algorithm, values: Mapping[str, int]) -> Algorithm:
    """The same algorithm with other values of some parameters, in its body too."""
    body = json.loads(json.dumps(algorithm.body))
    parameters = dict(algorithm.parameters)
    for name, value in values.items():
        parameters[name] = replace(parameters[name], value=value)
        place, at = body, parameters[name].at
        for step in at[:-1]:
            place = place[step]
        if at:
            place[at[-1]] = value
    return replace(algorithm, body=body, parameters=parameters)


def singles_out(text: str) -> bool:
    """Whether a text holds what names one value in the world: token, fingerprint, address."""
    return any(pattern.search(text) for pattern in _SINGLING)


# --- reading -------------------------------------------------------------------------------------


def _read(text: bytes) -> tuple[Any, plain.Lines]:
    if len(text) > MOST_OCTETS:
        raise plain.Unreadable(f"An algorithm has at most {MOST_OCTETS // 1024} KiB.", None)
    try:
        written = text.decode()
    except UnicodeDecodeError:
        raise plain.Unreadable("It is not UTF-8.", None) from None
    if written.startswith("{"):
        try:
            return jcs.decode(text), {}
        except Refused:
            pass  # a table of YAML may begin so too; its reader says what is wrong, and where
    return plain.read(written, _LIMITS)


# --- by form -------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _validator() -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(schema(), mask="This value")


def _faults(document: Any, *, today: date | None) -> list[Fault]:  # noqa: ANN401 - JSON
    by_form = list(_by_schema(document))
    if by_form or not isinstance(document, Mapping):
        return by_form
    found = [fault for rule in _SENSE for fault in rule(document)]
    return found + list(_in_time(document, today))


# Their messages repeat names that the author chose, and those may say anything.
_WITH_NAMES: Mapping[str, str] = {
    "additionalProperties": "A property here is none of an algorithm's",
    "propertyNames": "A name here is of no form that this part knows",
}


def _by_schema(document: Any) -> Iterator[Fault]:  # noqa: ANN401 - JSON
    for error in _validator().iter_errors(document):
        path = ""
        for part in error.instance_path:
            path = f"{path}[{part}]" if isinstance(part, int) else plain.step(path, str(part))
        sentence = _WITH_NAMES.get(error.kind.name) or str(error.message).rstrip(".")[:300]
        yield Fault("algorithm.form", f"{sentence[:1].upper()}{sentence[1:]}.", path)


# --- by sense ------------------------------------------------------------------------------------


def _in_time(document: Mapping[str, Any], today: date | None) -> Iterator[Fault]:
    until = document["valid_until"]
    if isinstance(until, Mapping):
        return
    try:
        last = date.fromisoformat(until)
    except ValueError:
        yield Fault("algorithm.date", "There is no such day.", "valid_until")
        return
    if today is not None and last <= today:
        yield Fault("algorithm.expired", "Its last day is over.", "valid_until")
    if today is not None and last > today + timedelta(days=MOST_DAYS):
        sentence = f"An algorithm acts for at most {MOST_DAYS} days; then it is looked at again."
        yield Fault("algorithm.too-long", sentence, "valid_until")


def _singles_nobody_out(document: Mapping[str, Any]) -> Iterator[Fault]:
    for section in ("body", "tests"):
        for path, text in _texts(document[section], section):
            if singles_out(text):
                sentence = "A token, a fingerprint, a number or an address would single one out."
                yield Fault("algorithm.literal", sentence, path)


def _texts(value: Any, path: str) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - JSON
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, list):
        for index, below in enumerate(value):
            yield from _texts(below, f"{path}[{index}]")
    elif isinstance(value, Mapping):
        for key, below in value.items():
            yield path, key
            yield from _texts(below, plain.step(path, key))


def _techniques_are_known(document: Mapping[str, Any]) -> Iterator[Fault]:
    known = _techniques()
    for index, name in enumerate(document["tags"]["atlas"]):
        if name not in known:
            sentence = "ATLAS has no technique of this number."
            yield Fault("algorithm.atlas", sentence, f"tags.atlas[{index}]")


@lru_cache(maxsize=1)
def _techniques() -> frozenset[str]:
    return frozenset(atlas.external_id(obj) for obj in atlas.techniques().values())


def _runs_where_it_can(document: Mapping[str, Any]) -> Iterator[Fault]:
    runs_on = document["runs_on"]
    places = {_place_of(body) for body in _bodies(document)}
    if len(places) > 1:
        sentence = "Rules of one correlation look at one place: the log, or the pool."
        yield Fault("algorithm.cross-join", sentence, "body.rules")
    elif places not in ({"both"}, {runs_on}):
        (place,) = places
        yield Fault("algorithm.runs-on", f"This runs on: {place}.", "runs_on")


def _bodies(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    body: Mapping[str, Any] = document["body"]
    return list(body.get("rules", (body,)))


def _place_of(body: Mapping[str, Any]) -> str:
    if "detector" in body:
        return DETECTORS[body["detector"]]
    return SERVICES[body["logsource"]["service"]]


def _parameters_are_in_range(document: Mapping[str, Any]) -> Iterator[Fault]:
    is_detector = document["kind"] == "detector"
    for name, row in document["parameters"].items():
        path = plain.step("parameters", name)
        least, most = row["range"]
        if not least <= row["value"] <= most or least == most:
            sentence = "A range has two ends, and the value lies between them."
            yield Fault("algorithm.range", sentence, path)
        if is_detector == ("at" in row):
            sentence = (
                "A detector's parameters go by their names."
                if is_detector
                else "Say with `at` which number of the body this is."
            )
            yield Fault("algorithm.parameter", sentence, path)
        elif not is_detector and _found_at(document["body"], row["at"]) != row["value"]:
            sentence = "At this place of the body is another value."
            yield Fault("algorithm.parameter", sentence, f"{path}.at")


def _found_at(body: Any, steps: list[str | int]) -> object:  # noqa: ANN401 - JSON
    for step in steps:
        try:
            body = body[step]
        except (KeyError, IndexError, TypeError):
            return None
    return body if type(body) is int else None


def _cases_are_whole(document: Mapping[str, Any]) -> Iterator[Fault]:
    tests, named = document["tests"], document["false_positives"]
    told = [case["look_alike"] for case in tests if case["expect"] == "no-match"]
    if sum(case["expect"] == "match" for case in tests) < FEWEST_MATCHES:
        sentence = f"At least {FEWEST_MATCHES} cases match."
        yield Fault("algorithm.no-positive", sentence, "tests")
    for index, name in enumerate(named):
        if name not in told:
            sentence = "No case shows that this look-alike does not match."
            yield Fault("algorithm.no-negative", sentence, f"false_positives[{index}]")
    seen: set[str] = set()
    for index, case in enumerate(tests):
        path = f"tests[{index}]"
        if case["name"] in seen:
            yield Fault("algorithm.case", "Another case has this name.", f"{path}.name")
        seen.add(case["name"])
        if case["expect"] == "no-match" and case["look_alike"] not in named:
            sentence = "false_positives does not name this look-alike."
            yield Fault("algorithm.case", sentence, f"{path}.look_alike")
        yield from _case_runs(document["runs_on"], case, path)


def _case_runs(runs_on: str, case: Mapping[str, Any], path: str) -> Iterator[Fault]:
    on = case.get("on", runs_on)
    if on == "both" or runs_on not in ("both", on):
        sentence = "Say with `on` where this case runs: `log` or `pool`, as the algorithm does."
        yield Fault("algorithm.case", sentence, f"{path}.on")
    elif "rows" in case:
        yield from _rows_are_rows(LOG if on == "log" else POOL, case["rows"], f"{path}.rows")


def _rows_are_rows(
    tables: Mapping[str, Mapping[str, str]], rows: Mapping[str, Any], path: str
) -> Iterator[Fault]:
    if sum(map(len, rows.values())) > MOST_ROWS:
        sentence = f"A case has at most {MOST_ROWS} rows of its own; take a scene."
        yield Fault("algorithm.rows", sentence, path)
        return
    for table, given in rows.items():
        below = plain.step(path, table)
        if table not in tables:
            yield Fault("algorithm.rows", "There is no such table here.", below)
            continue
        for index, row in enumerate(given):
            for column, value in row.items():
                kind = tables[table].get(column)
                if kind is None or not _TYPES[kind](value):
                    sentence = "No such column." if kind is None else f"This is no {kind}."
                    yield Fault("algorithm.rows", sentence, f"{below}[{index}].{column}")


def _is_date(value: object) -> bool:
    try:
        return isinstance(value, str) and date.fromisoformat(value) is not None
    except ValueError:
        return False


_TYPES: Mapping[str, Callable[[object], bool]] = {
    "int64": lambda value: type(value) is int,
    "boolean": lambda value: type(value) is bool,
    "string": lambda value: isinstance(value, str),
    "date": _is_date,
}
_SENSE = (
    _singles_nobody_out,
    _techniques_are_known,
    _runs_where_it_can,
    _parameters_are_in_range,
    _cases_are_whole,
)


# --- the value -----------------------------------------------------------------------------------


def _algorithm(document: Mapping[str, Any]) -> Algorithm:
    canonical = jcs.encode(document)
    until, title = document["valid_until"], document["title"]
    has_days = isinstance(until, Mapping)
    return Algorithm(
        id=document["id"],
        version=document["version"],
        title=f"{_WHO[title['who']]} {' and '.join(_SHOWS[one] for one in title['shows'])}",
        kind=document["kind"],
        body=document["body"],
        detector=document["body"].get("detector", ""),
        runs_on=document["runs_on"],
        parameters={
            name: Parameter(
                row["value"], row["range"][0], row["range"][1], tuple(row.get("at", ()))
            )
            for name, row in document["parameters"].items()
        },
        false_positives=tuple(document["false_positives"]),
        tags={name: tuple(words) for name, words in document["tags"].items()},
        tests=tuple(_case(case, document["runs_on"]) for case in document["tests"]),
        base_rate_bucket=document["base_rate_bucket"],
        valid_until=None if has_days else date.fromisoformat(until),
        valid_days=until["days"] if has_days else MOST_DAYS,
        licence=document["licence"],
        canonical=canonical,
        digest=sha256(canonical).hexdigest(),
    )


def _case(case: Mapping[str, Any], runs_on: str) -> Case:
    scene = case.get("scene", {})
    return Case(
        name=case["name"],
        is_match=case["expect"] == "match",
        why=case["why"],
        runs_on=case.get("on", runs_on),
        look_alike=case.get("look_alike", ""),
        rows={table: tuple(rows) for table, rows in case.get("rows", {}).items()},
        scene=scene.get("name", ""),
        seed=scene.get("seed", 0),
    )
