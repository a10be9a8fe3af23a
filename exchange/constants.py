"""The exchange's own release: what is public, the same everywhere, and served whole."""

from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.db import transaction

from exchange.models import Forum
from indicators.stix import atlas, extensions, markings
from members import onboarding


def issuer_id() -> str:
    """The identity under which this forum's exchange issues objects."""
    return f"identity--{_identity()}"


def ids() -> frozenset[str]:
    """The published ids; a contributed copy of one is stored and goes nowhere."""
    return _published_ids()


def objects() -> tuple[dict[str, Any], ...]:
    """The exchange's identity, then the public constants in the order of a bundle."""
    published = _published()
    forum = Forum.objects.get(pk=1)
    stamp = forum.created_at.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    identity = {
        "type": "identity",
        "spec_version": "2.1",
        "id": f"identity--{forum.identity_id}",
        "created": stamp,
        "modified": stamp,
        "name": forum.name,
        "identity_class": "system",
    }
    return (identity, *published)


@transaction.atomic
def found(name: str, *, now: datetime) -> None:
    """Mint the forum's names, once, and the row as which the exchange itself contributes."""
    Forum.objects.get_or_create(pk=1, defaults={"name": name, "created_at": now})
    onboarding.found_exchange(now=now)


@lru_cache(maxsize=1)
def _published() -> tuple[dict[str, Any], ...]:
    return (
        *(dict(obj) for obj in extensions.definitions()),
        *(dict(obj) for obj in markings.published()),
        *(dict(obj) for obj in atlas.techniques().values()),
    )


@lru_cache(maxsize=1)
def _published_ids() -> frozenset[str]:
    return frozenset(str(obj["id"]) for obj in _published()) | frozenset(markings.TLP1_TO_TLP2)


def _identity() -> UUID:
    return Forum.objects.values_list("identity_id", flat=True).get(pk=1)
