"""The periodic work of accounts."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from pressrun.web.ops.jobs import job
from pressrun.web.people import limits
from pressrun.web.people.models import AccessToken, Invitation

__all__ = ["clean_people"]

_KEPT = timedelta(days=90)


@job("clean-people", every=timedelta(days=1))
def clean_people() -> str:
    """Removes counters whose window is over, and tokens and invitations that have not worked for three months."""
    old = timezone.now() - _KEPT
    tokens = AccessToken.objects.filter(expires__lt=old) | AccessToken.objects.filter(revoked__lt=old)
    counts = {
        "counters": limits.forget_old(),
        "tokens": tokens.delete()[0],
        "invitations": Invitation.objects.filter(expires__lt=old).delete()[0],
    }
    return ", ".join(f"{count} {what}" for what, count in counts.items())
