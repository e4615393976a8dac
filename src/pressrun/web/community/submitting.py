"""Papers that people submit: recognised if they are here, else listed at once or after a curator has looked, as the settings say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.urls import reverse
from django.utils import timezone

from pressrun import catalog
from pressrun.catalog import normal_title, same_paper
from pressrun.web.alerts.events import publish
from pressrun.web.community.acting import curators, fitting
from pressrun.web.community.models import Submission
from pressrun.web.community.moderation import log
from pressrun.web.errors import BadInput
from pressrun.web.papers.ingest import Report, save
from pressrun.web.papers.models import Paper
from pressrun.web.people.roles import Role, role_of

__all__ = ["AlreadyHere", "check_open", "decide", "known_as", "list_now", "submit", "typed_record"]

_LONGEST = {"title": 500, "abstract": 10_000, "journal": 300}
MOST_AUTHORS = 1000


class AlreadyHere(Exception):
    """The paper is on this site, or waits for a curator already (`paper` is none then)."""

    def __init__(self, paper: Paper | None) -> None:
        super().__init__(
            "This paper is here already." if paper else "Somebody submitted this paper before; it waits for a curator."
        )
        self.paper = paper


def check_open(user: User) -> None:
    """Raises PermissionDenied where the owner takes no submissions; curators may always submit."""
    if settings.SUBMISSIONS == "closed" and role_of(user) < Role.CURATOR:
        raise PermissionDenied("This site takes no submissions; its curators choose the papers.")


def known_as(record: catalog.Paper) -> Paper | None:
    """The paper of this site that a record describes: by id, DOI or title and authors, as imports recognise it."""
    papers = Paper.objects.select_related("organisation").prefetch_related("topics")
    if found := papers.by_id(record.id).first():
        return found
    for text in filter(None, (record.arxiv_id, record.doi)):
        if found := papers.by_id(text).first():
            return found
    alike = papers.filter(title_key=normal_title(record.title)[:300])[:20]
    return next((row for row in alike if same_paper(row.to_record(), record)), None)


def typed_record(given: Mapping[str, str]) -> catalog.Paper:
    """The record that a form holds: title, authors one a line, abstract, published, arxiv_id, doi, link, journal.

    Raises:
        BadInput: a field that can't be; the sentence names it.
    """
    texts = {name: fitting(given.get(name, "").strip(), name, most, needed=name == "title") for name, most in _LONGEST.items()}
    names = [
        name
        for line in fitting(given.get("authors", ""), "list of authors", 50_000, needed=False).splitlines()
        if (name := line.strip())
    ]
    if len(names) > MOST_AUTHORS:
        raise BadInput(f"there are {len(names):,} authors; {MOST_AUTHORS:,} are the most.")
    number, doi, link = (given.get(name, "").strip() for name in ("arxiv_id", "doi", "link"))
    arxiv_id = catalog.arxiv_id_in(number)
    if number and not arxiv_id:
        raise BadInput(f"{number[:60]!r} is no arXiv id.")
    if doi and not catalog.doi_in(doi):
        raise BadInput(f"{doi[:60]!r} is no DOI.")
    if len(link) > 500 or len(doi) > 200:
        raise BadInput("the link may have 500 characters, the DOI 200.")
    row = {
        **texts,
        "arxiv_id": arxiv_id,
        "doi": catalog.doi_in(doi),
        "authors": [{"name": name[:200]} for name in names],
        "published": given.get("published", "").strip(),
        "links": {"project": link},
    }
    try:
        return catalog.paper_from_json({name: value for name, value in row.items() if value})
    except ValueError as problem:
        raise BadInput(f"{problem}.") from problem


@transaction.atomic
def submit(user: User, given: str, record: catalog.Paper, *, typed: bool = False) -> Submission:
    """Hand in a record. It is listed at once where the site is open or a curator submits, else it waits.

    Raises:
        AlreadyHere: the paper is here, or waits.
        PermissionDenied: this site takes none.
    """
    check_open(user)
    if found := known_as(record):
        raise AlreadyHere(found)
    record = replace(record, id="", submitted_by="", listed=None, upvotes=None, comments=None)
    row = catalog.paper_to_json(replace(record, id=record.arxiv_id or record.doi))
    made = Submission(user=user, given=given[:500], key=record.keys[0][:320], record=row, typed=typed)
    try:
        with transaction.atomic():
            made.save()
    except IntegrityError:
        raise AlreadyHere(None) from None
    if settings.SUBMISSIONS == "open" or role_of(user) >= Role.CURATOR:
        _list(made, timezone.now().date())
    else:
        facts = {"url": reverse("desk"), "text": record.title[:200]}
        publish("submission", actor=user, to=curators(), data=facts)
    return made


@transaction.atomic
def decide(actor: User, found: Submission, *, listed: bool, day: date | None = None, reason: str = "") -> Submission:
    """A curator's word on a submission: onto a day's list (today's, in UTC, unless another is named), or not, with a reason."""
    reason = fitting(reason.strip(), "reason", 500, needed=not listed)
    row = Submission.objects.select_for_update(of=("self",)).select_related("user").get(pk=found.pk)
    if row.state != Submission.State.WAITING:
        raise BadInput("another curator has decided on this submission.")
    if listed:
        _list(row, day or timezone.now().date())
    else:
        row.state, row.why, row.decided = Submission.State.REFUSED, reason, timezone.now()
        row.save(update_fields=["state", "why", "decided"])
        if row.user:
            facts = {"url": reverse("submissions"), "text": f"Not listed: {reason}"[:200]}
            publish("submission", actor=actor, to=[row.user], data=facts)
    address = row.paper.get_absolute_url() if row.paper else ""
    log(actor, "listed submission" if listed else "refused submission", str(row.record["title"]), address=address, reason=reason)
    return row


def list_now(record: catalog.Paper, day: date) -> Paper:
    """The paper of a record that is not here yet, put onto a day's list."""
    save([replace(record, listed=day)], Report())
    found = known_as(record)
    assert found is not None  # noqa: S101  it has just been saved
    return found


def _list(row: Submission, day: date) -> None:
    record = catalog.paper_from_json(row.record)
    name = row.user.get_username()[:100] if row.user else ""
    row.paper = known_as(record) or list_now(replace(record, submitted_by=name), day)
    row.state, row.decided = Submission.State.LISTED, timezone.now()
    row.save(update_fields=["state", "decided", "paper"])
    facts: dict[str, Any] = {"url": row.paper.get_absolute_url(), "text": row.paper.title[:200]}
    publish("paper-listed", paper=row.paper, to=[row.user] if row.user else [], data=facts, key=f"listed:{row.paper.pk}")
