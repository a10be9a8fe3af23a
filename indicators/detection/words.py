"""An extract in plain words: what a file gives away, as a whole and row by row.

`weir-extract check` prints it before anything is sent; the exchange shows a member its own. Written
for who has to answer for it, not for who made it. Standard library only.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from indicators.detection import schema
from indicators.detection.values import ClusterRow, Extract, TemplateRow

# Said of every extract, for its columns are closed.
NEVER = (
    "No prompt and no answer, and nothing from which either could be read.",
    "No account, person, company, mail address, card, device or network address in the clear.",
    "No name of a model, no price, no count of requests, no total, no share of your business.",
    "No time finer than a day; of the hours only how they compare with one another.",
)
# What a reader of the file could do with it, were it read: it is not, but it could be stolen.
RISKS = (
    "Who holds the same card, device or address, and the exchange's tokens for it, sees that it is"
    " in one of your groups. Nobody can turn a token back into what it was made of.",
    "The groups' sizes tell roughly how large the groups are that you saw. That all files have the"
    " same number of rows, and that some rows are made up, hides how many there are.",
    "Rows are made up to fill the file. They have what the others have, but none is as suspect as"
    " what is found alone, and none ties to another member's: who knows how groups are scored, or"
    " holds everybody's files, can count some rows that are not made up, and guess from that how"
    " large you are.",
)
_WHAT = {"payment": "card", "device": "device", "egress": "network address"}
_SHARES = (
    ("fresh", "signed up within the 45 days"),
    ("short", "were closed or ended within them"),
    ("mid", "use a middle volume: neither a person's nor a batch's"),
    ("mismatch", "use a client that is not what it says it is"),
    ("pivot", "moved to a model within a day of its public release"),
    ("carded", "have a card"),
    ("deviced", "have a device"),
    ("start_peak", "began on the busiest day of sign-ups"),
)


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that a row says: the columns, and what they mean."""

    columns: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Row:
    """One row, in the order of its columns."""

    number: int
    title: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Words:
    """A whole extract."""

    day: str
    title: str
    summary: tuple[str, ...]
    never: tuple[str, ...]
    risks: tuple[str, ...]
    rows: tuple[Row, ...]
    templates: tuple[Row, ...]


def of(extract: Extract) -> Words:
    """What an extract gives away."""
    said = extract.manifest
    return Words(
        day=said.day.isoformat(),
        title=f"Extract of {said.day.isoformat()}",
        summary=tuple(_summary(extract)),
        never=NEVER,
        risks=RISKS,
        rows=tuple(map(of_row, extract.clusters)),
        templates=tuple(map(of_template, extract.templates)),
    )


def as_document(extract: Extract) -> dict[str, Any]:
    """The same as JSON."""
    return asdict(of(extract))


def as_text(extract: Extract) -> Iterator[str]:
    """The same line by line, for a terminal or a file beside the extract."""
    found = of(extract)
    yield found.title
    for title, sentences in (
        ("In all", found.summary),
        ("What is never in it", found.never),
        ("What somebody could do who stole it", found.risks),
    ):
        yield from ("", title, *(f"  - {one}" for one in sentences))
    for title, rows in (("Row by row", found.rows), ("Prompt patterns", found.templates)):
        yield from ("", title)
        for row in rows:
            yield f"  {row.title}"
            yield from (f"    - {line.text}" for line in row.lines)


def of_row(row: ClusterRow) -> Row:
    """A group of accounts, in words."""
    return Row(row.row, f"Row {row.row}: {_count(row.size)} accounts", tuple(_lines(row)))


def of_template(row: TemplateRow) -> Row:
    """A prompt pattern, in words."""
    spoken = f" in {', '.join(row.languages)}" if row.languages else ", language not told"
    share = row.base_rate_bucket.removeprefix("lt-1e-")
    lines = (
        Line(
            ("bands",),
            f"{len(row.bands)} fingerprint values that tell whether another prompt is much the"
            " same, and not what it says.",
        ),
        Line(
            ("length_bucket", "sample_bucket", "languages"),
            f"{row.length_bucket.removesuffix('-tokens')} tokens long, seen in"
            f" {row.sample_bucket} prompts{spoken}.",
        ),
        Line(
            ("base_rate_bucket",),
            f"Used by fewer than 1 in {10 ** int(share):,} of your accounts.",
        ),
    )
    return Row(row.template, f"Pattern {row.template}", lines)


def _summary(extract: Extract) -> Iterator[str]:
    rows, said = extract.clusters, extract.manifest
    yield (
        f"{len(rows)} rows, each about a group of accounts that your own log ties together. Every"
        " member's file has as many."
    )
    yield f"The groups have {_spread((row.size for row in rows), 'accounts')}."
    yield f"They are paid for by {_spread((row.payers for row in rows), 'payers')}."
    for kind, what in _WHAT.items():
        values = {token for row in rows for token in getattr(row, kind)}
        with_it = sum(1 for row in rows if getattr(row, kind))
        yield (
            f"{_many(len(values), f'different {what} token')}, in {_many(with_it, 'row')}: keyed"
            " by the exchange without seeing the value, and worthless after the quarter"
            f" {said.key_epoch}."
        )
    yield (
        f"{_many(len(extract.templates), 'prompt pattern')} as fingerprints, none of which more"
        " than 1 in 100 of your accounts use."
    )
    days = [row.first_day for row in rows] + [row.last_day for row in rows]
    if days:
        yield f"Days from {min(days).isoformat()} to {max(days).isoformat()}."
    for name, title in (("capabilities", "Capabilities"), ("methods", "Ways of asking")):
        words = Counter(word for row in rows for word in getattr(row, name))
        if words:
            named = ", ".join(f"{word} ({_many(words[word], 'row')})" for word in sorted(words))
            yield f"{title} that are named, from the forum's closed list: {named}."
    yield (
        f"Made by weir-extract {said.extractor} with"
        f" {_many(len(said.algorithms), 'algorithm')} of the forum."
    )


def _lines(row: ClusterRow) -> Iterator[Line]:
    yield Line(
        ("cluster", "size", "payers", "devices"),
        f"{_count(row.size)} accounts, {_count(row.payers)} payers, {_count(row.devices)} devices;"
        " a name of the group that only you can make again.",
    )
    yield Line(
        ("first_day", "last_day"),
        f"Seen from {row.first_day.isoformat()} to {row.last_day.isoformat()}.",
    )
    tokens = [
        (kind, _many(len(getattr(row, kind)), f"{what} token")) for kind, what in _WHAT.items()
    ]
    yield Line(
        tuple(kind for kind, _ in tokens),
        f"{', '.join(text for _, text in tokens)}: another member sees that it holds the same one,"
        " if it does.",
    )
    if row.client:
        yield Line(
            ("client",),
            f"{_many(len(row.client), 'fingerprint')} of the client software that was used.",
        )
    if row.templates:
        named = ", ".join(str(one) for one in row.templates)
        yield Line(("templates",), f"Uses the prompt patterns {named} of this file.")
    yield Line(("flat", "hours"), _pace(row))
    yield Line(
        ("start_days", *(name for name, _ in _SHARES)),
        f"Of the accounts, about: {', '.join(_shares(row))}. They began on"
        f" {_days(row.start_days)}.",
    )
    yield from _named(row)


def _named(row: ClusterRow) -> Iterator[Line]:
    for name, title in (
        ("capabilities", "Is after"),
        ("methods", "Asks by"),
        ("surface", "Comes in through"),
    ):
        words: Sequence[str] = getattr(row, name)
        if words:
            yield Line((name,), f"{title}: {', '.join(words)}.")


def _pace(row: ClusterRow) -> str:
    even = "around the clock, as machines work" if row.flat >= 4 else "by day and night unlike"
    most = max(row.hours)
    if most == "0":
        return f"Works {even} (evenness {row.flat} of 9)."
    busy = [f"{hour:02d}" for hour, digit in enumerate(row.hours) if digit == most]
    when = f"most at {', '.join(busy)} o'clock UTC" if len(busy) <= 6 else "alike at most hours"
    return f"Works {even} (evenness {row.flat} of 9), {when}."


def _shares(row: ClusterRow) -> Iterator[str]:
    for name, text in _SHARES:
        yield f"{getattr(row, name) * 10} % {text}"


def _days(count: int) -> str:
    return "one day" if count == 1 else f"about {count} days"


def _spread(buckets: Iterable[str], what: str) -> str:
    """How often each bucket occurs, from the smallest."""
    found = Counter(buckets)
    order = [one for one in (schema.FEW, *schema.SIZES) if one in found]
    return ", ".join(f"{_count(one)} {what} ({_many(found[one], 'row')})" for one in order)


def _count(bucket: str) -> str:
    """A bucket as one says it: `30 to 99`."""
    if bucket == schema.FEW:
        return "fewer than 3"
    if bucket == schema.SIZES[-1]:
        return "1,000 or more"
    return bucket.replace("-", " to ")


def _many(count: int, what: str) -> str:
    """A number and its noun: `no row`, `1 row`, `3 rows`."""
    number = "no" if count == 0 else f"{count:,}"
    return f"{number} {what}{'' if count == 1 else 's'}"
