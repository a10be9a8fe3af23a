"""A run, in its child: applies each algorithm in a process of its own, and answers (`opening`)."""

import base64
import os
import resource
import select
import signal
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import pyarrow as pa

from exchange.proof.refused import Refused
from indicators.detection import (
    applying,
    cases,
    document,
    engines,
    known,
    sealing,
    sent,
)
from indicators.detection.applying import Pairs, Said
from indicators.detection.document import Algorithm
from indicators.detection.engines import Limits
from indicators.detection.packing import Opened
from indicators.detection.sent import Columns
from indicators.detection.values import Finding

_THREADS = 2
_AT_ONCE = 2
_BROKEN, _MEMORY, _REFUSED = 3, 4, 5
_TROUBLES = {_BROKEN: "broken", _MEMORY: "memory", _REFUSED: "refused"}
_PIECE = 1 << 20
_DECADES = ((1_000_000, "1M-up"), (100_000, "100k-999k"), (10_000, "10k-99k"), (1_000, "1k-9k"),
            (100, "100-999"), (10, "10-99"), (2, "2-9"), (1, "1"), (0, "0"))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Bound:
    """What one algorithm may use."""

    seconds: float
    memory: int


class Failed(Exception):
    """An algorithm came to no end; its one argument is a word of ours."""


def _parsed(head: Mapping[str, Any]) -> tuple[list[Algorithm], dict[str, str]]:
    """The algorithms in force, and those that cannot be read."""
    found, failed = [], {}
    for one in head["algorithms"]:
        try:
            found.append(document.parse(one["text"].encode()))
        except Refused:
            failed[one["digest"]] = "refused"
    return found, failed


def worked(head: Mapping[str, Any], opened: Opened) -> dict[str, Any]:
    """What a run says, of the extracts that were opened."""
    columns = sent.read(opened.sent)
    bound = Bound(head["seconds"], head["memory"])
    algorithms, failed = _parsed(head)
    ran, fell = _ran(columns, algorithms, bound)
    failed |= fell
    key = base64.b64decode(head["key"])
    names = known.Names(key, opened.owners)
    before = {name: _remembered(key, name, sealed) for name, sealed in head["before"].items()}
    anchors = frozenset().union(*(before[name].anchors for name in head["disputed"]))
    found = applying.concluded(
        columns, ran, is_disputed=lambda pooled: known.disputed(pooled, names, anchors)
    )
    settled = set(head["settled"])
    made = known.steps(found.findings, names, before, is_settled=lambda name: name in settled)
    by_name = {(one.id, one.version): one for one in algorithms}
    return {
        "rows": found.rows,
        "largest": found.largest,
        "is_stopped": found.is_stopped,
        "left_out": len(found.left_out),
        "failed": failed,
        "found": [
            _answered(step, key, by_name, sources)
            for step in made
            for sources in (columns.sources(step.finding.rows),)
            # Affiliates are one, and still none of them is shown another's rows.
            if len(step.finding.members) > 1 or len(sources) == 1
        ],
        "tried": list(_all_tried(head, columns, bound)),
    }


def _ran(
    columns: Columns, algorithms: Sequence[Algorithm], bound: Bound
) -> tuple[list[Said], dict[str, str]]:
    """What the algorithms say, and why some of them say nothing: first what ties, then the rest."""
    ran: list[Said] = []
    failed: dict[str, str] = {}
    chosen = applying.in_order(algorithms)
    for is_tie in (True, False):
        some = [one for one in chosen if applying.is_tie(one) is is_tie]
        groups = None if is_tie else applying.group_table(ran)
        works = [partial(_pairs, columns, one, groups) for one in some]
        for one, made in zip(some, forked_each(works, bound), strict=True):
            if isinstance(made, Failed):
                failed[one.digest] = str(made)
            else:
                ran.append((one, _read(made)))
    return ran, failed


# --- one algorithm -------------------------------------------------------------------------------


def _pairs(columns: Columns, algorithm: Algorithm, groups: Any) -> bytes:  # noqa: ANN401 - of pyarrow
    limits = Limits(memory=_engine_memory(), threads=_THREADS)
    with engines.connect("duckdb", limits) as engine:
        # Only who counts what single rows hold needs to see it: that is most of the pool, and so
        # it is made here, of the memory and the time of who asks for it.
        source = applying.loaded(engine, columns.whole(applying.lone_of(algorithm)))
        made = engine.run(applying.expression(source, algorithm, groups), "unit", "key")
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, made.schema) as stream:
        stream.write_table(made)
    return bytes(sink.getvalue())


def _engine_memory() -> int:
    """Most of what this process may still take."""
    return max(64 << 20, (resource.getrlimit(resource.RLIMIT_DATA)[0] - _data()) * 7 // 10)


def _read(made: bytes) -> Pairs:
    """What an algorithm said."""
    with pa.ipc.open_stream(pa.py_buffer(made)) as stream:
        table = stream.read_all()
    units, keys = table.column("unit").to_pylist(), table.column("key").to_pylist()
    return tuple(zip(units, keys, strict=True))


def forked(work: Callable[[], bytes], bound: Bound) -> bytes:
    """The answer of a piece of work in a process of its own; Failed, with why it has none."""
    (made,) = forked_each([work], bound)
    if isinstance(made, Failed):
        raise made
    return made


def forked_each(works: Sequence[Callable[[], bytes]], bound: Bound) -> list[bytes | Failed]:
    """The answers of pieces of work, each in a process of its own, a few of them at a time."""
    made: dict[int, bytes | Failed] = {}
    waiting = deque(enumerate(works))
    running: dict[int, _Forked] = {}  # by pipe
    try:
        while waiting or running:
            while waiting and len(running) < _AT_ONCE:
                number, work = waiting.popleft()
                one = _fork(number, work, bound)
                running[one.pipe] = one
            soonest = min(one.limit for one in running.values())
            wait = max(0.0, soonest - time.monotonic())
            for pipe in select.select(list(running), [], [], wait)[0]:
                if not running[pipe].reads():
                    one = running.pop(pipe)
                    made[one.number] = one.end(is_late=False)
            for one in [one for one in running.values() if one.limit <= time.monotonic()]:
                made[one.number] = running.pop(one.pipe).end(is_late=True)
    finally:
        for one in running.values():
            one.end(is_late=True)
    return [made[number] for number in range(len(works))]


@dataclass(slots=True)
class _Forked:
    """A process that was forked, and what it said so far."""

    number: int
    pid: int
    pipe: int
    limit: float
    said: bytearray = field(default_factory=bytearray)

    def reads(self) -> bool:
        """Whether it said more."""
        piece = os.read(self.pipe, _PIECE)
        self.said += piece
        return bool(piece)

    def end(self, *, is_late: bool) -> bytes | Failed:
        """Its answer, or why it has none."""
        os.close(self.pipe)
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        _, status = os.waitpid(self.pid, 0)
        if is_late:
            return Failed("time")
        # It is killed above once its pipe has ended: a whole answer ends with a mark.
        if self.said[-1:] == b".":
            return bytes(self.said[:-1])
        code = os.waitstatus_to_exitcode(status)
        other = "time" if code == -signal.SIGXCPU else "memory"
        return Failed(_TROUBLES.get(int(self.said[-1]) if self.said else 0, other))


def _fork(number: int, work: Callable[[], bytes], bound: Bound) -> _Forked:
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(ours)
        _end(work, theirs, bound)
    os.close(theirs)
    return _Forked(number, pid, ours, time.monotonic() + bound.seconds)


def _end(work: Callable[[], bytes], sink: int, bound: Bound) -> None:
    """In the forked process: work, answer, and end without a trace."""
    mark = bytes([_BROKEN])
    try:
        _limit(bound)
        made = work()
        with os.fdopen(sink, "wb", closefd=False) as out:
            out.write(made)
        mark = b"."
    except MemoryError:
        mark = bytes([_MEMORY])
    except Refused as refused:
        is_memory = "OutOfMemory" in refused.sentence
        mark = bytes(
            [_MEMORY if is_memory else _REFUSED if refused.code != "engine.failed" else _BROKEN]
        )
    except BaseException:  # noqa: BLE001 - a forked process never returns; its text quotes rows
        mark = bytes([_BROKEN])
    finally:
        with suppress(OSError):
            os.write(sink, mark)
        os._exit(0)


def _limit(bound: Bound) -> None:
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    most = _data() + bound.memory
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (most, hard))


def _data() -> int:
    """The private data of this process, in octets."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[5]) * resource.getpagesize()


def _all_tried(
    head: Mapping[str, Any], columns: Columns, bound: Bound
) -> Iterator[Mapping[str, Any]]:
    """The dry runs that are wanted, as far as there is time to begin them."""
    limit = time.monotonic() + head["dry_seconds"]
    for wish in head["wanted"]:
        if time.monotonic() > limit:
            return
        yield _tried(wish, columns, bound)


def _tried(wish: Mapping[str, Any], columns: Columns, bound: Bound) -> dict[str, Any]:
    """A dry run: three buckets, and nothing else."""
    try:
        algorithm = document.parse(wish["text"].encode())
        pairs = _read(forked(partial(_pairs, columns, algorithm, None), bound))
        hits = int(forked(partial(_look_alikes, algorithm), bound))
    except Failed as fault:
        return {"id": wish["id"], "trouble": str(fault)}
    except Refused:
        return {"id": wish["id"], "trouble": "refused"}
    rows = {unit for unit, _ in pairs}
    members = {columns.member(unit) for unit in rows}
    return {
        "id": wish["id"],
        "trouble": "",
        "rows": next(word for least, word in _DECADES if len(rows) >= least),
        "members": ("0", "1", "2+")[min(2, len(members))],
        "look_alikes": hits,
    }


def _look_alikes(algorithm: Algorithm) -> bytes:
    with engines.connect("duckdb", Limits(memory=_engine_memory(), threads=1)) as engine:
        results = cases.run(engine, algorithm)
    return str(sum(1 for one in results if one.case.look_alike and one.hit)).encode()


# --- what is answered ----------------------------------------------------------------------------


def _remembered(key: bytes, name: str, sealed: str) -> known.Memory:
    opened = sealing.open_seal(key, base64.b64decode(sealed), aad=name.encode())
    return known.Memory.of_bytes(opened)


def _answered(
    step: known.Step,
    key: bytes,
    algorithms: Mapping[tuple[str, int], Algorithm],
    sources: Collection[str],
) -> dict[str, Any]:
    finding = step.finding
    name = step.before or base64.b32hexencode(os.urandom(15)).decode().lower()
    tags = [algorithms[one].tags for one in finding.algorithms]
    memory = step.memory.as_bytes()
    return {
        "name": name,
        "is_known": bool(step.before),
        "is_new": step.is_new,
        "memory": base64.b64encode(
            sealing.seal(key, os.urandom(sealing.NONCE), memory, aad=name.encode())
        ).decode(),
        "owner": min(sources) if len(finding.members) == 1 else "",
        "algorithms": [list(one) for one in finding.algorithms],
        "bases": _tagged(tags, "threat_basis"),
        "phases": _tagged(tags, "phases"),
        "said": _said(finding),
    }


def _tagged(tags: Sequence[Mapping[str, Sequence[str]]], name: str) -> list[str]:
    return sorted({word for one in tags for word in one.get(name, ())})


def _said(finding: Finding) -> dict[str, Any]:
    """Everything of a finding but its rows."""
    named = {name: getattr(finding, name) for name in Finding.__dataclass_fields__}
    rest = {name: one for name, one in named.items() if name not in ("rows", "templates")}
    return {
        **rest,
        "first_day": finding.first_day.isoformat(),
        "last_day": finding.last_day.isoformat(),
        "templates": [asdict(one) for one in finding.templates],
    }
