"""Periods and pauses of the work behind the pages, the processes of the site, and a view of the queue."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar

from django.db import models
from django_tasks_db.models import DBTaskResult

from pressrun.web.ops.jobs import registered


class Job(models.Model):
    """A kind of work as the owner sees it: when it is due, and whether it is paused. A row per registered name."""

    name = models.CharField(max_length=32, unique=True)
    paused = models.BooleanField(default=False)
    period = models.DurationField(
        null=True, blank=True, help_text="In place of the period that the work comes with: [days] hours:minutes:seconds."
    )
    due = models.DateTimeField(null=True, blank=True)
    """When periodic work is to be asked for next; None for work that is only done when asked for."""

    class Meta:
        ordering: ClassVar = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def every(self) -> timedelta | None:
        """The period in force."""
        known = registered().get(self.name)
        return (self.period or known.every) if known and known.every else None

    @property
    def says(self) -> str:
        """What the work is, in a sentence."""
        known = registered().get(self.name)
        return known.says if known else ""


class Process(models.Model):
    """A server or worker of this site that said it started. Whether it lives, its lock says (`alive.is_held`)."""

    class Kind(models.TextChoices):
        SERVER = "server"
        WORKER = "worker"

    id = models.CharField(primary_key=True, max_length=64)
    kind = models.CharField(max_length=10, choices=Kind)
    host = models.CharField(max_length=200)
    pid = models.PositiveIntegerField()
    started = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar = ["started"]
        verbose_name_plural = "processes"

    def __str__(self) -> str:
        return f"{self.kind} {self.pid} on {self.host}"


class JobRun(DBTaskResult):  # type: ignore[type-arg]  # its parameters are for type checkers only
    """A piece of work in the queue: waiting, in hand, done or failed."""

    class Meta:
        proxy = True
        verbose_name = "piece of work"
        verbose_name_plural = "pieces of work"

    def __str__(self) -> str:
        return f"{self.queue_name} {self.enqueued_at:%Y-%m-%d %H:%M}"
