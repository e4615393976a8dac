"""Who counts as an author, and why."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from allauth.account.models import EmailAddress
from django.contrib.auth.models import User
from django.test import Client

from pressrun.web.community import authorship
from pressrun.web.community.models import AuditEntry, AuthorClaim
from pressrun.web.errors import BadInput
from pressrun.web.papers.models import Paper
from tests.web.community.conftest import SNN, member

pytestmark = pytest.mark.django_db

AsUser = Callable[[User], Client]


@pytest.fixture
def peiyu(owner: User) -> User:
    """Goes by the name of the paper's first author, whose affiliation is Zhejiang University, with a confirmed address there."""
    user = member("peiyu")
    user.profile.display_name = "Liu, Peiyu"
    user.profile.save()
    EmailAddress.objects.create(user=user, email="peiyu@cs.zju.example", verified=True, primary=True)
    authorship.trust_domain(owner, "zju.example", "Zhejiang university")
    return user


def test_a_confirmed_address_at_the_authors_institution_verifies(peiyu: User, paper: Paper) -> None:
    made = authorship.claim(peiyu, paper, "Peiyu Liu")
    assert (made.state, made.how, made.why) == ("verified", "mail", "confirmed address at zju.example")
    logged = AuditEntry.objects.latest("pk")
    assert (logged.action, logged.actor, logged.reason) == ("verified by address", peiyu, made.why)


def test_an_address_that_is_not_confirmed_does_not(peiyu: User, paper: Paper) -> None:
    EmailAddress.objects.update(verified=False)
    assert authorship.claim(peiyu, paper, "Peiyu Liu").state == "waiting"


@pytest.mark.parametrize("address", ["peiyu@zju.example.evil.example", "peiyu@notzju.example", "zju.example@evil.example"])
def test_an_address_at_another_domain_does_not(peiyu: User, paper: Paper, address: str) -> None:
    EmailAddress.objects.update(email=address)
    assert authorship.claim(peiyu, paper, "Peiyu Liu").state == "waiting"


def test_a_colleague_of_another_name_waits(peiyu: User, paper: Paper) -> None:
    peiyu.profile.display_name = "Penny Liu"
    peiyu.profile.save()
    assert authorship.claim(peiyu, paper, "Peiyu Liu").state == "waiting"


def test_the_domain_of_another_institution_does_not_verify(peiyu: User, paper: Paper) -> None:
    peiyu.profile.display_name = "Jianhao Ding"  # whose affiliation is not known; the paper is of Peking University
    peiyu.profile.save()
    assert authorship.claim(peiyu, paper, "Jianhao Ding").state == "waiting"


def test_the_organisation_of_the_paper_counts_where_the_author_has_no_affiliation(peiyu: User, owner: User, paper: Paper) -> None:
    authorship.trust_domain(owner, "zju.example", "Peking University")
    peiyu.profile.display_name = "Jianhao Ding"
    peiyu.profile.save()
    assert authorship.claim(peiyu, paper, "Jianhao Ding").state == "verified"


def test_one_cannot_be_an_author_that_the_paper_does_not_name(ada: User, paper: Paper) -> None:
    with pytest.raises(BadInput, match="this paper names no author 'Ada Nobody'"):
        authorship.claim(ada, paper, "Ada Nobody")


def test_one_author_is_one_person(peiyu: User, ada: User, owner: User, paper: Paper) -> None:
    waiting = authorship.claim(ada, paper, "Peiyu Liu")
    authorship.claim(peiyu, paper, "Peiyu Liu")
    with pytest.raises(BadInput, match="somebody else is verified as Peiyu Liu already"):
        authorship.decide(owner, waiting, verified=True)
    waiting.refresh_from_db()
    assert waiting.state == "waiting"


def test_an_owner_decides_with_a_line_in_the_log(ada: User, owner: User, paper: Paper) -> None:
    made = authorship.claim(ada, paper, "Peiyu Liu", "my page: https://zju.example/liu")
    authorship.decide(owner, made, verified=True)
    assert AuthorClaim.objects.get().state == "verified"
    entry = AuditEntry.objects.latest("pk")
    assert (entry.actor_name, entry.action, entry.subject) == ("olga", "verified author", f"ada as Peiyu Liu of {paper.title}")


def test_a_refused_claim_can_be_made_again(ada: User, owner: User, paper: Paper) -> None:
    authorship.decide(owner, authorship.claim(ada, paper, "Peiyu Liu"), verified=False, reason="no proof")
    again = authorship.claim(ada, paper, "Zhaofei Yu", "a slip: I am the last author")
    assert (again.state, again.name, AuthorClaim.objects.count()) == ("waiting", "Zhaofei Yu", 1)


def test_a_refusal_needs_a_reason(ada: User, owner: User, paper: Paper) -> None:
    with pytest.raises(BadInput, match="the reason is empty"):
        authorship.decide(owner, authorship.claim(ada, paper, "Peiyu Liu"), verified=False)


@pytest.mark.parametrize("domain", ["", "nodot", "a b.example", "evil.example/x", "@", ".", "x..y"])
def test_what_is_no_domain_is_refused(owner: User, domain: str) -> None:
    with pytest.raises(BadInput):
        authorship.trust_domain(owner, domain, "An institute")


def test_the_page_lists_the_authors_and_takes_a_claim(ada: User, paper: Paper, as_user: AsUser) -> None:
    client = as_user(ada)
    assert "Zhaofei Yu" in client.get(f"/claim/{SNN}").text
    assert client.post(f"/claim/{SNN}", {"name": "Zhaofei Yu", "why": "It is me."}).status_code == 302
    assert list(AuthorClaim.objects.values_list("name", "state", "why")) == [("Zhaofei Yu", "waiting", "It is me.")]
    assert "an owner has yet to look at it" in client.get(f"/claim/{SNN}").text
