"""The commands about people: accounts, roles, tokens and invitations, for whoever holds the data directory."""

from __future__ import annotations

import secrets
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from pressrun._terminal import AsJson, err, out, print_json, safe, site

if TYPE_CHECKING:
    from django.contrib.auth.models import User

app = typer.Typer(help="Accounts, roles, access tokens and invitations.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(metavar="NAME", help="An account's name.")]


class RoleName(StrEnum):
    READER = "reader"
    MEMBER = "member"
    CURATOR = "curator"
    OWNER = "owner"


class Scope(StrEnum):
    READ = "read"
    WRITE = "write"
    RUN = "run"
    ADMIN = "admin"


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="The account's name: 2 to 30 letters, digits, dots, hyphens, underscores.")],
    email: Annotated[str, typer.Argument(help="Its mail address, taken as confirmed.")],
    role: Annotated[RoleName, typer.Option(help="What it may do.")] = RoleName.MEMBER,
    password_from_stdin: Annotated[
        bool, typer.Option("--password-from-stdin", help="Read the password from standard input instead of making one up.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make an account. Prints a password made up for it, unless it is given."""
    with site():
        from pressrun.web.people.accounts import make_account
        from pressrun.web.people.roles import Role

        given = sys.stdin.readline().rstrip("\r\n") if password_from_stdin else ""
        password = given if password_from_stdin else secrets.token_urlsafe(15)
        user = make_account(name, email, password, Role(role.value))
        if as_json:
            print_json(_facts(user) | ({} if password_from_stdin else {"password": password}))
            return
        out.print(f"{user.get_username()} is a {role.value}.")
        if not password_from_stdin:
            out.print(f"password: {password}", markup=False, soft_wrap=True)
            err.print("[dim]It is shown this once; they change it after signing in.[/dim]")


@app.command()
def promote(name: Name, role: Annotated[RoleName, typer.Argument(help="reader, member, curator or owner.")]) -> None:
    """Give an account another role, higher or lower."""
    with site():
        from pressrun.web.errors import BadInput
        from pressrun.web.people.changes import give_role
        from pressrun.web.people.roles import Role

        user = _user(name)
        if user.profile.local:
            raise BadInput("this is the account of the owner at this machine; it stays as it is.")
        give_role(user, Role(role.value))
        out.print(f"{user.get_username()} is now {role.value}.")


@app.command()
def token(
    name: Name,
    scope: Annotated[list[Scope], typer.Option(help="What it may do; may be repeated.")] = [Scope.READ],  # noqa: B006  Typer reads it, nobody changes it
    days: Annotated[int, typer.Option(min=1, max=3650, help="Days that it lasts.")] = 90,
    label: Annotated[str, typer.Option(help="What it is for.")] = "made on the command line",
    as_json: AsJson = False,
) -> None:
    """Make an access token for an account, and print it this once."""
    with site():
        from pressrun.web.people.tokens import make

        made, secret = make(_user(name), label, [each.value for each in scope], days)
        if as_json:
            print_json({"token": secret, "name": made.name, "scopes": made.scopes, "expires": made.expires})
            return
        out.print(secret, markup=False, soft_wrap=True)
        err.print(f"[dim]It may {', '.join(made.scopes)}, lasts {days} days, and is shown this once.[/dim]")


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the accounts, with roles and what they have."""
    with site():
        from django.contrib.auth.models import User

        people = [_facts(user) for user in User.objects.select_related("profile").order_by("username")]
        if as_json:
            print_json(people)
            return
        table = Table("name", "role", "address", "since", "last sign-in", "", box=None, pad_edge=False)
        for person in people:
            kept_out = "" if person["active"] else "kept out"
            columns = [safe(str(person[key] or "")) for key in ("name", "role", "email", "since", "last_sign_in")]
            table.add_row(*columns, kept_out)
        out.print(table)


@app.command()
def invite(
    role: Annotated[RoleName, typer.Option(help="The role that the invited get.")] = RoleName.MEMBER,
    days: Annotated[int, typer.Option(min=1, max=90, help="Days that the link works.")] = 14,
    note: Annotated[str, typer.Option(help="Who it is for; only owners see this.")] = "",
    as_json: AsJson = False,
) -> None:
    """Make a link by which one person may sign up, and print it this once."""
    with site():
        from django.urls import reverse

        from pressrun.web.people.accounts import site_address
        from pressrun.web.people.roles import Role
        from pressrun.web.people.signup import invite as make

        made, secret = make(None, Role(role.value), days, note)
        link = site_address() + reverse("invitation", args=[secret])
        if as_json:
            print_json({"link": link, "role": role.value, "expires": made.expires})
            return
        out.print(link, markup=False, soft_wrap=True)


@app.command("sign-out")
def sign_out(name: Name) -> None:
    """End an account's sessions everywhere and revoke its tokens, as after a lost laptop."""
    with site():
        from pressrun.web.people.changes import end_sessions
        from pressrun.web.people.models import AccessToken
        from pressrun.web.people.tokens import revoke

        user = _user(name)
        live = list(AccessToken.objects.live().filter(user=user))
        for each in live:
            revoke(each)
        out.print(f"{user.get_username()}: {end_sessions(user)} sessions ended, {len(live)} tokens revoked.")


def _user(name: str) -> User:
    from django.contrib.auth.models import User

    from pressrun.web.errors import BadInput

    found = User.objects.select_related("profile").filter(username=name.casefold()).first()
    found = found or User.objects.select_related("profile").filter(username=name).first()
    if found is None:
        raise BadInput(f"there is no account called {name[:80]!r}; pressrun user list shows all.")
    return found


def _facts(user: User) -> dict[str, object]:
    from pressrun.web.people.roles import role_of

    return {
        "name": user.get_username(),
        "role": role_of(user).value if user.is_active else user.profile.role,
        "email": user.email,
        "since": user.date_joined.date().isoformat(),
        "last_sign_in": user.last_login.date().isoformat() if user.last_login else None,
        "active": user.is_active,
    }
