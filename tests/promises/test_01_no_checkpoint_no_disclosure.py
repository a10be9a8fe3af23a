"""Promise 1: bytes reach a recipient only when their release lies under a published checkpoint."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from django.conf import LazySettings, settings
from django.utils import timezone

from exchange import access, contribute, delivery, inbox, ledger, release
from exchange.access import Query
from exchange.models import Delivery, ReleaseRecipient, Subscription
from exchange.proof.refused import NotFound, Refused
from exchange.signers import signer_for
from members.auth import Principal
from tests.cast import Cast, make_cast
from tests.doors.stage import as_owner, campaign

pytestmark = pytest.mark.django_db


class BrokenSigner:
    """A key store that is away."""

    alg = "EdDSA"

    def __init__(self) -> None:
        self._real = signer_for(settings.SIGNER_LEDGER)
        self.public = self._real.public
        self.kid = self._real.kid

    def sign(self, message: bytes) -> bytes:
        """Never."""
        raise OSError("the key store does not answer")


@pytest.fixture
def now() -> datetime:
    return timezone.now()


@pytest.fixture
def cast(settings: LazySettings, tmp_path: Path, now: datetime) -> Iterator[Cast]:
    settings.LEDGER_DIR = tmp_path / "ledger"
    made = make_cast(now - timedelta(hours=1))
    made_at = now - timedelta(hours=1)
    Subscription.objects.create(
        member=made.borealis, name="SOC", url="https://soc.borealis.example/", state="active",
        created_at=made_at,
    )  # fmt: skip
    body = json.dumps({"type": "bundle", "id": f"bundle--{uuid4()}", "objects": campaign(made_at)})
    sent = contribute.submit(
        made.as_(made.ana), body.encode(), circle_id=made.forum.id, source="api", now=made_at
    )
    contribute.accept(sent, now=made_at)
    release.open_windows(now=now)
    yield made
    as_owner()


def holds_nothing(ben: Principal, now: datetime) -> bool:
    """Not by TAXII, not on a page, not by push."""
    readable = [one for one in access.collections(ben) if one.can_read and one.kind != "own"]
    if any(access.page(ben, chosen, Query(), now=now).items for chosen in readable):
        return False
    if inbox.campaigns(ben, now=now) or inbox.news(ben, since=now - timedelta(days=1), now=now):
        return False
    as_owner()
    delivery.make_ready(now=now)
    return not Delivery.objects.exclude(state="waiting").exists()


def test_between_commit_and_checkpoint_nothing_is_visible(cast: Cast, now: datetime) -> None:
    ben = cast.as_(cast.ben)
    assert ReleaseRecipient.objects.filter(recipient=cast.borealis).exists()
    assert holds_nothing(ben, now)
    as_owner()
    ledger.integrate(now=now)
    assert holds_nothing(ben, now)
    as_owner()
    ledger.publish(signer_for(settings.SIGNER_LEDGER), now=now)
    assert not holds_nothing(ben, now)
    assert len(inbox.campaigns(ben, now=now)) == 1


def test_an_object_is_not_there_before_its_checkpoint(cast: Cast, now: datetime) -> None:
    ben = cast.as_(cast.ben)
    part = ReleaseRecipient.objects.filter(recipient=cast.borealis).first()
    assert part is not None
    stix_id = part.release.items.order_by("position")[0].rendition.stix_id
    with pytest.raises(NotFound):
        access.newest(ben, stix_id, now=now)


def test_a_signer_that_fails_stops_disclosure_and_nothing_else(cast: Cast, now: datetime) -> None:
    ben = cast.as_(cast.ben)
    ledger.integrate(now=now)
    try:
        ledger.publish(BrokenSigner(), now=now)
    except (OSError, Refused):
        as_owner()
    assert holds_nothing(ben, now)
    as_owner()
    again = contribute.submit(
        cast.as_(cast.ana),
        json.dumps({"objects": campaign(now)}).encode(),
        circle_id=cast.forum.id,
        source="api",
        now=now,
    )
    assert contribute.accept(again, now=now)
    ledger.integrate(now=now)
    ledger.publish(signer_for(settings.SIGNER_LEDGER), now=now)
    assert len(inbox.campaigns(ben, now=now)) == 1
