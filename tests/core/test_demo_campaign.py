"""The campaign of the demo: every kind of indicator, every sensitive class, all five outcomes."""

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from ipaddress import ip_network
from itertools import count
from typing import Any
from uuid import UUID

import pytest

from exchange.management.demo import campaign
from exchange.policy import decide, facts, intake, terms
from exchange.policy.outcomes import Context, Standing
from indicators.stix import ids
from indicators.stix.validate import problems

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
KINDS = {
    "account-cluster", "identity-token", "egress-range", "reseller-domain", "reseller-front",
    "client-fingerprint", "prompt-template", "rate-shape", "campaign", "provenance-evidence",
    "coordination-timing", "sighting", "stolen-credential",
}  # fmt: skip
HELD = {
    "C01", "C02", "C03", "C05", "C06", "C07", "C08", "C09", "C12", "C13", "C15", "C16", "C17",
    "basis", "range",
}  # fmt: skip
DOCUMENTATION = tuple(
    ip_network(one)
    for one in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")
)


def numbered() -> Callable[[str], str]:
    """Ids that a test can foresee."""
    numbers: Iterator[int] = count(1)
    return lambda stix_type: f"{stix_type}--{UUID(int=next(numbers) | 4 << 76 | 8 << 60)}"


def made(now: datetime = NOW) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = campaign.bundle(now=now, new_id=numbered())["objects"]
    return found


def refused(objects: list[dict[str, Any]]) -> dict[str, str]:
    """The first fault of each object that is refused by form, by its id."""
    faults = {obj["id"]: (*intake.problems(obj), *problems(obj)) for obj in objects}
    return {stix_id: found[0].code for stix_id, found in faults.items() if found}


def standings(objects: list[dict[str, Any]], now: datetime = NOW) -> dict[str, Standing]:
    floor = terms.Floor.parse(terms.shipped_floor())
    context = Context(contributor="aurora", circle="forum", default_basis=(), now=now)
    faulty = refused(objects)
    kept = [obj for obj in objects if obj["id"] not in faulty]
    return {
        obj["id"]: standing
        for obj, standing in zip(kept, decide.standing(kept, context, floor), strict=True)
    }


def test_every_outcome_happens_and_the_counts_add_up() -> None:
    objects = made()
    outcomes = Counter(one.outcome for one in standings(objects).values())
    outcomes["refused"] = len(refused(objects))
    assert len(objects) >= 60
    assert len({obj["id"] for obj in objects}) == len(objects)
    assert set(outcomes) == {"refused", "accepted", "incomplete", "held", "withheld"}
    assert sum(outcomes.values()) == len(objects)


def test_every_kind_of_indicator_is_there() -> None:
    found = {facts.read(obj).context.get("indicator_kind") for obj in made()}
    assert found >= KINDS


def test_each_class_that_is_held_is_held_by_its_own_reason() -> None:
    found = {hold.field_class for one in standings(made()).values() for hold in one.holds}
    assert found >= HELD


def test_the_other_classes_are_refused_withheld_or_changed() -> None:
    objects = made()
    assert set(refused(objects).values()) == {"policy.content", "policy.secret"}  # C11, C14
    types = {obj["type"] for obj in objects}
    assert {"identity", "user-account", "email-addr"} <= types  # C05, C10
    assert any(obj.get("count", 0) > 1000 for obj in objects)  # C04
    assert any("created_by_ref" in obj for obj in objects)  # C18
    assert any("external_references" in obj for obj in objects)  # C20
    # C19: the times tell when the contributor acted.
    assert any(
        not str(obj.get("created", "T00:00:00")).endswith("T00:00:00.000Z") for obj in objects
    )


@pytest.mark.parametrize("now", [NOW, datetime(2028, 2, 29, 23, 59, tzinfo=UTC)])
def test_it_is_written_for_the_day_on_which_it_is_sent(now: datetime) -> None:
    objects = made(now)
    assert Counter(one.outcome for one in standings(objects, now).values()) == Counter(
        one.outcome for one in standings(made()).values()
    )
    epochs = {obj["key_epoch"] for obj in objects if "key_epoch" in obj}
    assert epochs == {"none", "2026Q4" if now == NOW else "2028Q1"}
    for obj in objects:
        assert obj.get("created", "") <= now.strftime("%Y-%m-%dT%H:%M:%S.999Z")
        if "created" not in obj:
            assert obj["id"] == (ids.deterministic(obj) or obj["id"])


def test_every_reference_leads_to_an_object_of_it_or_to_a_published_one() -> None:
    objects = made()
    known = {obj["id"] for obj in objects}
    for obj in objects:
        for ref in facts.read(obj).references:
            assert ref in known or ref.startswith(("attack-pattern--", "identity--")), ref


def test_all_of_it_is_invented() -> None:
    everything = [*made(), *campaign.relay_watch(now=NOW, new_id=numbered())["objects"]]
    for obj in everything:
        for place, value in facts.shared_values(facts.read(obj)):
            if place.startswith(("ipv4-addr", "ipv6-addr")):
                network = ip_network(str(value))
                assert any(
                    network.version == known.version and network.subnet_of(known)  # type: ignore[arg-type]  # same version
                    for known in DOCUMENTATION
                ), value
            if place.startswith(("domain-name", "email-addr")):
                assert str(value).endswith(".example"), value
            if place.startswith("autonomous-system:number"):
                assert 64496 <= int(value) <= 64511


def test_what_goes_to_the_circle_is_accepted_whole() -> None:
    objects = campaign.relay_watch(now=NOW, new_id=numbered())["objects"]
    assert not refused(objects)
    assert {one.outcome for one in standings(objects).values()} == {"accepted"}
