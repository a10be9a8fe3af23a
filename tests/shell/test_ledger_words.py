"""Each entry of a member says in a sentence of its own what was done, and shows nothing of it."""

from pathlib import Path

import pytest
from django.conf import LazySettings

from exchange import algorithms, audit, ledger, pool
from exchange.algorithms import life
from exchange.audit.entries import _DECISIONS, _said
from exchange.models import LedgerEntry, LedgerEvent
from exchange.pool import kept
from tests import algorithms as made
from tests.cast import Cast
from tests.extracts import extract, parts
from tests.shell import sharing
from tests.shell.sharing import NOON
from tests.shell.test_tokens import machine

pytestmark = pytest.mark.django_db
HELD = "A hold on your object was decided"


@pytest.fixture
def cast(settings: LazySettings, tmp_path: Path) -> Cast:
    return sharing.set_up(settings, tmp_path)


def read(cast: Cast) -> list[str]:
    """What Ana reads of her member's entries, oldest first."""
    sharing.sequence(now=NOON)
    page = audit.entries(cast.as_(cast.ana), slot="from")
    return [row.what for row in reversed(page.rows) if row.kind in ("decision", "read", "erase")]


def test_ana_reads_what_became_of_her_extract(cast: Cast) -> None:
    sender = machine(cast.ana, scopes=("extracts", "tokens"), name="extractor")
    day = NOON.date()
    sent = pool.send(sender, parts(extract(day=day)), now=NOON)
    pool.ask(cast.as_(cast.ana), sent.id, now=NOON)
    kept.tell(cast.aurora.id, [day], ground="clock", now=NOON)
    assert read(cast) == [
        "Your extract was taken into the pool",
        "Your extract was shown to one of your people",
        "Days of your extracts were erased with their keys",
    ]


def test_ana_reads_each_step_of_her_algorithm(cast: Cast) -> None:
    row = made.put(cast, "reviewed", now=NOON)
    made.tried(row, now=NOON)
    digest = bytes(row.digest).hex()
    algorithms.activate(cast.as_(cast.pia), row.id, digest=digest, now=NOON)
    algorithms.withdraw(cast.as_(cast.ana), row.id, reason="it finds a reseller", now=NOON)
    assert read(cast) == ["Your algorithm was put in force", "Your algorithm was withdrawn"]
    assert HELD not in read(cast)


def test_every_act_on_an_algorithm_has_its_sentence() -> None:
    acts = ("submit", "approve", "send-back", "discard", "review", "activate", "lift", "withdraw")
    source = Path(life.__file__).read_text(encoding="utf-8")
    assert source.count("_said(row, principal, ") == len(acts)
    for act in acts:
        assert f'_said(row, principal, "{act}"' in source
        assert ("algorithm", act) in _DECISIONS


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"decision": "open", "hold": "1", "circle": "2"}, "An object of yours was held"),
        ({"decision": "open", "holds": {"count": 2}}, "Objects of yours were held"),
        ({"decision": "release", "hold": "1"}, HELD),
        ({"decision": "refuse", "hold": "1"}, HELD),
        ({"decision": "legal-hold", "hold": "1"}, "A legal hold began"),
        ({"decision": "approved", "policy": "member"}, "A draft of your policy was approved"),
        ({"decision": "joined", "circle": None}, "Your membership changed"),
        ({"decision": "something new"}, "Something of yours was decided"),
    ],
)
def test_the_sentence_is_chosen_by_what_was_decided(
    cast: Cast, fields: dict[str, object], sentence: str
) -> None:
    ledger.record("decision", by=cast.aurora.id, slots={"from": fields, "audit": {}}, now=NOON)
    assert read(cast) == [sentence]


def test_an_entry_whose_bytes_are_gone_is_still_listed() -> None:
    row = LedgerEntry(kind="decision")
    event = LedgerEvent(pk=1, kind="decision", slots=b"changed")
    assert _said(row, event, "from") == "Something of yours was decided"
    assert _said(row, None, "from") == "Something of yours was decided"
