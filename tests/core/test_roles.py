"""Which role may do what, after "who may read what" of the design."""

import pytest

from members import roles


@pytest.mark.parametrize(
    ("permission", "those"),
    [
        ("contribute", {"analyst"}),
        ("read-holding", {"analyst", "officer", "counsel"}),
        ("read-own-originals", {"analyst", "officer", "counsel"}),
        ("read-disclosures", {"officer", "counsel", "forum-officer"}),
        ("ask-questions", {"officer", "counsel", "forum-officer", "forum-counsel"}),
        ("decide-hold", {"counsel", "forum-counsel"}),
        ("edit-member-policy", {"officer", "counsel"}),
        ("draft-floor", {"forum-counsel"}),
        ("activate-floor", {"operator"}),
        ("manage-people", {"administrator"}),
        ("manage-members", {"operator"}),
        ("operate", {"operator"}),
        ("make-tokens", {"analyst"}),
        ("read-token-use", {"analyst", "officer", "counsel"}),
        ("read-token-alarms", {"forum-counsel", "forum-officer", "operator"}),
        ("unheard-of", set()),
    ],
)
def test_a_permission_belongs_to_these_roles_and_no_other(permission: str, those: set[str]) -> None:
    everybody = roles.OF_A_MEMBER | roles.OF_THE_FORUM
    assert {role for role in everybody if roles.may([role], permission)} == those


@pytest.mark.parametrize("permission", ["contribute", "read-holding", "read-own-originals"])
def test_no_role_of_the_forum_reads_or_writes_content(permission: str) -> None:
    assert not roles.may(roles.OF_THE_FORUM, permission)


def test_who_drafts_the_floor_does_not_activate_it() -> None:
    assert roles.PERMISSIONS["draft-floor"].isdisjoint(roles.PERMISSIONS["activate-floor"])


def test_the_table_names_known_roles_only() -> None:
    named = frozenset[str]().union(*roles.PERMISSIONS.values())
    assert named <= roles.OF_A_MEMBER | roles.OF_THE_FORUM


@pytest.mark.parametrize(
    ("role", "of_forum", "full"),
    [
        ("counsel", False, "counsel"),
        ("counsel", True, "forum-counsel"),
        ("officer", True, "forum-officer"),
        ("operator", True, "operator"),
        ("analyst", False, "analyst"),
        ("operator", False, None),  # employed by a member
        ("analyst", True, None),
        ("administrator", True, None),
        ("forum-counsel", False, None),  # a full name is no row
        ("forum-counsel", True, None),
        ("unheard-of", False, None),
    ],
)
def test_a_role_is_another_one_at_the_forum(role: str, full: str | None, *, of_forum: bool) -> None:
    assert roles.effective(role, of_forum=of_forum) == full


@pytest.mark.parametrize(
    ("scope", "permission", "allowed"),
    [
        ("taxii-read", "read-holding", True),
        ("taxii-read", "contribute", False),
        ("taxii-write", "contribute", True),
        ("taxii-write", "read-holding", False),
        ("ledger-read", "read-ledger", True),
        ("ledger-read", "read-holding", False),
        ("api-write", "manage-credentials", False),
        ("tokens", "make-tokens", True),
        ("tokens", "contribute", False),
        ("tokens", "read-holding", False),
        ("api-read", "make-tokens", False),
        ("taxii-write", "make-tokens", False),
        ("extracts", "send-extracts", True),
        ("extracts", "make-tokens", False),
        ("extracts", "read-holding", False),
        ("api-write", "send-extracts", False),
        ("unheard-of", "contribute", False),
    ],
)
def test_a_machine_may_do_what_its_scope_says(
    scope: str, permission: str, *, allowed: bool
) -> None:
    assert roles.scope_allows([scope], permission) is allowed


def test_no_scope_reaches_people_keys_or_policies() -> None:
    reached = frozenset[str]().union(*roles.SCOPES.values())
    content = {"read-holding", "read-own-originals", "contribute"}
    content |= {"recall", "follow-recalls", "acknowledge"}  # taking back: never erasing
    pool = {"send-extracts", "read-own-extracts", "read-algorithms"}  # statuses, no row
    assert reached == content | pool | {"read-ledger", "make-tokens"}
