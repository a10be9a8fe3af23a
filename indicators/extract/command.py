"""The command `weir-extract`: from a member's log to a checked extract, and back to its accounts.

    weir-extract columns --log usage.parquet --map map.toml
    weir-extract make --log usage.parquet --map map.toml --state state --out extract --url https://…
    weir-extract check extract
    weir-extract send extract --url https://…
    weir-extract minute --log minute.jsonl --map map.toml --state state --url https://…
    weir-extract hunt --findings bundle.json --state state --url https://… --out accounts.csv

It runs in the member's network, without a database. The credential is read from WEIR_CREDENTIAL or
a file. Nothing of a log stands in what it says: counts, places and rules alone.

Exit codes: 0 all done, 1 refused, by the exchange or by a rule, or not reached, 2 wrong usage, or a
log that cannot be used, 3 the day's quota of tokens is used up: run it again when it has renewed.
"""

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import duckdb

from exchange.proof import remote, tokenise
from exchange.proof.refused import Refused
from exchange.proof.remote import Remote
from indicators.detection import engines, schema, words
from indicators.extract import (
    algorithms,
    findings,
    fold,
    hunt,
    make,
    minute,
    read,
    sending,
    state,
    tokens,
)
from indicators.extract import map as maps
from indicators.extract.fold import Means, Tally
from indicators.extract.hunt import as_table, spelled
from indicators.extract.make import Work
from indicators.extract.map import Map, Match
from indicators.extract.read import Source, Wanted
from indicators.extract.state import State

DONE, REFUSED, USAGE, QUOTA = range(4)
_USAGE = ("usage.", "map.", "log.", "state.", "findings.", "engine.", "extract.file")
_SAID_EACH = 1_000_000


def run() -> None:
    """The entry point of the installed command."""
    sys.exit(main(sys.argv[1:]))


def main(arguments: Sequence[str]) -> int:
    """Do what is asked; what goes wrong is a sentence on standard error and an exit code."""
    options = _parser().parse_args(arguments)
    try:
        return COMMANDS[options.command](options)
    except tokenise.QuotaUsed as refused:
        _say(f"{refused.sentence} What was evaluated is kept: run it again when it has renewed.")
        return QUOTA
    except Refused as refused:
        place = f", {refused.path}" if refused.path else ""
        _say(f"{refused.sentence} ({refused.code}{place})")
        return USAGE if refused.code.startswith(_USAGE) else REFUSED
    except KeyboardInterrupt:
        _say("Stopped; nothing half done stays.")
        return REFUSED
    except Exception as fault:  # noqa: BLE001 - the outermost: its text may quote the log
        _say(f"Something went wrong that should not: {_where(fault)}. Nothing was written.")
        return REFUSED


def _columns(options: argparse.Namespace) -> int:
    mapped, _ = _mapped(options)
    given = read.source(options.log)
    with duckdb.connect(":memory:") as duck:
        found = maps.match(read.columns(duck, given), mapped)
        for sentence in found.sentences():
            _tell(sentence)
        maps.check(found)
        offset = read.has_offset(duck, given, found)
        maps.instant(found.columns["time"], has_offset=offset, zone=found.zone)
    _tell("The log can be used.")
    return DONE


def _fold(options: argparse.Namespace) -> int:
    day = options.day or _yesterday()
    with state.opened(options.state, options.key_file) as kept:
        for sentence in _folded(kept, options, day).sentences():
            _tell(sentence)
    return DONE


def _make(options: argparse.Namespace) -> int:
    day = options.day or _yesterday()
    door = tokenise.exchange(options)
    work = _work(options)
    with state.opened(options.state, options.key_file) as kept:
        if options.log is not None:
            for sentence in _folded(kept, options, day).sentences():
                _tell(sentence)
        asked = tokens.evaluator(kept, door, _say)
        made = make.make(kept, work, asked, day=day, today=_today())
    make.write(made, options.out)
    for sentence in made.told:
        _tell(sentence)
    _tell(f"The extract of {day} is written. Look at it: weir-extract check {options.out}")
    return DONE


def _check(options: argparse.Namespace) -> int:
    found = sending.read(options.extract)
    for line in words.as_text(found.extract):
        _tell(line)
    broken = sending.problems(found, today=_today())
    for sentence in broken:
        _say(sentence)
    _tell("" if broken else "\nEvery rule is kept: it may be sent.")
    return REFUSED if broken else DONE


def _send(options: argparse.Namespace) -> int:
    found = sending.read(options.extract)
    sending.check(found, today=_today())
    sending.send(_remote(options), found)
    _tell(f"The extract of {found.extract.manifest.day} is taken.")
    return DONE


def _hunt(options: argparse.Namespace) -> int:
    if (options.findings is None) == (options.collection is None):
        raise Refused("usage.findings", "Say --findings FILE, or --collection to pull over TAXII.")
    door = tokenise.exchange(options)
    work = _work(options)
    with state.opened(options.state, options.key_file) as kept:
        if options.log is not None:
            _folded(kept, options, options.day or _yesterday())
        day = options.day or _newest(kept)
        asked = tokens.evaluator(kept, door, _say)
        if options.findings is not None:
            objects = findings.of_file(options.findings)
        else:
            objects = findings.pulled(_remote(options, taxii=True), options.collection)
        released = findings.group(objects, epoch=asked.epoch)
        looked = hunt.look(kept, work, asked, released, day=day)
    is_json = options.out is not None and options.out.suffix == ".json"
    listed = (hunt.as_json if is_json else hunt.as_csv)(looked.accounts)
    _write(options.out, listed)
    if options.sightings is not None:
        ids = [uuid4() for _ in released]
        bundle = hunt.sightings(looked.accounts, ids=ids, bundle_id=uuid4(), now=datetime.now(UTC))
        _write(options.sightings, bundle)
    for sentence in _hunted(len(released), looked):
        _say(sentence)
    return DONE


def _minute(options: argparse.Namespace) -> int:
    day = options.day or _today()
    work = _work(options)
    with state.opened(options.state, options.key_file) as kept:
        since = _newest(kept)
        days, _ = fold.tables(kept, *_given(kept, options, day, first=day), work.means)
        seen = minute.look(kept, work, day=days[0], since=since)
    rows = [[one.group, one.score, one.size, spelled(one.account)] for one in seen]
    _write(options.out, as_table(minute.COLUMNS, rows))
    groups = len({one.group for one in seen})
    _say(f"{groups:,} groups that this minute touches count by their score alone.")
    return DONE


COMMANDS: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "columns": _columns,
    "fold": _fold,
    "make": _make,
    "check": _check,
    "send": _send,
    "hunt": _hunt,
    "minute": _minute,
}


# --- the parts of a command ----------------------------------------------------------------------


def _folded(kept: State, options: argparse.Namespace, day: date) -> Tally:
    """Fold a day, or all days of the window where the state is new or one says since when."""
    earliest = day - timedelta(days=schema.DAYS - 1)
    first = options.since or (day if kept.days() else earliest)
    given, found, wanted = _given(kept, options, day, first=max(first, earliest))
    tally = fold.fold(kept, given, found, wanted, _means(options))
    is_lost = [need for need in found.missing if need in ("prompt", "own", "signup")]
    tally.said += [f"Without {maps.CALLED[need]}: {maps.LOST[need]}." for need in is_lost]
    return tally


def _given(
    kept: State, options: argparse.Namespace, day: date, *, first: date
) -> tuple[Source, Match, Wanted]:
    """The log that the options name, its columns, and what of it is wanted."""
    mapped, beside = _mapped(options)
    given = read.source(options.log)
    with fold.connection(kept, _means(options)) as duck:
        found = maps.match(read.columns(duck, given), mapped)
        maps.check(found)
        offset = read.has_offset(duck, given, found)
    wanted = Wanted(
        first=first,
        last=day,
        own=_own(options, mapped, beside),
        releases=mapped.releases,
        one_in=read.ONE_IN if given.is_large else 1,
        has_offset=offset,
    )
    return given, found, wanted


def _mapped(options: argparse.Namespace) -> tuple[Map, Path]:
    if options.map is None:
        return Map(), Path()
    try:
        return maps.parse(options.map.read_text("utf-8")), options.map.parent
    except (OSError, UnicodeDecodeError):
        raise Refused("map.missing", "The map cannot be read.", "--map") from None


def _own(options: argparse.Namespace, mapped: Map, beside: Path) -> frozenset[str]:
    """The member's own accounts (R8)."""
    files = [beside / mapped.own_accounts] if mapped.own_accounts else []
    files += [options.own] if options.own else []
    try:
        lines = [line for file in files for line in file.read_text("utf-8").splitlines()]
    except (OSError, UnicodeDecodeError):
        raise Refused("usage.own", "The list of own accounts cannot be read.", "--own") from None
    return frozenset(line.strip() for line in lines if line.strip())


def _work(options: argparse.Namespace) -> Work:
    given = options.algorithms
    texts = algorithms.of_files(given) if given else algorithms.of_exchange(_remote(options))
    chosen = algorithms.chosen(texts)
    return Work(options.engine, _means(options), chosen.setup, chosen.named)


def _remote(options: argparse.Namespace, *, taxii: bool = False) -> Remote:
    own = options.taxii_credential_file if taxii else None
    return remote.remote(options.url or "", own or options.credential_file, options.ca)


def _means(options: argparse.Namespace) -> Means:
    return Means(options.memory, options.threads, _progress())


def _progress() -> Callable[[int], None]:
    """Say how far it is each million events."""
    said = 0

    def say(events: int) -> None:
        nonlocal said
        if events // _SAID_EACH > said:
            said = events // _SAID_EACH
            _say(f"{events:,} events")

    return say


def _newest(kept: State) -> date:
    days = kept.days()
    if not days:
        raise Refused("state.day", "Nothing is folded here: give a log with --log.", "--state")
    return days[-1]


def _hunted(released: int, looked: hunt.Looked) -> list[str]:
    told = [
        f"{released:,} findings could be matched; {len(looked.accounts):,} of your accounts match."
    ]
    if looked.unevaluated:
        told.append(
            f"{looked.unevaluated:,} of your cards and devices are not evaluated yet, those that"
            " fewer accounts share: run it again when the quota has renewed."
        )
    return told


def _write(path: Path | None, text: str) -> None:
    """Write what nobody else should read."""
    if path is None:
        sys.stdout.write(text)
        return
    how = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    try:
        with os.fdopen(os.open(path, how, 0o600), "w", encoding="utf-8", newline="") as file:
            file.write(text)
    except OSError:
        raise Refused("usage.out", "The file cannot be written.", "--out") from None


def _today() -> date:
    return datetime.now(UTC).date()


def _yesterday() -> date:
    return _today() - timedelta(days=1)


def _where(fault: Exception) -> str:
    """The kind of a fault and the line of ours where it rose, never its text."""
    trace = fault.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    line = f" at {Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else ""
    return f"{type(fault).__name__}{line}"


def _tell(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _say(text: str) -> None:
    with contextlib.suppress(BrokenPipeError):
        sys.stderr.write(f"{text}\n")


# --- options -------------------------------------------------------------------------------------


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError("a day is written like 2026-11-02") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "weir-extract", description="Make, check and send a day's extract; look at home."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    columns = commands.add_parser("columns", help="what is found in a log, and what is missing")
    folding = commands.add_parser("fold", help="fold days of a log into the state, nothing more")
    making = commands.add_parser("make", help="make the extract of a day")
    checking = commands.add_parser("check", help="what an extract would give away, row by row")
    send = commands.add_parser("send", help="send an extract")
    hunting = commands.add_parser("hunt", help="match released findings against the own log")
    watching = commands.add_parser("minute", help="what a minute of the log is tied to")
    watching.add_argument("--out", type=Path, help="the list (CSV); standard output if left out")
    _log_options(columns, is_needed=True)
    for one in (folding, making, hunting, watching):
        _log_options(one, is_needed=one in (folding, watching))
        _state_options(one)
    for one in (making, send, hunting, watching):
        _exchange_options(one)
    for one in (making, hunting, watching):
        _work_options(one)
    making.add_argument("--out", type=Path, default=Path("extract"), help="folder for its files")
    for one in (checking, send):
        one.add_argument("extract", type=Path, help="the folder that make wrote")
    add = hunting.add_argument
    add("--findings", type=Path, help="a STIX bundle, or an archive")
    add("--collection", help="pull this TAXII collection instead")
    add("--taxii-credential-file", type=Path, help="holds a credential of the scope taxii")
    add("--out", type=Path, help="the list: .csv or .json; standard output if left out")
    add("--sightings", type=Path, help="write a bundle of sightings too, ready to contribute")
    return parser


def _log_options(parser: argparse.ArgumentParser, *, is_needed: bool) -> None:
    add = parser.add_argument
    add("--log", type=Path, required=is_needed, help="a file, or a folder of files of one form")
    add("--map", type=Path, help="which column is what (TOML); without it OpenTelemetry's names")


def _state_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--state", type=Path, default=Path("weir-state"), help="folder of days, keys and tokens")
    add("--key-file", type=Path, help="where the state's keys lie, if not in the state")
    add("--day", type=_day, help="the day (UTC); yesterday if left out")
    add("--since", type=_day, help="fold the days from here to --day")
    add("--own", type=Path, help="accounts of your staff, tests and free trials, one a line")
    add("--memory", type=int, default=fold.MEMORY, help="megabytes for the engine")
    add("--threads", type=int, default=1)


def _exchange_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--url", help="https://name of the exchange")
    add("--credential-file", type=Path, help="holds the credential, if WEIR_CREDENTIAL does not")
    add("--ca", help="a file of certificates to trust instead of the system's")
    add("--proxy", help="host:port through which tokens are asked for")


def _work_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--engine", choices=tuple(engines.EXTRAS), default="duckdb")
    add("--algorithms", type=Path, help="documents in a file or folder; else the exchange's")


if __name__ == "__main__":
    run()
