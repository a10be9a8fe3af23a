"""A small HTTPS webhook receiver, as a member would run one: verify first, then answer.

    python -m exchange.management.demo.receiver FOLDER PORT ISSUER NAME [NAME ...]

Each NAME is an endpoint `/name`. What came is written to `FOLDER/<name>.jsonl`, and the bundles of
those that verified to `FOLDER/<name>/`; in its folder `pushes` each lies as it came, headers and
body, for `weir-verify check --pushes`.
"""

import http.client
import ipaddress
import json
import ssl
import sys
import threading
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from exchange.proof import verify
from exchange.proof.claims import Receiver
from exchange.proof.jws import KeySet
from exchange.proof.refused import Refused

LARGEST = 2_097_152


def make_certificate(folder: Path, *, now: datetime) -> Path:
    """A key and a certificate for loopback, made at start; the certificate is its own CA."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    loopback = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([loopback]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = folder / "key.pem"
    secret.touch(mode=0o600)
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    public = folder / "ca.pem"
    public.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return public


class Inbox:
    """What one endpoint has taken; a delivery that came before is not taken twice."""

    def __init__(self, folder: Path, name: str) -> None:
        self.log = folder / f"{name}.jsonl"
        self.bundles = folder / name
        self.pushes = self.bundles / "pushes"
        self.pushes.mkdir(parents=True, exist_ok=True)
        # What came before this process started is known too.
        text = self.log.read_text(encoding="utf-8") if self.log.exists() else ""
        self._seen = {str(json.loads(line)["jti"]) for line in text.splitlines()}
        self._lock = threading.Lock()

    def take(self, push: verify.Push, body: bytes, headers: Mapping[str, str]) -> None:
        """Keep a verified delivery, once."""
        told = push.delivery
        with self._lock:
            is_repeat = told.jti in self._seen
            line = {
                "at": datetime.now(UTC).timestamp(),
                "subscription": told.sub,
                "jti": told.jti,
                "event": told.event,
                "seq": told.seq,
                "seqs": told.seqs,
                "repeat": is_repeat,
                "bundle": push.manifest.id if push.manifest else None,
                "objects": push.manifest.count if push.manifest else 0,
            }
            if push.manifest is not None and not is_repeat:
                (self.bundles / f"{push.manifest.id}.json").write_bytes(body)
                manifest = headers.get("Weir-Manifest", "")
                (self.bundles / f"{push.manifest.id}.jws").write_text(manifest, encoding="ascii")
            if not is_repeat:
                kept = self.pushes / f"{told.seq:06d}"
                kept.with_suffix(".body").write_bytes(body)
                kept.with_suffix(".headers").write_text(json.dumps(dict(headers)), encoding="utf-8")
            with self.log.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(line) + "\n")
            self._seen.add(told.jti)


class Hook(BaseHTTPRequestHandler):
    """POST /name: verify token, manifest and digests; 2xx only for what verifies."""

    inboxes: dict[str, Inbox]
    issuer: str
    origin: str
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """One delivery."""
        inbox = self.inboxes.get(self.path.lstrip("/"))
        size = int(self.headers.get("Content-Length") or 0)
        if inbox is None or not 0 < size <= LARGEST:
            self._say(404 if inbox is None else 413, {})
            return
        body = self.rfile.read(size)
        try:
            push = verify.verify_delivery(
                body,
                dict(self.headers.items()),
                _keys(self.issuer),
                Receiver(iss=self.issuer, aud=f"{self.origin}{self.path}"),
                now=int(datetime.now(UTC).timestamp()),
            )
        except Refused as refused:
            self._say(400, {"code": refused.code})
            return
        inbox.take(push, body, dict(self.headers.items()))
        self._say(200, {"challenge": push.delivery.jti})

    def log_message(self, *_: object) -> None:
        """Say nothing: what came stands in the inbox."""

    def _say(self, status: int, value: dict[str, str]) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _keys(issuer: str) -> KeySet:
    """The exchange's published keys; a real receiver keeps them for a day."""
    parts = urlsplit(issuer)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=5)
    try:
        connection.request("GET", "/.well-known/jwks.json")
        return KeySet.parse(connection.getresponse().read())
    finally:
        connection.close()


def main(arguments: list[str]) -> None:
    """Serve until the process is ended."""
    folder, port, issuer, *names = arguments
    room = Path(folder)
    Hook.inboxes = {name: Inbox(room, name) for name in names}
    Hook.issuer = issuer
    Hook.origin = f"https://127.0.0.1:{port}"
    server = ThreadingHTTPServer(("127.0.0.1", int(port)), Hook)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(room / "ca.pem", room / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
