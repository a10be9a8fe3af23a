"""Rows of who takes part: members, people, roles, circles, agreements, credentials."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.postgres.fields import ArrayField
from django.db import models

TLP_LEVELS = ["clear", "green", "amber", "amber+strict", "red"]
ROLES = ["analyst", "officer", "counsel", "administrator", "operator"]
SCOPES = ["taxii-read", "taxii-write", "api-read", "api-write", "ledger-read", "tokens", "extracts"]
LONGEST_CREDENTIAL = timedelta(days=400)


class MemberManager(models.Manager["Member"]):
    """Those who take part. The exchange's own row is none of them: see `Member.is_exchange`."""

    def get_queryset(self) -> models.QuerySet["Member"]:
        """All but the exchange."""
        return super().get_queryset().filter(is_exchange=False)


class Member(models.Model):
    """An organisation in the forum."""

    class State(models.TextChoices):
        """Only an active member contributes and receives."""

        ACTIVE = "active"
        SUSPENDED = "suspended"
        LEFT = "left"

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    name = models.TextField(unique=True)
    slug = models.SlugField(unique=True)
    state = models.TextField(choices=State, default=State.ACTIVE)
    joined_at = models.DateTimeField()
    left_at = models.DateTimeField(null=True)
    tlp_ceiling = models.TextField(default="amber+strict")
    default_circle = models.ForeignKey(
        "Circle", on_delete=models.PROTECT, null=True, related_name="+"
    )
    verified_domains = ArrayField(models.TextField(), default=list)
    # Who stands behind it, as the operator has stated it; empty where the member is its own.
    owner = models.TextField(default="")
    # The exchange, as who contributes what its runs find: no seat, no people, no credential, and
    # in no list of members. So that no list can forget it, `objects` does not know it.
    is_exchange = models.BooleanField(default=False, db_default=False, editable=False)

    objects = MemberManager()
    everyone = models.Manager["Member"]()

    class Meta:
        """Closed words; who left has left at a time; one exchange, always there."""

        constraints = [
            models.UniqueConstraint(
                fields=["is_exchange"],
                condition=models.Q(is_exchange=True),
                name="member_one_exchange",
            ),
            models.CheckConstraint(
                condition=models.Q(is_exchange=False) | models.Q(state="active"),
                name="member_exchange_stays",
            ),
            models.CheckConstraint(
                condition=models.Q(state__in=["active", "suspended", "left"]), name="member_state"
            ),
            models.CheckConstraint(
                condition=models.Q(tlp_ceiling__in=TLP_LEVELS), name="member_tlp_ceiling"
            ),
            models.CheckConstraint(
                condition=models.Q(state="left", left_at__isnull=False)
                | (~models.Q(state="left") & models.Q(left_at__isnull=True)),
                name="member_left_at",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class DataKey(models.Model):
    """A member's data key, wrapped by a key that the database does not hold."""

    id = models.BigAutoField(primary_key=True)
    member = models.ForeignKey(Member, on_delete=models.PROTECT, related_name="data_keys")
    epoch = models.IntegerField()
    wrapped = models.BinaryField()

    class Meta:
        """One key for an epoch; an epoch has two bytes in what is sealed."""

        constraints = [
            models.UniqueConstraint(fields=["member", "epoch"], name="key_of_epoch"),
            models.CheckConstraint(
                condition=models.Q(epoch__range=(1, 65_535)), name="epoch_of_two_bytes"
            ),
        ]


class UserManager(BaseUserManager["User"]):
    """Makes people; a password is optional, for they may sign in by link first."""

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":  # noqa: ANN401 - model fields
        """A person with a normalised e-mail address."""
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user


class User(AbstractBaseUser):
    """A person of a member; people of the forum itself have no member."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    email = models.EmailField(unique=True)
    name = models.TextField()
    member = models.ForeignKey(Member, on_delete=models.PROTECT, null=True, related_name="users")
    is_active = models.BooleanField(default=True)

    objects = UserManager()

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS = ["name"]

    def __str__(self) -> str:
        return self.name


class UserRole(models.Model):
    """A role that a person has; without a member it is a role of the forum."""

    id = models.BigAutoField(primary_key=True)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="role_rows")
    role = models.TextField()

    class Meta:
        """A role once; a trigger keeps the forum's apart from a member's."""

        constraints = [
            models.UniqueConstraint(fields=["user", "role"], name="role_once"),
            models.CheckConstraint(condition=models.Q(role__in=ROLES), name="role_known"),
        ]


class Circle(models.Model):
    """A named group of at least three members; the forum's is the circle of all."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    slug = models.SlugField(unique=True)
    name = models.TextField()
    is_forum = models.BooleanField(default=False)
    created_at = models.DateTimeField()

    class Meta:
        """One circle of all."""

        constraints = [
            models.UniqueConstraint(
                fields=["is_forum"], condition=models.Q(is_forum=True), name="one_forum_circle"
            )
        ]

    def __str__(self) -> str:
        return self.name


class CircleMember(models.Model):
    """A member's seat in a circle, from a day to a day."""

    id = models.BigAutoField(primary_key=True)
    circle = models.ForeignKey(Circle, on_delete=models.PROTECT, related_name="seats")
    member = models.ForeignKey(Member, on_delete=models.PROTECT, related_name="circle_memberships")
    joined_at = models.DateTimeField()
    left_at = models.DateTimeField(null=True)

    class Meta:
        """One open seat."""

        constraints = [
            models.UniqueConstraint(
                fields=["circle", "member"],
                condition=models.Q(left_at__isnull=True),
                name="one_open_seat",
            )
        ]


class Agreement(models.Model):
    """What a member accepts before anything is sent to it; the purpose is fixed in it."""

    id = models.BigAutoField(primary_key=True)
    version = models.TextField(unique=True)
    text = models.TextField()
    purpose = models.TextField()
    digest = models.BinaryField()
    effective_at = models.DateTimeField()


class Acceptance(models.Model):
    """A member accepted an agreement through a person."""

    id = models.BigAutoField(primary_key=True)
    agreement = models.ForeignKey(Agreement, on_delete=models.PROTECT, related_name="+")
    member = models.ForeignKey(Member, on_delete=models.PROTECT, related_name="acceptances")
    accepted_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    accepted_at = models.DateTimeField()

    class Meta:
        """Accepted once."""

        constraints = [
            models.UniqueConstraint(fields=["agreement", "member"], name="accepted_once")
        ]


class Credential(models.Model):
    """An API key of a member; only its digest is kept."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    member = models.ForeignKey(Member, on_delete=models.PROTECT, related_name="credentials")
    name = models.TextField()
    digest = models.BinaryField(unique=True)
    hint = models.TextField()
    scopes = ArrayField(models.TextField())
    networks = ArrayField(models.TextField(), default=list)
    default_basis = ArrayField(models.TextField(), default=list)
    created_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True)
    last_used_at = models.DateTimeField(null=True)

    class Meta:
        """Closed scopes, and an end that is not too far."""

        constraints = [
            models.CheckConstraint(
                condition=models.Q(scopes__contained_by=SCOPES, scopes__len__gt=0),
                name="credential_scopes",
            ),
            models.CheckConstraint(
                condition=models.Q(
                    expires_at__gte=models.F("created_at"),
                    expires_at__lte=models.F("created_at") + LONGEST_CREDENTIAL,
                ),
                name="credential_ends",
            ),
        ]


class SignInLink(models.Model):
    """A link that signs one person in; only its digest is kept."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    digest = models.BinaryField(unique=True)
    expires_at = models.DateTimeField()
    uses_left = models.PositiveIntegerField(default=1)


class Invitation(models.Model):
    """A person is asked in; only the digest of the link is kept."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    member = models.ForeignKey(Member, on_delete=models.PROTECT, null=True, related_name="+")
    email = models.EmailField()
    name = models.TextField()
    roles = ArrayField(models.TextField())
    digest = models.BinaryField(unique=True)
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True)
