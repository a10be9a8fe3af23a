"""API keys of a member: minted and shown once, rotated with an overlap, revoked at once."""

import ipaddress
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from secrets import token_urlsafe
from uuid import UUID

from django.db import transaction

from exchange.proof.refused import Forbidden, NotFound, Refused
from members import roles
from members.auth import Principal
from members.models import LONGEST_CREDENTIAL, Credential

MOST_DAYS = LONGEST_CREDENTIAL.days


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a new credential is to be."""

    name: str
    scopes: tuple[str, ...]
    networks: tuple[str, ...] = ()
    days: int = 365
    default_basis: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CredentialRow:
    """One credential as its member sees it; the secret is not there any more."""

    id: UUID
    name: str
    hint: str
    scopes: tuple[str, ...]
    networks: tuple[str, ...]
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    last_used_at: datetime | None


@transaction.atomic
def mint(principal: Principal, wanted: Wanted, *, now: datetime) -> tuple[UUID, str]:
    """A new credential and its secret, which is shown this once and never again."""
    member_id = _may_manage(principal)
    if principal.user_id is None:
        raise Forbidden("A person mints credentials.")
    _check(wanted)
    secret = f"weir_{token_urlsafe(32)}"
    row = Credential.objects.create(
        member_id=member_id,
        name=wanted.name.strip(),
        digest=sha256(secret.encode()).digest(),
        hint=secret[-4:],
        scopes=sorted(set(wanted.scopes)),
        networks=list(wanted.networks),
        default_basis=list(wanted.default_basis),
        created_by_id=principal.user_id,
        created_at=now,
        expires_at=now + timedelta(days=wanted.days),
    )
    return row.id, secret


@transaction.atomic
def rotate(
    principal: Principal, credential_id: UUID, *, overlap: timedelta, now: datetime
) -> tuple[UUID, str]:
    """The same again with a new secret; the old one ends after the overlap."""
    row = _own(principal, credential_id)
    if row.revoked_at is not None or row.expires_at <= now:
        raise Refused("credential.ended", "It has ended: mint a new one.")
    if overlap < timedelta(0):
        raise Refused("credential.overlap", "The overlap cannot be negative.", "overlap")
    days = max(1, min(MOST_DAYS, (row.expires_at - row.created_at).days))
    wanted = Wanted(
        row.name, tuple(row.scopes), tuple(row.networks), days, tuple(row.default_basis)
    )
    made = mint(principal, wanted, now=now)
    Credential.objects.filter(pk=row.pk).update(expires_at=min(row.expires_at, now + overlap))
    return made


@transaction.atomic
def revoke(principal: Principal, credential_id: UUID, *, now: datetime) -> None:
    """End it from this moment."""
    row = _own(principal, credential_id)
    Credential.objects.filter(pk=row.pk, revoked_at__isnull=True).update(revoked_at=now)


def credentials(principal: Principal) -> tuple[CredentialRow, ...]:
    """The member's credentials, newest first."""
    if principal.member_id is None:
        return ()
    rows = Credential.objects.filter(member_id=principal.member_id).order_by("-created_at")
    return tuple(
        CredentialRow(
            row.id,
            row.name,
            row.hint,
            tuple(row.scopes),
            tuple(row.networks),
            row.created_at,
            row.expires_at,
            row.revoked_at,
            row.last_used_at,
        )
        for row in rows
    )


def _check(wanted: Wanted) -> None:
    if not wanted.name.strip():
        raise Refused("credential.name", "Give the credential a name.", "name")
    if not wanted.scopes or not set(wanted.scopes) <= roles.SCOPES.keys():
        raise Refused("credential.scopes", "Choose at least one scope of the list.", "scopes")
    if not 1 <= wanted.days <= MOST_DAYS:
        raise Refused("credential.days", f"It lasts between 1 and {MOST_DAYS} days.", "days")
    for network in wanted.networks:
        try:
            ipaddress.ip_network(network)
        except ValueError:
            raise Refused(
                "credential.networks", "A network is written like 192.0.2.0/24.", "networks"
            ) from None


def _may_manage(principal: Principal) -> UUID:
    if principal.member_id is None or not principal.may("manage-credentials"):
        raise Forbidden("Your role may not manage credentials.")
    return principal.member_id


def _own(principal: Principal, credential_id: UUID) -> Credential:
    member_id = _may_manage(principal)
    row = Credential.objects.filter(pk=credential_id, member_id=member_id).first()
    if row is None:
        raise NotFound
    return row
