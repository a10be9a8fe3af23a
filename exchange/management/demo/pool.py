"""The pool in the demo: four members' logs at home, their extracts, one run, findings, a look back.

Each command is the one that members run in their own network, in a process of its own.
"""

import csv
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from django.core.management.base import CommandError
from django.db import connection
from django.db.models import QuerySet
from django.utils import timezone

from exchange import pool
from exchange.management.demo.scene import Scene
from exchange.models import Finding, Outcome, ReleaseRecipient, Run
from exchange.proof.remote import CREDENTIAL
from members import credentials
from members.auth import Principal

MEMBERS = ("Aurora", "Borealis", "Cirrus", "Ember")
HUNTER = "Borealis"
SEED = 7
SCOPES = ("extracts", "tokens", "taxii-read")
SHOWN = 12  # lines of a check
PATIENCE = 300.0
_ROOT = Path(__file__).resolve().parents[3]


def tell(scene: Scene, room: Path) -> None:
    """From four logs to findings that none of the four could make alone, and back to accounts."""
    scene.head("The pool: what each member sees a part of")
    if not pool.is_on():
        scene.item("off", "The extra `pool` is not installed here.")
        return
    if _whole().exists():
        scene.item(
            "before",
            f"An earlier run of this demo has filled it; the logs and lists are in {room}. What was"
            " found stands on the page Findings.",
        )
        return
    scene.item(
        "logs",
        "Four members have invented usage logs of 45 days, with campaigns that are spread over them"
        " and much that only looks like one. They stay in their folders; nothing of a log leaves.",
    )
    _write(scene, room)
    secrets = {name: _secret(scene, name) for name in MEMBERS}
    _extracts(scene, room, secrets)
    _sent(scene, room, secrets)
    _run(scene)
    _found(scene)
    _hunt(scene, room, secrets[HUNTER])


def _write(scene: Scene, room: Path) -> None:
    module = "indicators.detection.world.writing"
    names = [name.lower() for name in MEMBERS]
    started = [
        _start([sys.executable, "-m", module, str(room), str(SEED), name, *names]) for name in names
    ]
    _wait(scene, "logs written", started)
    for name in MEMBERS:
        path = room / f"{name.lower()}.jsonl"
        scene.item(name, f"{path.stat().st_size / 1e6:,.0f} MB of events in {path}")


def _secret(scene: Scene, name: str) -> str:
    """A credential of the member for its extractor; where it has nobody, the operator acts."""
    administrator = Principal(
        member_id=scene.cast.labs[name].id,
        user_id=scene.cast.people["Pia"].id,
        roles=frozenset({"administrator"}),
    )
    wanted = credentials.Wanted("Extractor", SCOPES, days=1)
    return credentials.mint(administrator, wanted, now=timezone.now())[1]


def _extracts(scene: Scene, room: Path, secrets: Mapping[str, str]) -> None:
    """Each makes its extract, and looks at what it would give away."""
    started = [
        _start(
            _command("make", *_of(scene, room, name), "--out", str(_folder(room, name))),
            secrets[name],
            room / f"{name.lower()}.make",
        )
        for name in MEMBERS
    ]
    scene.item(
        "$",
        f"weir-extract make --log {MEMBERS[0].lower()}.jsonl --map map.toml --state … --url …",
    )
    _wait(scene, "extracts made", started)
    for name in MEMBERS:
        said = (room / f"{name.lower()}.make").read_text(encoding="utf-8").splitlines()
        first = next((line for line in said if "groups of accounts" in line), "")
        scene.item(name, first)
    scene.item("$", f"weir-extract check {MEMBERS[0].lower()}-extract    (what it would give away)")
    checked = _ask(_command("check", str(_folder(room, MEMBERS[0])))).splitlines()
    for line in checked[:SHOWN]:
        scene.say(f"      {line[:110]}")
    scene.say(f"      … {len(checked) - SHOWN:,} more lines; {checked[-1]}")


def _sent(scene: Scene, room: Path, secrets: Mapping[str, str]) -> None:
    for name in MEMBERS:
        _ask(
            _command("send", str(_folder(room, name)), "--url", scene.parts.base_url),
            secrets[name],
        )
    scene.item(
        "sent",
        "The exchange checks each again and seals it for its member and day. Nobody opens it but"
        " the process of a run; the operator has no key.",
    )


def _whole() -> QuerySet[Run]:
    """Runs that read what all four have sent; one may have begun before."""
    return Run.objects.filter(extracts__gte=len(MEMBERS)).order_by("-number")


def _run(scene: Scene) -> None:
    """The worker of the pool looks once a minute."""
    _until(_whole().exists)
    run = _whole().first()
    if run is None:
        scene.item("run", "The pool has not run yet; its worker looks each minute.")
        return
    scene.item(
        "run",
        f"Number {run.number} read {run.extracts} extracts with {len(run.algorithms)} algorithms:"
        f" {run.rows:,} groups, dummies among them. State: {run.state}.",
    )


def _found(scene: Scene) -> None:
    findings = Finding.objects.filter(member__is_exchange=True)
    drafts = Finding.objects.filter(member__is_exchange=False)
    scene.item(
        "found",
        f"{findings.count()} findings are of groups at two or more members: contributed by the"
        " exchange, decided, recorded and released like everything else, each member the same"
        " bytes. Which members, and how many, is in none of them.",
    )
    scene.item(
        "drafts",
        f"{drafts.count()} groups score by one member's rows alone: those are drafts, and only that"
        " member sees them.",
    )
    rows = Outcome.objects.filter(
        contribution__in=findings.values("contribution_id"), outcome="accepted", replaced=False
    )
    left = rows.filter(released_at__isnull=False)
    if findings.exists():
        _until(rows.exists)  # each is contributed after the run is recorded
    count = scene.watch("objects of findings released", left.count, goal=rows.count)
    parts = ReleaseRecipient.objects.filter(
        release__contribution__in=findings.values("contribution_id")
    )
    scene.watch("entries published", parts.filter(added_at__isnull=False).count, goal=parts.count)
    scene.item("released", f"{count} objects of findings, each under a published checkpoint.")


def _hunt(scene: Scene, room: Path, secret: str) -> None:
    """Borealis matches what was released with its whole log, at home."""
    out = room / f"{HUNTER.lower()}-accounts.csv"
    argv = _command(
        "hunt",
        *("--collection", "holding", "--state", str(room / f"{HUNTER.lower()}-state")),
        *("--url", scene.parts.base_url, "--out", str(out)),
    )
    scene.item("$", f"weir-extract hunt --collection holding --state … --out {out.name}")
    _ask(argv, secret)
    with out.open(encoding="utf-8", newline="") as file:
        listed = {row["account"] for row in csv.DictReader(file)}
    truth = set((room / f"{HUNTER.lower()}.truth").read_text(encoding="ascii").split())
    scene.item(
        HUNTER,
        f"{len(listed)} of its accounts match what was found; {len(listed & truth)} of them are a"
        f" campaign's in truth (the world knows {len(truth)} of its accounts to be one's). The list"
        f" is on its own machine only: {out}",
    )


# --- processes -----------------------------------------------------------------------------------


def _of(scene: Scene, room: Path, name: str) -> tuple[str, ...]:
    low = name.lower()
    return (
        *("--log", str(room / f"{low}.jsonl"), "--map", str(room / "map.toml")),
        *("--state", str(room / f"{low}-state"), "--url", scene.parts.base_url),
    )


def _folder(room: Path, name: str) -> Path:
    return room / f"{name.lower()}-extract"


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "indicators.extract.command", *arguments]


def _env(secret: str) -> dict[str, str]:
    """A member's machine has none of the exchange's settings."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return {**kept, CREDENTIAL: secret}


def _start(
    argv: Sequence[str], secret: str = "", said: Path | None = None
) -> subprocess.Popen[bytes]:
    with (said or Path(os.devnull)).open("wb") as out:
        return subprocess.Popen(  # noqa: S603 - ours
            argv, env=_env(secret), cwd=_ROOT, stdout=out, stderr=subprocess.STDOUT
        )


def _wait(scene: Scene, what: str, started: Sequence[subprocess.Popen[bytes]]) -> None:
    scene.watch(
        what,
        lambda: sum(one.poll() is not None for one in started),
        goal=lambda: len(started),
        patience=PATIENCE,
    )
    for one in started:
        if one.poll() != 0:
            one.kill()
            raise CommandError(f"A command did not come to its end: {what}.")


def _ask(argv: Sequence[str], secret: str = "") -> str:
    done = subprocess.run(  # noqa: S603 - ours
        argv, env=_env(secret), cwd=_ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise CommandError(f"{argv[3]} did not come to its end: {done.stderr.strip()[-500:]}")
    return done.stdout


def _until(is_so: Callable[[], bool]) -> None:
    limit = time.monotonic() + PATIENCE
    while not is_so() and time.monotonic() < limit:
        time.sleep(0.5)
        connection.close_if_unusable_or_obsolete()
