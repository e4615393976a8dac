"""What people add to papers: votes, lists of their own, discussion, submissions; and what curators decide about it."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django.contrib.auth.models import User
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode

from pressrun.web.papers.models import Paper

__all__ = [
    "AuditEntry",
    "AuthorClaim",
    "Ban",
    "Bookmark",
    "Collection",
    "CollectionItem",
    "Comment",
    "Day",
    "Follow",
    "Lock",
    "MailDomain",
    "Note",
    "Placement",
    "ReadMark",
    "Report",
    "Revision",
    "Submission",
    "Vote",
]


def new_uid() -> str:
    return uuid.uuid4().hex


class Marked(models.Model):
    """One person's mark on one paper. The database itself refuses a second one."""

    created = models.DateTimeField(default=timezone.now)

    class Meta:
        abstract = True
        ordering: ClassVar = ["-pk"]


class Vote(Marked):
    """One person, one vote. `Paper.votes` counts these and the votes found at the source."""

    user = models.ForeignKey(User, models.CASCADE, related_name="votes")
    paper = models.ForeignKey(Paper, models.CASCADE, related_name="cast")

    class Meta(Marked.Meta):
        constraints: ClassVar = [models.UniqueConstraint(fields=["user", "paper"], name="one_person_one_vote")]

    def __str__(self) -> str:
        return f"{self.user} for {self.paper_id}"


class Bookmark(Marked):
    """A paper kept for later; nobody else sees it."""

    user = models.ForeignKey(User, models.CASCADE, related_name="bookmarks")
    paper = models.ForeignKey(Paper, models.CASCADE, related_name="bookmarks")

    class Meta(Marked.Meta):
        constraints: ClassVar = [models.UniqueConstraint(fields=["user", "paper"], name="one_bookmark")]

    def __str__(self) -> str:
        return f"{self.user} keeps {self.paper_id}"


class ReadMark(Marked):
    """A paper that somebody has read; nobody else sees it."""

    user = models.ForeignKey(User, models.CASCADE, related_name="read_marks")
    paper = models.ForeignKey(Paper, models.CASCADE, related_name="read_marks")

    class Meta(Marked.Meta):
        constraints: ClassVar = [models.UniqueConstraint(fields=["user", "paper"], name="one_read_mark")]

    def __str__(self) -> str:
        return f"{self.user} has read {self.paper_id}"


class Note(Marked):
    """What somebody wrote about a paper for their own eyes."""

    user = models.ForeignKey(User, models.CASCADE, related_name="notes")
    paper = models.ForeignKey(Paper, models.CASCADE, related_name="notes")
    text = models.TextField()
    modified = models.DateTimeField(default=timezone.now)

    class Meta(Marked.Meta):
        constraints: ClassVar = [models.UniqueConstraint(fields=["user", "paper"], name="one_note")]

    def __str__(self) -> str:
        return f"{self.user} on {self.paper_id}"


class Collection(models.Model):
    """Papers that somebody put together, private unless `public`."""

    owner = models.ForeignKey(User, models.CASCADE, related_name="collections")
    title = models.CharField(max_length=120)
    slug = models.CharField(max_length=120)
    description = models.TextField(blank=True)
    public = models.BooleanField(default=False)
    created = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering: ClassVar = ["title", "pk"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["owner", "slug"], name="one_collection_of_a_name")]

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        return reverse("collection", args=[self.owner.get_username(), self.slug])


class CollectionItem(models.Model):
    collection = models.ForeignKey(Collection, models.CASCADE, related_name="items")
    paper = models.ForeignKey(Paper, models.CASCADE, related_name="collected")
    added = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering: ClassVar = ["-pk"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["collection", "paper"], name="collected_once")]

    def __str__(self) -> str:
        return f"{self.collection_id}: {self.paper_id}"


class Follow(models.Model):
    """Somebody wants to hear of new papers. `key` is the slug of an author, organisation or topic, or the text of a search."""

    class Kind(models.TextChoices):
        AUTHOR = "author"
        ORGANISATION = "organisation"
        TOPIC = "topic"
        SEARCH = "search"

    user = models.ForeignKey(User, models.CASCADE, related_name="follows")
    kind = models.CharField(max_length=12, choices=Kind)
    key = models.CharField(max_length=300)
    label = models.CharField(max_length=300)
    """What the page calls it: the name, or the query again."""
    created = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering: ClassVar = ["kind", "label"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["user", "kind", "key"], name="followed_once")]
        indexes: ClassVar = [models.Index(fields=["kind", "key"], name="follow_of")]

    def __str__(self) -> str:
        return f"{self.user} follows {self.kind} {self.label}"

    def get_absolute_url(self) -> str:
        if self.kind == self.Kind.SEARCH:
            return f"{reverse('search')}?{urlencode({'q': self.key})}"
        return reverse(self.kind, args=[self.key])


class Comment(models.Model):
    """One contribution to a paper's discussion. `thread` is the comment that began it, none for that one itself.

    `claim` names a claim of the paper's replication: only a verified author may answer a verdict so.
    """

    class State(models.TextChoices):
        SHOWN = "shown"
        HIDDEN = "hidden"
        DELETED = "deleted"

    uid = models.CharField(max_length=32, unique=True, default=new_uid, editable=False)
    paper = models.ForeignKey(Paper, models.CASCADE, related_name="discussion")
    author = models.ForeignKey(User, models.SET_NULL, null=True, related_name="comments")
    parent = models.ForeignKey("self", models.CASCADE, null=True, related_name="replies")
    thread = models.ForeignKey("self", models.CASCADE, null=True, related_name="members")
    text = models.TextField()
    claim = models.CharField(max_length=120, blank=True)
    state = models.CharField(max_length=10, choices=State, default=State.SHOWN)
    reason = models.CharField(max_length=300, blank=True)
    """Why it is hidden."""
    mentions = models.ManyToManyField(User, related_name="mentioned_in")
    created = models.DateTimeField(default=timezone.now)
    edited = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["pk"]
        indexes: ClassVar = [
            models.Index(fields=["paper", "thread"], name="comment_thread"),
            models.Index(fields=["paper"], condition=~Q(claim=""), name="comment_on_claim"),
        ]

    def __str__(self) -> str:
        return f"{self.author} on {self.paper_id}: {self.text[:60]}"

    def get_absolute_url(self) -> str:
        return f"{reverse('discussion', args=[self.paper.public_id])}?comment={self.uid}#{self.anchor}"

    @property
    def anchor(self) -> str:
        return f"comment-{self.uid}"


class Revision(models.Model):
    """What a comment said before an edit."""

    comment = models.ForeignKey(Comment, models.CASCADE, related_name="revisions")
    text = models.TextField()
    until = models.DateTimeField()

    class Meta:
        ordering: ClassVar = ["pk"]

    def __str__(self) -> str:
        return f"{self.comment_id} until {self.until}"


class Report(models.Model):
    """Somebody asks the curators to look at a comment. One person reports a comment once."""

    comment = models.ForeignKey(Comment, models.CASCADE, related_name="reports")
    reporter = models.ForeignKey(User, models.SET_NULL, null=True, related_name="reports")
    reason = models.CharField(max_length=500)
    created = models.DateTimeField(default=timezone.now)
    settled = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["pk"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["comment", "reporter"], name="reported_once")]
        indexes: ClassVar = [models.Index(fields=["id"], condition=Q(settled=None), name="report_open")]

    def __str__(self) -> str:
        return f"{self.comment_id}: {self.reason}"


class Lock(models.Model):
    """A discussion that takes no more comments, but those of curators."""

    paper = models.OneToOneField(Paper, models.CASCADE, related_name="lock")
    reason = models.CharField(max_length=300, blank=True)
    created = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"{self.paper_id}: {self.reason}"


class Ban(models.Model):
    """Somebody may read but not write, until a moment or for good."""

    user = models.OneToOneField(User, models.CASCADE, related_name="ban")
    reason = models.CharField(max_length=300)
    until = models.DateTimeField(null=True)
    created = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"{self.user}: {self.reason}"


class AuditEntry(models.Model):
    """What a curator or owner did, when, to what and why. It is written once; nothing changes or removes it."""

    actor = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    actor_name = models.CharField(max_length=150)
    action = models.CharField(max_length=40, db_index=True)
    subject = models.CharField(max_length=300)
    address = models.CharField(max_length=500, blank=True)
    reason = models.CharField(max_length=500, blank=True)
    created = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering: ClassVar = ["-pk"]
        verbose_name_plural = "audit entries"

    def __str__(self) -> str:
        return f"{self.actor_name} {self.action} {self.subject}"

    def save(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  as Django has it
        if self.pk is not None:
            raise TypeError("an entry of the audit log is never changed")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:  # noqa: ANN401, ARG002  as Django has it
        raise TypeError("an entry of the audit log is never removed")


class MailDomain(models.Model):
    """Who has a confirmed address at this domain belongs to this organisation: so their claims need no further look."""

    domain = models.CharField(max_length=200)
    organisation = models.CharField(max_length=200)
    """As papers and affiliations name it; compared without case, accents and punctuation."""

    class Meta:
        ordering: ClassVar = ["domain", "organisation"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["domain", "organisation"], name="mail_domain_once")]

    def __str__(self) -> str:
        return f"{self.domain}: {self.organisation}"


class AuthorClaim(models.Model):
    """Somebody says that they are this author of this paper. A refused claim can be made again."""

    class State(models.TextChoices):
        WAITING = "waiting"
        VERIFIED = "verified"
        REFUSED = "refused"

    class How(models.TextChoices):
        MAIL = "mail"
        OWNER = "owner"

    user = models.ForeignKey(User, models.CASCADE, related_name="author_claims")
    paper = models.ForeignKey(Paper, models.CASCADE, related_name="author_claims")
    name = models.CharField(max_length=200)
    state = models.CharField(max_length=10, choices=State, default=State.WAITING)
    how = models.CharField(max_length=10, choices=How, blank=True)
    why = models.CharField(max_length=500, blank=True)
    """What the person said for it, or why it was refused."""
    created = models.DateTimeField(default=timezone.now)
    decided = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["pk"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["user", "paper"], name="one_claim_a_paper"),
            models.UniqueConstraint(fields=["paper", "name"], condition=Q(state="verified"), name="one_person_an_author"),
        ]

    def __str__(self) -> str:
        return f"{self.user} as {self.name} of {self.paper_id}"


class Submission(models.Model):
    """A paper that somebody wants on the list. `record` is the paper as JSON, in the form that exports have."""

    class State(models.TextChoices):
        WAITING = "waiting"
        LISTED = "listed"
        REFUSED = "refused"

    uid = models.CharField(max_length=32, unique=True, default=new_uid, editable=False)
    user = models.ForeignKey(User, models.SET_NULL, null=True, related_name="submissions")
    given = models.CharField(max_length=500)
    key = models.CharField(max_length=320, db_index=True)
    """The record's strongest name (`catalog.Paper.keys`): of those that wait, one a paper."""
    record = models.JSONField()
    typed = models.BooleanField(default=False)
    """The person wrote the record down; no source was asked."""
    state = models.CharField(max_length=10, choices=State, default=State.WAITING)
    why = models.CharField(max_length=500, blank=True)
    paper = models.ForeignKey(Paper, models.SET_NULL, null=True, related_name="submissions")
    created = models.DateTimeField(default=timezone.now)
    decided = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["pk"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["key"], condition=Q(state="waiting"), name="waits_once"),
        ]

    def __str__(self) -> str:
        return f"{self.given} ({self.state})"


class Day(models.Model):
    """What a curator said of a day's list. `complete` is since when nothing more is expected on it."""

    day = models.DateField(unique=True)
    complete = models.DateTimeField(null=True)
    by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")

    class Meta:
        ordering: ClassVar = ["-day"]

    def __str__(self) -> str:
        return f"{self.day}{' complete' if self.complete else ''}"


class Placement(models.Model):
    """Where a curator put a paper on its day's list: at a place counted from 1, or off the list (`off`)."""

    paper = models.OneToOneField(Paper, models.CASCADE, related_name="placement")
    place = models.PositiveIntegerField(null=True)
    off = models.BooleanField(default=False)

    def __str__(self) -> str:
        return f"{self.paper_id}: {'off' if self.off else self.place}"
