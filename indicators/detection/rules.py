"""R1 to R10, judged on values: by the extractor before a row is sent, and again by the exchange.

What the file cannot prove (that a row has so many accounts and payers, that it is a dummy) is for
the published build of the extractor. A problem names the place and the rule, and never a content.
Standard library only.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date, timedelta

from indicators.detection import schema
from indicators.detection.values import ClusterRow, Extract, Manifest, TemplateRow

PROBLEMS = 20  # that are told of one extract; a file made wrongly is wrong in each row

_TOKEN = re.compile(r"[0-9a-f]{64}")
_CLUSTER = re.compile(r"[0-9a-f]{16}")
_CLIENT = re.compile(r"[0-9a-f]{32}")
_HOURS = re.compile(r"[0-9]{24}")
_LANGUAGE = re.compile(r"[a-z]{2,3}")
_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+-]{0,31}")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Limits:
    """What the floor sets, as shipped; a member may be stricter at home and never looser."""

    accounts: int = 5  # R1: in a row, at least
    payers: int = 3  # R2: in a row, distinct, at least
    rows: int = schema.ROWS  # R3: exactly
    template_permille: int = 10  # R4: of the member's accounts, at most
    home_template_permille: int = 2  # R4: that tie at home
    token_accounts: int = 500  # R5: that hold a card or device, at most
    egress_accounts: int = 100
    egress_holders: int = 2  # accounts of a row that hold an egress, at least
    flat: int = 4  # R6: of a row that is new, this or the other
    mismatch: int = 2
    fresh: int = 6
    days: int = schema.DAYS  # R9: that a row looks back
    late_days: int = 1  # today's extract, or yesterday's

    def joined(self, own: "Limits") -> "Limits":
        """The stricter of each; the number of rows and the days are the floor's."""
        least = ("accounts", "payers", "egress_holders", "flat", "mismatch", "fresh")
        fixed = ("rows", "days", "late_days")
        made = {}
        for name in (field.name for field in fields(self)):
            here, there = getattr(self, name), getattr(own, name)
            stricter = max(here, there) if name in least else min(here, there)
            made[name] = here if name in fixed else stricter
        return Limits(**made)

    def as_numbers(self) -> dict[str, int]:
        """As it is written down: by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


SHIPPED = Limits()


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, where, and by which rule; `code` is stable."""

    code: str
    rule: str  # R1 to R10, or empty where the form is wrong
    path: str  # `clusters[3].payers`; of one row by itself its column
    sentence: str


def check(extract: Extract, *, today: date, limits: Limits = SHIPPED) -> tuple[Problem, ...]:
    """All that is wrong with an extract that is sent today (UTC), as far as `PROBLEMS` goes."""
    found: list[Problem] = []
    for problem in _all(extract, today, limits):
        found.append(problem)
        if len(found) == PROBLEMS:
            break
    return tuple(found)


def check_manifest(
    manifest: Manifest, *, today: date, limits: Limits = SHIPPED
) -> tuple[Problem, ...]:
    """What is wrong with day, epoch and the words beside the files, before they are opened."""
    return tuple(_manifest(manifest, today, limits))


def check_row(row: ClusterRow, *, day: date, limits: Limits = SHIPPED) -> tuple[Problem, ...]:
    """What is wrong with one row by itself; its templates and its number are the file's matter."""
    return tuple(_row(row, day, limits))


def epoch_of(day: date) -> str:
    """The quarter whose keys are in force on a day: `2026Q4`."""
    return f"{day.year:04d}Q{(day.month + 2) // 3}"


def has_basis(row: ClusterRow, limits: Limits = SHIPPED) -> bool:
    """R6: a basis in what a group does, by which it is about a threat.

    A way of eliciting that is named; or accounts that are new and paced by a machine; or new, and
    their clients are not what they say they are: a campaign that keeps to the hours of people is
    known by that.
    """
    is_odd = row.flat >= limits.flat or row.mismatch >= limits.mismatch
    return bool(row.methods) or (is_odd and row.fresh >= limits.fresh)


def keeps_token(kind: str, accounts: int, limits: Limits = SHIPPED) -> bool:
    """R5: whether a token that so many accounts of the member hold may stand in a row."""
    return accounts <= (limits.egress_accounts if kind == "egress" else limits.token_accounts)


def keeps_template(
    users: int, accounts: int, limits: Limits = SHIPPED, *, at_home: bool = False
) -> bool:
    """R4: whether a template of so many of the member's accounts may be sent, or may tie."""
    permille = limits.home_template_permille if at_home else limits.template_permille
    return users * 1_000 <= accounts * permille


def base_rate(limits: Limits = SHIPPED) -> str:
    """What an extract says of each template: it is less usual than R4 asks, and no more.

    A finer share would be the member's size: so many accounts of a campaign are one share of a
    small log and another of a large one. Empty where the limit leaves no bucket, and no template.
    """
    return _rates(limits)[-1] if _rates(limits) else ""


def is_below(users: int, accounts: int, rate: str) -> bool:
    """Whether the share of accounts that use a template is below what a bucket says."""
    place = schema.BASE_RATES.index(rate) if rate else 0
    return bool(rate) and users * 10 ** (len(schema.BASE_RATES) + 1 - place) < accounts


def bucket_of(count: int) -> str:
    """The half decade of a number of accounts, payers or devices."""
    if count < schema.SIZE_FLOORS[0]:
        return schema.FEW
    return schema.SIZES[sum(count >= floor for floor in schema.SIZE_FLOORS) - 1]


def _all(extract: Extract, today: date, limits: Limits) -> Iterator[Problem]:
    yield from _manifest(extract.manifest, today, limits)
    yield from _templates(extract.templates, limits)
    if len(extract.clusters) != limits.rows:
        yield Problem(
            "extract.r3",
            "R3",
            "clusters",
            f"An extract has exactly {limits.rows} rows; this one has {len(extract.clusters)}.",
        )
    seen: set[str] = set()
    used: set[int] = set()
    for number, row in enumerate(extract.clusters):
        if row.row != number:
            said = f"Rows are numbered 0 to {limits.rows - 1} without gaps."
            yield _at(_form("row", said), number)
        if row.cluster in seen:
            yield _at(_form("cluster", "This cluster stands in an earlier row."), number)
        seen.add(row.cluster)
        used.update(row.templates)
        if not all(0 <= one < len(extract.templates) for one in row.templates):
            said = "A template is named that is not in the other table."
            yield _at(_form("templates", said), number)
        yield from (_at(problem, number) for problem in _row(row, extract.manifest.day, limits))
    for template in sorted(set(range(len(extract.templates))) - used):
        said = "No row uses this template: what no row needs stays at home (R6)."
        yield Problem("extract.r6", "R6", f"templates[{template}]", said)


# Of the manifest


def _manifest(manifest: Manifest, today: date, limits: Limits) -> Iterator[Problem]:
    if manifest.day > today:
        said = "The day has not begun yet (UTC)."
        yield Problem("extract.day-ahead", "R9", "manifest.day", said)
    elif manifest.day < today - timedelta(days=limits.late_days):
        said = f"The day is over for more than {limits.late_days} day (UTC): an extract is of today"
        yield Problem("extract.day-late", "R9", "manifest.day", said + " or yesterday.")
    if manifest.key_epoch != epoch_of(today):
        said = f"Tokens are of the quarter in force, which is {epoch_of(today)}."
        yield Problem("extract.epoch", "R7", "manifest.key_epoch", said)
    if not _VERSION.fullmatch(manifest.extractor):
        said = "The version of the extractor has at most 32 letters, digits, dots and dashes."
        yield Problem("extract.manifest", "", "manifest.extractor", said)
    for name in ("clusters", "templates"):
        if not _TOKEN.fullmatch(getattr(manifest, name)):
            said = "The SHA-256 of a file is 64 hexadecimal digits."
            yield Problem("extract.manifest", "", f"manifest.{name}", said)
    yield from _algorithms(manifest.algorithms)


def _algorithms(algorithms: Sequence[tuple[str, str]]) -> Iterator[Problem]:
    path = "manifest.algorithms"
    if len(algorithms) > schema.MOST_ALGORITHMS:
        said = f"At most {schema.MOST_ALGORITHMS} algorithms are named."
        yield Problem("extract.manifest", "", path, said)
        return
    if not all(_UUID.fullmatch(key) and _TOKEN.fullmatch(digest) for key, digest in algorithms):
        said = "An algorithm is named by its id and the SHA-256 of its document."
        yield Problem("extract.manifest", "", path, said)
    if list(algorithms) != sorted(set(algorithms)):
        yield Problem("extract.manifest", "", path, "Algorithms stand sorted, each once.")


# Of one row


def _row(row: ClusterRow, day: date, limits: Limits) -> Iterator[Problem]:
    for judge in _JUDGES:
        yield from judge(row, limits)
    yield from _days(row, day, limits)


def _counts(row: ClusterRow, limits: Limits) -> Iterator[Problem]:
    closed = True
    for name in ("size", "payers", "devices"):
        if getattr(row, name) not in (*schema.SIZES, schema.FEW):
            closed = False
            yield _form(name, "This is no bucket of the closed list.")
    if not closed:
        return
    if _ceiling(row.size) < limits.accounts:
        said = f"A row has {limits.accounts} accounts or more."
        yield _broken("R1", "size", said)
    if _ceiling(row.payers) < limits.payers:
        yield _broken("R2", "payers", f"A row has {limits.payers} payers or more.")
    elif len(row.payment) < limits.payers:
        said = f"A row names the payment tokens of {limits.payers} payers or more."
        yield _broken("R2", "payment", said)
    if _floor(row.payers) > _ceiling(row.size):
        yield _form("payers", "A row has no more payers than accounts.")
    if len(row.device) > _ceiling(row.devices):
        yield _form("device", "More devices are named than the row has.")


def _tokens(row: ClusterRow, limits: Limits) -> Iterator[Problem]:
    for kind in schema.KINDS:
        values: tuple[str, ...] = getattr(row, kind)
        yield from _listed(kind, values, schema.MOST_TOKENS[kind])
        if not all(map(_TOKEN.fullmatch, values)):
            said = "A token is 64 hexadecimal digits from blind evaluation, and nothing else."
            yield _broken("R7", kind, said)
    yield from _listed("client", row.client, schema.MOST_CLIENTS)
    if not all(map(_CLIENT.fullmatch, row.client)):
        yield _form("client", "A client's fingerprint is 32 hexadecimal digits.")
    if not _CLUSTER.fullmatch(row.cluster):
        said = "A cluster is 16 hexadecimal digits under the member's own key."
        yield _broken("R7", "cluster", said)


def _facts(row: ClusterRow, limits: Limits) -> Iterator[Problem]:
    if not 0 <= row.flat <= 9:
        yield _form("flat", "Evenness is 0 to 9.")
    if not _HOURS.fullmatch(row.hours):
        yield _form("hours", "The hours are 24 digits.")
    for name in schema.SHARES:
        if getattr(row, name) not in schema.TENTHS:
            yield _form(name, "A share is in fifths, written 0, 2, 4, 6, 8 or 10.")
    if row.start_days not in schema.START_DAYS:
        yield _form("start_days", "The days of a start are 1, 2, 4, 8, 16 or 32.")
    for name, words in _WORDS:
        values: tuple[str, ...] = getattr(row, name)
        yield from _listed(name, values, schema.MOST_WORDS[name])
        if not set(words).issuperset(values):
            yield _form(name, "A word is not in the closed list.")
    yield from _listed("templates", row.templates, schema.MOST_TEMPLATES)


def _basis(row: ClusterRow, limits: Limits) -> Iterator[Problem]:
    if not has_basis(row, limits):
        said = (
            f"A row is new (fresh {limits.fresh} or more) and either machine-paced (flat"
            f" {limits.flat} or more) or by clients that are not what they say (mismatch"
            f" {limits.mismatch} or more), or it names a method; what is not about a threat stays"
            " at home."
        )
        yield _broken("R6", "flat", said)


def _days(row: ClusterRow, day: date, limits: Limits) -> Iterator[Problem]:
    first = day - timedelta(days=limits.days - 1)
    for name in ("first_day", "last_day"):
        if not first <= getattr(row, name) <= day:
            said = f"The day is not among the {limits.days} that end with the extract's."
            yield _broken("R9", name, said)
    if row.first_day > row.last_day:
        yield _form("last_day", "The last day is before the first.")


_WORDS = (
    ("capabilities", schema.CAPABILITIES),
    ("methods", schema.METHODS),
    ("surface", schema.SURFACES),
)
_JUDGES: tuple[Callable[[ClusterRow, Limits], Iterator[Problem]], ...] = (
    _counts,
    _tokens,
    _facts,
    _basis,
)


# Of the templates


def _templates(rows: Sequence[TemplateRow], limits: Limits) -> Iterator[Problem]:
    if len(rows) > schema.MOST_FILE_TEMPLATES:
        said = f"An extract has at most {schema.MOST_FILE_TEMPLATES:,} templates."
        yield Problem("extract.r3", "R3", "templates", said)
        return
    for number, row in enumerate(rows):
        yield from (_at(problem, number, "templates") for problem in _template(row, number, limits))


def _template(row: TemplateRow, number: int, limits: Limits) -> Iterator[Problem]:
    if row.template != number:
        yield _form("template", "Templates are numbered from 0 without gaps.")
    if len(row.bands) != schema.BANDS or not all(map(_CLUSTER.fullmatch, row.bands)):
        said = f"A template has {schema.BANDS} bands of 16 hexadecimal digits each."
        yield _broken("R7", "bands", said)
    if row.length_bucket not in schema.LENGTHS:
        yield _form("length_bucket", "This is no bucket of the closed list.")
    if row.sample_bucket not in schema.SAMPLES:
        yield _form("sample_bucket", "This is no bucket of the closed list.")
    if row.base_rate_bucket not in _rates(limits):
        said = f"A template is used by at most {limits.template_permille / 10:g} % of the accounts."
        yield _broken("R4", "base_rate_bucket", said)
    yield from _listed("languages", row.languages, schema.MOST_LANGUAGES)
    if not all(map(_LANGUAGE.fullmatch, row.languages)):
        yield _form("languages", "A language is two or three small letters.")


def _rates(limits: Limits) -> tuple[str, ...]:
    """The buckets that lie below the limit: the n-th is `under 10 ** (n - 7)`."""
    return tuple(
        name
        for place, name in enumerate(schema.BASE_RATES)
        if limits.template_permille * 10 ** (len(schema.BASE_RATES) + 1 - place) >= 1_000
    )


# How problems are put


def _listed(name: str, values: Sequence[object], most: int) -> Iterator[Problem]:
    if len(values) > most:
        yield _form(name, f"The list has at most {most} values.")
    if list(values) != sorted(set(values)):  # type: ignore[type-var] # texts or numbers alone
        yield _form(name, "The list is sorted, and holds each value once.")


def _form(column: str, sentence: str) -> Problem:
    return Problem("extract.form", "", column, sentence)


def _broken(rule: str, column: str, sentence: str) -> Problem:
    return Problem(f"extract.{rule.lower()}", rule, column, sentence)


def _at(problem: Problem, number: int, table: str = "clusters") -> Problem:
    """The problem of a column, at its row."""
    return replace(problem, path=f"{table}[{number}].{problem.path}")


def _floor(bucket: str) -> int:
    return 0 if bucket == schema.FEW else schema.SIZE_FLOORS[schema.SIZES.index(bucket)]


def _ceiling(bucket: str) -> int:
    """The largest number in a bucket; the last has no end."""
    floors: Iterable[int] = (*schema.SIZE_FLOORS, 1 << 62)
    return min(floor for floor in floors if floor > _floor(bucket)) - 1
