"""What an account leaves behind: everything of it in one file, and what happens to it when the account goes.

Each part of the site registers, in its app's `ready`, what it holds of an account:

    @exports("comments")
    def comments(user: User) -> Iterable[Mapping[str, object]]: ...

    @farewell
    def take_votes_back(user: User) -> None: ...

Farewells run in the transaction that deletes the account, before its row goes; what hangs on the row goes or stays as its
foreign key says (a comment stays, and its author becomes "deleted").
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from pressrun.web.people.names import retire

__all__ = ["delete_account", "everything_of", "exports", "farewell"]

Export = Callable[[User], Iterable[Mapping[str, object]]]
Farewell = Callable[[User], None]

_exports: dict[str, Export] = {}
_farewells: dict[str, Farewell] = {}


def exports(name: str) -> Callable[[Export], Export]:
    """Register what a part of the site holds of an account, as records under a name of its own."""

    def register(function: Export) -> Export:
        _exports[name] = function
        return function

    return register


def farewell(function: Farewell) -> Farewell:
    """Register what is to be done before an account goes."""
    _farewells[f"{function.__module__}.{function.__qualname__}"] = function
    return function


def everything_of(user: User) -> dict[str, object]:
    """All that the site holds of an account, by the part that holds it."""
    found: dict[str, object] = {"made": timezone.now().isoformat(), "account": user.get_username()}
    return found | {name: [dict(record) for record in function(user)] for name, function in sorted(_exports.items())}


def delete_account(user: User) -> None:
    """Remove an account and what hangs on it, or nothing at all. Nobody else can take its name."""
    with transaction.atomic():
        for function in _farewells.values():
            function(user)
        retire(user.get_username())
        user.delete()
