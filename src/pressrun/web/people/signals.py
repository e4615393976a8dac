"""Every account has a profile, however it was made; and the log tells of sign-ins, without a name."""

from __future__ import annotations

import logging

from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in, user_login_failed
from django.db.models.signals import post_save
from django.dispatch import receiver

from pressrun.web.people.models import Profile
from pressrun.web.people.roles import Role

log = logging.getLogger(__name__)


@receiver(post_save, sender=User)
def give_profile(instance: User, created: bool, raw: bool, **_: object) -> None:
    if created and not raw:
        role = Role.OWNER if instance.is_superuser else Role.MEMBER
        Profile.objects.get_or_create(user=instance, defaults={"role": role.value})


@receiver(user_logged_in)
def note_sign_in(user: User, **_: object) -> None:
    log.info("account %s signed in", user.pk)


@receiver(user_login_failed)
def note_failure(**_: object) -> None:
    log.warning("a sign-in failed")
