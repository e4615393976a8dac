"""Votes. A vote, the paper's count and its place in Trending change together or not at all."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models.signals import post_delete
from django.http import Http404

from pressrun.web.alerts.events import publish
from pressrun.web.community.models import AuthorClaim, Vote
from pressrun.web.papers.models import Paper

__all__ = ["MILESTONES", "connect", "recount", "vote"]

MILESTONES = (10, 50, 100, 500, 1000, 5000)


@transaction.atomic
def vote(user: User, paper: Paper, *, on: bool) -> Paper:
    """Cast the user's vote, or take it back; doing either twice changes nothing. Gives the paper as it stands then.

    The paper's row is locked first: votes for one paper come one after the other, and each count is that of all before it.
    """
    row = _locked(paper.pk)
    if row is None:
        raise Http404("This paper is not here any more.")
    if not on:
        Vote.objects.filter(user=user, paper=row).delete()
        row.refresh_from_db()
    elif Vote.objects.get_or_create(user=user, paper=row)[1]:
        _write(row)
        if row.votes in MILESTONES:
            _tell(row)
    return row


@transaction.atomic
def recount(paper: int) -> None:
    """Bring a paper's counts in line with its votes, comments and placement. Nothing, if it is gone."""
    if (row := _locked(paper)) is not None:
        _write(row)


def connect() -> None:
    """Whatever removes a vote, such as the end of an account, is counted."""
    post_delete.connect(_removed, sender=Vote, dispatch_uid="recount-votes")


def _removed(sender: type[Vote], instance: Vote, **_: Any) -> None:  # noqa: ANN401  as Django calls it
    recount(instance.paper_id)


def _locked(paper: int) -> Paper | None:
    return Paper.objects.select_for_update(no_key=True).filter(pk=paper).first()


def _write(row: Paper) -> None:
    row.count()
    row.save(update_fields=["votes", "comments", "day", "trending", "to_index"])


def _tell(row: Paper) -> None:
    """Its verified authors and whoever submitted it hear of it, once a milestone."""
    people = {claim.user for claim in row.author_claims.filter(state=AuthorClaim.State.VERIFIED).select_related("user")}
    people |= {submission.user for submission in row.submissions.exclude(user=None).select_related("user") if submission.user}
    publish("vote-milestone", paper=row, to=people, data={"votes": row.votes}, key=f"votes:{row.pk}:{row.votes}")
