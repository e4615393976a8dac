"""What is kept no longer."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from pressrun.web.people.jobs import clean_people
from pressrun.web.people.models import AccessToken, Invitation, Spending
from pressrun.web.people.roles import Role
from pressrun.web.people.signup import invite
from pressrun.web.people.tokens import make
from tests.web.people.conftest import Make


def test_it_removes_what_has_not_worked_for_three_months_and_nothing_else(somebody: Make) -> None:
    user, now = somebody("ada"), timezone.now()
    for name in ("works", "endless", "ran out", "ran out long ago", "revoked long ago"):
        make(user, name, [], None if name == "endless" else 30)
    AccessToken.objects.filter(name="ran out").update(expires=now - timedelta(days=89))
    AccessToken.objects.filter(name="ran out long ago").update(expires=now - timedelta(days=91))
    AccessToken.objects.filter(name="revoked long ago").update(revoked=now - timedelta(days=91))
    for note in ("waits", "over"):
        invite(None, Role.MEMBER, 1, note)
    Invitation.objects.filter(note="over").update(expires=now - timedelta(days=91))
    Spending.objects.create(name="old", window=1, count=3, until=3600)
    assert clean_people() == "1 counters, 2 tokens, 1 invitations"
    assert set(AccessToken.objects.values_list("name", flat=True)) == {"works", "endless", "ran out"}
    assert Invitation.objects.get().note == "waits"
    assert clean_people() == "0 counters, 0 tokens, 0 invitations"
