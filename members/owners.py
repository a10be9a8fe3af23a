"""Who stands behind a member: affiliates count as one, wherever independent members are counted."""

from collections.abc import Mapping


def ultimate(owners: Mapping[str, str]) -> Mapping[str, str]:
    """The ultimate owner of each member, by name; `owners` are as the operator has stated them.

    A member without a stated owner is its own. An owner that is itself a member is followed to its
    own owner; a ring of members that own one another is one owner, under its first name.
    """
    by_key = {_key(name): _key(owner) for name, owner in owners.items()}
    return {name: _end(_key(name), by_key) for name in owners}


def _end(name: str, owners: Mapping[str, str]) -> str:
    seen = [name]
    while owner := owners.get(seen[-1], ""):
        if owner in seen:
            return min(seen[seen.index(owner) :])
        seen.append(owner)
    return seen[-1]


def _key(name: str) -> str:
    return " ".join(name.split()).casefold()
