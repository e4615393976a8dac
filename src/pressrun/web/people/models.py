"""Accounts as the database keeps them, beside Django's own user: profile, access tokens, invitations, counters of limits."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from pressrun.web.people.roles import Role

SCOPES = {
    "read": "read what you may read, your private lists among it",
    "write": "vote, write and submit in your name",
    "run": "start and cancel runs",
    "admin": "everything that your role allows",
}
ROLES = [(role.value, role.value) for role in Role]


class Profile(models.Model):
    """What an account is here. `local` marks the one that stands for the owner at this machine."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.CASCADE, related_name="profile")
    display_name = models.CharField(max_length=80, blank=True)
    timezone = models.CharField(max_length=60, default="UTC")
    role = models.CharField(max_length=10, choices=ROLES, default=Role.MEMBER.value)
    local = models.BooleanField(default=False, editable=False)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["local"], condition=Q(local=True), name="one_local_owner")]

    def __str__(self) -> str:
        return self.name

    @property
    def name(self) -> str:
        """What the site calls the person."""
        return self.display_name or self.user.get_username()


class TokenQuerySet(models.QuerySet["AccessToken"]):
    def live(self, now: datetime | None = None) -> TokenQuerySet:
        """Tokens that work: neither revoked nor over, of a user who may sign in."""
        open_ended = Q(expires=None) | Q(expires__gt=now or timezone.now())
        return self.filter(open_ended, revoked=None, user__is_active=True)


class AccessToken(models.Model):
    """A key by which a program acts for its user. Of the secret itself only the SHA-256 is kept: it has 256 random bits."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="access_tokens")
    name = models.CharField(max_length=80)
    prefix = models.CharField(max_length=12)
    digest = models.CharField(max_length=64, unique=True)
    scopes = models.JSONField(default=list)
    created = models.DateTimeField(auto_now_add=True)
    expires = models.DateTimeField(null=True)
    last_used = models.DateTimeField(null=True)
    revoked = models.DateTimeField(null=True)

    objects = TokenQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["-pk"]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    def has(self, scope: str) -> bool:
        """Whether the token may do this. `admin` holds all others, and every token may read."""
        return scope == "read" or scope in self.scopes or "admin" in self.scopes

    @property
    def over(self) -> bool:
        return self.revoked is not None or (self.expires is not None and self.expires <= timezone.now())


class InvitationQuerySet(models.QuerySet["Invitation"]):
    def waiting(self, now: datetime | None = None) -> InvitationQuerySet:
        """Invitations that somebody may still take up."""
        return self.filter(used=None, revoked=None, expires__gt=now or timezone.now())


class Invitation(models.Model):
    """A link by which one person may sign up, once, until it runs out. Of its secret only the SHA-256 is kept."""

    digest = models.CharField(max_length=64, unique=True)
    note = models.CharField(max_length=120, blank=True)
    role = models.CharField(max_length=10, choices=ROLES, default=Role.MEMBER.value)
    invited_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="invitations")
    taken_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    created = models.DateTimeField(auto_now_add=True)
    expires = models.DateTimeField()
    used = models.DateTimeField(null=True)
    revoked = models.DateTimeField(null=True)

    objects = InvitationQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["-pk"]

    def __str__(self) -> str:
        return self.note or f"invitation {self.pk}"


class FormerName(models.Model):
    """A name whose account is gone, as a keyed hash. Nobody else gets it: mentions and runs of old still say it."""

    digest = models.CharField(max_length=64, primary_key=True)

    def __str__(self) -> str:
        return self.digest


class Switch(models.Model):
    """A choice that the owner made on a page, in place of the setting's."""

    name = models.CharField(max_length=40, primary_key=True)
    value = models.CharField(max_length=200)

    def __str__(self) -> str:
        return f"{self.name}: {self.value}"


class Spending(models.Model):
    """How often something was done in one window of time. `name` is a keyed hash, `until` a Unix time."""

    name = models.CharField(max_length=40)
    window = models.BigIntegerField()
    count = models.PositiveIntegerField()
    until = models.BigIntegerField(db_index=True)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["name", "window"], name="one_count_a_window")]

    def __str__(self) -> str:
        return f"{self.name}: {self.count}"
