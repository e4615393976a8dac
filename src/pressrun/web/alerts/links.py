"""Addresses that mails lead to. What a link may do without signing in, its signature says."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.core import signing
from django.urls import reverse

from pressrun.web.alerts.models import Reader, Subscription

__all__ = ["CONFIRM_WITHIN", "absolute", "confirm_path", "opened", "preferences_path", "stop_path"]

CONFIRM_WITHIN = timedelta(days=7)


def absolute(path: str) -> str:
    """A path as a mail must write it: with this site's own address."""
    return f"{settings.SITE_URL}{path}"


def confirm_path(subscription: Subscription) -> str:
    return reverse("mail-confirm", args=[_signed("confirm", f"{subscription.pk}.{subscription.asked.timestamp():.0f}")])


def stop_path(subscription: Subscription) -> str:
    """Ends one subscription, nothing else."""
    return reverse("mail-stop", args=[_signed("stop", str(subscription.pk))])


def preferences_path(reader: Reader) -> str:
    return reverse("mail-preferences", args=[_signed("preferences", str(reader.pk))])


def opened(purpose: str, token: str) -> str:
    """What a link of this purpose was made for; "" where the signature is not ours, or the time to confirm is over."""
    try:
        return signing.TimestampSigner(salt=f"pressrun.mail.{purpose}").unsign(
            token, max_age=CONFIRM_WITHIN if purpose == "confirm" else None
        )
    except signing.BadSignature:
        return ""


def _signed(purpose: str, value: str) -> str:
    return signing.TimestampSigner(salt=f"pressrun.mail.{purpose}").sign(value)
