"""What this part of the site holds of an account, for its export."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from allauth.usersessions.models import UserSession
from django.contrib.auth.models import User

from pressrun.web.people.models import AccessToken, Invitation
from pressrun.web.people.own_data import exports
from pressrun.web.people.roles import role_of
from pressrun.web.runs.models import Run

Record = Mapping[str, object]


@exports("profile")
def profile(user: User) -> Iterator[Record]:
    own = user.profile
    yield {
        "name": user.get_username(),
        "display_name": own.display_name,
        "timezone": own.timezone,
        "role": role_of(user).value,
        "since": user.date_joined,
        "last_sign_in": user.last_login,
    }


@exports("addresses")
def addresses(user: User) -> Iterator[Record]:
    for row in EmailAddress.objects.filter(user=user):
        yield {"address": row.email, "confirmed": row.verified, "primary": row.primary}


@exports("access_tokens")
def access_tokens(user: User) -> Iterator[Record]:
    names = ("name", "prefix", "scopes", "created", "expires", "last_used", "revoked")
    yield from AccessToken.objects.filter(user=user).values(*names)


@exports("sessions")
def sessions(user: User) -> Iterator[Record]:
    yield from UserSession.objects.filter(user=user).values("created_at", "last_seen_at", "ip", "user_agent")


@exports("second_factors")
def second_factors(user: User) -> Iterator[Record]:
    yield from Authenticator.objects.filter(user=user).values("type", "created_at", "last_used_at")


@exports("sign_in_providers")
def sign_in_providers(user: User) -> Iterator[Record]:
    yield from SocialAccount.objects.filter(user=user).values("provider", "uid", "date_joined", "extra_data")


@exports("invitations")
def invitations(user: User) -> Iterator[Record]:
    yield from Invitation.objects.filter(invited_by=user).values("note", "role", "created", "expires", "used", "revoked")


@exports("runs")
def runs(user: User) -> Iterator[Record]:
    yield from Run.objects.filter(requester=user.get_username()).values("run_id", "paper_ref", "replication", "preset", "state")
