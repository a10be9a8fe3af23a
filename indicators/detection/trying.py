"""The child that tries an algorithm: a document in, what its cases came to out, as JSON.

It has the document and the shipped world, and nothing of a pool, a log or a member.
`exchange.children` starts it, without keys or settings, in so much memory and time.

    faults   code, sentence, path and line of each reason to refuse it
    cases    name, expect, look_alike, why; whether it holds, what came, how many were hit and which
    mutants  a way to spoil it, and whether a case noticed
    world    each scene of the shipped world: units of its subject, how many of them and others hit
"""

from typing import Any

import orjson

from exchange import children
from exchange.proof.refused import Refused
from indicators.detection import cases, document, engines
from indicators.detection.cases import Judged, Result
from indicators.detection.engines import Limits

MEMORY = 256 << 20  # of the engine; the process has its own limit
MOST_NAMED = 20  # units of one case


def tried(text: bytes) -> bytes:
    """What is to be said of a document."""
    checked = document.check(text)
    if checked.algorithm is None:
        return _said(faults=[_fault(one) for one in checked.faults])
    lines = document.lines_of(text)
    try:
        with engines.connect("duckdb", Limits(memory=MEMORY, threads=1)) as engine:
            judged = cases.judge(engine, checked.algorithm, everywhere=True)
    except Refused as refused:
        fault = document.Fault(refused.code, refused.sentence, refused.path)
        return _said(faults=[_fault(document.placed(fault, lines))])
    return _told(judged, lines)


def _told(judged: Judged, lines: dict[str, int]) -> bytes:
    found = [document.Fault(one.code, one.sentence, one.path) for one in judged.problems]
    return _said(
        faults=[_fault(document.placed(fault, lines)) for fault in found],
        cases=[_case(one) for one in judged.results],
        mutants=[{"what": one.what, "noticed": one.is_noticed} for one in judged.mutants],
        world=[
            {
                "scene": one.scene,
                "runs_on": one.runs_on,
                "campaign": one.is_campaign,
                "subject": one.subject,
                "hit": one.hit,
                "others": one.others,
            }
            for one in judged.seen
        ],
    )


def _said(**parts: list[Any]) -> bytes:
    return orjson.dumps({"faults": [], "cases": [], "mutants": [], "world": [], **parts})


def _fault(fault: document.Fault) -> dict[str, Any]:
    return {
        "code": fault.code,
        "sentence": fault.sentence,
        "path": fault.path,
        "line": fault.line,
    }


def _case(result: Result) -> dict[str, Any]:
    case, units = result.case, sorted({unit for unit, _ in result.hit})
    return {
        "name": case.name,
        "expect": "match" if case.is_match else "no-match",
        "look_alike": case.look_alike,
        "why": case.why,
        "runs_on": case.runs_on,
        "holds": result.holds,
        "came": result.fault.sentence if result.fault else "a match" if units else "no match",
        "hits": len(units),
        "hit": units[:MOST_NAMED],
    }


if __name__ == "__main__":
    children.answer(tried)
