"""Events to account-days: one pass over a log, into a day's folder of the state.

What leaves DuckDB's memory are numbers; a value in clear stands once for each day and kind, until
it is sealed. Hours are UTC. Evenness and digits of the hours are those of `tables.LOG`.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from exchange.proof import oprf
from exchange.proof.refused import Refused
from indicators.detection import schema
from indicators.extract import read
from indicators.extract.map import Match
from indicators.extract.prompts import Sketchbook
from indicators.extract.read import Source, Wanted
from indicators.extract.state import State
from indicators.stix import warninglists

MEMORY = 400  # megabytes of DuckDB; the whole process needs about twice as much
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
        _write_templates(state, book, days, tally)  # 3
    finally:
        book.close()
    return days, tally


# --- batch by batch ------------------------------------------------------------------------------


def _prepare(duck: Connection) -> None:
    duck.execute("ATTACH ':memory:' AS s (COMPRESS true)")
    numbers = ", ".join(f"{kind} UBIGINT" for kind in _VALUES)
    duck.execute(
        f"CREATE TABLE s.part (day INTEGER, account UBIGINT, hour UTINYINT, {numbers},"
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
    duck.execute("INSERT INTO s.part FROM now")
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
    parts = []
    for kind in ("account", *_VALUES):
        parts.append(
            f"SELECT '{kind}' AS kind, h, text, {_digest(state, kind)} AS digest"
            f" FROM (SELECT h, min(text) AS text FROM s.seen_{kind} GROUP BY h)"
        )
    duck.execute(f"CREATE TABLE s.name AS {' UNION ALL '.join(parts)}")
    for kind in ("account", *_VALUES):
        duck.execute(f"DROP TABLE s.seen_{kind}")
    clients = duck.execute("SELECT h, text FROM s.name WHERE kind = 'client'").fetchall()
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
    fine: list[int] = []
    rows = duck.execute("SELECT h, text FROM s.name WHERE kind = 'egress'")
    while chunk := rows.fetchmany(100_000):
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
    duck.execute("CREATE TABLE s.fine AS FROM fine")


def _write(state: State, duck: Connection, tally: Tally) -> list[date]:
    """Write the tables of each day, templates apart, where nobody sees them yet."""
    hours = ", ".join(
        f"sum(events) FILTER (hour = {hour})::BIGINT AS h{hour}" for hour in range(24)
    )
    duck.execute(
        "CREATE TABLE s.hours AS SELECT day, account, sum(events)::BIGINT AS events,"
        f" bool_or(mismatch) AS mismatch, bool_or(moved) AS moved, {hours}"
        " FROM s.part GROUP BY day, account"
    )
    duck.execute(
        f"CREATE TABLE s.number AS SELECT h, CAST('0x' || substr(digest, 1, {DIGITS}) AS BIGINT)"
        " AS number FROM s.name WHERE kind = 'account'"
    )
    _count_words(duck, tally)
    tally.accounts, tally.twice = duck.execute(
        "SELECT count(*), count(*) FILTER (signups > 1 OR entities > 1) FROM (SELECT account,"
        " count(DISTINCT signup) AS signups, count(DISTINCT nullif(entity, 0)) AS entities"
        " FROM s.part GROUP BY account)"
    ).fetchone()
    numbers = duck.execute("SELECT DISTINCT day FROM s.hours ORDER BY day").fetchall()
    days = []
    for (number,) in numbers:
        day = EPOCH + timedelta(days=number)
        place = state.begun(day)
        _write_day(duck, place, number)
        state.seal_names(place, _names(duck, number))
        days.append(day)
    return days


def _write_templates(state: State, book: Sketchbook, days: Sequence[date], tally: Tally) -> None:
    known = state.templates()
    used = book.used(known, next_number=1 + max((one.template for one in known), default=0))
    tally.prompts, tally.templates = book.count, len(used.made)
    state.keep_templates([*known, *used.made])
    for day in days:
        mine = used.days == (day - EPOCH).days
        rows = pa.table({"account": used.accounts[mine], "template": used.templates[mine]})
        counted = rows.group_by(["account", "template"]).aggregate([([], "count_all")])
        named = counted.rename_columns(["account", "template", "prompts"])
        ordered = named.sort_by([("account", "ascending"), ("template", "ascending")])
        path = state.begun(day) / "account_template.parquet"
        pq.write_table(ordered, path, compression="zstd")


def _write_day(duck: Connection, place: Path, day: int) -> None:
    """The tables of a day; each in one order, so that the same log gives the same files.

    Numbers are made distinct before any text is joined to them: that is what fits into memory.
    """
    _copy(duck, place / "account_day.parquet", _days(day), "account")
    duck.execute(
        "CREATE OR REPLACE TABLE s.of_day AS SELECT account, min(signup) AS signup,"
        " bool_or(payment != 0) AS carded, bool_or(device != 0) AS deviced, max(entity) AS entity"
        f" FROM s.part WHERE day = {day} GROUP BY account"
    )
    _copy(
        duck,
        place / "account.parquet",
        f"""
        SELECT number AS account,
            CASE WHEN signup < DATE '1970-01-01' + {day} THEN signup
                WHEN signup IS NOT NULL THEN DATE '1970-01-01' + {day} END AS signup,
            carded, deviced, coalesce(digest, '') AS entity
        FROM s.of_day p JOIN s.number ON p.account = number.h
        LEFT JOIN (SELECT h, digest FROM s.name WHERE kind = 'entity') n ON n.h = p.entity
        """,
        "account",
    )
    duck.execute("CREATE OR REPLACE TABLE s.token (account BIGINT, kind VARCHAR, token VARCHAR)")
    for kind in schema.KINDS:
        fine = f"AND {kind} IN (SELECT h FROM s.fine)" if kind == "egress" else ""
        duck.execute(
            f"CREATE OR REPLACE TABLE s.held AS SELECT DISTINCT account, {kind} AS h"
            f" FROM s.part WHERE day = {day} AND {kind} != 0 {fine}"
        )
        duck.execute(
            f"INSERT INTO s.token SELECT number, '{kind}', digest FROM s.held"
            " JOIN s.number ON held.account = number.h"
            f" JOIN (SELECT h, digest FROM s.name WHERE kind = '{kind}') n ON n.h = held.h"
        )
    _copy(duck, place / "account_token.parquet", "FROM s.token", "account, kind, token")
    _copy(
        duck,
        place / "account_tag.parquet",
        f"SELECT DISTINCT number AS account, kind, tag FROM s.word w"
        f" JOIN s.number ON w.account = number.h WHERE day = {day}",
        "account, kind, tag",
    )


def _days(day: int) -> str:
    most = ", ".join(f"coalesce(h{hour}, 0)" for hour in range(24))
    level = " + ".join(f"least(24 * coalesce(h{hour}, 0), events)" for hour in range(24))
    am, pm = (
        " + ".join(
            f"(9 * coalesce(h{half + step}, 0) // most) * {10 ** (11 - step)}::BIGINT"
            for step in range(12)
        )
        for half in (0, 12)
    )
    return f"""
        WITH topped AS (SELECT *, greatest({most}) AS most FROM s.hours WHERE day = {day}),
        clients AS (
            SELECT account, arg_max(client, (n, client)) AS client FROM (
                SELECT p.account, c.client, sum(events) AS n FROM s.part p
                JOIN s.client c ON c.h = p.client WHERE day = {day} GROUP BY ALL
            ) GROUP BY account
        )
        SELECT number AS account, DATE '1970-01-01' + {day} AS day, events,
            (9 * ({level}) // (24 * events))::BIGINT AS flat,
            ({am})::BIGINT AS am, ({pm})::BIGINT AS pm,
            events >= {MIDDLE[0]} AND events < {MIDDLE[1]} AS mid, mismatch, moved,
            coalesce(client, '') AS client
        FROM topped JOIN s.number ON topped.account = number.h
        LEFT JOIN clients ON clients.account = topped.account
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


def _names(duck: Connection, day: int) -> Iterator[Any]:
    """What the digests of a day stand for, in parts."""
    for kind in ("account", "payment", "device", "egress"):
        digest = f"substr(digest, 1, {DIGITS})" if kind == "account" else "digest"
        duck.execute(
            f"CREATE OR REPLACE TABLE s.held AS SELECT DISTINCT {kind} AS h FROM s.part"
            f" WHERE day = {day} AND {kind} != 0"
        )
        reader = duck.execute(
            f"SELECT kind, {digest} AS digest, text FROM s.name SEMI JOIN s.held USING (h)"
            f" WHERE kind = '{kind}' ORDER BY ALL"
        ).to_arrow_reader(read.BATCH)
        for batch in reader:
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
