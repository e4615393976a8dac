"""What every page says about notifications."""

from __future__ import annotations

from typing import Any

from django import template
from django.db import DatabaseError

from pressrun.web.alerts.models import Notification
from pressrun.web.api.answers import one_line

register = template.Library()
register.filter("one_line", one_line)


@register.simple_tag(takes_context=True)
def unread(context: dict[str, Any]) -> int | None:
    """How many notifications the user has not read; None for nobody, and on the page that tells that the database failed."""
    try:
        user = context["request"].user
        return Notification.objects.filter(user=user.pk, read=None).count() if user.is_authenticated else None
    except (KeyError, AttributeError, DatabaseError):
        return None
