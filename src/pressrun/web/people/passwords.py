"""What a password must be, beside Django's own checks: not one of 20,000 common ones, not like the name, twelve characters or more."""

from __future__ import annotations

from django.core.exceptions import ValidationError

__all__ = ["LONGEST", "NotTooLong"]

LONGEST = 128


class NotTooLong:
    """Hashing a password takes work that grows with its length, so there is an upper limit, far beyond any phrase."""

    def validate(self, password: str, user: object = None) -> None:  # noqa: ARG002  Django gives it
        if len(password) > LONGEST:
            raise ValidationError(f"The password must have at most {LONGEST} characters, got {len(password):,}.")

    def get_help_text(self) -> str:
        return f"Your password can have at most {LONGEST} characters."
