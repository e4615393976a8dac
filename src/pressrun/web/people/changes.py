"""What an owner changes about an account."""

from __future__ import annotations

from allauth.usersessions.models import UserSession
from django.contrib.auth.models import User
from django.db import transaction

from pressrun.web.people.models import Profile
from pressrun.web.people.roles import Role

__all__ = ["end_sessions", "give_role", "set_active"]


def give_role(user: User, role: Role) -> None:
    """Make a user a reader, member, curator or owner. Owners, and nobody else, see Django's admin."""
    with transaction.atomic():
        Profile.objects.update_or_create(user=user, defaults={"role": role.value})
        user.is_staff = user.is_superuser = role is Role.OWNER
        user.save(update_fields=["is_staff", "is_superuser"])
    user.refresh_from_db()  # its profile, where it had been read before


def set_active(user: User, active: bool) -> None:
    """Let a user sign in, or keep them out: their sessions end at once, and their tokens rest."""
    user.is_active = active
    user.save(update_fields=["is_active"])
    if not active:
        end_sessions(user)


def end_sessions(user: User) -> int:
    """Sign a user out everywhere; gives in how many places."""
    sessions = list(UserSession.objects.filter(user=user))
    for session in sessions:
        session.end()
    return len(sessions)
