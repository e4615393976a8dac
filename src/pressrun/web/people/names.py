"""How accounts may be called. A name stands in addresses and after an @, so it is plain ASCII."""

from __future__ import annotations

from collections.abc import Callable

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.utils.crypto import salted_hmac

__all__ = ["RESERVED", "VALIDATORS", "retire"]

# Names under which somebody could pass for the site itself, or that its addresses and messages use.
_RESERVED = """
about account accounts admin administrator anonymous api author bot curator curators deleted editor everybody everyone help here
hostmaster info mail me member members moderator moderators nobody none null owner owners people postmaster press pressrun reader
readers root security settings site staff support system team undefined user users webmaster
"""
RESERVED = frozenset(_RESERVED.split())


def not_reserved(name: str) -> None:
    if name.casefold() in RESERVED:
        raise ValidationError("This name is kept for the site itself; choose another.")


def not_retired(name: str) -> None:
    from pressrun.web.people.models import FormerName

    if FormerName.objects.filter(digest=_digest(name)).exists():
        raise ValidationError("This name belonged to an account that is gone; choose another.")


def retire(name: str) -> None:
    """Keep a name from being taken again."""
    from pressrun.web.people.models import FormerName

    FormerName.objects.get_or_create(digest=_digest(name))


def _digest(name: str) -> str:
    return salted_hmac("pressrun.names", name.casefold(), algorithm="sha256").hexdigest()


VALIDATORS: list[Callable[[str], None]] = [
    RegexValidator(
        r"\A[A-Za-z0-9](?:[A-Za-z0-9]|[._-](?=[A-Za-z0-9])){1,29}\Z",
        "A name has 2 to 30 letters a to z, digits, and single dots, hyphens or underscores between them.",
    ),
    not_reserved,
    not_retired,
]
