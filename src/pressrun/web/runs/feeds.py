"""Verdicts as they come and change, as RSS, Atom and JSON Feed: an entry for each claim whose verdict is new or another one."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.db.models import F
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.feedgenerator import Atom1Feed, Rss201rev2Feed, SyndicationFeed
from django.utils.html import escape
from django.utils.http import http_date
from django.views.decorators.http import conditional_page, require_safe

from pressrun.web.api.answers import one_line, utc
from pressrun.web.api.feeds import NAMESPACE
from pressrun.web.runs import sync
from pressrun.web.runs.models import Outcome

__all__ = ["changes"]

ENTRIES = 100
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


class _Dated(SyndicationFeed):
    """The date of the feed is that of its newest entry, so that nothing changes by waiting."""

    def latest_post_date(self) -> datetime:
        found: datetime = self.feed["updated"]
        return found


class _Rss(_Dated, Rss201rev2Feed):
    pass


class _Atom(_Dated, Atom1Feed):
    pass


TYPES = {
    "rss": "application/rss+xml; charset=utf-8",
    "atom": "application/atom+xml; charset=utf-8",
    "json": "application/feed+json; charset=utf-8",
}


@conditional_page
@require_safe
def changes(request: HttpRequest, format: str) -> HttpResponse:
    """The newest verdicts of runs here that are a claim's first, or another one than before."""
    sync.catch_up()
    rows = Outcome.objects.filter(run__isnull=False).exclude(before=F("verdict")).select_related("paper", "run")
    outcomes = list(rows.order_by("-judged", "replication", "number")[:ENTRIES])
    base = request.build_absolute_uri("/").rstrip("/")
    write = _json if format == "json" else _xml
    response = HttpResponse(write(outcomes, base, request.get_full_path(), format), content_type=TYPES[format])
    if outcomes:
        response["Last-Modified"] = http_date(outcomes[0].judged.timestamp())
    response["Cache-Control"] = "max-age=60"
    return response


def _title(outcome: Outcome) -> str:
    title = outcome.paper.title if outcome.paper else outcome.replication
    before = f", was {outcome.before}" if outcome.before else ""
    return one_line(f"{outcome.verdict.capitalize()}{before}: {outcome.claim_id.replace('-', ' ')} ({title})")


def _text(outcome: Outcome) -> str:
    value = "" if outcome.estimate is None else f" Estimate {outcome.estimate:.4g}"
    between = "" if outcome.low is None or outcome.high is None else f", 95 % interval {outcome.low:.4g} to {outcome.high:.4g}"
    return f"Claim {outcome.number}, tested at {outcome.scale} scale, preset {outcome.preset}.{value}{between}."


def _id(outcome: Outcome) -> str:
    run = outcome.run.run_id if outcome.run else ""
    return uuid.uuid5(uuid.NAMESPACE_URL, f"{NAMESPACE}/runs/{run}/{outcome.claim_id}").urn


def _address(outcome: Outcome, base: str) -> str:
    assert outcome.run is not None  # noqa: S101  asked for in the query
    return f"{base}{outcome.run.get_absolute_url()}#{outcome.claim_id}"


def _xml(outcomes: list[Outcome], base: str, here: str, format: str) -> str:
    kind = _Rss if format == "rss" else _Atom
    feed = kind(
        title=one_line(f"Verdicts · {settings.SITE_NAME}"),
        link=base + reverse("ledger"),
        description="Claims whose verdict is new or changed",
        language=settings.LANGUAGE_CODE,
        author_name=one_line(settings.SITE_NAME) if format == "atom" else None,
        feed_url=base + here,
        feed_guid=base + here,
        updated=outcomes[0].judged if outcomes else _NEVER,
    )
    for outcome in outcomes:
        feed.add_item(
            title=_title(outcome),
            link=_address(outcome, base),
            description=escape(_text(outcome)),
            pubdate=outcome.judged,
            updateddate=outcome.judged,
            unique_id=_id(outcome),
            unique_id_is_permalink=False,
            categories=[outcome.verdict, outcome.scale],
        )
    return feed.writeString("utf-8")


def _json(outcomes: list[Outcome], base: str, here: str, format: str) -> str:
    feed: dict[str, Any] = {
        "version": "https://jsonfeed.org/version/1.1",
        "title": one_line(f"Verdicts · {settings.SITE_NAME}"),
        "home_page_url": base + reverse("ledger"),
        "feed_url": base + here,
        "language": settings.LANGUAGE_CODE,
        "items": [
            {
                "id": _id(outcome),
                "url": _address(outcome, base),
                "title": _title(outcome),
                "content_text": _text(outcome),
                "date_published": utc(outcome.judged),
                "tags": [outcome.verdict, outcome.scale],
                "_pr": {
                    "paper": outcome.paper_ref,
                    "claim": outcome.claim_id,
                    "verdict": outcome.verdict,
                    "before": outcome.before,
                },
            }
            for outcome in outcomes
        ],
    }
    return json.dumps(feed, ensure_ascii=False)
