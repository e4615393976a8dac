"""The user row behind the person at this machine, who needs no sign-up and no password."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from pressrun.web.people.models import Profile
from pressrun.web.people.roles import Role

__all__ = ["owner_user"]


def owner_user() -> User:
    """The local owner's user, made on first use. It has no password and no address: nobody signs in as it."""
    found = User.objects.filter(profile__local=True).select_related("profile").first()
    while found is None:
        try:
            found = _made()
        except IntegrityError:  # another request made it at the same moment
            found = User.objects.filter(profile__local=True).select_related("profile").first()
    return found


def _made() -> User:
    taken = set(User.objects.filter(username__startswith="owner").values_list("username", flat=True))
    name = next(name for n in range(1, len(taken) + 2) if (name := "owner" if n == 1 else f"owner-{n}") not in taken)
    with transaction.atomic():
        user = User(username=name, is_staff=True, is_superuser=True)
        user.set_unusable_password()
        user.save()
        Profile.objects.update_or_create(user=user, defaults={"local": True, "role": Role.OWNER, "display_name": "Owner"})
    user.refresh_from_db()  # its profile, which had another state when it was made
    return user
