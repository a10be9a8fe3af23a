"""The twenty questions over a year: the first page of each, its export, and that it verifies.

The export is made as a worker makes it, and checked by the packed verifier in a process that has
neither Django's settings nor a database.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from django.conf import settings

from exchange.management.bench import history
from exchange.management.bench.history import History
from exchange.management.bench.report import Report, timed
from exchange.models import AnswerFile
from exchange.proof import pack
from exchange.questions import book, exports, stated
from exchange.signers import signer_for
from members.auth import Principal, principal_of
from members.scope import Acting, acting
from members.seals import for_forum, for_member

SIZES = (200_000,)
_BAR = 2.0


def run(sizes: Sequence[int], report: Report) -> None:
    """Seed a year, ask everything twice (the first counts), take everything along."""
    count = (sizes or SIZES)[0]
    now = datetime.now(UTC)
    held: list[History] = []
    seeding = timed(lambda: held.append(history.fill(count, now=now)))
    made = held[0]
    labs = history.MEMBERS
    report.title(f"{count:,} releases of 12 months, {labs} members, seeded in {seeding:,.0f} s")
    for user, who in (
        (made.officer, "member's officer"),
        (made.forum_officer, "forum's officer"),
        (made.forum_counsel, "forum's counsel"),
    ):
        principal = principal_of(user)
        for name, chosen in book.QUESTIONS.items():
            if chosen.is_for(principal):
                _first_page(report, made, principal, name, who, now=now)
    with tempfile.TemporaryDirectory(prefix="weir-verify-") as room:
        verifier = Path(room) / "weir-verify.pyz"
        verifier.write_bytes(pack.archive("verify"))
        for name in book.QUESTIONS:
            _export(report, made, name, verifier, now=now)


def needed(made: History, principal: Principal, name: str, *, now: datetime) -> dict[str, str]:
    """What each question needs, or is asked with on an ordinary day."""
    day = f"{made.end - timedelta(days=30):%Y-%m-%d}"
    given: Mapping[str, dict[str, str]] = {
        "q1": {"recipient": str(made.other.id), "campaign": made.campaign},
        "q2": {"object": made.object},
        "q4": {"object": made.object},
        "q10": {"since": f"{made.start:%Y-%m-%d}"},
        "q15": {} if principal.member_id else {"recipient": str(made.member.id)},
        "q20": {"since": day},
    }
    if name == "q14":
        inquiry = stated.inquire(principal, "email-address", history.PERSON, now=now)
        return {"inquiry": str(inquiry)}
    return given.get(name, {})


def _first_page(
    report: Report, made: History, principal: Principal, name: str, who: str, *, now: datetime
) -> None:
    rows: list[int] = []

    def ask() -> None:
        with acting(principal.acting()):
            given = needed(made, principal, name, now=now)
            put = book.ask(principal, name, given, now=now)
        rows.append(len(put.answer.lines))

    seconds = timed(ask)
    again = timed(ask)
    title = f"{name}, first page, {who}"
    beside = f"{rows[0]} rows, again {again * 1000:,.0f} ms"
    report.time(title, seconds, beside=beside, at_most=_BAR)


def _export(report: Report, made: History, name: str, verifier: Path, *, now: datetime) -> None:
    """One archive of the newest rows of each, made and verified."""
    principal = principal_of(made.officer)
    with acting(principal.acting()):
        given = needed(made, principal, name, now=now)
        if "since" in book.QUESTIONS[name].filters and "since" not in given and name != "q1":
            given["since"] = f"{made.end - timedelta(days=30):%Y-%m-%d}"
        ordered = exports.order(principal, name, exports.ARCHIVE, given, now=now)
    signer = signer_for(settings.SIGNER_BUNDLE)

    def work() -> None:
        with acting(Acting(), role="worker"):
            exports.work(ordered, signer=signer, now=now)

    seconds = timed(work)
    row = AnswerFile.objects.filter(export_id=ordered).order_by("n").first()
    if row is None:
        report.time(f"{name}, archive", float("inf"), beside="not made", at_most=_BAR)
        return
    seal = for_member(principal.member_id) if principal.member_id else for_forum()
    body = seal.open(bytes(row.sealed), aad=exports.aad(ordered, row.n))
    file = verifier.with_name(f"{name}.zip")
    file.write_bytes(body)
    done = _verified(verifier, file)
    words = done.stdout.strip().splitlines()
    verdict = words[-1] if words else done.stderr[-80:]
    ok = done.returncode == 0
    bar = None if ok else -1.0
    beside = f"{row.rows} rows, {row.size:,} octets, offline: {verdict}"
    report.time(f"{name}, archive made", seconds, beside=beside, at_most=bar)


def _verified(verifier: Path, file: Path) -> "subprocess.CompletedProcess[str]":
    """The packed command in a process that knows nothing of this exchange."""
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": _libraries()}
    argv = [sys.executable, "-S", str(verifier), "archive", str(file)]
    return subprocess.run(  # noqa: S603 - our own interpreter and file
        argv, env=env, cwd=file.parent, capture_output=True, text=True, check=False
    )


def _libraries() -> str:
    """Where `cryptography` is, which the verifier needs."""
    return os.pathsep.join(path for path in sys.path if path.endswith("-packages"))
