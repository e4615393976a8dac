"""Events and subscriptions in words: for notifications, mails and webhooks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.auth.models import User
from django.urls import reverse

from pressrun.web.alerts.models import Event, Subscription
from pressrun.web.api.answers import one_line
from pressrun.web.papers.results import search_url
from pressrun.web.runs.models import VERDICTS, css

__all__ = ["KINDS", "asked", "list_path", "marks", "path", "sentence", "subject", "title"]

KINDS = {
    Event.Kind.LISTED: "A paper is on the list",
    Event.Kind.VERDICT: "A claim was judged, or its verdict changed",
    Event.Kind.COMMENT: "A comment",
    Event.Kind.REPLY: "A reply",
    Event.Kind.MENTION: "Somebody is mentioned",
    Event.Kind.AUTHOR: "An author answers",
    Event.Kind.VOTES: "A paper reached a round number of votes",
    Event.Kind.SUBMISSION: "A submission came in, or was decided on",
    Event.Kind.REPORT: "A comment was reported",
}
_MARKS = {"matched": "✓", "partly matched": "◐", "not matched": "✕", "too noisy": "≈", "void": "∅"}


def sentence(event: Event, *, you: bool = False) -> str:
    """What happened, on one line and without mark-up; with `you`, as the person it happened to reads it. Reads `paper` and `actor__profile`."""
    paper = f"“{one_line(event.paper.title)}”" if event.paper else "a paper"
    actor = _name(event.actor)
    match event.kind:
        case Event.Kind.COMMENT:
            return f"{actor} commented on {paper}"
        case Event.Kind.REPLY:
            return f"{actor} replied to {'you' if you else 'a comment'} on {paper}"
        case Event.Kind.MENTION:
            return f"{actor} mentioned {'you' if you else 'somebody'} on {paper}"
        case Event.Kind.AUTHOR:
            return f"{actor}, an author of {paper}, answered"
        case Event.Kind.VOTES:
            return f"{paper} has {_number(event.data.get('votes'))} votes"
        case Event.Kind.LISTED:
            return f"{paper} is on the list"
        case Event.Kind.VERDICT:
            return f"{paper} was run: {_verdicts(event.data)}"
        case Event.Kind.REPORT:
            return f"A comment on {paper} was reported"
    return f"Submission: {one_line(str(event.data.get('text') or paper))}"


def _name(user: User | None) -> str:
    if user is None:
        return "Somebody"
    profile = getattr(user, "profile", None)  # None where the account was made past us, as by createsuperuser
    return one_line(profile.name if profile else user.get_username()) or user.get_username()


def path(event: Event) -> str:
    """The page of this site that an event leads to. What `data` says counts only where it is a path of ours."""
    given = str(event.data.get("url", ""))
    if given.startswith("/") and not given.startswith(("//", "/\\")):
        return given
    return event.paper.get_absolute_url() if event.paper else reverse("home")


def marks(event: Event) -> list[tuple[str, str, str]]:
    """The verdicts of an event as (class, mark, words), such as ("not-matched", "✕", "autoencoder on par: not matched, was matched")."""
    return [
        (css(word), _MARKS[word], f"{claim}: {word}{f', was {before}' if before and before != word else ''}")
        for claim, word, before in _claims(event.data)
    ]


def _claims(data: dict[str, Any]) -> Iterable[tuple[str, str, str]]:
    for claim in data.get("claims", []):
        if not isinstance(claim, dict):  # the claim that an author answers
            continue
        word = str(claim.get("verdict", ""))
        if word in VERDICTS:
            yield str(claim.get("claim", "")).replace("-", " "), word, str(claim.get("before", ""))


def _verdicts(data: dict[str, Any]) -> str:
    parts = [f"{claim} {word}{f' (was {before})' if before and before != word else ''}" for claim, word, before in _claims(data)]
    return one_line(", ".join(parts)) or "its claims were judged"


def _number(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else "many"


def title(subscription: Subscription) -> str:
    """The heading of a digest."""
    if subscription.what == Subscription.What.SEARCH:
        return f"New for “{one_line(subscription.query)}”"
    return "Trending" if subscription.what == Subscription.What.TRENDING else "What you follow"


def subject(subscription: Subscription, papers: int, events: int) -> str:
    parts = [f"{n:,} {noun if n == 1 else noun + 's'}" for n, noun in ((papers, "paper"), (events, "verdict")) if n]
    return f"{title(subscription)}: {', '.join(parts)}"


def asked(subscription: Subscription) -> str:
    """What the reader asked for, to end the sentence "You get this because you asked for …"."""
    often = {"daily": "every day", "weekly": "every week", "monthly": "every month"}[subscription.often]
    if subscription.what == Subscription.What.SEARCH:
        return f"new papers for “{one_line(subscription.query)}” {often}"
    what = "the trending list" if subscription.what == Subscription.What.TRENDING else "what you follow"
    return f"{what} {often}"


def list_path(subscription: Subscription) -> str:
    """The page of this site that shows the same list."""
    if subscription.what == Subscription.What.SEARCH:
        return search_url(subscription.query)
    return reverse("trending") if subscription.what == Subscription.What.TRENDING else reverse("home")
