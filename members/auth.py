"""From a request to a principal: a session, or a credential of a member."""

import base64
import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from uuid import UUID

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.db import transaction
from django.http import HttpRequest, HttpResponseBase
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated
from rest_framework.request import Request

from members import roles, scope
from members.models import Credential, Member, User, UserRole

_REFUSED = "These credentials are not valid here."
_USED_EVERY = timedelta(minutes=1)
# The attribute of a request that says who asks.
PRINCIPAL = "principal"


@dataclass(frozen=True, slots=True)
class Principal:
    """User or credential acting for a member in one request; forum people have no member."""

    member_id: UUID | None = None
    user_id: UUID | None = None
    credential_id: UUID | None = None
    roles: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset()
    name: str = ""
    default_basis: tuple[str, ...] = ()

    @property
    def is_authenticated(self) -> bool:
        """Whether anyone is there; what REST framework asks of its users."""
        return self.user_id is not None or self.credential_id is not None

    def may(self, permission: str) -> bool:
        """Whether a role of the person, or a scope of the credential, allows it."""
        if self.credential_id is not None:
            return roles.scope_allows(self.scopes, permission)
        return roles.may(self.roles, permission)

    def acting(self) -> scope.Acting:
        """For whom the database answers."""
        return scope.Acting(self.member_id, self.user_id, self.roles)


NOBODY = Principal()


def principal_of(user: User | AnonymousUser) -> Principal:
    """The principal of a signed-in person; nobody, once the person or the member is not active."""
    if not isinstance(user, User) or not user.is_active:
        return NOBODY
    member = user.member
    if member is not None and member.state != Member.State.ACTIVE:
        return NOBODY
    rows = UserRole.objects.filter(user=user).values_list("role", flat=True)
    named = {roles.effective(role, of_forum=member is None) for role in rows}
    return Principal(
        member_id=user.member_id,
        user_id=user.id,
        roles=frozenset(name for name in named if name),
        name=user.name,
    )


class AddressMiddleware:
    """Behind a proxy of ours the asker's address is the one that the proxy wrote down last.

    What stands before it in X-Forwarded-For the asker may have written.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Before anyone asks from where the request came."""
        if settings.SECURE_PROXY_SSL_HEADER is not None:
            given = request.META.get("HTTP_X_FORWARDED_FOR", "")
            # A proxy that names nobody leaves no address: allowed networks then let nobody in.
            request.META["REMOTE_ADDR"] = given.rpartition(",")[2].strip()
        return self.get_response(request)


class ScopeMiddleware:
    """One transaction for a request, with the web's database role and the principal's rows.

    What fails with a server error leaves nothing behind.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer inside the transaction."""
        with scope.request():
            principal = NOBODY
            is_machine = "HTTP_AUTHORIZATION" in request.META
            # A connection that is the web's by itself acts for nobody until a credential is found.
            if not (is_machine and settings.DATABASE_ROLE == "web"):
                scope.enter(scope.Acting())
            if not is_machine:
                principal = principal_of(request.user)
            if principal.is_authenticated:
                scope.enter(principal.acting())
            setattr(request, PRINCIPAL, principal)
            response = self.get_response(request)
            if response.status_code >= 500:
                transaction.set_rollback(True)
        return response


class CredentialAuthentication(BaseAuthentication):
    """Basic, Bearer or Token: one look-up by digest, never a password hash (RFC 7617, RFC 6750)."""

    def authenticate(self, request: Request) -> tuple[Principal, UUID | None] | None:
        """The credential's principal, or nothing where none was given."""
        principal = of_machine(request._request)
        if principal is None:
            return None
        scope.enter(principal.acting())
        return principal, principal.credential_id

    def authenticate_header(self, request: Request) -> str:
        """The registered scheme that a 401 names."""
        return 'Basic realm="Weir"'


class SessionAuthentication(BaseAuthentication):
    """A signed-in person's browser, for reading only: what changes anything has its own page."""

    def authenticate(self, request: Request) -> tuple[Principal, None] | None:
        """The principal that the middleware found."""
        principal: Principal = getattr(request._request, PRINCIPAL, NOBODY)
        if not principal.is_authenticated or request.method not in ("GET", "HEAD"):
            return None
        return principal, None


def of_machine(request: HttpRequest) -> Principal | None:
    """The principal of the credential in a request, or nobody where there is none in it."""
    header = request.META.get("HTTP_AUTHORIZATION", "")
    if not header:
        return None
    principal = by_secret(_secret(header), address=request.META.get("REMOTE_ADDR", ""))
    if principal is None:
        raise AuthenticationFailed(_REFUSED)
    setattr(request, PRINCIPAL, principal)
    return principal


def asking(request: Request) -> Principal:
    """Who asks in an API request; NotAuthenticated for nobody."""
    user: object = request.user
    if not isinstance(user, Principal):
        raise NotAuthenticated
    return user


def _secret(header: str) -> str:
    scheme, _, value = header.strip().partition(" ")
    if scheme.lower() in ("bearer", "token"):
        return value.strip()
    if scheme.lower() != "basic":
        raise AuthenticationFailed(_REFUSED)
    try:
        pair = base64.b64decode(value.strip(), validate=True).decode()
    except ValueError:  # not base64, not ASCII, not UTF-8
        raise AuthenticationFailed(_REFUSED) from None
    return pair.partition(":")[2]


def by_secret(secret: str, *, address: str) -> Principal | None:
    """The principal of a credential that is valid now and from this address, or nobody."""
    now = timezone.now()
    rows = scope.first(_CREDENTIAL, [sha256(secret.encode()).digest(), now])
    if not rows:
        return None
    key, member_id, name, scopes, networks, default_basis, used_at = rows[0]
    if not _is_from(networks, address):
        return None
    if used_at is None or now - used_at > _USED_EVERY:
        Credential.objects.filter(pk=key).update(last_used_at=now)
    return Principal(
        member_id=member_id,
        credential_id=key,
        scopes=frozenset(scopes),
        name=name,
        default_basis=tuple(default_basis),
    )


_CREDENTIAL = """
SELECT key.id, key.member_id, key.name, key.scopes, key.networks, key.default_basis,
    key.last_used_at
FROM members_credential key
JOIN members_member me ON me.id = key.member_id AND me.state = 'active'
WHERE key.digest = %s AND key.revoked_at IS NULL AND key.expires_at > %s
"""


def _is_from(networks: Sequence[str], address: str) -> bool:
    if not networks:
        return True
    try:
        here = ipaddress.ip_address(address)
    except ValueError:
        return False
    # A socket that listens on :: names an IPv4 client ::ffff:192.0.2.1.
    here = getattr(here, "ipv4_mapped", None) or here
    return any(here in ipaddress.ip_network(network) for network in networks)
