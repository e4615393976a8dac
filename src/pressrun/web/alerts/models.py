"""What happened, who was told, and the mails that wait."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.auth.models import User
from django.core.validators import MaxValueValidator
from django.db import models
from django.db.models import Q

from pressrun.web.papers.models import Paper

__all__ = ["Delivery", "Event", "Mail", "Notification", "Reader", "SentPaper", "Subscription", "Watermark", "Webhook"]


class Event(models.Model):
    """Something that happened. `data` holds what its sentence needs, as JSON; `spread` is set once followers and webhooks have it."""

    class Kind(models.TextChoices):
        COMMENT = "comment"
        REPLY = "reply"
        MENTION = "mention"
        VOTES = "vote-milestone"
        SUBMISSION = "submission"
        LISTED = "paper-listed"
        VERDICT = "verdict"
        AUTHOR = "author-reply"
        REPORT = "report"

    kind = models.CharField(max_length=20, choices=Kind)
    paper = models.ForeignKey(Paper, models.CASCADE, null=True, related_name="events")
    actor = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    data = models.JSONField(default=dict)
    key = models.CharField(max_length=200, unique=True, null=True)  # noqa: DJ001  most events have none, and a second "" would clash
    """What makes it one event however often it is published, such as "verdict:<run>"."""
    at = models.DateTimeField(auto_now_add=True, db_index=True)
    spread = models.BooleanField(default=False)

    class Meta:
        ordering: ClassVar = ["-pk"]
        indexes: ClassVar = [models.Index(fields=["id"], condition=Q(spread=False), name="event_to_spread")]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"


class Notification(models.Model):
    """An event that one user is told of on the site."""

    user = models.ForeignKey(User, models.CASCADE, related_name="notifications")
    event = models.ForeignKey(Event, models.CASCADE, related_name="notifications")
    read = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["-event_id"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["user", "event"], name="notification_once")]
        indexes: ClassVar = [models.Index(fields=["user"], condition=Q(read=None), name="notification_unread")]

    def __str__(self) -> str:
        return f"{self.user}: {self.event}"


class Reader(models.Model):
    """An address that digests go to, with or without an account. `paused` is set where mail to it failed for good."""

    user = models.OneToOneField(User, models.CASCADE, null=True, related_name="reader")
    email = models.EmailField(unique=True)
    timezone = models.CharField(max_length=64, default="UTC")
    hour = models.PositiveSmallIntegerField(default=7, validators=[MaxValueValidator(23)])
    paused = models.DateTimeField(null=True)
    why = models.CharField(max_length=300, blank=True)
    created = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.email


class Subscription(models.Model):
    """What a reader wants by mail, and how often. Pending until the reader confirms; `due` is when the next mail is made."""

    class What(models.TextChoices):
        TRENDING = "trending"
        FOLLOWS = "follows"
        SEARCH = "search"

    class Often(models.TextChoices):
        DAILY = "daily"
        WEEKLY = "weekly"
        MONTHLY = "monthly"

    class State(models.TextChoices):
        PENDING = "pending"
        ACTIVE = "active"
        STOPPED = "stopped"

    reader = models.ForeignKey(Reader, models.CASCADE, related_name="subscriptions")
    what = models.CharField(max_length=10, choices=What, default=What.TRENDING)
    query = models.CharField(max_length=300, blank=True)
    often = models.CharField(max_length=10, choices=Often, default=Often.WEEKLY)
    state = models.CharField(max_length=10, choices=State, default=State.PENDING)
    asked = models.DateTimeField()
    since = models.DateTimeField(null=True)
    """Papers that came to the site from here on are new to it; moved on with every period."""
    due = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["pk"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["reader", "what", "query"], name="subscription_once")]
        indexes: ClassVar = [models.Index(fields=["due"], condition=Q(state="active"), name="subscription_due")]

    def __str__(self) -> str:
        return f"{self.reader}: {self.often} {self.what} {self.query}".rstrip()


class Mail(models.Model):
    """The outbox: one row a mail, made once (`key`) and kept until it is sent or given up.

    A digest is rendered when it is sent, from the papers that were set aside for it; any other mail is kept whole in `raw` until it is
    sent. While a mail is being sent, `next_try` is when another worker may take it over.
    """

    class State(models.TextChoices):
        WAITING = "waiting"
        SENT = "sent"
        FAILED = "failed"
        DROPPED = "dropped"

    key = models.CharField(max_length=120, unique=True)
    reader = models.ForeignKey(Reader, models.CASCADE, null=True, related_name="mails")
    subscription = models.ForeignKey(Subscription, models.CASCADE, null=True, related_name="mails")
    period = models.CharField(max_length=10, blank=True)
    recipient = models.CharField(max_length=254)
    raw = models.BinaryField(null=True)
    events = models.JSONField(default=list)
    """Keys of the events that a digest tells of."""
    state = models.CharField(max_length=10, choices=State, default=State.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_try = models.DateTimeField()
    why = models.CharField(max_length=300, blank=True)
    created = models.DateTimeField()
    finished = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["-pk"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["subscription", "period"], condition=Q(subscription__isnull=False), name="mail_once")
        ]
        indexes: ClassVar = [models.Index(fields=["next_try"], condition=Q(state="waiting"), name="mail_waiting")]

    def __str__(self) -> str:
        return self.key


class SentPaper(models.Model):
    """A paper that a reader was sent, or is about to be: no other mail to the same reader holds it."""

    reader = models.ForeignKey(Reader, models.CASCADE, related_name="sent_papers")
    paper = models.ForeignKey(Paper, models.CASCADE, related_name="+")
    mail = models.ForeignKey(Mail, models.SET_NULL, null=True, related_name="papers")

    class Meta:
        ordering: ClassVar = ["pk"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["reader", "paper"], name="sent_once")]

    def __str__(self) -> str:
        return f"{self.paper_id} to {self.reader_id}"


class Webhook(models.Model):
    """An address that events are posted to, signed with `secret`. `paused` is set where it failed for good."""

    class Format(models.TextChoices):
        JSON = "json"
        SLACK = "slack"

    user = models.ForeignKey(User, models.CASCADE, related_name="webhooks")
    url = models.URLField(max_length=500)
    format = models.CharField(max_length=10, choices=Format, default=Format.JSON)
    kinds = models.JSONField(default=list)
    mine = models.BooleanField(default=False)
    """Only events that the user is notified of."""
    secret = models.CharField(max_length=60)
    paused = models.DateTimeField(null=True)
    why = models.CharField(max_length=300, blank=True)
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar = ["pk"]

    def __str__(self) -> str:
        return self.url


class Delivery(models.Model):
    """One event on its way to one webhook."""

    webhook = models.ForeignKey(Webhook, models.CASCADE, related_name="deliveries")
    event = models.ForeignKey(Event, models.CASCADE, related_name="deliveries")
    state = models.CharField(max_length=10, choices=Mail.State, default=Mail.State.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_try = models.DateTimeField()
    why = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering: ClassVar = ["-pk"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["webhook", "event"], name="delivery_once")]
        indexes: ClassVar = [models.Index(fields=["next_try"], condition=Q(state="waiting"), name="delivery_waiting")]

    def __str__(self) -> str:
        return f"{self.event} to {self.webhook}"


class Watermark(models.Model):
    """How far a reading of a table by primary key has come."""

    name = models.CharField(max_length=40, unique=True)
    pk_seen = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.name}: {self.pk_seen}"
