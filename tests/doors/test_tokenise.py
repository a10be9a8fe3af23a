"""The command that members run, against exchanges that answer well, oddly, or not at all."""

import csv
import io
import json
import os
import ssl
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import cryptography
import pytest
from django.conf import LazySettings
from django.core.management import call_command
from django.utils import timezone
from pytest_django.live_server_helper import LiveServer

from exchange.management.demo import receiver
from exchange.models import TokenCall, TokenDay
from exchange.policy import terms, tokens
from exchange.proof import keyed, oprf, pack, tokenise
from exchange.proof.keyed import Made
from exchange.proof.keys import b64url, unb64url
from exchange.proof.refused import Refused
from indicators.stix import extensions, ids, parse, validate, vocab
from members.models import User
from tests.doors.clients import secret_of
from tests.running import ROOT
from tests.shell import sharing
from tests.shell.sharing import Way

K = 0xC0FFEE
CIRCLE = "8a5f3c4e-5b7f-4c38-9a57-0d1d5e4d6f11"
VALUES = ["ana@mail.example", "Ben@mail.example", "cleo@mail.example", "ben@mail.example"]
OFFER: dict[str, Any] = {
    "scheme": oprf.SCHEME,
    "batch": 2,
    "quota": {"per_day": 100, "left": 100, "renews_at": "2026-11-25T00:00:00+00:00"},
    "circles": [{"id": CIRCLE, "name": "Relay watch", "key_domain": "circle"}],
    "epochs": [
        {"epoch": "2026Q4", "live": True, "until": "2027-04-01"},
        {"epoch": "2026Q3", "live": False, "until": "2026-12-30"},
    ],
    "kinds": dict(oprf.NORMALISATIONS),
}


class Stand:
    """An exchange of this test: it multiplies, or answers what it was told to."""

    def __init__(self) -> None:
        self.offer = json.loads(json.dumps(OFFER))
        self.instead: list[tuple[int, bytes]] = []
        self.asked: list[dict[str, Any]] = []
        self.seen: list[str] = []
        self.url = ""

    def answer(self, method: str, body: bytes) -> tuple[int, bytes]:
        if self.instead:
            return self.instead.pop(0)
        if method == "GET":
            return 200, json.dumps(self.offer).encode()
        asked = json.loads(body)
        self.asked.append(asked)
        points = [b64url(oprf.evaluate(K, unb64url(x))) for x in asked["points"]]
        self.offer["quota"]["left"] -= len(points)
        return 200, json.dumps({"points": points, "left": self.offer["quota"]["left"]}).encode()


@contextmanager
def serving(stand: Stand, context: ssl.SSLContext | None = None) -> Iterator[Stand]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            stand.seen.append(f"{self.command} {self.path} {self.headers['Authorization']}")
            status, body = stand.answer(self.command, self.rfile.read(length))
            self.send_response(status)
            if status == 302:
                self.send_header("Location", "http://127.0.0.1:9/")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, *arguments: Any) -> None:
            """Nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    stand.url = f"http{'s' if context else ''}://127.0.0.1:{server.server_port}"
    try:
        yield stand
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def stand(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stand]:
    monkeypatch.setenv(tokenise.CREDENTIAL, "weir_secret")
    with serving(Stand()) as made:
        yield made


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    path = tmp_path / "values.txt"
    path.write_text("\n".join([*VALUES, "", ""]), encoding="utf-8")
    return path


def run(stand: Stand, *arguments: str | Path, kind: str = "email-address") -> int:
    given = [*map(str, arguments)]
    return tokenise.main(["--url", stand.url, "--circle", "Relay watch", "--kind", kind, *given])


def tokens_of(values: list[str], kind: str = "email-address") -> list[str]:
    return [oprf.token(K, kind, value) for value in values]


# --- tokens out ----------------------------------------------------------------------------------


def test_each_value_has_its_token_in_the_order_of_the_input(
    stand: Stand, listed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(stand, listed) == tokenise.DONE
    said = capsys.readouterr()
    rows = list(csv.reader(io.StringIO(said.out)))
    assert rows[0] == ["value", f"token email-address 2026Q4 {CIRCLE}"]
    assert rows[1:] == [list(pair) for pair in zip(VALUES, tokens_of(VALUES), strict=True)]
    assert "4 of 4 values; 97 left today" in said.err
    assert not any(value in said.err for value in VALUES)


def test_no_value_is_asked_twice_and_no_batch_is_too_large(stand: Stand, listed: Path) -> None:
    assert run(stand, listed, "--tokens-only") == tokenise.DONE
    assert [len(asked["points"]) for asked in stand.asked] == [2, 1]
    assert {(asked["circle"], asked["epoch"]) for asked in stand.asked} == {(CIRCLE, "2026Q4")}


def test_what_is_sent_says_nothing_of_the_values(stand: Stand, listed: Path) -> None:
    first, second = Stand(), Stand()
    for one in (first, second):
        with serving(one):
            assert run(one, listed) == tokenise.DONE
    sent = [{x for asked in one.asked for x in asked["points"]} for one in (first, second)]
    assert sent[0].isdisjoint(sent[1])  # the same values, another r each time
    bare = {b64url(oprf.point("email-address", value)) for value in VALUES}
    assert bare.isdisjoint(sent[0] | sent[1])


def test_tokens_only_leaves_the_values_out(
    stand: Stand, listed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(stand, listed, "--tokens-only", "--epoch", "2026Q3") == tokenise.DONE
    assert capsys.readouterr().out.split() == tokens_of(VALUES)
    assert stand.asked[0]["epoch"] == "2026Q3"


def test_values_come_from_a_column(
    stand: Stand, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "accounts.csv"
    table.write_text("account,mail\n7,ana@mail.example\n8,\n9,ben@mail.example\n")
    assert run(stand, table, "--column", "mail", "--tokens-only") == tokenise.DONE
    assert capsys.readouterr().out.split() == tokens_of(["ana@mail.example", "ben@mail.example"])
    assert run(stand, table, "--column", "post") == tokenise.USAGE


def test_values_come_from_standard_input(
    stand: Stand, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("ana@mail.example\r\n"))
    assert run(stand, "--tokens-only") == tokenise.DONE
    assert capsys.readouterr().out.split() == tokens_of(["ana@mail.example"])


def test_an_api_key_is_hashed_here_and_asked_of_nobody(
    stand: Stand, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = tmp_path / "keys.txt"
    keys.write_text("sk-Secret-1\n")
    assert tokenise.main(["--kind", "api-key", "--tokens-only", str(keys)]) == tokenise.DONE
    assert capsys.readouterr().out.strip() == sha256(b"sk-Secret-1").hexdigest()
    assert stand.seen == []


# --- the quota, and going on ---------------------------------------------------------------------


def test_a_used_up_quota_has_its_own_code_and_the_rest_follows(
    stand: Stand, listed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "tokens.csv"
    stand.offer["quota"]["left"] = 2
    assert run(stand, listed, "--out", out) == tokenise.QUOTA
    assert "--resume" in capsys.readouterr().err
    assert out.stat().st_mode & 0o777 == 0o600
    assert len(out.read_text().splitlines()) == 3
    assert run(stand, listed, "--out", out) == tokenise.USAGE  # nothing is overwritten
    stand.offer["quota"]["left"] = 50
    out.write_bytes(out.read_bytes() + b"cleo@mail.ex")  # killed in the middle of a row
    assert run(stand, listed, "--out", out, "--resume") == tokenise.DONE
    rows = list(csv.reader(io.StringIO(out.read_text())))
    assert rows[1:] == [list(pair) for pair in zip(VALUES, tokens_of(VALUES), strict=True)]
    assert stand.offer["quota"]["left"] == 49  # Ben was known from the rows before


def test_a_quota_that_another_machine_used_up_ends_the_same_way(
    stand: Stand, listed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = {"code": "token.quota", "sentence": "It renews at noon.\x1b[31m", "path": ""}
    stand.instead = [(200, json.dumps(stand.offer).encode()), (429, json.dumps(told).encode())]
    assert run(stand, listed) == tokenise.QUOTA
    said = capsys.readouterr().err
    assert "It renews at noon." in said
    assert "\x1b" not in said


@pytest.mark.parametrize(
    ("before", "more"),
    [
        (None, []),
        ("", []),
        (f"value,token email-address 2026Q3 {CIRCLE}\n", []),
        (f"value,token email-address 2026Q4 {CIRCLE}\neve@mail.example,{'0' * 64}\n", []),
        (f"value,token email-address 2026Q4 {CIRCLE}\nana@mail.example,none\n", []),
        ("value,token handle 2026Q4\n", []),
        (f"value,token email-address 2026Q4 {CIRCLE}\n", ["--tokens-only"]),
    ],
)
def test_rows_of_something_else_are_not_gone_on_with(
    stand: Stand, listed: Path, tmp_path: Path, before: str | None, more: list[str]
) -> None:
    out = tmp_path / "tokens.csv"
    if before is not None:
        out.write_text(before)
    assert run(stand, listed, "--out", out, "--resume", *more) == tokenise.USAGE
    assert stand.asked == []


# --- wrong usage ---------------------------------------------------------------------------------


def test_values_that_are_none_are_told_by_their_place(
    stand: Stand, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "values.txt"
    path.write_text("ana@mail.example\nsecret-word\n" + "other-word\n" * 12)
    assert run(stand, path) == tokenise.USAGE
    said = capsys.readouterr()
    assert "13 of the values are no email-address" in said.err
    assert "2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and more" in said.err
    assert "word" not in said.out + said.err
    assert stand.asked == []


@pytest.mark.parametrize(
    "changes",
    [
        ["--url", "http://exchange.example"],
        ["--url", "ftp://127.0.0.1"],
        ["--url", "https://exchange.example/path"],
        ["--url", "https://ana:secret@exchange.example"],
        ["--url", "https://exchange.example:port"],
        ["--url", "https://exchange.example:0"],
        ["--url", "https://"],
        ["--circle", "Forum"],
        ["--epoch", "2026Q1"],
        ["--stix", "x.json"],
        ["--credential-file", "/nowhere"],
        ["--resume"],
    ],
)
def test_what_does_not_fit_is_said_before_anything_is_asked(
    stand: Stand, listed: Path, changes: list[str]
) -> None:
    assert run(stand, listed, *changes) == tokenise.USAGE
    assert stand.asked == []


def test_unreadable_files_are_said(stand: Stand, tmp_path: Path, listed: Path) -> None:
    odd = tmp_path / "odd.txt"
    odd.write_bytes(b"\xff\xfe")
    assert run(stand, odd) == tokenise.USAGE
    assert run(stand, tmp_path / "none.txt") == tokenise.USAGE
    assert run(stand, listed, "--out", tmp_path / "none" / "out.csv") == tokenise.USAGE
    nowhere = ["--stix", str(tmp_path / "none" / "x.json"), "--basis", "fraudulent-identity"]
    assert run(stand, listed, *nowhere) == tokenise.USAGE
    assert tokenise.main([]) == tokenise.USAGE


@pytest.mark.parametrize("secret", ["", "  ", "w\u00e9ir", "we\x07ir"])
def test_without_a_credential_nothing_is_asked(
    stand: Stand, listed: Path, monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    monkeypatch.setenv(tokenise.CREDENTIAL, secret)
    assert run(stand, listed) == tokenise.USAGE
    assert stand.seen == []


def test_the_credential_may_stand_in_a_file(
    stand: Stand, listed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(tokenise.CREDENTIAL)
    secret = tmp_path / "credential"
    secret.write_text("weir_other\n")
    assert run(stand, listed, "--credential-file", secret) == tokenise.DONE
    assert {line.split(" ", 2)[2] for line in stand.seen} == {"Bearer weir_other"}


# --- an exchange that answers oddly --------------------------------------------------------------


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("scheme", "oprf-other"),
        ("kinds", {"email-address": "email-v2"}),
        ("circles", None),
        ("quota", {}),
        ("epochs", []),
        ("circles", [{"id": CIRCLE, "name": "Relay watch", "key_domain": "' OR '"}]),
        ("epochs", [{"epoch": "2026Q4' OR 'x", "live": True}]),
    ],
)
def test_an_offer_that_is_none_ends_it(
    stand: Stand, listed: Path, part: str, value: object
) -> None:
    stand.offer[part] = value
    assert run(stand, listed) == tokenise.REFUSED
    assert stand.asked == []


@pytest.mark.parametrize(
    "answer",
    [
        (200, b'{"points": [], "left": 1}'),
        (200, b'{"points": ["x", "y"], "left": 1}'),
        (200, json.dumps({"points": [b64url(b"\xff" * 32)] * 2, "left": 1}).encode()),
        (200, b'{"points": 7, "left": 1}'),
        (200, b'{"left": 1}'),
        (200, b"[]"),
        (200, b"{"),
        (302, b"{}"),
        (403, b'{"code": "forbidden", "sentence": "No."}'),
        (500, b"{}"),
    ],
)
def test_an_answer_that_is_none_ends_it(
    stand: Stand, listed: Path, answer: tuple[int, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    stand.instead = [(200, json.dumps(stand.offer).encode()), answer]
    assert run(stand, listed) == tokenise.REFUSED
    assert len(stand.seen) == 2  # neither tried again nor followed elsewhere
    assert capsys.readouterr().out.count("\n") == 1


def test_an_exchange_that_is_away_or_busy_is_asked_again(stand: Stand) -> None:
    waited: list[float] = []
    door = tokenise.Exchange(stand.url, "weir_secret", pause=waited.append)
    busy = (429, b'{"code": "token.busy", "sentence": "Wait."}')
    stand.instead = [(503, b""), busy]
    assert door.offer()["scheme"] == oprf.SCHEME
    assert waited == [1, 4]
    stand.instead = [(502, b"")] * 4
    with pytest.raises(Refused, match="away: 502"):
        door.offer()
    assert len(waited) == 5


def test_an_exchange_that_cannot_be_reached_is_said() -> None:
    waited: list[float] = []
    nowhere = tokenise.Exchange("http://127.0.0.1:9", "weir_secret", pause=waited.append)
    with pytest.raises(Refused, match="No answer: ConnectionRefusedError"):
        nowhere.offer()
    assert len(waited) == 3


def test_only_a_trusted_certificate_gets_the_credential(
    tmp_path: Path, listed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(tokenise.CREDENTIAL, "weir_secret")
    certificate = receiver.make_certificate(tmp_path, now=datetime.now(UTC))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, tmp_path / "key.pem")
    with serving(Stand(), context) as made:
        assert run(made, listed) == tokenise.REFUSED
        assert made.seen == []
        assert run(made, listed, "--ca", certificate) == tokenise.DONE
        # Through a proxy that is none, nothing is sent to anybody.
        door = tokenise.Exchange(
            made.url, "weir_secret", str(certificate), "127.0.0.1:9", pause=lambda _: None
        )
        with pytest.raises(Refused, match="ConnectionRefusedError"):
            door.offer()


# --- STIX ----------------------------------------------------------------------------------------


def test_the_bundle_is_valid_and_says_what_the_tokens_are(
    stand: Stand, listed: Path, tmp_path: Path
) -> None:
    stix = tmp_path / "tokens.json"
    basis = ["--basis", "fraudulent-identity", "--basis", "stolen-credential"]
    assert run(stand, listed, "--out", tmp_path / "out.csv", "--stix", stix, *basis) == 0
    made = json.loads(stix.read_text())["objects"]
    assert [obj["type"] for obj in made] == ["keyed-token", "indicator"] * 3
    for obj in parse.objects(stix.read_bytes()):
        assert not validate.problems(obj), obj
    tokens = [obj for obj in made if obj["type"] == "keyed-token"]
    assert [obj["value"] for obj in tokens] == tokens_of(VALUES)[:3]
    assert [obj["id"] for obj in tokens] == [ids.deterministic(obj) for obj in tokens]
    assert {obj["key_epoch"] for obj in tokens} == {"2026Q4"}
    text = stix.read_text()
    assert not any(value.lower() in text.lower() for value in VALUES)
    assert made[1]["pattern"] == (
        f"[keyed-token:kind = 'email-address' AND keyed-token:value = '{tokens[0]['value']}'"
        " AND keyed-token:key_epoch = '2026Q4']"
    )


def test_a_stolen_key_s_bundle_is_for_its_issuer() -> None:
    (bundle,) = keyed.bundles(
        ["0" * 64],
        Made("api-key"),
        basis=["stolen-credential"],
        now=datetime(2026, 11, 24, tzinfo=UTC),
        new_id=lambda kind: f"{kind}--{CIRCLE}",
    )
    token, indicator = bundle["objects"]
    assert (token["token_scheme"], token["key_epoch"]) == ("sha256", "none")
    assert token["normalisation"] == "raw-bytes"
    context = indicator["extensions"][keyed.CONTEXT]
    assert (context["route"], context["indicator_kind"]) == ("issuer-only", "stolen-credential")
    assert "key_epoch" not in indicator["pattern"]


def test_many_tokens_are_several_bundles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stand: Stand, listed: Path
) -> None:
    monkeypatch.setattr(keyed, "AT_ONCE", 2)
    stix = tmp_path / "tokens.json"
    basis = ["--basis", "fraudulent-identity"]
    assert run(stand, listed, "--out", tmp_path / "o.csv", "--stix", stix, *basis) == 0
    assert len(json.loads(stix.read_text())["objects"]) == 4
    assert len(json.loads((tmp_path / "tokens-2.json").read_text())["objects"]) == 2


def test_the_command_s_own_words_are_those_of_the_exchange() -> None:
    assert extensions.CONTEXT == keyed.CONTEXT
    assert extensions.OBSERVABLES["keyed-token"] == keyed.KEYED_TOKEN
    assert set(keyed.BASES) | {"terms-of-service-only"} == set(vocab.THREAT_BASES)
    schema = extensions.OBSERVABLE_SCHEMA["$defs"]["keyed-token"]["properties"]
    assert {*oprf.NORMALISATIONS, "api-key"} == set(schema["kind"]["enum"])
    assert {Made("api-key").scheme, Made("phone").scheme} == set(schema["token_scheme"]["enum"])


# --- the packed file -----------------------------------------------------------------------------


def test_it_checks_itself(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tokenise.main(["--self-check"]) == tokenise.DONE
    assert "computes what it should" in capsys.readouterr().err
    monkeypatch.setattr(oprf, "TAG", b"another")
    monkeypatch.setattr(tokenise, "_MAPPED", "0" * 64)
    assert tokenise.main(["--self-check"]) == tokenise.REFUSED


def test_the_packed_file_is_the_same_each_time_and_holds_nothing_of_the_server() -> None:
    packed = pack.archive("tokenise")
    assert packed == pack.archive("tokenise")
    names = zipfile.ZipFile(io.BytesIO(packed)).namelist()
    assert {"__main__.py", "exchange/__init__.py", "exchange/proof/tokenise.py"} <= set(names)
    assert all(name.startswith(("exchange/proof/", "exchange/__", "__main__")) for name in names)


# --- the packed file against the exchange itself -------------------------------------------------

# Nothing is importable but the standard library and `cryptography` with what it needs itself.
ALONE = """
import runpy, sys
sys.path[:] = [one for one in sys.path if "site-packages" not in one] + [sys.argv[1]]
for name in ("django", "orjson", "members"):
    try:
        __import__(name)
    except ImportError:
        continue
    sys.exit("there is " + name)
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
NEEDED = ("cryptography", "cffi", "_cffi_backend*", "pycparser")


@dataclass(frozen=True, slots=True)
class Machine:
    """A member's own machine: the packed file, a credential, and a folder of its own."""

    folder: Path
    url: str
    secret: str

    def run(self, *arguments: str, values: str = "") -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-I", "-S", "-c", ALONE, str(self.folder / "packages")]
        argv += [str(self.folder / "weir-tokenise.pyz"), *arguments]
        env = {tokenise.CREDENTIAL: self.secret, "PATH": os.environ["PATH"]}
        return subprocess.run(
            argv, cwd=self.folder, env=env, input=values, capture_output=True, text=True
        )

    def ask(self, *arguments: str, values: str) -> subprocess.CompletedProcess[str]:
        given = ["--url", self.url, "--circle", "Relay watch", "--kind", "email-address"]
        return self.run(*given, *arguments, values=values)


def machine_of(user: User, folder: Path, url: str) -> Machine:
    folder.mkdir()
    call_command("tokenise_build", str(folder / "weir-tokenise.pyz"), stdout=io.StringIO())
    packages = folder / "packages"
    packages.mkdir()
    site = Path(cryptography.__file__).parent.parent
    for pattern in NEEDED:
        for found in site.glob(pattern):
            (packages / found.name).symlink_to(found)
    return Machine(folder, url, secret_of(user, "tokens"))


@pytest.fixture
def way(settings: LazySettings, tmp_path: Path, transactional_db: None) -> Way:
    cast = sharing.set_up(settings, tmp_path)
    return Way(cast, cast.relay_watch)


def test_the_packed_file_needs_only_cryptography(way: Way, tmp_path: Path) -> None:
    machine = machine_of(way.cast.ana, tmp_path / "aurora", "https://exchange.example")
    done = machine.run("--self-check")
    assert (done.returncode, done.stderr) == (0, "It computes what it should.\n")


def test_whoever_has_the_source_builds_the_same_file_without_any_setting(tmp_path: Path) -> None:
    argv = [sys.executable, "manage.py", "tokenise_build", str(tmp_path / "made.pyz")]
    env = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    packed = pack.archive("tokenise")
    assert (tmp_path / "made.pyz").read_bytes() == packed
    assert done.stdout.split()[0] == sha256(packed).hexdigest()


def test_values_of_two_members_of_a_circle_meet_and_the_exchange_s_own_too(
    way: Way, tmp_path: Path, live_server: LiveServer
) -> None:
    """Ana sends a sealed address, Ben the token of his own: one value, one token."""
    now = timezone.now()
    who, url = "Who@mail.example", live_server.url
    ana = machine_of(way.cast.ana, tmp_path / "aurora", url)
    ben = machine_of(way.cast.ben, tmp_path / "borealis", url)
    mine = ana.ask("--tokens-only", values=f"{who}\nother@mail.example\n")
    stix = ("--tokens-only", "--stix", "tokens.json", "--basis", "fraudulent-identity")
    theirs = ben.ask(*stix, values=f"{who.lower()}\n")
    assert (mine.returncode, theirs.returncode) == (0, 0), mine.stderr + theirs.stderr
    token = theirs.stdout.strip()
    assert mine.stdout.split()[0] == token

    sealed = {"type": "email-addr", "spec_version": "2.1", "value": who}
    sealed["id"] = str(ids.deterministic(sealed))
    way.give(sealed, now=now)
    body = (ben.folder / "tokens.json").read_bytes()
    sent = way.give(by=way.cast.ben, body=body, now=now)
    sharing.leave(now=now + timedelta(hours=2))
    told = way.messages(sent, by=way.cast.ben)
    assert [success for success, _ in told] == [True, True], told
    held = sharing.bodies(sharing.feed(way.cast.ember, now=now + timedelta(hours=2)))
    assert [obj["value"] for obj in held if obj["type"] == "keyed-token"] == [token]
    patterns = [obj["pattern"] for obj in held if obj["type"] == "indicator"]
    assert len(patterns) == 1
    assert token in patterns[0]


def test_another_circle_or_quarter_has_other_tokens(
    way: Way, tmp_path: Path, live_server: LiveServer
) -> None:
    ana = machine_of(way.cast.ana, tmp_path / "aurora", live_server.url)
    made = set()
    now = timezone.now()
    for circle in ("Relay watch", "Forum"):
        for quarter in tokens.quarters(now, terms.Floor.parse(terms.shipped_floor())):
            done = ana.ask(
                *("--tokens-only", "--circle", circle, "--epoch", quarter.epoch),
                values="who@mail.example\n",
            )
            assert done.returncode == 0, done.stderr
            made.add(done.stdout)
    assert len(made) >= 2
    assert len(made) == TokenCall.objects.count()


def test_the_quota_stops_it_and_it_goes_on_when_there_is_more(
    way: Way, tmp_path: Path, live_server: LiveServer, settings: LazySettings
) -> None:
    settings.TOKEN_QUOTA_NEW = 3
    ana = machine_of(way.cast.ana, tmp_path / "aurora", live_server.url)
    values = "".join(f"a{n}@mail.example\n" for n in range(5))
    first = ana.ask("--out", "out.csv", values=values)
    assert first.returncode == tokenise.QUOTA, first.stderr
    settings.TOKEN_QUOTA_NEW = 10
    then = ana.ask("--out", "out.csv", "--resume", values=values)
    assert then.returncode == tokenise.DONE, then.stderr
    rows = list(csv.reader(io.StringIO((ana.folder / "out.csv").read_text())))[1:]
    assert [row[0] for row in rows] == values.split()
    assert len({row[1] for row in rows}) == 5
    assert TokenDay.objects.get().used == 5


def test_a_credential_without_the_scope_is_refused_and_nothing_is_said_of_values(
    way: Way, tmp_path: Path, live_server: LiveServer
) -> None:
    ana = machine_of(way.cast.ana, tmp_path / "aurora", live_server.url)
    wrong = Machine(ana.folder, ana.url, secret_of(way.cast.ana, "api-read"))
    done = wrong.ask("--tokens-only", values="cnry@mail.example\n")
    assert done.returncode == tokenise.REFUSED
    assert "You may not turn values into tokens." in done.stderr
    assert "cnry" not in done.stdout + done.stderr
