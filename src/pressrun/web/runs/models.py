"""Rows that mirror the records on disk, so that pages can filter and count. The record is the truth: a row can always be made anew."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.urls import reverse

from pressrun.replicate.record import State
from pressrun.web.papers.models import Paper

__all__ = ["SCALES", "STATES", "VERDICTS", "Outcome", "Run"]

VERDICTS = ("matched", "partly matched", "not matched", "too noisy", "void")
SCALES = ("toy", "reduced", "full")
STATES = tuple(state.value for state in State)


class Run(models.Model):
    """One run. `words` holds its verdicts in the order of its claims, each between bars: "|matched|void|"."""

    run_id = models.CharField(max_length=120, unique=True)
    folder = models.CharField(max_length=140)
    """Where it is, from the directory of all runs."""
    stamp = models.CharField(max_length=60)
    """Modification time and size of the run.json that this row was made from."""
    paper = models.ForeignKey(Paper, models.SET_NULL, null=True, related_name="runs")
    paper_ref = models.CharField(max_length=200, blank=True)
    replication = models.CharField(max_length=120, blank=True, db_index=True)
    title = models.TextField(blank=True)
    preset = models.CharField(max_length=20, blank=True)
    changed = models.BooleanField(default=False)
    imported = models.BooleanField(default=False)
    counts = models.BooleanField(default=False)
    state = models.CharField(max_length=20, choices=[(state, state) for state in STATES], blank=True)
    moving = models.BooleanField(default=False)
    newest = models.BooleanField(default=False)
    """The newest run here of its replication with the preset's own knobs: the one that a card tells about."""
    created = models.DateTimeField(db_index=True)
    ended = models.DateTimeField(null=True)
    seconds = models.FloatField(null=True)
    seeds = models.PositiveIntegerField(default=0)
    requester = models.CharField(max_length=200, blank=True)
    words = models.CharField(max_length=2000, blank=True)
    problem = models.TextField(blank=True)
    """Why the record cannot be read, in a sentence; empty for one that can."""

    class Meta:
        ordering: ClassVar = ["-created", "-pk"]
        indexes: ClassVar = [
            models.Index(fields=["id"], condition=Q(moving=True), name="run_moving"),
            models.Index(fields=["paper", "newest"], name="run_paper_newest"),
        ]

    def __str__(self) -> str:
        return self.run_id

    def get_absolute_url(self) -> str:
        return reverse("run", args=[self.run_id])

    @property
    def verdicts(self) -> list[str]:
        return [word for word in self.words.split("|") if word]

    @property
    def css_state(self) -> str:
        return self.state.replace(" ", "-")


class Outcome(models.Model):
    """What became of one claim in one run that counts; without a run, in the ledger that came with the replication.

    `latest` is set where no later run that counts judged the replication: those outcomes are the ledger. `before` is the word that
    the claim had until then, "" for its first.
    """

    run = models.ForeignKey(Run, models.CASCADE, null=True, related_name="outcomes")
    paper = models.ForeignKey(Paper, models.SET_NULL, null=True, related_name="outcomes")
    paper_ref = models.CharField(max_length=200)
    replication = models.CharField(max_length=120, db_index=True)
    claim_id = models.CharField(max_length=120)
    number = models.PositiveIntegerField()
    """Counted from 1 in the order of the cards."""
    version = models.PositiveIntegerField()
    verdict = models.CharField(max_length=20, choices=[(word, word) for word in VERDICTS])
    before = models.CharField(max_length=20, blank=True)
    scale = models.CharField(max_length=10, choices=[(scale, scale) for scale in SCALES])
    estimate = models.FloatField(null=True)
    low = models.FloatField(null=True)
    high = models.FloatField(null=True)
    threshold = models.FloatField(null=True)
    unit = models.CharField(max_length=40, default="1")
    n = models.PositiveIntegerField(default=0)
    preset = models.CharField(max_length=20)
    seconds = models.FloatField(null=True)
    machine = models.CharField(max_length=300, blank=True)
    judged = models.DateTimeField(db_index=True)
    latest = models.BooleanField(default=False)

    class Meta:
        ordering: ClassVar = ["replication", "number"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["run", "claim_id"], name="outcome_of_run"),
            models.UniqueConstraint(fields=["replication", "claim_id"], condition=Q(run=None), name="outcome_shipped"),
        ]
        indexes: ClassVar = [models.Index(fields=["paper"], condition=Q(latest=True), name="outcome_latest")]

    def __str__(self) -> str:
        return f"{self.replication} {self.claim_id}: {self.verdict}"

    @property
    def shipped(self) -> bool:
        return self.run_id is None

    @property
    def css_verdict(self) -> str:
        return css(self.verdict)


def css(word: str) -> str:
    """The class of a verdict or state in the stylesheet."""
    return {"partly matched": "partly", "not judged": "pending"}.get(word, word.replace(" ", "-"))
