"""A curator's hand in a day's list: which papers are on it, which come first, and whether it is whole."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from pressrun import catalog
from pressrun.web.community.models import Day, Placement
from pressrun.web.community.moderation import log
from pressrun.web.community.submitting import known_as, list_now
from pressrun.web.errors import BadInput
from pressrun.web.papers import lists
from pressrun.web.papers.models import Paper, PaperQuerySet

__all__ = ["add", "add_known", "complete", "complete_since", "order", "placed", "put_back", "set_links", "take_off", "taken_off"]


@transaction.atomic
def order(actor: User, day: date, places: Mapping[int, int | None]) -> None:
    """Give papers of a day's list (by key) their places, counted from 1; none for those that go by votes again."""
    papers = {paper.pk: paper for paper in Paper.objects.filter(day=day, pk__in=places)}
    if missing := len(places.keys() - papers.keys()):
        raise BadInput(f"{missing} of these papers are not on the list of {day} any more; load the page again.")
    taken = [place for place in places.values() if place is not None]
    if len(taken) != len(set(taken)):
        raise BadInput("two papers have the same place; give each a place of its own.")
    before = dict(Placement.objects.filter(paper__in=papers).values_list("paper_id", "place"))
    changed = {pk: place for pk, place in places.items() if before.get(pk) != place}
    for pk, place in changed.items():
        Placement.objects.update_or_create(paper_id=pk, defaults={"place": place})
    if changed:
        said = ", ".join(
            f"{place or '–'} {papers[pk].public_id}" for pk, place in sorted(changed.items(), key=lambda c: c[1] or 9999)
        )
        log(actor, "ordered list", str(day), address=lists.of_day(day).url, reason=said)


@transaction.atomic
def take_off(actor: User, paper: Paper, reason: str = "") -> None:
    """Off its day's list, and so off Trending and the lists of its week and month. Its page and search keep it."""
    day = paper.day
    _place(paper, off=True)
    log(actor, "took off list", paper.title, address=paper.get_absolute_url(), reason=f"{day}: {reason}".rstrip(": "))


@transaction.atomic
def put_back(actor: User, paper: Paper) -> None:
    _place(paper, off=False)
    log(actor, "put back on list", paper.title, address=paper.get_absolute_url())


@transaction.atomic
def add(actor: User, record: catalog.Paper, day: date) -> Paper:
    """A fetched or typed record onto a day's list; a paper that is here already moves to it."""
    if found := known_as(record):
        return add_known(actor, found, day)
    found = list_now(record, day)
    log(actor, "added to list", found.title, address=found.get_absolute_url(), reason=str(day))
    return found


@transaction.atomic
def add_known(actor: User, paper: Paper, day: date) -> Paper:
    """A paper of this site onto a day's list. No import moves it again."""
    Paper.objects.filter(pk=paper.pk).lock()
    row = Paper.objects.get(pk=paper.pk)
    row.listed = day
    row.edited = sorted({*row.edited, "listed"})
    Placement.objects.filter(paper=row).delete()
    row.derive()
    row.save()
    log(actor, "added to list", row.title, address=row.get_absolute_url(), reason=str(day))
    return row


@transaction.atomic
def set_links(actor: User, paper: Paper, *, project: str | None, code: str | None) -> Paper:
    """Set a paper's project page and code; None leaves one as it is, and no import changes what was set."""
    Paper.objects.filter(pk=paper.pk).lock()
    row = Paper.objects.get(pk=paper.pk)
    for name, address in (("project_url", project), ("code_url", code)):
        if address is None:
            continue
        if address and not re.fullmatch(r"https?://[^\s\"'<>]{1,490}", address, re.IGNORECASE):
            raise BadInput(f"a link must be an http(s) address of at most 500 characters, got {address[:60]!r}.")
        setattr(row, name, address)
        row.edited = sorted({*row.edited, "links"})
    row.derive()
    row.save()
    log(actor, "set links", row.title, address=row.get_absolute_url(), reason=f"{row.project_url} {row.code_url}".strip())
    return row


@transaction.atomic
def complete(actor: User, day: date, *, on: bool) -> None:
    """Say that nothing more is expected on a day's list, or that something is."""
    Day.objects.update_or_create(day=day, defaults={"complete": timezone.now() if on else None, "by": actor})
    log(actor, "completed list" if on else "reopened list", str(day), address=lists.of_day(day).url)


def complete_since(day: date) -> Day | None:
    """What was said of a complete list; None for one that is not."""
    return Day.objects.filter(day=day, complete__isnull=False).select_related("by__profile").first()


def placed(day: date) -> int:
    """How many papers of a day's list have a place that a curator gave."""
    return Placement.objects.filter(paper__day=day, place__isnull=False).count()


def taken_off(day: date) -> PaperQuerySet:
    """Papers that would be on a day's list, had no curator taken them off."""
    of_day = Q(listed=day) | Q(listed=None, published=day)
    return Paper.objects.filter(of_day, placement__off=True).order_by("title")


def _place(paper: Paper, *, off: bool) -> None:
    Paper.objects.filter(pk=paper.pk).lock()
    Placement.objects.update_or_create(paper=paper, defaults={"off": off, "place": None})
    row = Paper.objects.get(pk=paper.pk)
    row.derive()
    row.save(update_fields=["title_key", "day", "votes", "comments", "trending", "modified", "to_index"])
