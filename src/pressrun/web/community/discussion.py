"""The discussion of a paper: threads of comments, their edits, and who is told of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from html import unescape

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.core.paginator import Page
from django.db import transaction
from django.http import Http404
from django.utils import timezone
from django.utils.html import strip_tags
from django.utils.safestring import SafeString

from pressrun.web.alerts.events import publish
from pressrun.web.alerts.models import Event
from pressrun.web.community import markdown, voting
from pressrun.web.community.acting import fitting, named
from pressrun.web.community.models import AuthorClaim, Comment, Lock, Revision
from pressrun.web.errors import BadInput
from pressrun.web.papers import lists
from pressrun.web.papers.models import Paper
from pressrun.web.people.roles import Role, role_of
from pressrun.web.runs.models import Outcome

__all__ = [
    "THREADS",
    "Said",
    "answers_to_claims",
    "check_mine",
    "delete",
    "edit",
    "excerpt",
    "find",
    "forget_excerpts",
    "lock_of",
    "page_with",
    "post",
    "threads",
    "verified_authors",
]

THREADS = 30
DEEPEST = 3
_MENTIONED = 20


@dataclass
class Said:
    """A comment as a page shows it. `depth` counts from 0 and stops at DEEPEST; `to` is whom a deeper one answers."""

    comment: Comment
    html: SafeString
    by_author: bool
    depth: int = 0
    to: str = ""
    replies: int = 0
    mentions: list[str] = field(default_factory=list)

    @property
    def by(self) -> str:
        return named(self.comment.author)

    @property
    def shown(self) -> bool:
        return self.comment.state == Comment.State.SHOWN


def find(uid: str) -> Comment:
    """The comment of this id, with its paper and author. Raises Http404 in a sentence."""
    found = Comment.objects.filter(uid=uid[:40].replace("\0", "")).select_related("paper", "author__profile", "thread").first()
    if found is None:
        raise Http404("There is no such comment here.")
    return found


def verified_authors(paper: Paper) -> dict[int, str]:
    """Users who are authors of the paper, by key, with the name under which they wrote it."""
    claims = AuthorClaim.objects.filter(paper=paper, state=AuthorClaim.State.VERIFIED)
    return dict(claims.values_list("user_id", "name"))


def lock_of(paper: Paper) -> Lock | None:
    return Lock.objects.filter(paper=paper).first()


@transaction.atomic
def post(user: User, paper: Paper, text: str, *, parent: Comment | None = None, claim: str = "") -> Comment:
    """Add a comment, count it, and tell those it concerns.

    `claim` names a claim of the paper's replication that an author of the paper answers.

    Raises:
        BadInput: the text is empty or too long, or there is no such claim.
        PermissionDenied: the discussion is locked, or somebody else than an author would answer a verdict.
    """
    text = fitting(text.strip(), "comment", markdown.LONGEST)
    authors = verified_authors(paper)
    _check_open(user, paper, parent)
    if claim:
        _check_claim(user, paper, claim, authors)
    comment = Comment.objects.create(
        paper=paper, author=user, text=text, claim=claim, parent=parent, thread=(parent.thread or parent) if parent else None
    )
    fresh = _note_mentions(comment)
    voting.recount(paper.pk)
    _tell(comment, fresh, authors)
    return comment


def _check_open(user: User, paper: Paper, parent: Comment | None) -> None:
    if (lock := lock_of(paper)) and role_of(user) < Role.CURATOR:
        raise PermissionDenied(f"This discussion is locked{f': {lock.reason}' if lock.reason else '.'}")
    if parent is None:
        return
    if parent.paper_id != paper.pk:
        raise BadInput("the comment that this answers stands under another paper.")
    if parent.state != Comment.State.SHOWN:
        raise BadInput("the comment that this answers was removed.")


def _check_claim(user: User, paper: Paper, claim: str, authors: Collection[int]) -> None:
    if user.pk not in authors:
        raise PermissionDenied("Only a verified author of this paper may answer a verdict; claim your authorship first.")
    if not Outcome.objects.filter(paper=paper, claim_id=claim[:120], latest=True).exists():
        raise BadInput(f"this paper has no judged claim {claim[:60]!r}.")


def _note_mentions(comment: Comment) -> list[User]:
    """Remember who is mentioned; gives those who were not before."""
    names = markdown.mentioned(comment.text)[:_MENTIONED]
    people = list(User.objects.filter(username__in={*names, *map(str.lower, names)}, is_active=True))
    before = set(comment.mentions.values_list("pk", flat=True))
    comment.mentions.set(people)
    return [person for person in people if person.pk not in before]


def _tell(comment: Comment, mentioned: list[User], authors: Collection[int]) -> None:
    """Each person hears once: of being mentioned, else of being answered, else of a comment on their paper."""
    paper, actor = comment.paper, comment.author
    facts = {"url": comment.get_absolute_url(), "text": comment.text[:200], "comment": comment.uid}
    told = {user.pk for user in mentioned}
    if mentioned:
        publish("mention", paper=paper, actor=actor, to=mentioned, data=facts)
    if comment.claim:
        others = User.objects.filter(comments__paper=paper, is_active=True).exclude(pk__in=told).distinct()
        publish("author-reply", paper=paper, actor=actor, to=others, data=facts | {"claims": [comment.claim]})
        return
    if comment.parent:
        answered = comment.parent.author
        publish("reply", paper=paper, actor=actor, to=[answered] if answered and answered.pk not in told else [], data=facts)
        return
    publish("comment", paper=paper, actor=actor, to=User.objects.filter(pk__in=set(authors) - told), data=facts)


@transaction.atomic
def edit(user: User, comment: Comment, text: str) -> Comment:
    """Change one's own comment. What it said before stays readable for everybody.

    Raises:
        PermissionDenied: it is another person's, it was removed, or the discussion is locked.
    """
    text = fitting(text.strip(), "comment", markdown.LONGEST)
    row = _mine(user, comment)
    _check_open(user, row.paper, None)
    if text != row.text:
        now = timezone.now()
        Revision.objects.create(comment=row, text=row.text, until=now)
        row.text, row.edited = text, now
        row.save(update_fields=["text", "edited"])
        fresh = _note_mentions(row)
        if fresh:
            facts = {"url": row.get_absolute_url(), "text": text[:200], "comment": row.uid}
            publish("mention", paper=row.paper, actor=user, to=fresh, data=facts)
    return row


@transaction.atomic
def delete(user: User, comment: Comment) -> Comment:
    """Take one's own comment back, with all that it ever said. Replies to it stay, under a line that says so."""
    row = _mine(user, comment)
    row.text, row.state = "", Comment.State.DELETED
    row.save(update_fields=["text", "state"])
    row.revisions.all().delete()
    row.mentions.clear()
    forget_excerpts(row)
    voting.recount(row.paper_id)
    return row


def forget_excerpts(comment: Comment) -> None:
    """Take the words of a removed comment out of what notifications tell."""
    for event in Event.objects.filter(paper=comment.paper_id, data__comment=comment.uid):
        event.data = {name: value for name, value in event.data.items() if name != "text"}
        event.save(update_fields=["data"])


def check_mine(user: User, comment: Comment) -> None:
    """Raises PermissionDenied where a comment is another person's, or was removed."""
    if comment.author_id != user.pk:
        raise PermissionDenied("Only who wrote a comment may change it.")
    if comment.state != Comment.State.SHOWN:
        raise PermissionDenied("This comment was removed; it can't be changed any more.")


def _mine(user: User, comment: Comment) -> Comment:
    row = Comment.objects.select_for_update(of=("self",)).select_related("paper").get(pk=comment.pk)
    check_mine(user, row)
    return row


def threads(paper: Paper, number: str | int = 1) -> tuple[Page[Comment], list[Said]]:
    """One page of threads, the oldest first, each with all its replies below it; five queries, however many there are."""
    roots = Comment.objects.filter(paper=paper, thread=None).select_related("author__profile").order_by("pk")
    page = lists.page_of(roots, number, THREADS)
    begun = list(page.object_list)
    replies = Comment.objects.filter(thread__in=begun).select_related("author__profile").order_by("pk") if begun else []
    comments = _under(paper, [*begun, *replies])
    authors = verified_authors(paper) if comments else {}
    return page, list(_in_order(comments, _mentions_of(comments), authors))


def _under(paper: Paper, comments: list[Comment]) -> list[Comment]:
    """The comments, each knowing its paper without asking for it."""
    for comment in comments:
        comment.paper = paper
    return comments


def _mentions_of(comments: list[Comment]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    if comments:
        rows = Comment.mentions.through.objects.filter(comment__in=comments)
        for pk, name in rows.values_list("comment_id", "user__username"):
            found.setdefault(pk, []).append(name)
    return found


def _in_order(comments: list[Comment], mentions: dict[int, list[str]], authors: Collection[int]) -> Iterator[Said]:
    """Each comment before its replies. A removed one is left out where nothing hangs on it."""
    by_parent: dict[int | None, list[Comment]] = {}
    for comment in comments:
        by_parent.setdefault(comment.parent_id, []).append(comment)
    waiting = [(comment, 0, "") for comment in reversed(by_parent.get(None, []))]
    while waiting:
        comment, depth, to = waiting.pop()
        below = by_parent.get(comment.pk, [])
        if comment.state == Comment.State.DELETED and not any(c.state == Comment.State.SHOWN for c in _below(comment, by_parent)):
            continue
        html = markdown.render(comment.text, mentions.get(comment.pk, ()))
        yield Said(comment, html, comment.author_id in authors, min(depth, DEEPEST), to if depth > DEEPEST else "", len(below))
        waiting += [(reply, depth + 1, named(comment.author)) for reply in reversed(below)]


def _below(comment: Comment, by_parent: dict[int | None, list[Comment]]) -> Iterator[Comment]:
    waiting = list(by_parent.get(comment.pk, ()))
    while waiting:
        reply = waiting.pop()
        yield reply
        waiting += by_parent.get(reply.pk, ())


def page_with(comment: Comment) -> int:
    """The number of the page that a comment's thread stands on."""
    root = comment.thread_id or comment.pk
    return (Comment.objects.filter(paper=comment.paper_id, thread=None, pk__lt=root).count() // THREADS) + 1


def answers_to_claims(paper: Paper) -> dict[str, list[Said]]:
    """What verified authors say about verdicts, by claim, the oldest first."""
    rows = Comment.objects.filter(paper=paper, state=Comment.State.SHOWN).exclude(claim="").select_related("author__profile")
    comments = _under(paper, list(rows.order_by("pk")))
    authors, mentions = (verified_authors(paper), _mentions_of(comments)) if comments else ({}, {})
    found: dict[str, list[Said]] = {}
    for comment in comments:
        if comment.author_id in authors:
            html = markdown.render(comment.text, mentions.get(comment.pk, ()))
            found.setdefault(comment.claim, []).append(Said(comment, html, by_author=True))
    return found


def excerpt(text: str, most: int = 200) -> str:
    """The beginning of a comment on one line, as plain text, without the signs of Markdown."""
    line = " ".join(unescape(strip_tags(markdown.render(text))).split())
    return line if len(line) <= most else line[: most - 1].rsplit(" ", 1)[0] + "…"
