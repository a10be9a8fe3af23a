"""A member's log as batches of events: Parquet, JSON Lines or CSV, read once through DuckDB.

Nothing that DuckDB says of a fault is repeated: its sentences quote the log. A fault is told in
our own words, with the file and, where it is known, the line.
"""

import gzip
import json
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import zstandard

from exchange.proof.refused import Refused
from indicators.extract import map as maps
from indicators.extract.map import Column, Match

FORMS: Mapping[str, str] = {
    ".parquet": "parquet",
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
    ".csv": "csv",
}
PACKED = (".gz", ".zst")
LONGEST_LINE = 32 * 1024 * 1024
LONGEST_PROMPT = 1024 * 1024  # octets; what is longer is counted, and not fingerprinted
BATCH = 200_000
SAMPLE_ROWS = 500
ONE_IN = 8
MANY = 2_000_000  # events, from which on one prompt in eight is fingerprinted
_EVENT_OCTETS = {"json": 300, "csv": 200}  # of a small one, packed or not
_DEEP = 4
_PIECE = 1 << 20
_SECONDS_OF_DAY = 86_400
_EPOCH = date(1970, 1, 1)

Connection = Any  # of DuckDB
Batch = Any  # a RecordBatch of Arrow

# Why an event is left out; the numbers stand in the column `why`.
USED, NO_ACCOUNT, NO_TIME, OTHER_DAY, OWN = range(5)


@dataclass(frozen=True, slots=True)
class Source:
    """Files of one form."""

    form: str
    files: tuple[Path, ...]

    @property
    def is_large(self) -> bool:
        """Whether there are so many events that one prompt in eight is enough."""
        octets = sum(file.stat().st_size for file in self.files)
        return octets > MANY * _EVENT_OCTETS.get(self.form, 20)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events, and how closely prompts are looked at."""

    first: date
    last: date
    own: frozenset[str] = frozenset()
    releases: tuple[tuple[str, datetime], ...] = ()
    one_in: int = 1
    has_offset: bool = field(default=True)


def source(place: Path) -> Source:
    """The files at a path: one, or all of a folder that are of one form."""
    if place.is_dir():
        files = tuple(sorted(one for one in place.iterdir() if _form(one) and one.is_file()))
    else:
        files = (place,) if place.is_file() else ()
    forms = {_form(one) for one in files}
    if not files:
        raise Refused("log.missing", "There is no log at this place.", "--log")
    if forms == {""}:
        sentence = "A log is .parquet, .jsonl, .ndjson or .csv; the latter also .gz or .zst."
        raise Refused("log.form", sentence, "--log")
    if len(forms) != 1:
        raise Refused("log.form", "The files of a folder are of one form.", "--log")
    return Source(forms.pop(), files)


@contextmanager
def said_plainly(place: str = "--log") -> Iterator[None]:
    """Turn what DuckDB says into a refusal that quotes nothing of the log."""
    try:
        yield
    except duckdb.OutOfMemoryException:
        sentence = "The log does not fit: give --memory more, or the state's disk more room."
        raise Refused("log.memory", sentence, place) from None
    except duckdb.Error as error:
        found = re.search(r"[Ll]ine:? (\d+)", str(error))
        where = f"{place}, line {found[1]}" if found else place
        raise Refused("log.unreadable", _fault(str(error)), where) from None


def check_whole(given: Source) -> None:
    """Refuse a packed file that was cut off: DuckDB reads as far as it goes, and says nothing."""
    for file in given.files:
        if file.suffix.lower() in PACKED and not _WHOLE[file.suffix.lower()](file):
            sentence = "A packed file cannot be unpacked: it was cut off, or is none."
            raise Refused("log.unreadable", sentence, file.name)


def columns(connection: Connection, given: Source) -> tuple[Column, ...]:
    """The columns of a log and the attributes inside them, by name and type; no values."""
    with said_plainly():
        if given.form == "json":
            return _json_columns(connection, given)
        described = connection.execute(f"DESCRIBE SELECT * FROM {_scan(given, ())}").fetchall()
        tops = [(str(name), str(kind)) for name, kind, *_ in described]
        if given.form == "csv":
            return tuple(Column(name, _quoted(name), "VARCHAR") for name, _ in tops)
        return tuple(_parquet_columns(connection, given, tops))


def has_offset(connection: Connection, given: Source, found: Match) -> bool:
    """Whether the first times that are texts say how far from UTC they are."""
    column = found.columns["time"]
    if column.kind.upper() != "VARCHAR":
        return True
    query = f"SELECT {column.expression} FROM {_scan(given, (column,))} LIMIT {SAMPLE_ROWS}"
    with said_plainly():
        texts = [row[0] for row in connection.execute(query).fetchall() if row[0]]
    return bool(texts) and all(map(maps.carries_offset, texts))


def events(connection: Connection, given: Source, found: Match, wanted: Wanted) -> Iterator[Batch]:
    """The events in batches: day and hour in UTC, who, with what, and some prompts."""
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("CREATE OR REPLACE TEMP TABLE own (id VARCHAR)")
    for one in sorted(wanted.own):
        connection.execute("INSERT INTO own VALUES (?)", [one])
    query = _query(given, found, wanted)
    with said_plainly():
        reader = connection.execute(query).to_arrow_reader(BATCH)
    while True:
        with said_plainly():
            try:
                batch = reader.read_next_batch()
            except StopIteration:
                return
            except OSError as error:  # as Arrow wraps what DuckDB says
                raise Refused("log.unreadable", _fault(str(error)), "--log") from None
        yield batch


def rejected(connection: Connection, given: Source) -> int:
    """How many lines of a CSV could not be read."""
    if given.form != "csv":
        return 0
    count = "SELECT count(DISTINCT (file_id, line)) FROM reject_errors"
    return int(connection.execute(count).fetchone()[0])


# --- the query -----------------------------------------------------------------------------------


def _query(given: Source, found: Match, wanted: Wanted) -> str:
    used = tuple(found.columns.values())
    first, last = ((day - _EPOCH).days for day in (wanted.first, wanted.last))
    sampled = "true" if wanted.one_in == 1 else f"hash(id, us) % {wanted.one_in} = 0"
    return f"""
        WITH named AS (SELECT {_named(found, wanted)} FROM {_scan(given, used)}),
        told AS (
            SELECT *, CASE WHEN id IS NULL THEN {NO_ACCOUNT} WHEN us IS NULL THEN {NO_TIME}
                WHEN us // 86400000000 NOT BETWEEN {first} AND {last} THEN {OTHER_DAY}
                WHEN own OR id IN (SELECT id FROM own) THEN {OWN} ELSE {USED} END AS why
            FROM named
        )
        SELECT why::UTINYINT AS why, (us // 86400000000)::INTEGER AS day,
            (us // 3600000000 % 24)::UTINYINT AS hour, id, payment, device, entity, egress,
            client, signup, mismatch, moved, capability, method, surface,
            CASE WHEN why = 0 AND {sampled} AND strlen(prompt) <= {LONGEST_PROMPT}
                THEN prompt END AS prompt,
            why = 0 AND strlen(prompt) > {LONGEST_PROMPT} AS is_long
        FROM told
    """


def _named(found: Match, wanted: Wanted) -> str:
    """Each need as a column of ours."""
    at = maps.instant(found.columns["time"], has_offset=wanted.has_offset, zone=found.zone)
    parts = [
        f"{_text(found, 'account')} AS id",
        f"{at} AS us",
        f"regexp_replace({_text(found, 'payment')}, '[ -]', '', 'g') AS payment",
        f"{_signup(found)} AS signup",
        f"{_truth(found, 'mismatch')} AS mismatch",
        f"{_truth(found, 'own')} AS own",
        f"{_moved(found, at, wanted.releases)} AS moved",
        f"{_capability(found)} AS capability",
    ]
    plain = ("device", "entity", "egress", "client", "method", "surface", "prompt")
    return ", ".join([*parts, *(f"{_text(found, need)} AS {need}" for need in plain)])


def _text(found: Match, need: str) -> str:
    column = found.columns.get(need)
    if column is None:
        return "NULL::VARCHAR"
    return f"nullif(trim(CAST({column.expression} AS VARCHAR)), '')"


def _truth(found: Match, need: str) -> str:
    column = found.columns.get(need)
    if column is None:
        return "false"
    return f"coalesce(TRY_CAST({column.expression} AS BOOLEAN), false)"


def _signup(found: Match) -> str:
    column = found.columns.get("signup")
    if column is None:
        return "NULL::DATE"
    if column.kind.upper() in ("BIGINT", "INTEGER", "NUMBER"):
        at = maps.instant(column, has_offset=True, zone="UTC")
        return f"CAST(make_timestamp({at}) AS DATE)"
    return f"TRY_CAST(left(CAST({column.expression} AS VARCHAR), 10) AS DATE)"


def _moved(found: Match, at: str, releases: Sequence[tuple[str, datetime]]) -> str:
    """Whether the model is within 24 hours of its public release."""
    column = found.columns.get("model")
    if column is None or not releases:
        return "false"
    cases = []
    for model, moment in releases:
        us = int(moment.astimezone(UTC).timestamp()) * 1_000_000
        until = us + _SECONDS_OF_DAY * 1_000_000
        name = model.replace("'", "''")
        cases.append(f"({column.expression} = '{name}' AND {at} BETWEEN {us} AND {until})")
    return f"coalesce({' OR '.join(cases)}, false)"


def _capability(found: Match) -> str:
    own = _text(found, "capability")
    operation = found.columns.get("operation")
    if operation is None:
        return own
    tools = f"CASE WHEN {operation.expression} IN ('execute_tool', 'invoke_agent')"
    return f"coalesce({own}, {tools} THEN 'agentic-tool-use' END)"


def _scan(given: Source, used: Sequence[Column]) -> str:
    files = "[" + ", ".join(_literal(str(file)) for file in given.files) + "]"
    if given.form == "parquet":
        return f"read_parquet({files}, union_by_name = true)"
    if given.form == "csv":
        return (
            f"read_csv({files}, all_varchar = true, header = true, quote = '\"', escape = '\"',"
            f" max_line_size = {LONGEST_LINE}, buffer_size = {2 * LONGEST_LINE},"
            " store_rejects = true, rejects_limit = 100000)"
        )
    tops = dict.fromkeys(one.top or one.name for one in used)
    columns = ", ".join(f"{_literal(top)}: 'VARCHAR'" for top in tops)
    return (
        f"read_json({files}, format = 'newline_delimited', columns = {{{columns}}},"
        f" maximum_object_size = {LONGEST_LINE}, ignore_errors = true)"
    )


# --- what is there -------------------------------------------------------------------------------


def _json_columns(connection: Connection, given: Source) -> tuple[Column, ...]:
    files = "[" + ", ".join(_literal(str(file)) for file in given.files) + "]"
    query = (
        f"SELECT json FROM read_json_objects({files}, format = 'newline_delimited',"
        f" maximum_object_size = {LONGEST_LINE}, ignore_errors = true) LIMIT {SAMPLE_ROWS}"
    )
    found: dict[tuple[str, ...], str] = {}
    for (text,) in connection.execute(query).fetchall():
        if isinstance(text, str):
            _look(_object(text), (), found)
    return tuple(_json_column(path, kind or "VARCHAR") for path, kind in found.items())


def _json_column(path: tuple[str, ...], kind: str) -> Column:
    expression = _quoted(path[0])
    if len(path) > 1:
        steps = ".".join('"' + step.replace('"', "") + '"' for step in path[1:])
        expression = f"json_extract_string({expression}, {_literal('$.' + steps)})"
    return Column(".".join(path), expression, kind, path[0])


def _object(text: str) -> Mapping[str, object]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _look(
    value: Mapping[str, object], above: tuple[str, ...], found: dict[tuple[str, ...], str]
) -> None:
    for name, inner in value.items():
        path = (*above, name)
        if isinstance(inner, dict) and len(path) < _DEEP:
            _look(inner, path, found)
        elif inner is None:
            found.setdefault(path, "")  # it is there, whatever it holds further on
        elif not found.get(path):
            is_number = isinstance(inner, int) and not isinstance(inner, bool)
            found[path] = "NUMBER" if is_number else "VARCHAR"


def _parquet_columns(
    connection: Connection, given: Source, tops: Sequence[tuple[str, str]]
) -> Iterator[Column]:
    for name, kind in tops:
        yield Column(name, _quoted(name), kind)
        if kind.startswith("MAP("):
            keys = (
                f"SELECT DISTINCT unnest(map_keys({_quoted(name)}))"
                f" FROM (SELECT {_quoted(name)} FROM {_scan(given, ())} LIMIT {SAMPLE_ROWS})"
            )
            for (key,) in connection.execute(keys).fetchall():
                yield Column(f"{name}.{key}", f"{_quoted(name)}[{_literal(key)}]", "VARCHAR")
        elif kind.startswith("STRUCT("):
            inside = f"DESCRIBE SELECT unnest({_quoted(name)}) FROM {_scan(given, ())}"
            for key, inner, *_ in connection.execute(inside).fetchall():
                yield Column(f"{name}.{key}", f"{_quoted(name)}[{_literal(key)}]", str(inner))
        elif name in maps.CONTAINERS and kind in ("VARCHAR", "JSON"):
            yield from _packed_columns(connection, given, name)


def _packed_columns(connection: Connection, given: Source, name: str) -> Iterator[Column]:
    """The attributes of a column that holds JSON."""
    query = f"SELECT {_quoted(name)} FROM {_scan(given, ())} LIMIT {SAMPLE_ROWS}"
    found: dict[tuple[str, ...], str] = {}
    for (text,) in connection.execute(query).fetchall():
        if isinstance(text, str):
            _look(_object(text), (name,), found)
    yield from (_json_column(path, kind or "VARCHAR") for path, kind in found.items())


def _form(file: Path) -> str:
    suffixes = [suffix.lower() for suffix in file.suffixes]
    if suffixes and suffixes[-1] in PACKED and FORMS.get("".join(suffixes[-2:-1])) != "parquet":
        suffixes.pop()
    return FORMS.get(suffixes[-1], "") if suffixes else ""


def _is_whole_gzip(file: Path) -> bool:
    try:
        with gzip.open(file) as unpacked:
            while unpacked.read(_PIECE):
                pass
    except (OSError, EOFError, zlib.error):
        return False
    return True


def _is_whole_zstd(file: Path) -> bool:
    unpacked = zstandard.ZstdDecompressor().decompressobj()
    with file.open("rb") as packed:
        try:
            while piece := packed.read(_PIECE // 16):
                while piece:
                    if unpacked.eof:  # the next of several frames
                        unpacked = zstandard.ZstdDecompressor().decompressobj()
                    unpacked.decompress(piece)
                    piece = unpacked.unused_data
        except zstandard.ZstdError:
            return False
    return bool(unpacked.eof)


_WHOLE = {".gz": _is_whole_gzip, ".zst": _is_whole_zstd}


def _fault(text: str) -> str:
    """What is wrong, without a word of what DuckDB quotes."""
    lower = text.lower()
    if "maximum_object_size" in lower or "max_line_size" in lower or "maximum line" in lower:
        return f"A line is longer than {LONGEST_LINE // 1024**2} MB."
    if "parquet" in lower and ("magic" in lower or "footer" in lower or "too small" in lower):
        return "A Parquet file has no end: it was cut off, or is none."
    if any(word in lower for word in ("gzip", "zstd", "decompress", "deflate", "miniz")):
        return "A packed file cannot be unpacked: it was cut off, or is none."
    if "utf-8" in lower or "utf8" in lower or "unicode" in lower or "encod" in lower:
        return "The log is not UTF-8."
    if "no space" in lower or "temp_directory" in lower:
        return "There is no room left on the disk of the state."
    return "The log cannot be read in its form."


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
