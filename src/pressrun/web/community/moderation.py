"""What curators do about other people's words. Each act and its line in the audit log are written together."""

from __future__ import annotations

from datetime import datetime

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.utils import timezone

from pressrun.web.alerts.events import publish
from pressrun.web.community import voting
from pressrun.web.community.acting import curators, fitting
from pressrun.web.community.discussion import forget_excerpts
from pressrun.web.community.models import AuditEntry, Ban, Comment, Lock, Report
from pressrun.web.errors import BadInput
from pressrun.web.papers.models import Paper
from pressrun.web.people.roles import role_of

__all__ = ["ban", "hide", "lock", "log", "report", "settle", "show", "unban", "unlock"]

LONGEST_REASON = 300


def log(actor: User, action: str, subject: str, *, address: str = "", reason: str = "") -> None:
    """One line of the audit log, in the caller's transaction."""
    AuditEntry.objects.create(
        actor=actor,
        actor_name=actor.get_username(),
        action=action,
        subject=subject[:300],
        address=address[:500],
        reason=reason[:500],
    )


@transaction.atomic
def report(user: User, comment: Comment, reason: str) -> bool:
    """Ask the curators to look at a comment; False where the same person asked before."""
    reason = fitting(reason.strip(), "reason", 500)
    if comment.state != Comment.State.SHOWN:
        raise BadInput("this comment was removed already.")
    try:
        with transaction.atomic():
            Report.objects.create(comment=comment, reporter=user, reason=reason)
    except IntegrityError:
        return False
    facts = {"url": comment.get_absolute_url(), "text": reason[:200]}
    publish("report", paper=comment.paper, actor=user, to=curators(), data=facts)
    return True


@transaction.atomic
def hide(actor: User, comment: Comment, reason: str) -> None:
    """Put a comment out of sight and settle the reports about it. Readers see that it was hidden, and why."""
    reason = fitting(reason.strip(), "reason", LONGEST_REASON)
    row = Comment.objects.select_for_update().get(pk=comment.pk)
    if row.state != Comment.State.SHOWN:
        raise BadInput("this comment is out of sight already.")
    row.state, row.reason = Comment.State.HIDDEN, reason
    row.save(update_fields=["state", "reason"])
    row.reports.filter(settled=None).update(settled=timezone.now())
    forget_excerpts(row)
    log(actor, "hid comment", _of(comment), address=comment.get_absolute_url(), reason=reason)
    voting.recount(row.paper_id)


@transaction.atomic
def show(actor: User, comment: Comment) -> None:
    """Bring a hidden comment back."""
    row = Comment.objects.select_for_update().get(pk=comment.pk)
    if row.state != Comment.State.HIDDEN:
        raise BadInput("this comment is not hidden.")
    row.state, row.reason = Comment.State.SHOWN, ""
    row.save(update_fields=["state", "reason"])
    log(actor, "showed comment", _of(comment), address=comment.get_absolute_url())
    voting.recount(row.paper_id)


@transaction.atomic
def settle(actor: User, found: Report) -> None:
    """Close a report and leave the comment as it is."""
    if Report.objects.filter(pk=found.pk, settled=None).update(settled=timezone.now()):
        address = found.comment.get_absolute_url()
        log(actor, "let comment stand", _of(found.comment), address=address, reason=found.reason)


@transaction.atomic
def lock(actor: User, paper: Paper, reason: str) -> None:
    """Take no more comments on a paper, but curators'."""
    reason = fitting(reason.strip(), "reason", LONGEST_REASON)
    Lock.objects.update_or_create(paper=paper, defaults={"reason": reason})
    log(actor, "locked discussion", paper.title, address=paper.get_absolute_url(), reason=reason)


@transaction.atomic
def unlock(actor: User, paper: Paper) -> None:
    if Lock.objects.filter(paper=paper).delete()[0]:
        log(actor, "unlocked discussion", paper.title, address=paper.get_absolute_url())


@transaction.atomic
def ban(actor: User, user: User, reason: str, until: datetime | None = None) -> None:
    """Let somebody read but not write, until a moment or for good.

    Raises:
        PermissionDenied: the person's role is not below the actor's.
    """
    reason = fitting(reason.strip(), "reason", LONGEST_REASON)
    if role_of(user) >= role_of(actor):
        raise PermissionDenied("You can only ban people whose role is below yours.")
    if until is not None and until <= timezone.now():
        raise BadInput("the ban would be over before it begins; give a moment to come.")
    Ban.objects.update_or_create(user=user, defaults={"reason": reason, "until": until})
    for_how_long = f"until {until:%Y-%m-%d}: " if until else ""
    log(actor, "banned", user.get_username(), reason=f"{for_how_long}{reason}")


@transaction.atomic
def unban(actor: User, user: User) -> None:
    if Ban.objects.filter(user=user).delete()[0]:
        log(actor, "lifted ban", user.get_username())


def _of(comment: Comment) -> str:
    """Who said it under what; not what was said: the log outlives what its author takes back."""
    by = comment.author.get_username() if comment.author else "a former member"
    return f"{by} on {comment.paper.title}"
