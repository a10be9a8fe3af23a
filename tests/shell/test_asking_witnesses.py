"""Before it signs anything the sequencer asks what witnesses have seen, by the one HTTP client."""

import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from exchange import outbound
from exchange.management.demo import receiver


class Shows(BaseHTTPRequestHandler):
    """A witness's file, as a plain web server has it."""

    def do_GET(self) -> None:
        """The note, whoever asks."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"a note\n")

    def log_message(self, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def witness(tmp_path: Path) -> Iterator[outbound.Endpoint]:
    certificate = receiver.make_certificate(tmp_path, now=datetime.now(UTC))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, tmp_path / "key.pem")
    server = HTTPServer(("127.0.0.1", 0), Shows)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = server.server_address[1]
    exempt = {f"127.0.0.1:{port}": str(certificate)}
    yield outbound.Endpoint(f"https://127.0.0.1:{port}/checkpoint", exempt)
    server.shutdown()
    server.server_close()


def test_a_witness_is_asked_over_tls(witness: outbound.Endpoint) -> None:
    answer = outbound.fetch(witness)
    assert (answer.status, answer.body) == (200, b"a note\n")


def test_a_witness_on_a_private_address_is_not_asked(witness: outbound.Endpoint) -> None:
    answer = outbound.fetch(outbound.Endpoint(witness.url, {}))
    assert (answer.status, answer.error_class) == (None, "address-refused")
