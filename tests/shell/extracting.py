"""An exchange of a test, a member's log with markers in it, and the command run over both."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from exchange.proof import oprf
from exchange.proof.keys import b64url, unb64url
from indicators.detection import rules

K = 0xC0FFEE
CIRCLE = "8a5f3c4e-5b7f-4c38-9a57-0d1d5e4d6f11"
OTHER = "0b9d1c6e-7f3a-4a55-8a37-5d7a5c9e2f02"


@dataclass(slots=True)
class Stand:
    """It multiplies, lists the algorithms that it was given, and takes extracts."""

    epoch: str = field(default_factory=lambda: rules.epoch_of(datetime.now(UTC).date()))
    left: int = 200_000
    algorithms: list[dict[str, Any]] = field(default_factory=list)
    objects: list[dict[str, Any]] = field(default_factory=list)
    taken: list[bytes] = field(default_factory=list)
    status: dict[str, Any] = field(default_factory=lambda: {"state": "taken"})
    points: int = 0
    seen: list[str] = field(default_factory=list)
    url: str = ""

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        if path == "/api/tokens/":
            return self._tokens(method, body)
        if path == "/api/algorithms/":
            return 200, json.dumps({"algorithms": self.algorithms}).encode()
        if path == "/api/extracts/" and method == "POST":
            self.taken.append(body)
            return 200, json.dumps(self.status).encode()
        if path.startswith("/taxii2/"):
            return 200, json.dumps({"more": False, "objects": self.objects}).encode()
        return 404, json.dumps({"code": "not-found", "sentence": "There is nothing here."}).encode()

    def _tokens(self, method: str, body: bytes) -> tuple[int, bytes]:
        if method == "GET":
            return 200, json.dumps(self._offer()).encode()
        question = json.loads(body)
        asked = question["points"]
        if question["circle"] != CIRCLE:
            return 404, b'{"code": "not-found", "sentence": "There is nothing here."}'
        if len(asked) > self.left:
            said = {"code": "token.quota", "sentence": "The quota of the day is used up."}
            return 429, json.dumps(said).encode()
        self.left -= len(asked)
        self.points += len(asked)
        points = [b64url(oprf.evaluate(K, unb64url(x))) for x in asked]
        return 200, json.dumps({"points": points, "left": self.left}).encode()

    def _offer(self) -> dict[str, Any]:
        return {
            "scheme": oprf.SCHEME,
            "batch": 10_000,
            "quota": {"per_day": 200_000, "left": self.left, "renews_at": "2027-01-01T00:00:00Z"},
            "circles": [
                {"id": CIRCLE, "name": "Everybody", "key_domain": "circle", "forum": True},
                {"id": OTHER, "name": "Relay watch", "key_domain": "circle", "forum": False},
            ],
            "epochs": [{"epoch": self.epoch, "live": True, "until": "2027-04-01"}],
            "kinds": dict(oprf.NORMALISATIONS),
        }


@contextmanager
def serving(stand: Stand) -> Iterator[Stand]:
    """The stand at an address of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            stand.seen.append(f"{self.command} {self.path}")
            status, body = stand.answer(self.command, self.path, self.rfile.read(length))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, *arguments: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    stand.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield stand
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


# --- a log ---------------------------------------------------------------------------------------

DAY = date(2026, 11, 2)
MAP = """version = "weir-map/1"

[columns]
payment = "card"
entity = "payer"
device = "device_id"
signup = "signup_day"

[own]
column = "is_staff"

[releases]
"CANARYMODEL-2" = 2026-11-02T06:00:00Z
"""
# What stands in the log and must stand nowhere else.
CANARIES = ("canaryacct", "canary.mail", "canarycard", "canarydev", "canaryprompt", "canarymodel")
ASKED = (
    "canaryprompt you are a careful grader read the question and the two answers below and say"
    " which of them is better with a score from one to ten for each step of the reasoning then"
    " explain in three sentences what a perfect answer would contain {} and end with the word done"
)
GUILTY = 12


def guilty(number: int) -> str:
    """An account of the campaign."""
    return f"CANARYACCT-g{number:02d}.canary.mail@mail.example"


def events(*, ordinary: int = 1_500, day: date = DAY) -> Iterator[dict[str, Any]]:
    """A day: a campaign of twelve accounts on four cards and three devices, and ordinary people."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    for number in range(GUILTY):
        for step in range(48):
            yield event(
                guilty(number),
                midnight + timedelta(minutes=30 * step + number),
                card=f"CANARYCARD-{number % 4}",
                device=f"CANARYDEV-{(number + step) % 3}",
                address="11.22.33.44",
                prompt=ASKED.format(f"slot{number}x{step}"),
                signup=day - timedelta(days=number % 3),
            )
    for number in range(ordinary):
        for step in range(2):
            words = " ".join(f"w{(number * 31 + step * 7 + k * k) % 997}" for k in range(20))
            yield event(
                f"CANARYACCT-o{number:05d}",
                midnight + timedelta(hours=9 + step * 4, seconds=number),
                card=f"CANARYCARD-o{number}",
                device=f"CANARYDEV-o{number}",
                address=f"11.{number % 200}.{number // 200}.9",
                prompt=f"canaryprompt {words}",
                signup=day - timedelta(days=300),
            )


def event(
    account: str,
    at: datetime,
    *,
    card: str,
    device: str,
    address: str,
    prompt: str,
    signup: date,
) -> dict[str, Any]:
    """One event as a gateway writes it."""
    said = [{"role": "user", "parts": [{"type": "text", "content": prompt}]}]
    return {
        "user.id": account,
        "start_time": at.isoformat().replace("+00:00", "Z"),
        "gen_ai.request.model": "CANARYMODEL-2",
        "gen_ai.operation.name": "chat",
        "gen_ai.input.messages": json.dumps(said),
        "client.address": address,
        "user_agent.original": "sdk-python/1.4.2 (linux)",
        "card": card,
        "payer": "",
        "device_id": device,
        "signup_day": signup.isoformat(),
        "is_staff": False,
    }


def write_log(path: Path, rows: Iterator[dict[str, Any]] | list[dict[str, Any]]) -> Path:
    """JSON Lines."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    return path
