"""Turn own values into keyed tokens, without showing them to the exchange.

    python weir-tokenise.pyz --url https://exchange.example --circle "Relay watch" \\
        --kind email-address --out tokens.csv values.txt

Values come one a line, or from a column of a CSV file (`--column`); without a file, from standard
input. What leaves this machine are points that fit every value (`exchange.proof.oprf`), over TLS.
The credential (scope `tokens`) is read from WEIR_CREDENTIAL or a file, never from the command line.
An API key is hashed here and asked of nobody: `--kind api-key` needs no `--url`.

Exit codes: 0 all done, 1 the exchange refused or could not be reached, 2 wrong usage or unreadable
values, 3 the day's quota is used up: go on with `--resume` when it has renewed.
"""

import argparse
import csv
import http.client
import io
import ipaddress
import json
import os
import re
import secrets
import ssl
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import urlsplit
from uuid import uuid4

from exchange.proof import keyed, oprf
from exchange.proof.keyed import Made
from exchange.proof.keys import b64url, unb64url
from exchange.proof.refused import Refused

DONE, REFUSED, USAGE, QUOTA = range(4)
CREDENTIAL = "WEIR_CREDENTIAL"
_PATH = "/api/tokens/"
_SECONDS = 60
_LARGEST_ANSWER = 4 * 1024 * 1024
_PAUSES = (1, 4, 16)
_NAMED = 10
_AWAY = (502, 503, 504)
_TRY_AGAIN = ("exchange.unreached", "exchange.away", "token.busy")
_EPOCH = re.compile(r"[0-9]{4}Q[1-4]")

Answer = Mapping[str, Any]


class QuotaUsed(Refused):
    """What was done so far stands; the rest is for another day."""


class Usage(Refused):
    """What was given cannot be worked with."""


# --- the exchange --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Exchange:
    """Where to ask, and as whom."""

    url: str
    credential: str
    ca_file: str | None = None
    proxy: str | None = None
    pause: Callable[[float], None] = time.sleep

    def offer(self) -> Answer:
        """What may be asked for now."""
        return self._ask("GET", None)

    def evaluated(
        self, circle: str, epoch: str, points: Sequence[bytes]
    ) -> tuple[list[bytes], int]:
        """The answers in the order of the points, and what is left of the day."""
        asked = {"circle": circle, "epoch": epoch, "points": [b64url(x) for x in points]}
        answer = self._ask("POST", json.dumps(asked).encode())
        try:
            found, left = [unb64url(x) for x in answer["points"]], int(answer["left"])
        except (KeyError, TypeError, ValueError, AttributeError):
            raise _strange() from None
        if len(found) != len(points):
            raise _strange()
        return found, left

    def _ask(self, method: str, body: bytes | None) -> Answer:
        found = self._tried(method, body)
        for pause in _PAUSES:
            if not isinstance(found, Refused) or found.code not in _TRY_AGAIN:
                break
            self.pause(pause)
            found = self._tried(method, body)
        if isinstance(found, Refused):
            raise found
        return found

    def _tried(self, method: str, body: bytes | None) -> Answer | Refused:
        try:
            return _read(*self._once(method, body))
        except ssl.SSLError as error:
            return Refused("exchange.tls", f"No trust: {type(error).__name__}.")
        except (OSError, http.client.HTTPException) as error:
            return Refused("exchange.unreached", f"No answer: {type(error).__name__}.")

    def _once(self, method: str, body: bytes | None) -> tuple[int, bytes]:
        connection = self._connection()
        headers = {"Authorization": f"Bearer {self.credential}", "Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            connection.request(method, _PATH, body=body, headers=headers)
            answer = connection.getresponse()  # a redirect is not followed
            return answer.status, answer.read(_LARGEST_ANSWER)
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        parts = urlsplit(self.url)
        host = parts.hostname or ""
        if parts.scheme == "http":
            return http.client.HTTPConnection(host, parts.port, timeout=_SECONDS)
        context = ssl.create_default_context(cafile=self.ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.proxy is None:
            return http.client.HTTPSConnection(host, parts.port, timeout=_SECONDS, context=context)
        through = urlsplit(f"//{self.proxy}")
        made = http.client.HTTPSConnection(
            through.hostname or "", through.port, timeout=_SECONDS, context=context
        )
        made.set_tunnel(host, parts.port or 443)  # TLS goes through it, up to the exchange
        return made


def exchange(options: argparse.Namespace) -> Exchange:
    """Where to ask; Usage for a URL that would show the credential, and where there is none."""
    try:
        parts = urlsplit(options.url or "")
        is_bare = not (parts.path.strip("/") or parts.query or parts.username)
        is_safe = parts.scheme == "https" or _is_loopback(parts.hostname)
        if not (is_bare and is_safe and parts.scheme in ("https", "http") and parts.hostname):
            raise ValueError
        if parts.port == 0:  # a port that is no number raises here
            raise ValueError
    except ValueError:
        raise Usage("usage.url", "Say --url https://name without a path.") from None
    try:
        named = options.credential_file
        secret = named.read_text("utf-8") if named else os.environ.get(CREDENTIAL, "")
    except (OSError, UnicodeDecodeError):
        raise Usage("usage.credential", "The credential's file cannot be read.") from None
    secret = secret.strip()
    if not secret or not (secret.isascii() and secret.isprintable()):
        raise Usage("usage.credential", f"Set {CREDENTIAL}, or name a file that holds it.")
    return Exchange(options.url, secret, options.ca, options.proxy)


def _is_loopback(host: str | None) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def _read(status: int, text: bytes) -> Answer | Refused:
    if status in _AWAY:
        return Refused("exchange.away", f"The exchange is away: {status}.")
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        return Refused("exchange.answer", f"The exchange answered {status}, and no JSON.")
    if status == http.HTTPStatus.OK:
        return found
    code, sentence = _printable(found.get("code")), _printable(found.get("sentence"))
    return (QuotaUsed if code == "token.quota" else Refused)(code, sentence)


def _printable(text: object) -> str:
    return "".join(char for char in str(text)[:500] if char.isprintable())


def _strange() -> Refused:
    return Refused("exchange.answer", "The answer does not fit the question.")


# --- values in, tokens out -----------------------------------------------------------------------


def values_of(file: TextIO, column: str | None) -> list[str]:
    """The values, empty ones left out."""
    try:
        if column is None:
            found = [line.rstrip("\r\n") for line in file]
        else:
            rows = csv.DictReader(file)
            if column not in (rows.fieldnames or ()):
                raise Usage("usage.column", "The file has no such column.")
            found = [row[column] or "" for row in rows]
    except (UnicodeDecodeError, csv.Error):
        raise Usage("usage.values", "The values are not UTF-8, or not CSV.") from None
    return [value for value in found if value.strip()]


def spellings(kind: str, values: Sequence[str]) -> list[str]:
    """Each value in the one spelling of its kind; Usage names the places of those that are none."""
    if kind == keyed.API_KEY:
        return [value.strip() for value in values]
    found, bad = [], []
    for place, value in enumerate(values, start=1):
        try:
            found.append(oprf.checked(kind, value))
        except Refused:
            bad.append(place)
    if bad:
        places = ", ".join(map(str, bad[:_NAMED])) + (" and more" if len(bad) > _NAMED else "")
        raise Usage(
            "token.value", f"{len(bad)} of the values are no {kind}; counted from 1: {places}."
        )
    return found


@dataclass(slots=True)
class Sheet:
    """What is written: a value and its token in each row, or the tokens alone."""

    file: TextIO
    made: Made
    circle: str
    is_bare: bool

    @property
    def heading(self) -> list[str]:
        """What the tokens are of: a row of another quarter or circle never joins them."""
        words = (self.made.kind, self.made.key_epoch, self.circle)
        return ["value", f"token {' '.join(words).strip()}"]

    def begin(self) -> None:
        """The heading of a sheet with values."""
        if not self.is_bare:
            csv.writer(self.file, lineterminator="\n").writerow(self.heading)

    def write(self, rows: Sequence[tuple[str, str]]) -> None:
        """Rows in the order of the input, at once on the disk: what was paid for is not lost."""
        if self.is_bare:
            self.file.writelines(f"{token}\n" for _, token in rows)
        else:
            csv.writer(self.file, lineterminator="\n").writerows(rows)
        self.file.flush()


def done_before(path: Path, heading: list[str], values: Sequence[str]) -> list[str]:
    """The tokens of an earlier run over the same values; a row that was cut off is taken away."""
    try:
        text = path.read_bytes()
        whole = text[: text.rfind(b"\n") + 1]
        rows = list(csv.reader(io.StringIO(whole.decode("utf-8"), newline="")))
    except (OSError, UnicodeDecodeError, csv.Error):
        raise Usage("usage.resume", "There is nothing in --out to go on with.") from None
    same = rows[:1] == [heading] and len(rows) - 1 <= len(values)
    same = same and all(len(row) == 2 and _is_token(row[1]) for row in rows[1:])
    if not same or [row[0] for row in rows[1:]] != list(values[: len(rows) - 1]):
        raise Usage(
            "usage.resume", "What stands in --out is of other values, or another circle or quarter."
        )
    if len(whole) < len(text):
        path.write_bytes(whole)
    return [row[1] for row in rows[1:]]


def _is_token(text: str) -> bool:
    return len(text) == 64 and all(char in "0123456789abcdef" for char in text)


# --- the run -------------------------------------------------------------------------------------


@dataclass(slots=True)
class Run:
    """One run: which values, of which circle and quarter, and what is known already."""

    values: Sequence[str]
    spelled: Sequence[str]
    made: Made
    circle: str
    known: dict[str, str]
    left: int
    batch: int
    say: Callable[[str], None]

    def rows(self, door: Exchange, *, start: int) -> Iterator[list[tuple[str, str]]]:
        """Rows in order, batch by batch; QuotaUsed when the day has nothing left."""
        place = start
        while place < len(self.values):
            wanted = self._unknown(place)
            if wanted and not self.left:
                raise QuotaUsed("token.quota", "The quota of the day is used up.")
            if wanted:
                self._ask(door, wanted)
            ready = []
            while place < len(self.values) and self.spelled[place] in self.known:
                ready.append((self.values[place], self.known[self.spelled[place]]))
                place += 1
            yield ready
            self.say(f"{place:,} of {len(self.values):,} values; {self.left:,} left today")

    def _unknown(self, place: int) -> list[str]:
        wanted: dict[str, None] = {}
        for text in self.spelled[place:]:
            if text not in self.known:
                wanted[text] = None
                if len(wanted) >= min(self.batch, self.left):
                    break
        return list(wanted)

    def _ask(self, door: Exchange, wanted: Sequence[str]) -> None:
        factors = [secrets.randbelow(oprf.ORDER - 1) + 1 for _ in wanted]
        asked = [
            oprf.blind(self.made.kind, text, r) for text, r in zip(wanted, factors, strict=True)
        ]
        found, self.left = door.evaluated(self.circle, self.made.key_epoch, asked)
        for text, x, r in zip(wanted, found, factors, strict=True):
            self.known[text] = oprf.unblind(x, r)


def main(arguments: list[str]) -> int:
    """Do what the options say; what goes wrong is a sentence on standard error and an exit code."""
    options = _parser().parse_args(arguments)
    try:
        if options.self_check:
            return _check()
        return _tokenise(options)
    except QuotaUsed as refused:
        _say(f"{refused.sentence} Go on with --resume when it has renewed.")
        return QUOTA
    except Usage as refused:
        _say(f"{refused.sentence} ({refused.code})")
        return USAGE
    except Refused as refused:
        _say(f"{refused.sentence} ({refused.code})")
        return REFUSED


def _tokenise(options: argparse.Namespace) -> int:
    _fit(options)
    values = _values(options)
    spelled = spellings(options.kind, values)
    if options.kind == keyed.API_KEY:
        made = Made(options.kind)
        hashed = {text: sha256(text.encode()).hexdigest() for text in spelled}
        run = Run(values, spelled, made, "", hashed, 0, 1, _say)
        door = Exchange("", "")
    else:
        door = exchange(options)
        run = scoped(options, door.offer(), values, spelled)
    heading = Sheet(sys.stdout, run.made, run.circle, options.tokens_only).heading
    before = done_before(options.out, heading, values) if options.resume else []
    run.known.update(zip(spelled, before, strict=False))
    with _opened(options) as file:
        sheet = Sheet(file, run.made, run.circle, options.tokens_only)
        if not options.resume:
            sheet.begin()
        for ready in run.rows(door, start=len(before)):
            sheet.write(ready)
    if options.stix:
        _write_stix(options, run)
    return DONE


def _fit(options: argparse.Namespace) -> None:
    if not options.kind:
        raise Usage("usage.kind", f"Say --kind: {', '.join(oprf.NORMALISATIONS)} or api-key.")
    if options.resume and (options.out is None or options.tokens_only):
        raise Usage("usage.resume", "--resume goes on with the values and tokens in --out.")
    if options.stix and not options.basis:
        raise Usage("usage.basis", "Say on which threat basis with --basis: nobody else can.")
    if options.out and options.out.exists() and not options.resume:
        raise Usage("usage.out", "--out is there already: name another file, or say --resume.")


def _values(options: argparse.Namespace) -> list[str]:
    try:
        if options.values is None:
            return values_of(sys.stdin, options.column)
        with options.values.open(encoding="utf-8-sig", newline="") as file:
            return values_of(file, options.column)
    except OSError:
        raise Usage("usage.values", "The file of values cannot be read.") from None


def scoped(
    options: argparse.Namespace, offer: Answer, values: Sequence[str], spelled: Sequence[str]
) -> Run:
    """A run within what the exchange offers: `kind`, `circle` and `epoch` are the options."""
    try:
        same = offer["scheme"] == oprf.SCHEME
        same = same and offer["kinds"].get(options.kind) == oprf.NORMALISATIONS[options.kind]
        circles = [one for one in offer["circles"] if options.circle in (one["id"], one["name"])]
        epochs = [one["epoch"] for one in offer["epochs"] if one["live"] or options.epoch]
        epoch = options.epoch or epochs[0]
        left, batch = int(offer["quota"]["left"]), int(offer["batch"])
        named = [(str(one["id"]), str(one["key_domain"])) for one in circles]
    except (KeyError, TypeError, ValueError, IndexError, AttributeError):
        raise _strange() from None
    if not same:
        raise Refused(
            "token.version", "The exchange spells this kind otherwise: get its newest command."
        )
    if len(named) != 1:
        raise Usage("usage.circle", "Say --circle with the id or name of one of your circles.")
    if epoch not in epochs:
        raise Usage("usage.epoch", f"Tokens are made for {', '.join(map(_printable, epochs))} now.")
    circle, domain = named[0]
    if not _EPOCH.fullmatch(epoch) or domain not in ("forum", "circle"):
        raise _strange()  # these words are written into patterns
    return Run(values, spelled, Made(options.kind, domain, epoch), circle, {}, left, batch, _say)


def _opened(options: argparse.Namespace) -> AbstractContextManager[TextIO]:
    if options.out is None:
        return nullcontext(sys.stdout)
    # The file holds what nobody else should read.
    how = os.O_WRONLY | os.O_CREAT | (os.O_APPEND if options.resume else os.O_EXCL)
    try:
        return os.fdopen(os.open(options.out, how, 0o600), "a", encoding="utf-8", newline="")
    except OSError:
        raise Usage("usage.out", "--out cannot be written.") from None


def _write_stix(options: argparse.Namespace, run: Run) -> None:
    tokens = list(dict.fromkeys(run.known[text] for text in run.spelled))
    now = datetime.now(UTC)
    made = keyed.bundles(
        tokens, run.made, basis=options.basis, now=now, new_id=lambda kind: f"{kind}--{uuid4()}"
    )
    for number, bundle in enumerate(made, start=1):
        path: Path = options.stix
        part = path if number == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}")
        try:
            part.write_text(json.dumps(bundle, indent=1), encoding="utf-8")
        except OSError:
            raise Usage("usage.stix", "--stix cannot be written.") from None


def _check() -> int:
    """That this machine computes what the standards and the exchange do."""
    x, _ = oprf.hash_to_curve(b"abc", b"QUUX-V01-CS02-with-P256_XMD:SHA-256_SSWU_RO_")
    is_map = f"{x:064x}" == _MAPPED
    k, r = (secrets.randbelow(oprf.ORDER - 1) + 1 for _ in range(2))
    asked = oprf.blind("handle", "weir", r)
    is_round = oprf.unblind(oprf.evaluate(k, asked), r) == oprf.token(k, "handle", "weir")
    if is_map and is_round:
        _say("It computes what it should.")
        return DONE
    _say("IT COMPUTES SOMETHING ELSE: do not use it.")
    return REFUSED


# RFC 9380, appendix J.1.1: x of the point of "abc".
_MAPPED = "0bb8b87485551aa43ed54f009230450b492fead5f1cc91658775dac4a3388a0f"


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "weir-tokenise", description="Turn own values into keyed tokens without showing them."
    )
    add = parser.add_argument
    add("values", type=Path, nargs="?", help="one value a line; standard input if left out")
    add("--column", help="the values stand in this column of a CSV file with a heading")
    add("--kind", choices=(*oprf.NORMALISATIONS, keyed.API_KEY), help="what the values are")
    add("--circle", help="id or name of the circle for which the tokens are")
    add("--epoch", help="a quarter like 2026Q4; the live one if left out")
    add("--url", help="https://name of the exchange")
    add("--credential-file", type=Path, help=f"holds the credential, if {CREDENTIAL} does not")
    add("--ca", help="a file of certificates to trust instead of the system's")
    add("--proxy", help="host:port through which the exchange is reached")
    add("--out", type=Path, help="where to write; standard output if left out")
    add("--tokens-only", action="store_true", help="leave the values out of what is written")
    add("--resume", action="store_true", help="go on behind the last row of --out")
    add("--stix", type=Path, help="write a bundle too, ready to contribute")
    add("--basis", action="append", choices=keyed.BASES, help="threat basis for --stix")
    add("--self-check", action="store_true", help="compute known examples, and nothing else")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
