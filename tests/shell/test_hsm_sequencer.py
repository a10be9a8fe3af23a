"""A sequencer whose key never leaves its store."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from exchange import ledger
from exchange.management import processes
from exchange.management.processes import Supervisor, wait_until
from exchange.models import LedgerCheckpoint
from exchange.proof import note
from exchange.signers import signer_for
from tests import softhsm
from tests.shell.ledger_material import contribute, make_labs

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_sequencer_signs_with_a_key_in_a_store(settings: Settings, tmp_path: Path) -> None:
    settings.LEDGER_DIR = tmp_path / "ledger"
    labs = make_labs()
    folder = tmp_path / "softhsm"
    folder.mkdir()
    with softhsm.token(folder) as token:
        uri = f"{token.format(name='ledger')}&pin-source=file:{softhsm.pin_file(tmp_path)}"
        public = signer_for(uri).public
        ledger.announce("ledger", public, now=timezone.now())
        contribute(labs, count=1)
        name = connection.settings_dict["NAME"]
        base = dict(os.environ) | {
            "DATABASE_URL": os.environ["DATABASE_URL"].replace("/weir?", f"/{name}?"),
            "LEDGER_DIR": str(tmp_path / "ledger"),
            "SIGNER_LEDGER": uri,
        }
        program = processes.sequencer(base)
        env = {**program.env, "SOFTHSM2_CONF": os.environ["SOFTHSM2_CONF"]}
        with Supervisor(tmp_path / "log") as supervisor:
            supervisor.start(replace(program, env=env))
            said = tmp_path / "log" / "sequencer.log"
            is_signed = wait_until(LedgerCheckpoint.objects.exists, seconds=30)
            assert is_signed, processes.last_lines(said)
            assert supervisor.deaths() == ()
    signed = LedgerCheckpoint.objects.latest("size").note
    verifier = note.Verifier(ledger.origin(), note.LOG, public)
    assert note.open_checkpoint(signed, [verifier])[0].size == ledger.signed_size()
