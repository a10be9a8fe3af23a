"""Which role may do what: one table, after "who may read what" of the design."""

from collections.abc import Iterable, Mapping

ANALYST, OFFICER, COUNSEL = "analyst", "officer", "counsel"
ADMINISTRATOR, OPERATOR = "administrator", "operator"
FORUM_COUNSEL, FORUM_OFFICER = "forum-counsel", "forum-officer"

OF_A_MEMBER = frozenset({ANALYST, OFFICER, COUNSEL, ADMINISTRATOR})
OF_THE_FORUM = frozenset({FORUM_COUNSEL, FORUM_OFFICER, OPERATOR})

PERMISSIONS: Mapping[str, frozenset[str]] = {
    "contribute": frozenset({ANALYST}),
    "read-holding": frozenset({ANALYST, OFFICER, COUNSEL}),
    "read-own-originals": frozenset({ANALYST, OFFICER, COUNSEL}),
    "read-disclosures": frozenset({OFFICER, COUNSEL, FORUM_OFFICER}),
    # The compliance workspace; each question says which of these roles it answers.
    "ask-questions": frozenset({OFFICER, COUNSEL, FORUM_OFFICER, FORUM_COUNSEL}),
    "read-holds": frozenset({ANALYST, OFFICER, COUNSEL, FORUM_COUNSEL}),
    "decide-hold": frozenset({COUNSEL, FORUM_COUNSEL}),
    # Whoever sees the harm first takes it back; what is erased is gone for its officers too.
    "recall": frozenset({ANALYST, OFFICER, COUNSEL, FORUM_COUNSEL}),
    "erase": frozenset({OFFICER, COUNSEL, FORUM_COUNSEL}),
    "follow-recalls": frozenset({ANALYST, OFFICER, COUNSEL, FORUM_COUNSEL, FORUM_OFFICER}),
    "acknowledge": frozenset({ANALYST, OFFICER, COUNSEL}),
    "set-legal-hold": frozenset({COUNSEL, FORUM_COUNSEL}),
    "read-legal-holds": frozenset({OFFICER, COUNSEL, FORUM_COUNSEL, FORUM_OFFICER}),
    "ask-for-person": frozenset({OFFICER, FORUM_OFFICER}),
    "decide-for-person": frozenset({COUNSEL, FORUM_COUNSEL}),
    "read-ledger": frozenset({ANALYST, OFFICER, COUNSEL, FORUM_OFFICER, FORUM_COUNSEL, OPERATOR}),
    "read-policy": OF_A_MEMBER | OF_THE_FORUM,
    "edit-member-policy": frozenset({OFFICER, COUNSEL}),
    "draft-floor": frozenset({FORUM_COUNSEL}),
    "activate-floor": frozenset({OPERATOR}),
    "make-tokens": frozenset({ANALYST}),
    # The pool: a machine sends; what it gave away every one of the member's readers may look at.
    "send-extracts": frozenset({ANALYST}),
    "read-own-extracts": frozenset({ANALYST, OFFICER, COUNSEL}),
    # Algorithms of the pool: two people of the member, then counsel, then who runs the exchange.
    "write-algorithm": frozenset({ANALYST}),
    "approve-algorithm": frozenset({OFFICER, COUNSEL}),
    "review-algorithm": frozenset({FORUM_COUNSEL}),
    "activate-algorithm": frozenset({OPERATOR}),
    "withdraw-algorithm": frozenset({ANALYST, OFFICER, COUNSEL, FORUM_COUNSEL}),
    "read-algorithms": frozenset(
        {ANALYST, OFFICER, COUNSEL, FORUM_COUNSEL, FORUM_OFFICER, OPERATOR}
    ),
    "read-token-use": frozenset({ANALYST, OFFICER, COUNSEL}),
    "read-token-alarms": frozenset({FORUM_COUNSEL, FORUM_OFFICER, OPERATOR}),
    "manage-subscriptions": frozenset({ANALYST, ADMINISTRATOR}),
    "manage-credentials": frozenset({ADMINISTRATOR, ANALYST}),
    "manage-people": frozenset({ADMINISTRATOR}),
    "accept-agreement": frozenset({OFFICER, COUNSEL, ADMINISTRATOR}),
    "manage-members": frozenset({OPERATOR}),
    "operate": frozenset({OPERATOR}),
}

# What a credential's scope allows a machine to do.
SCOPES: Mapping[str, frozenset[str]] = {
    "taxii-read": frozenset({"read-holding", "read-own-originals"}),
    "taxii-write": frozenset({"contribute"}),
    "api-read": frozenset({"read-holding", "read-own-originals", "follow-recalls", "acknowledge"}),
    # What may give may take back at once: of its own member's objects, and it erases nothing.
    "api-write": frozenset({"contribute", "recall", "follow-recalls", "acknowledge"}),
    "ledger-read": frozenset({"read-ledger"}),
    # A scope of its own: who may ask may guess.
    "tokens": frozenset({"make-tokens"}),
    # What the extractor at a member's needs, with `tokens`: it reads no object.
    "extracts": frozenset({"send-extracts", "read-own-extracts", "read-algorithms"}),
}


def may(roles: Iterable[str], permission: str) -> bool:
    """Whether one of these roles has a permission; one that is not in the table nobody has."""
    return not PERMISSIONS.get(permission, frozenset()).isdisjoint(roles)


def scope_allows(scopes: Iterable[str], permission: str) -> bool:
    """Whether a machine with these scopes has a permission."""
    return any(permission in SCOPES.get(scope, frozenset()) for scope in scopes)


def effective(role: str, *, of_forum: bool) -> str | None:
    """The full name of a role: the forum's counsel and officer are others than a member's."""
    if not of_forum:
        return role if role in OF_A_MEMBER else None
    return {COUNSEL: FORUM_COUNSEL, OFFICER: FORUM_OFFICER, OPERATOR: OPERATOR}.get(role)
