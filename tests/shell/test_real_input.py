"""Real feeds are taken whole: every object has an outcome and a sentence, the counts add up."""

import json
from pathlib import Path

import pytest
from django.conf import LazySettings

from exchange.models import Outcome
from indicators.models import Contribution, Item
from tests.shell.sharing import NOON, Way, sequence, set_up

pytestmark = pytest.mark.django_db
FOLDERS = ("stix", "misp-stix21", "oasis", "atlas", "extraction-examples")


@pytest.fixture
def way(settings: LazySettings, tmp_path: Path) -> Way:
    cast = set_up(settings, tmp_path)
    return Way(cast, cast.forum)


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_object_of_a_real_feed_is_accounted_for(
    way: Way, shared_data: Path, folder: str
) -> None:
    files = [
        one for one in sorted((shared_data / folder).glob("*.json")) if "schema" not in one.name
    ]
    assert files
    for path in files:
        body = path.read_bytes()
        sent = way.give(body=body)
        row = Contribution.objects.get(pk=sent)
        root = json.loads(body)
        assert row.total == len(root.get("objects", [root])), path.name
        assert row.total == row.successes + row.failures
        assert Item.objects.filter(contribution=row).count() == row.total
        stored = Item.objects.filter(contribution=row, success=True)
        assert stored.filter(version__isnull=True).count() == 0
        decided = Outcome.objects.filter(contribution=row).values_list("outcome", flat=True)
        assert set(decided) <= {"accepted", "incomplete", "held", "withheld"}
    sequence(now=NOON)
    for row in Contribution.objects.all():
        status = way.status(row.id)
        assert status.state == "complete"
        assert all(item.stix_id and item.version for item in status.items)
        assert all(item.message for item in status.items)
