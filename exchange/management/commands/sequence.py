"""The process that numbers what was committed and signs the log; any number may stand in."""

import time
from argparse import ArgumentParser
from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import psycopg
import structlog
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from django.db.utils import Error as DatabaseError

from exchange import keyring, ledger, outbound, telemetry
from exchange.ledger import check, intake, sequencer
from exchange.management.processes import ending_on_signals
from exchange.proof.keys import Signer
from exchange.proof.refused import Refused
from exchange.signers import signer_for

log = structlog.get_logger()

EVERY = 5.0  # seconds without a word until we look by ourselves
LEAST = 0.1  # seconds between two batches, so that a burst becomes one
CALM = 0.3  # the same where no recipient waits: contributions alone, whose contributor asks later
LONGEST = 5.0  # seconds of back-off while the database or the signer is away


class Command(BaseCommand):
    """`manage.py sequence`: runs until it is told to end."""

    help = "Number what was committed, sign checkpoints; runs until it is told to end."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """No arguments: the settings say it all."""

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - Django's signature
        """Start the loop; the ledger's key, or its old and its new one, is all that it holds."""
        if settings.DATABASE_ROLE != "sequencer":
            raise CommandError("Start the sequencer with DATABASE_ROLE=sequencer.")
        try:
            _check_keys()
            with ending_on_signals():
                run(lambda: keyring.signer("ledger"))
        except Refused as refused:
            raise CommandError(refused.sentence) from None


def _check_keys() -> None:
    """Every key that the setting names opens, before the loop begins to be patient."""
    uris = settings.SIGNER_LEDGER.split()
    if not uris:
        raise Refused("signer.none", "SIGNER_LEDGER is not set: see deploy/env.example")
    for uri in uris:
        signer_for(uri)


def run(signer: Callable[[], Signer]) -> None:
    """Sequence until the process ends; only a log that has diverged ends it from inside."""
    pause = LEAST
    is_listening = is_full = False
    while True:
        started = time.monotonic()
        try:
            if not is_listening:
                _listen(signer)
                is_listening = True
            is_full = _round(signer, is_beat=settings.LEDGER_HEARTBEAT > 0 and not is_full)
            pause = LEAST
        except (DatabaseError, psycopg.Error) as error:
            pause = _back_off("sequencer.no-database", error, pause)
            is_listening = False
            connection.close()
            continue
        except Refused as refused:
            if refused.code == "ledger.diverged":
                raise
            pause = _back_off("sequencer.refused", refused, pause)
        except Exception as error:  # noqa: BLE001 - the outermost loop: a signer may raise anything
            pause = _back_off("sequencer.failed", error, pause)
        else:
            time.sleep(max(0.0, LEAST - (time.monotonic() - started)))
            is_listening = is_full or _wait(started)


def _listen(signer: Callable[[], Signer]) -> None:
    """Check the log before anything is signed on this connection, then hear of commits."""
    check.start_up(seen=_seen_by_witnesses())
    if not ledger.is_known("ledger"):  # a new log: its first key is nobody's to announce before
        ledger.announce("ledger", signer().public, now=datetime.now(UTC))
    with connection.cursor() as cursor:
        cursor.execute(f"LISTEN {intake.CHANNEL}")
    log.info("sequencer.ready", size=ledger.published_size())


def _seen_by_witnesses() -> list[str]:
    """The newest notes that witnesses show; where nothing outside of the database knows how far
    the log has come, it is asked again and again, and nothing is signed meanwhile."""
    shown = []
    for url in settings.LEDGER_WITNESSES:
        answer = outbound.fetch(outbound.Endpoint(url, settings.OUTBOUND_EXEMPT))
        if answer.status == HTTPStatus.OK:
            shown.append(answer.body.decode(errors="replace"))
        else:
            telemetry.count("sequencer.witness-away")
            log.warning("sequencer.witness-away", status=answer.status, error=answer.error_class)
    if settings.LEDGER_WITNESSES and not shown and check.last_kept() is None:
        raise Refused("ledger.unseen", "No witness answers, and there is no last checkpoint.")
    return shown


def _round(signer: Callable[[], Signer], *, is_beat: bool) -> bool:
    """One batch and one checkpoint; whether the batch was full, so that more may be waiting."""
    count = ledger.integrate(now=datetime.now(UTC), is_beat=is_beat)
    size = None if count is None else ledger.publish(signer(), now=datetime.now(UTC))
    if count:
        telemetry.count("ledger.entries", count)
    if size is not None:
        log.info("ledger.published", size=size, entries=count)
    return count == sequencer.BATCH


def _wait(started: float) -> bool:
    """Until a commit is heard of, or the time is over; False when the connection is gone.

    What only its contributor asks about is gathered for a while, so that a release does not meet
    the pause behind a batch of such.

    With a heartbeat until its next beat, whatever is committed: the log's shape tells no time.
    """
    if settings.LEDGER_HEARTBEAT:
        time.sleep(settings.LEDGER_HEARTBEAT - time.time() % settings.LEDGER_HEARTBEAT)
        return True
    try:
        if _heard(EVERY) == {intake.LATER}:
            while (left := started + CALM - time.monotonic()) > 0:
                if _heard(left) - {intake.LATER}:
                    break
    except psycopg.Error:
        connection.close()
        return False
    return True


def _heard(seconds: float) -> set[str]:
    """The words of the commits that were heard of, as soon as there is one."""
    raw: psycopg.Connection = connection.connection
    return {one.payload for one in raw.notifies(timeout=seconds, stop_after=1)}


def _back_off(what: str, error: Exception, pause: float) -> float:
    telemetry.count(what)
    log.warning(what, error=type(error).__name__, code=getattr(error, "code", None))
    time.sleep(pause)
    return min(pause * 2, LONGEST)
