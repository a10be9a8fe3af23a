"""Events to account-days: one pass over a log, into a day's folder of the state.

What leaves DuckDB's memory are numbers; a value in clear stands once for each day and kind, until
it is sealed. Hours are UTC. Evenness and digits of the hours are those of `tables.LOG`.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from exchange.proof import oprf
from exchange.proof.refused import Refused
from indicators.detection import schema
from indicators.extract import read
from indicators.extract.map import Match
from indicators.extract.prompts import Sketchbook
from indicators.extract.read import Source, Wanted
from indicators.extract.state import State
from indicators.stix import warninglists

MEMORY = 300  # megabytes of DuckDB; the whole process needs about twice as much
SLICES = 16  # of the accounts: so many passes, each over few enough to fit, however long the log
MIDDLE = (20, 500)  # events of a day: more than a person's, less than a batch's
BROKEN = 1_000  # one event in so many may be unreadable
DIGITS = 15  # of an account's digest that make its number
EPOCH = date(1970, 1, 1)
_VALUES = ("payment", "device", "egress", "entity", "client")

Connection = Any  # of DuckDB
Batch = Any  # of Arrow


@dataclass(slots=True)
class Tally:
    """What became of the events, told at the end; numbers alone."""

    events: int = 0
    used: int = 0
    no_account: int = 0
    no_time: int = 0
    other_day: int = 0
    own: int = 0
    long_prompts: int = 0
    broken_lines: int = 0
    accounts: int = 0
    twice: int = 0
    shared_egress: int = 0
    odd_egress: int = 0
    odd_words: int = 0
    prompts: int = 0
    templates: int = 0
    one_in: int = 1
    said: list[str] = field(default_factory=list)

    def sentences(self) -> list[str]:
        """What a person should know of the day, and nothing that is zero."""
        told = [
            f"{self.used:,} of {self.events:,} events of {self.accounts:,} accounts were folded.",
            *(f"{count:,} {text}" for count, text in self._told() if count),
        ]
        return told + self.said

    def _told(self) -> tuple[tuple[int, str], ...]:
        return (
            (self.other_day, "events are of other days, and were left out."),
            (self.own, "events are your own (staff, tests, free trials), and were left out (R8)."),
            (self.no_account, "events have no account or are broken, and were left out."),
            (self.no_time, "events have no time that can be read, and were left out."),
            (self.broken_lines, "lines are broken, and were left out."),
            (self.twice, "accounts have several days of sign-up or legal entities: the earliest"
             " day and one entity count."),
            (self.shared_egress, "addresses are on a list of shared ranges, and were left out."),
            (self.odd_egress, "egress values are no addresses, and were left out."),
            (self.odd_words, "words are in no vocabulary of Weir's, and were left out."),
            (self.long_prompts, "prompts are longer than 1 MB, and were not fingerprinted."),
            (self.prompts, "prompts were fingerprinted" + (
                f" (one in {self.one_in})." if self.one_in > 1 else ".")),
            (self.templates, "templates are new."),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Means:
    """With what a log is folded."""

    memory: int = MEMORY
    threads: int = 1
    say: Callable[[int], None] = lambda events: None


def connection(state: State, means: Means) -> Connection:
    """DuckDB in memory; what does not fit lies in the state's own folder while it works."""
    config = {
        "memory_limit": f"{means.memory}MB",
        "threads": means.threads,
        "temp_directory": str(state.work / "duckdb"),
        "preserve_insertion_order": False,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    return duckdb.connect(":memory:", config=config)


def fold(state: State, given: Source, found: Match, wanted: Wanted, means: Means) -> Tally:
    """Fold the days wanted, each anew; Refused where too much of the log cannot be read."""
    days, tally = tables(state, given, found, wanted, means)
    state.publish(days)  # all at once, and the oldest leave
    state.forget(last=wanted.last)
    return tally


def tables(
    state: State, given: Source, found: Match, wanted: Wanted, means: Means
) -> tuple[list[date], Tally]:
    """The tables of the days wanted, in the work folder, where nobody sees them yet."""
    # 1. events, batch by batch    2. tables of each day; DuckDB lets go of its memory
    # 3. templates of the prompts
    read.check_whole(given)
    tally = Tally(one_in=wanted.one_in)
    book = Sketchbook(state.work)
    try:
        with read.said_plainly(), connection(state, means) as duck:
            _prepare(duck)
            number = number_of(state)
            for batch in read.events(duck, given, found, wanted):  # 1
                _take(duck.cursor(), batch, tally)
                _prompts(duck.cursor(), batch, number, book)
                means.say(tally.events)
            tally.broken_lines = read.rejected(duck, given)
            _check(tally)
            _name(duck, state)
            _judge_egress(duck, tally)
            days = _write(state, duck, tally)  # 2
        _write_templates(state, book, days, tally, means)  # 3
    finally:
        book.close()
    return days, tally


# --- batch by batch ------------------------------------------------------------------------------


def _prepare(duck: Connection) -> None:
    duck.execute("ATTACH ':memory:' AS s (COMPRESS true)")
    numbers = ", ".join(f"{kind} UBIGINT" for kind in _VALUES)
    for part in range(SLICES):
        duck.execute(
            f"CREATE TABLE s.part_{part} (day INTEGER, account UBIGINT, hour UTINYINT, {numbers},"
            " signup DATE, mismatch BOOLEAN, moved BOOLEAN, events BIGINT)"
        )
    duck.execute("CREATE TABLE s.tag (day INTEGER, account UBIGINT, kind VARCHAR, tag VARCHAR)")
    for kind in ("account", *_VALUES):
        duck.execute(f"CREATE TABLE s.seen_{kind} (h UBIGINT, text VARCHAR)")


def _take(duck: Connection, batch: Batch, tally: Tally) -> None:
    duck.register("batch", pa.Table.from_batches([batch]))
    counts = dict(duck.execute("SELECT why, count(*) FROM batch GROUP BY why").fetchall())
    tally.events += batch.num_rows
    tally.used += counts.get(read.USED, 0)
    tally.no_account += counts.get(read.NO_ACCOUNT, 0)
    tally.no_time += counts.get(read.NO_TIME, 0)
    tally.other_day += counts.get(read.OTHER_DAY, 0)
    tally.own += counts.get(read.OWN, 0)
    if not counts.get(read.USED):
        return
    numbers = ", ".join(f"coalesce(hash({kind}), 0) AS {kind}" for kind in _VALUES)
    duck.execute(
        "CREATE OR REPLACE TEMP TABLE now AS"
        f" SELECT day, hash(id) AS account, hour, {numbers}, min(signup) AS signup,"
        " bool_or(mismatch) AS mismatch, bool_or(moved) AS moved, count(*) AS events"
        " FROM batch WHERE why = 0 GROUP BY ALL"
    )
    for part in range(SLICES):
        duck.execute(f"INSERT INTO s.part_{part} FROM now WHERE account % {SLICES} = {part}")
    for kind, column in (("account", "id"), *((kind, kind) for kind in _VALUES)):
        duck.execute(
            f"INSERT INTO s.seen_{kind} SELECT h, text FROM (SELECT hash({column}) AS h,"
            f" min({column}) AS text FROM batch WHERE why = 0 AND {column} IS NOT NULL GROUP BY h)"
            f" ANTI JOIN s.seen_{kind} USING (h)"
        )
    for kind in ("capability", "method", "surface"):
        duck.execute(
            f"INSERT INTO s.tag SELECT DISTINCT day, hash(id), '{kind}', {kind} FROM batch"
            f" WHERE why = 0 AND {kind} IS NOT NULL"
        )
    tally.long_prompts += duck.execute("SELECT count(*) FROM batch WHERE is_long").fetchone()[0]


def _prompts(duck: Connection, batch: Batch, number: str, book: Sketchbook) -> None:
    prompts = batch.column("prompt")
    if prompts.null_count == batch.num_rows:
        return
    duck.register("batch", pa.Table.from_batches([batch]))
    rows = duck.execute(
        f"SELECT {number} AS account, day, prompt"
        " FROM (SELECT id AS text, day, prompt FROM batch WHERE prompt IS NOT NULL)"
    ).to_arrow_table()
    book.take(rows["account"].to_numpy(), rows["day"].to_numpy(), rows["prompt"].to_pylist())


def number_of(state: State) -> str:
    """The expression for an account's number: the beginning of the digest of its id."""
    return f"CAST('0x' || substr({_digest(state, 'account')}, 1, {DIGITS}) AS BIGINT)"


# --- when all events are seen --------------------------------------------------------------------


def _check(tally: Tally) -> None:
    """Refuse a log of which too much cannot be read: what is left would say something else."""
    lost = tally.no_account + tally.no_time + tally.broken_lines
    if lost * BROKEN > tally.events + tally.broken_lines and lost > 1:
        sentence = (
            f"Of {tally.events:,} events {tally.no_account + tally.broken_lines:,} have no account"
            f" or are broken, and {tally.no_time:,} have no time: more than one in {BROKEN:,}."
        )
        raise Refused("log.broken", sentence, "--log")
    if not tally.used:
        sentence = "No event of the log is of the day (UTC) and somebody else's than yours."
        raise Refused("log.empty", sentence, "--day")


def _name(duck: Connection, state: State) -> None:
    """A keyed digest for every value; an account's number is the beginning of its digest."""
    for kind in ("account", *_VALUES):
        duck.execute(
            f"CREATE TABLE s.name_{kind} AS SELECT h, text, {_digest(state, kind)} AS digest"
            f" FROM s.seen_{kind}"
        )
        duck.execute(f"DROP TABLE s.seen_{kind}")
    duck.execute(
        f"CREATE TABLE s.number AS SELECT h, CAST('0x' || substr(digest, 1, {DIGITS}) AS BIGINT)"
        " AS number FROM s.name_account"
    )
    clients = duck.execute("SELECT h, text FROM s.name_client").fetchall()
    told = pa.table(
        {
            "h": pa.array([h for h, _ in clients], pa.uint64()),
            "client": pa.array([client_of(text) for _, text in clients], pa.string()),
        }
    )
    duck.register("told", told)
    duck.execute("CREATE TABLE s.client AS FROM told")


def _judge_egress(duck: Connection, tally: Tally) -> None:
    """Which addresses may tie: those that are addresses, and on no list of shared ranges."""
    duck.execute("CREATE TABLE s.fine (h UBIGINT)")
    rows = duck.cursor().execute("SELECT h, text FROM s.name_egress")
    while chunk := rows.fetchmany(100_000):
        fine: list[int] = []
        for h, text in chunk:
            try:
                address = oprf.checked("ip-address", text)
            except Refused:
                tally.odd_egress += 1
                continue
            if warninglists.hits(address):
                tally.shared_egress += 1
            else:
                fine.append(h)
        duck.register("fine", pa.table({"h": pa.array(fine, pa.uint64())}))
        duck.execute("INSERT INTO s.fine FROM fine")


def _write(state: State, duck: Connection, tally: Tally) -> list[date]:
    """Write the tables of each day, templates apart, where nobody sees them yet."""
    for part in range(SLICES):
        _slice(duck, f"s.part_{part}", tally)
        duck.execute(f"DROP TABLE s.part_{part}")
    _count_words(duck, tally)
    found = duck.execute("SELECT DISTINCT day FROM s.account_day ORDER BY day").fetchall()
    days = [day for (day,) in found]
    for day in days:
        place = state.begun(day)
        _write_day(duck, place, day)
        state.seal_names(place, _names(duck, day))
    return days


def _write_templates(
    state: State, book: Sketchbook, days: Sequence[date], tally: Tally, means: Means
) -> None:
    known = state.templates()
    used = book.used(known, next_number=1 + max((one.template for one in known), default=0))
    tally.prompts, tally.templates = book.count, len(used.made)
    state.keep_templates([*known, *used.made])
    with connection(state, means) as duck:
        duck.execute("CREATE TABLE used (account BIGINT, day INTEGER, template INTEGER)")
        for accounts, of, templates in book.uses(used):
            part = pa.table({"account": accounts, "day": of, "template": templates})
            duck.register("part", part)
            duck.execute("INSERT INTO used FROM part")
        for day in days:
            query = (
                "SELECT account, template::BIGINT AS template, count(*) AS prompts FROM used"
                f" WHERE day = {(day - EPOCH).days} GROUP BY account, template"
            )
            path = state.begun(day) / "account_template.parquet"
            _copy(duck, path, query, "account, template")


def _slice(duck: Connection, part: str, tally: Tally) -> None:
    """What a slice of the accounts adds to the tables of the days.

    Numbers are made distinct before any text is joined to them: that is what fits into memory.
    """
    hours = ", ".join(
        f"coalesce(sum(events) FILTER (hour = {hour}), 0)::BIGINT AS h{hour}" for hour in range(24)
    )
    duck.execute(
        "CREATE OR REPLACE TABLE s.hours AS SELECT day, account, sum(events)::BIGINT AS events,"
        f" bool_or(mismatch) AS mismatch, bool_or(moved) AS moved, {hours}"
        f" FROM {part} GROUP BY day, account"
    )
    _add(duck, "account_day", _days(part))
    duck.execute(
        "CREATE OR REPLACE TABLE s.one AS SELECT day, account, min(signup) AS signup,"
        " max(signup) AS last_signup, min(nullif(entity, 0)) AS first_entity,"
        " bool_or(payment != 0) AS carded, bool_or(device != 0) AS deviced, max(entity) AS entity"
        f" FROM {part} GROUP BY day, account"
    )
    accounts, twice = duck.execute(
        "SELECT count(*), count(*) FILTER (signup != last_signup OR entity != first_entity) FROM"
        " (SELECT account, min(signup) AS signup, max(last_signup) AS last_signup,"
        " min(first_entity) AS first_entity, max(entity) AS entity FROM s.one GROUP BY account)"
    ).fetchone()
    tally.accounts, tally.twice = tally.accounts + accounts, tally.twice + twice
    _add(
        duck,
        "account",
        """
        SELECT DATE '1970-01-01' + day AS day, number AS account,
            CASE WHEN signup < DATE '1970-01-01' + day THEN signup
                WHEN signup IS NOT NULL THEN DATE '1970-01-01' + day END AS signup,
            carded, deviced, coalesce(digest, '') AS entity
        FROM s.one JOIN s.number ON one.account = number.h
        LEFT JOIN s.name_entity n ON n.h = one.entity
        """,
    )
    for kind in schema.KINDS:
        fine = "SEMI JOIN s.fine ON held.h = fine.h" if kind == "egress" else ""
        duck.execute(
            "CREATE OR REPLACE TABLE s.held AS SELECT DISTINCT DATE '1970-01-01' + day AS day,"
            f" account, {kind} AS h FROM {part} WHERE {kind} != 0"
        )
        _add(duck, f"of_{kind}", "SELECT DISTINCT day, h FROM s.held")
        _add(
            duck,
            "account_token",
            f"SELECT held.day, number AS account, '{kind}' AS kind, digest AS token FROM s.held"
            f" JOIN s.number ON held.account = number.h JOIN s.name_{kind} n ON n.h = held.h"
            f" {fine}",
        )


def _add(duck: Connection, name: str, query: str) -> None:
    """Put rows into a table, which the first of them make."""
    duck.execute(f"CREATE TABLE IF NOT EXISTS s.{name} AS FROM ({query}) LIMIT 0")
    duck.execute(f"INSERT INTO s.{name} {query}")


def _write_day(duck: Connection, place: Path, day: date) -> None:
    """The tables of a day; each in one order, so that the same log gives the same files."""
    duck.execute(
        "CREATE OR REPLACE TABLE s.account_tag AS SELECT DISTINCT DATE '1970-01-01' + day AS day,"
        " number AS account, kind, tag FROM s.word JOIN s.number ON word.account = number.h"
    )
    for name, without, order in (
        ("account_day", "", "account"),
        ("account", "EXCLUDE (day)", "account"),
        ("account_token", "EXCLUDE (day)", "account, kind, token"),
        ("account_tag", "EXCLUDE (day)", "account, kind, tag"),
    ):
        query = f"SELECT * {without} FROM s.{name} WHERE day = DATE '{day}'"
        _copy(duck, place / f"{name}.parquet", query, order)


def _days(part: str) -> str:
    most = ", ".join(f"h{hour}" for hour in range(24))
    level = " + ".join(f"least(24 * h{hour}, events)" for hour in range(24))
    am, pm = (
        " + ".join(
            f"(9 * h{half + step} // most) * {10 ** (11 - step)}::BIGINT" for step in range(12)
        )
        for half in (0, 12)
    )
    return f"""
        WITH topped AS (SELECT *, greatest({most}) AS most FROM s.hours),
        clients AS (
            SELECT day, account, arg_max(client, (n, client)) AS client FROM (
                SELECT p.day, p.account, c.client, sum(events) AS n FROM {part} p
                JOIN s.client c ON c.h = p.client GROUP BY ALL
            ) GROUP BY day, account
        )
        SELECT number AS account, DATE '1970-01-01' + topped.day AS day, events,
            (9 * ({level}) // (24 * events))::BIGINT AS flat,
            ({am})::BIGINT AS am, ({pm})::BIGINT AS pm,
            events >= {MIDDLE[0]} AND events < {MIDDLE[1]} AS mid, mismatch, moved,
            coalesce(client, '') AS client
        FROM topped JOIN s.number ON topped.account = number.h
        LEFT JOIN clients ON clients.day = topped.day AND clients.account = topped.account
    """


def _count_words(duck: Connection, tally: Tally) -> None:
    """Keep the words that the vocabularies know; a cell may hold several."""
    known = [
        (kind, word)
        for kind, words in WORDS.items()
        for word in sorted(words)
    ]  # fmt: skip
    duck.register("known", pa.table({"kind": [k for k, _ in known], "tag": [w for _, w in known]}))
    duck.execute(
        "CREATE TABLE s.given AS SELECT DISTINCT day, account, kind, unnest(regexp_extract_all("
        "lower(tag), '[a-z0-9-]+')) AS tag FROM s.tag"
    )
    duck.execute(
        "CREATE TABLE s.word AS SELECT given.* FROM s.given SEMI JOIN known USING (kind, tag)"
    )
    (tally.odd_words,) = duck.execute(
        "SELECT count(DISTINCT (kind, tag)) FROM s.given ANTI JOIN known USING (kind, tag)"
    ).fetchone()


def _names(duck: Connection, day: date) -> Iterator[Any]:
    """What the digests of a day stand for, in parts."""
    shown = f"substr(digest, 1, {DIGITS})"
    yield from _named(
        duck,
        f"SELECT 'account' AS kind, {shown} AS digest, text FROM s.name_account"
        f" WHERE CAST('0x' || {shown} AS BIGINT) IN"
        f" (SELECT account FROM s.account_day WHERE day = DATE '{day}')",
    )
    for kind in schema.KINDS:
        yield from _named(
            duck,
            f"SELECT '{kind}' AS kind, digest, text FROM s.name_{kind}"
            f" WHERE h IN (SELECT h FROM s.of_{kind} WHERE day = DATE '{day}')",
        )


def _named(duck: Connection, query: str) -> Iterator[Any]:
    for batch in duck.execute(f"{query} ORDER BY digest, text").to_arrow_reader(read.BATCH):
        yield pa.Table.from_batches([batch])


def _copy(duck: Connection, place: Path, query: str, order: str) -> None:
    path = str(place).replace("'", "''")
    duck.execute(f"COPY ({query} ORDER BY {order}) TO '{path}' (FORMAT parquet, COMPRESSION zstd)")


# --- words ---------------------------------------------------------------------------------------


WORDS: Mapping[str, frozenset[str]] = {
    "capability": frozenset(schema.CAPABILITIES),
    "method": frozenset(schema.METHODS),
    "surface": frozenset(schema.SURFACES),
}
_FAMILY = re.compile(r"[^/\s]+(/[0-9]+)?")
_CLIENT = re.compile(r"[0-9a-f]{32}")


def client_of(text: str) -> str:
    """32 hex digits for a client, the same at every member.

    A header order's digest stays as it is; of a JA4, and of the first product and its first number
    in a user agent, the digest is taken.
    """
    lower = text.strip().lower()
    if _CLIENT.fullmatch(lower):
        return lower
    family = _FAMILY.match(lower)
    return sha256(f"client/{family[0] if family else lower}".encode()).hexdigest()[:32]


def _pads(key: bytes) -> tuple[bytes, bytes]:
    """The two blocks of HMAC-SHA256 (RFC 2104), so that DuckDB computes it."""
    block = key.ljust(64, b"\0")
    return bytes(octet ^ 0x36 for octet in block), bytes(octet ^ 0x5C for octet in block)


def _digest(state: State, kind: str) -> str:
    """HMAC-SHA256 of the column `text` under the state's key for a kind, as 32 hex digits."""
    inner, outer = (_literal(pad) for pad in _pads(state.keys.of(f"digest/{kind}")))
    hashed = f"sha256({outer} || unhex(sha256({inner} || encode(text))))"
    return f"substr({hashed}, 1, 32)"


def _literal(octets: bytes) -> str:
    return f"unhex('{octets.hex()}')"
