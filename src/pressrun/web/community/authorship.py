"""Who is an author of a paper: claimed by the person, verified by the domain of a confirmed address or by the owner."""

from __future__ import annotations

from allauth.account.models import EmailAddress
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from pressrun.catalog import normal_title
from pressrun.web.community.acting import fitting, named
from pressrun.web.community.models import AuthorClaim, MailDomain
from pressrun.web.community.moderation import log
from pressrun.web.errors import BadInput
from pressrun.web.papers.models import Paper

__all__ = ["claim", "decide", "trust_domain", "vouched_by"]

_WHY = 500


@transaction.atomic
def claim(user: User, paper: Paper, name: str, why: str = "") -> AuthorClaim:
    """Say that one is this author of a paper. Verified at once where a confirmed address vouches for it, else it waits for an owner.

    A claim that was refused may be made again; one that waits is only changed.

    Raises:
        BadInput: the paper names no such author, or somebody else is verified as that one.
    """
    why = fitting(why.strip(), "explanation", _WHY, needed=False)
    author = next((author for author in paper.authors if author["name"] == name), None)
    if author is None:
        raise BadInput(f"this paper names no author {name[:80]!r}.")
    known = AuthorClaim.objects.select_for_update().filter(user=user, paper=paper).first()
    if known and known.state == AuthorClaim.State.VERIFIED:
        return known
    if AuthorClaim.objects.filter(paper=paper, name=name, state=AuthorClaim.State.VERIFIED).exists():
        raise BadInput(f"somebody else is verified as {name} already; write to an owner of this site if that is wrong.")
    vouched = vouched_by(user, paper, author)
    made = known or AuthorClaim(user=user, paper=paper)
    made.name, made.why, made.created = name, why, timezone.now()
    made.state, made.how, made.decided = AuthorClaim.State.WAITING, "", None
    if vouched:
        made.state, made.how, made.decided = AuthorClaim.State.VERIFIED, AuthorClaim.How.MAIL, timezone.now()
        made.why = f"confirmed address at {vouched}"
        subject = f"{user.get_username()} as {name} of {paper.title}"
        log(user, "verified by address", subject, address=paper.get_absolute_url(), reason=made.why)
    return _saved(made)


def vouched_by(user: User, paper: Paper, author: dict[str, str]) -> str:
    """The mail domain that vouches for a claim, "" where none does: the person has a confirmed address at a domain that an owner
    gave to the author's affiliation or the paper's organisation, and goes by the author's name, in whatever order."""
    if _name_parts(named(user)) != _name_parts(author["name"]):
        return ""
    places = [author.get("affiliation", ""), paper.organisation.name if paper.organisation else ""]
    wanted = {normal_title(place) for place in places if place}
    addresses = EmailAddress.objects.filter(user=user, verified=True).values_list("email", flat=True)
    domains = {domain for address in addresses for domain in _domains(address)}
    for row in MailDomain.objects.filter(domain__in=domains):
        if normal_title(row.organisation) in wanted:
            return row.domain
    return ""


def _name_parts(name: str) -> set[str]:
    return {normal_title(part) for part in name.replace(",", " ").split()}


def _domains(address: str) -> list[str]:
    """The domain of an address and those above it that have a dot: cs.example.edu, example.edu."""
    labels = address.rpartition("@")[2].lower().split(".")
    return [".".join(labels[at:]) for at in range(len(labels) - 1)]


def _saved(made: AuthorClaim) -> AuthorClaim:
    try:
        with transaction.atomic():
            made.save()
    except IntegrityError:  # somebody else was verified as this author at the same moment
        raise BadInput(f"somebody else is verified as {made.name} already.") from None
    return made


@transaction.atomic
def decide(actor: User, found: AuthorClaim, *, verified: bool, reason: str = "") -> AuthorClaim:
    """An owner's word on a claim; also takes back one that was verified. A refusal needs a reason."""
    reason = fitting(reason.strip(), "reason", _WHY, needed=not verified)
    row = AuthorClaim.objects.select_for_update(of=("self",)).select_related("paper", "user").get(pk=found.pk)
    row.state = AuthorClaim.State.VERIFIED if verified else AuthorClaim.State.REFUSED
    row.how, row.decided = AuthorClaim.How.OWNER, timezone.now()
    row.why = reason or row.why
    _saved(row)
    action = "verified author" if verified else "refused author"
    subject = f"{row.user.get_username()} as {row.name} of {row.paper.title}"
    log(actor, action, subject, address=row.paper.get_absolute_url(), reason=reason)
    return row


@transaction.atomic
def trust_domain(actor: User, domain: str, organisation: str, *, on: bool = True) -> None:
    """Say that confirmed addresses at a domain belong to an organisation, or no longer."""
    domain = domain.strip().lower().lstrip("@")
    organisation = fitting(organisation.strip(), "organisation", 200)
    if not (
        0 < len(domain) <= 200 and "." in domain.strip(".") and all(part.replace("-", "").isalnum() for part in domain.split("."))
    ):
        raise BadInput(f"a mail domain reads like example.edu, got {domain[:60]!r}.")
    known = MailDomain.objects.filter(Q(domain=domain) & Q(organisation=organisation))
    if not on:
        if known.delete()[0]:
            log(actor, "distrusted mail domain", f"{domain} for {organisation}")
    elif not known.exists():
        MailDomain.objects.create(domain=domain, organisation=organisation)
        log(actor, "trusted mail domain", f"{domain} for {organisation}")
