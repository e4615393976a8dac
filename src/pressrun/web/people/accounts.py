"""Making an account without a browser."""

from __future__ import annotations

from allauth.account.models import EmailAddress
from django.contrib.auth.models import User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction

from pressrun.web.errors import BadInput
from pressrun.web.people.changes import give_role
from pressrun.web.people.names import VALIDATORS
from pressrun.web.people.roles import Role

__all__ = ["make_account", "site_address"]


def make_account(name: str, email: str, password: str, role: Role) -> User:
    """An account whose address counts as confirmed, under the rules that sign-up has.

    Raises:
        BadInput: if the name or address is taken or does not fit, or the password is weak; in a sentence.
    """
    name, email = name.casefold(), email.strip().lower()
    user = User(username=name, email=email)
    try:
        for validator in VALIDATORS:
            validator(name)
        validate_email(email)
        validate_password(password, user)
    except ValidationError as problem:
        raise BadInput(" ".join(problem.messages)) from problem
    if User.objects.filter(username__iexact=name).exists():
        raise BadInput(f"there is an account called {name} already.")
    if EmailAddress.objects.filter(email__iexact=email).exists():
        raise BadInput(f"there is an account with the address {email} already.")
    with transaction.atomic():
        user.set_password(password)
        user.save()
        EmailAddress.objects.create(user=user, email=email, verified=True, primary=True)
        give_role(user, role)
    return user


def site_address() -> str:
    """Where the site is reached from outside a request: the first host that its owner named, else this machine."""
    from pressrun.web.api.answers import site_host
    from pressrun.web.serving import DEFAULT_PORT

    host = site_host()
    return f"http://{host}:{DEFAULT_PORT}" if host == "localhost" else f"https://{host}"
