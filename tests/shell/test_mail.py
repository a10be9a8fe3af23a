"""A mail on its way: over TLS, to a server whose certificate is checked."""

import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import IO

import pytest
from django.conf import LazySettings
from django.utils import timezone

from exchange import mail
from exchange.management.demo import receiver
from exchange.models import Mail
from tests.cast import make_cast

pytestmark = pytest.mark.django_db


@dataclass
class Post:
    """A mail server as RFC 5321 asks of it, as far as one mail needs."""

    port: int
    lines: list[str] = field(default_factory=list)


@contextmanager
def post_office(folder: Path) -> Iterator[Post]:
    """It speaks TLS from the first octet, and refuses nobody."""
    receiver.make_certificate(folder, now=timezone.now())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "ca.pem", folder / "key.pem")
    post = Post(0)

    class Talk(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            talk = context.wrap_socket(
                self.request, server_side=True, do_handshake_on_connect=False
            )
            with talk, suppress(ssl.SSLError):  # who does not trust the certificate ends the talk
                talk.do_handshake()
                talk.sendall(b"220 mail\r\n")
                with talk.makefile("rb") as said:
                    listen(talk, said)

    def listen(talk: ssl.SSLSocket, said: IO[bytes]) -> None:
        is_text = False
        for line in said:
            post.lines.append(line.decode().rstrip("\r\n"))
            if is_text and line != b".\r\n":
                continue
            is_text = not is_text and line.upper().startswith(b"DATA")
            talk.sendall(b"354 go on\r\n" if is_text else b"250 yes\r\n")
            if line.upper().startswith(b"QUIT"):
                return

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Talk) as server:
        post.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield post
        server.shutdown()
        thread.join()


def test_a_mail_goes_out_over_tls_and_says_nothing(
    settings: LazySettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cast, now = make_cast(timezone.now()), timezone.now()
    settings.MAIL_URL = "smtps://127.0.0.1"
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_USE_SSL, settings.EMAIL_USE_TLS = True, False
    with post_office(tmp_path / "post") as post:
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", post.port
        mail.write("recall", member_id=cast.borealis.id, roles=("analyst",), now=now)
        assert mail.send_due(now=now) == 0  # nobody has said that this server is to be trusted
        assert (Mail.objects.get().tries, post.lines) == (1, [])
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "post" / "ca.pem"))
        assert mail.send_due(now=now + timedelta(minutes=1)) == 1
    said = "\n".join(post.lines)
    assert f"To: {cast.ben.email}" in said
    assert f"{settings.WEIR_BASE_URL}/recalls/received/" in said
    assert "stands on the page only" in said
    assert Mail.objects.get().sent_at is not None
