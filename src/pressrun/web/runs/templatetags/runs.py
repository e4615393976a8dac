"""How runs and verdicts are written on pages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django import template
from django.conf import settings
from django.db.models import Count
from django.http import HttpRequest
from django.template import Context

from pressrun.web.papers.lists import PaperList
from pressrun.web.papers.models import Paper
from pressrun.web.runs import access, claims, facts, installed, pricing, starting, sync, wording
from pressrun.web.runs.axes import shown
from pressrun.web.runs.models import VERDICTS, Outcome, Run, css

register = template.Library()

PRESS_LINES = 5


@register.filter
def lasting(seconds: float | None) -> str:
    return wording.lasting(seconds)


@register.filter
def size(octets: int | None) -> str:
    return wording.size(octets)


@register.filter
def number(value: float | None) -> str:
    """A number with a true minus sign, "" where there is none."""
    return "" if value is None else shown(value)


@register.filter
def verdict_class(word: str) -> str:
    return css(word)


@register.filter
def words(text: str) -> str:
    """A name of code as words: train_steps as "train steps"."""
    return text.replace("_", " ")


@register.filter
def short_hash(text: str) -> str:
    return f"{text[:4]}…{text[-4:]}" if len(text) > 12 else text


@register.filter
def typed(value: object) -> str:
    """A knob's value as one would type it."""
    return starting.as_typed(value)


@register.filter
def tallied(found: Iterable[str]) -> str:
    return wording.tally(found)


@register.filter
def as_patches(found: Iterable[str]) -> tuple[facts.Patch, ...]:
    return facts.patches_of(found)


@register.inclusion_tag("runs/_strip.html", takes_context=True)
def run_strip(context: Context, paper: Paper) -> dict[str, Any]:
    """The strip of a paper. On a page of many papers those of all are read at once."""
    request: HttpRequest = context["request"]
    known: dict[int, facts.Strip | None] = getattr(request, "run_strips", {})
    if paper.pk not in known:
        if not known:
            sync.catch_up()
        beside = [paper, *_papers_beside(context)]
        known = dict.fromkeys((each.pk for each in beside), None) | facts.strips(beside)
        request.run_strips = known  # type: ignore[attr-defined]  # kept as long as the page is made
    return {"strip": known[paper.pk], "paper": paper, "whole_page": context.get("citations") is not None}


def _papers_beside(context: Context) -> list[Paper]:
    page, hits = context.get("page"), context.get("hits")
    if hits:
        return [found.paper for found in hits]
    return [each for each in page if isinstance(each, Paper)] if page else []


@register.inclusion_tag("runs/_claims.html", takes_context=True)
def claims_of(context: Context, paper: Paper) -> dict[str, Any]:
    sync.catch_up()
    return {"claims": claims.of_paper(paper), "paper": paper, "request": context["request"]}


@register.inclusion_tag("runs/_panel.html", takes_context=True)
def run_panel(context: Context, paper: Paper) -> dict[str, Any]:
    """What stands between crop marks: presets, knobs, price and the button; why not, for those who may not."""
    replication = installed.of_paper(paper)
    if replication is None:
        return {"paper": paper, "replication": None}
    request: HttpRequest = context["request"]
    given: Mapping[str, str] = context.get("given") or {}
    errors: Mapping[str, str] = context.get("errors") or {}
    preset = given.get("preset", "laptop") if given.get("preset") in replication.presets else "laptop"
    seeds = {name: starting.usual_seeds(name) for name in replication.presets}
    tags = pricing.tags_of(replication, seeds)
    waiting = Run.objects.filter(moving=True).count()
    return {
        "paper": paper,
        "replication": replication,
        "may_run": access.may_run(request),
        "tags": tags,
        "chosen": next(tag for tag in tags if tag.preset == preset),
        "fields": starting.form_of(replication, given, errors, preset),
        "open": any(name.startswith(starting.KNOB) and text for name, text in given.items()),
        "seeds": given.get("seeds", "")[:40],
        "errors": errors,
        "most_seeds": starting.MOST_SEEDS,
        "waiting": waiting,
        "full": waiting >= settings.RUNS_WAITING,
        "machine": pricing.this_machine(),
        "command": f"pressrun run {replication.paper}",
        "csrf_token": context.get("csrf_token"),
    }


@register.inclusion_tag("runs/_tally.html")
def verdict_tally(shown_list: PaperList) -> dict[str, Any]:
    """How the claims of a list's papers came out, and what runs right now."""
    outcomes = Outcome.objects.filter(latest=True, paper__in=shown_list.papers.order_by().values("pk"))
    counted = dict(outcomes.order_by().values_list("verdict").annotate(Count("pk")))
    moving = Run.objects.filter(moving=True).select_related("paper").defer("paper__abstract").order_by("created")[:PRESS_LINES]
    return {
        "counts": [(word, css(word), counted[word]) for word in VERDICTS if word in counted],
        "claims": sum(counted.values()),
        "papers": outcomes.order_by().values("paper").distinct().count() if counted else 0,
        "moving": list(moving),
    }
