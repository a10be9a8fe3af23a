"""What a member can ask beyond the floor: each setting does what it says, and names its rule."""

import json
from typing import Any

import pytest

from exchange.policy import decide, render, terms
from exchange.policy.catalogue import CONTEXT
from exchange.policy.outcomes import ACCEPTED, HELD, WITHHELD, Context
from tests.core.policy_material import (
    BOREALIS,
    FLOOR,
    NOW,
    ON,
    SCOPE,
    context,
    finished,
    indicator,
)

NUMBER = "221c4e00-3f99-41ee-baf2-7f802dc5fd3d"
Object = dict[str, Any]


def sighting(**changes: Any) -> Object:
    return {
        "type": "sighting",
        "spec_version": "2.1",
        "id": f"sighting--{NUMBER}",
        "created": "2026-10-30T13:47:22.118Z",
        "modified": "2026-10-30T13:47:22.118Z",
        "sighting_of_ref": f"indicator--{NUMBER}",
        "first_seen": "2026-10-29T10:11:12Z",
        "count": 4711,
        "extensions": context("sighting", account_count_bucket="10-99"),
        **changes,
    }


def judged(
    obj: Object, policy: Object, *, circle: str = "forum", recipient: str = "borealis"
) -> tuple[decide.Standing, decide.Verdict]:
    """An object of Aurora's for one recipient under its own policy."""
    own = terms.MemberPolicy.parse({"version": 7, **policy})
    entitled = terms.Entitlement(
        recipient, frozenset({circle}), BOREALIS.agreement, BOREALIS.tlp_ceiling, active=True
    )
    joined = terms.join(
        FLOOR, own, entitled, contributor="aurora", circle=circle, on=ON, circle_size=4
    )
    given = Context("aurora", circle, ("fraudulent-identity",), NOW, policy=own)
    (standing,) = decide.standing([obj], given, FLOOR)
    return standing, decide.verdict(obj, standing, joined)


def sent(obj: Object, policy: Object) -> Object:
    """What Borealis gets of it."""
    standing, verdict = judged(obj, policy)
    refs = {f"indicator--{NUMBER}": f"indicator--{NUMBER}"}
    shape = render.shape(obj, verdict, standing, refs=refs, tokens=SCOPE, name="XC-2026-abcde")
    assert shape is not None
    found: Object = json.loads(finished(shape, obj["id"]).body)
    return found


def why_not(obj: Object, policy: Object, **where: str) -> str:
    """The rule that withholds all of it; empty where it leaves."""
    withheld = judged(obj, policy, **where)[1].withheld
    return withheld.rule if withheld else ""


@pytest.mark.parametrize(
    ("policy", "where", "rule"),
    [
        ({"deny_recipients": ["borealis"]}, {}, "deny-recipient"),
        ({"deny_recipients": ["borealis"]}, {"recipient": "ember"}, ""),
        ({"allow_recipients": ["ember"]}, {}, "allow-recipients"),
        ({"allow_recipients": ["ember"]}, {"recipient": "ember"}, ""),
        ({"allow_recipients": []}, {"recipient": "aurora"}, ""),  # its own copy stays
        ({"deny_circles": ["forum"]}, {}, "deny-circle"),
        ({"deny_circles": ["watch"]}, {}, ""),
        ({"in_circles": {"forum": {"deny_recipients": ["borealis"]}}}, {}, "deny-recipient"),
        ({"in_circles": {"watch": {"deny_recipients": ["borealis"]}}}, {}, ""),
        (
            {"in_circles": {"watch": {"allow_recipients": []}}},
            {"circle": "watch"},
            "allow-recipients",
        ),
        ({"in_circles": {"forum": {"drop_kinds": ["egress-range"]}}}, {}, "drop-kind"),
        ({"deny_kinds": {"borealis": ["egress-range"]}}, {}, "drop-kind"),
        ({"deny_kinds": {"ember": ["egress-range"]}}, {}, ""),
        ({"drop_kinds": ["egress-range"]}, {}, "drop-kind"),
        ({"drop_types": ["indicator"]}, {}, "drop-type"),
        ({"min_circle": 5}, {}, "min-circle"),
        ({"min_circle": 4}, {}, ""),
    ],
)
def test_whom_a_member_sends_to(policy: Object, where: dict[str, str], rule: str) -> None:
    assert why_not(indicator(), policy, **where) == (rule and f"member/7/{rule}")


def test_what_hits_a_rejected_class_is_not_even_counsels_work() -> None:
    priced = indicator(description="We offer a discount of 40 percent on the list price.")
    assert judged(priced, {})[0].outcome == HELD
    standing, _ = judged(priced, {"reject_classes": ["C01"]})
    assert (standing.outcome, standing.holds) == (WITHHELD, ())
    assert standing.withheld is not None
    assert standing.withheld.rule == "member/7/reject-C01"
    assert judged(priced, {"reject_classes": ["C02"]})[0].outcome == HELD
    assert judged(indicator(), {"reject_classes": ["C01"]})[0].outcome == ACCEPTED


def test_no_counts_means_no_buckets_of_them_either() -> None:
    assert sent(sighting(), {})["count"] == 1_000
    left = sent(sighting(), {"counts": "none"})
    assert "count" not in left
    assert not [name for name in left["extensions"][CONTEXT] if name.endswith("_bucket")]


def test_dates_by_month_or_none() -> None:
    assert sent(sighting(), {})["first_seen"] == "2026-10-29T00:00:00.000Z"
    assert sent(sighting(), {"dates": "month"})["first_seen"] == "2026-10-01T00:00:00.000Z"
    assert "first_seen" not in sent(sighting(), {"dates": "none"})
    # Without a date there is no indicator.
    assert why_not(indicator(), {"dates": "none"}) == "member/7/no-dates"


def test_a_shorter_expiry() -> None:
    ranged = indicator(pattern="[domain-name:value = 'relay.example']")
    assert sent(ranged, {})["valid_until"] == "2027-01-28T00:00:00.000Z"
    assert sent(ranged, {"days_at_most": 5})["valid_until"] == "2026-11-04T00:00:00.000Z"
    assert sent(ranged, {"days_at_most": 180})["valid_until"] == "2027-01-28T00:00:00.000Z"


def test_named_properties_do_not_pass() -> None:
    trusted = indicator(confidence=70)
    assert sent(trusted, {})["confidence"] == 70
    assert "confidence" not in sent(trusted, {"drop_properties": ["indicator.confidence"]})
    assert sent(trusted, {"drop_properties": ["campaign.confidence"]})["confidence"] == 70
    (ruling,) = (
        ruling
        for path, ruling in judged(trusted, {"drop_properties": ["indicator.confidence"]})[
            1
        ].rulings
        if path == "confidence"
    )
    assert ruling.rule == "member/7/drop-property"


def test_one_name_of_an_account_dropped_does_not_let_the_other_pass() -> None:
    account = {
        "type": "user-account",
        "spec_version": "2.1",
        "id": f"user-account--{NUMBER}",
        "account_login": "heron",
        "user_id": "4711",
    }
    without = {"drop_properties": ["user-account.account_login"]}
    for policy in ({}, without):
        rulings = dict(judged(account, policy)[1].rulings)
        assert rulings["user_id"].treatment.name == "DROP"


def test_a_narrower_mark_never_a_wider_one() -> None:
    green = {"object_marking_refs": ["marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb"]}
    assert judged(sighting(**green), {})[1].tlp == "green"
    assert judged(sighting(**green), {"tlp_at_least": "amber"})[1].tlp == "amber"


def test_a_reason_in_the_members_own_words() -> None:
    policy = {"deny_recipients": ["borealis"], "reasons": {"deny_recipients": "Until we meet."}}
    withheld = judged(indicator(), policy)[1].withheld
    assert withheld is not None
    assert (withheld.reason, withheld.basis) == ("Until we meet.", terms.OWN_POLICY)
