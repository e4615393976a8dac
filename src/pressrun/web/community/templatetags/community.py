"""How people, their marks and their words are shown on pages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from django import template
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.template import Context
from django.utils.safestring import SafeString

from pressrun.web.community import acting, curating, discussion, markdown, shelves
from pressrun.web.community.models import Collection, Day, Follow, Note
from pressrun.web.papers.lists import PaperList
from pressrun.web.papers.models import Paper
from pressrun.web.people.roles import Role, role_of
from pressrun.web.runs.models import Outcome

register = template.Library()


@register.filter
def person_name(user: User | None) -> str:
    return acting.named(user)


@register.filter
def as_markdown(text: str) -> SafeString:
    return markdown.render(text)


@register.filter
def at(found: Mapping[str, Any], key: str) -> Any:  # noqa: ANN401  whatever the mapping holds
    return found.get(key) if found else None


def _request(context: Context) -> HttpRequest | None:
    request: HttpRequest | None = context.get("request")
    return request if request is not None and hasattr(request, "user") else None


def _user(context: Context) -> User | None:
    request = _request(context)
    return request.user if request is not None and isinstance(request.user, User) else None


@register.simple_tag(takes_context=True)
def may(context: Context, role: str) -> bool:
    """Whether the reader may act in a role: {% may "curator" as curator %}."""
    request = _request(context)
    return request is not None and role_of(request) >= Role(role)


@register.simple_tag(takes_context=True)
def marks_on(context: Context, shown: Iterable[Any]) -> shelves.Marks | None:
    """The reader's marks on the papers of a page (or on hits that hold them), in one query; None where nobody is signed in."""
    user = _user(context)
    return shelves.marks_on(user, [getattr(row, "paper", row) for row in shown]) if user else None


@dataclass(frozen=True)
class Own:
    """What a signed-in reader has to do with one paper."""

    marks: shelves.Marks
    note: str
    collections: list[tuple[Collection, bool]]


@register.simple_tag(takes_context=True)
def own_things(context: Context, paper: Paper) -> Own | None:
    user = _user(context)
    if user is None:
        return None
    note = Note.objects.filter(user=user, paper=paper).values_list("text", flat=True).first() or ""
    inside = set(Collection.objects.filter(owner=user, items__paper=paper).values_list("pk", flat=True))
    collections = [(row, row.pk in inside) for row in Collection.objects.filter(owner=user)]
    return Own(shelves.marks_on(user, [paper]), note, collections)


@dataclass(frozen=True)
class Talk:
    """Threads of a paper's discussion, as its page shows them. `locked` is why it is locked, `open` whether the reader may write all the
    same; `claims` are those that the reader may answer as an author."""

    said: list[discussion.Said]
    count: int
    more: bool
    locked: str | None
    open: bool
    claims: list[tuple[str, int]]


@register.simple_tag(takes_context=True)
def talk_on(context: Context, paper: Paper) -> Talk:
    page, said = discussion.threads(paper)
    return _talk(context, paper, said, page.paginator.count > discussion.THREADS)


@register.simple_tag(takes_context=True)
def talk_of(context: Context, paper: Paper, said: list[discussion.Said]) -> Talk:
    """The same for threads that are at hand."""
    return _talk(context, paper, said, more=False)


def _talk(context: Context, paper: Paper, said: list[discussion.Said], more: bool) -> Talk:
    lock, user = discussion.lock_of(paper), _user(context)
    authors = discussion.verified_authors(paper)
    claims: list[tuple[str, int]] = []
    if user is not None and user.pk in authors:
        rows = Outcome.objects.filter(paper=paper, latest=True).order_by("number")
        claims = list(rows.values_list("claim_id", "number"))
    count = sum(1 for each in said if each.shown)
    return Talk(said, count, more, lock.reason if lock else None, lock is None or may(context, Role.CURATOR), claims)


@register.simple_tag
def author_answers(paper: Paper) -> dict[str, list[discussion.Said]]:
    """What verified authors say about the verdicts on their paper's claims, by claim."""
    return discussion.answers_to_claims(paper)


@register.simple_tag
def day_state(shown: PaperList, day: date | None) -> dict[str, Any] | None:
    """Of a day's list: whether a curator called it complete, and how many papers have a place given by hand."""
    if shown.period != "day" or day is None:
        return None
    found: Day | None = curating.complete_since(day)
    return {"complete": found, "placed": curating.placed(day)}


@dataclass(frozen=True)
class Followable:
    """What a list can be followed as, and whether the reader does."""

    kind: str
    key: str
    followed: bool


_KINDS = {"authors": "author", "organisations": "organisation", "topics": "topic"}


@register.simple_tag(takes_context=True)
def followable(context: Context, shown: PaperList) -> Followable | None:
    """The list of an author, organisation or topic, or a search, for a reader who is signed in; None for any other."""
    user = _user(context)
    address = urlsplit(shown.url)
    parts = address.path.strip("/").split("/")
    if user is None:
        return None
    if parts == ["search"]:
        kind, key = "search", " ".join(parse_qs(address.query).get("q", [""])[0].split())
    else:
        kind, key = _KINDS.get(parts[0], ""), unquote(parts[-1])
    if not (kind and key and len(key) <= shelves.LONGEST_KEY):
        return None
    return Followable(kind, key, Follow.objects.filter(user=user, kind=kind, key=key).exists())


@register.simple_tag
def member_called(name: str) -> User | None:
    """Who submitted a paper, where the name is that of a member who did; a source may have brought it."""
    return User.objects.filter(username=name, submissions__state="listed").select_related("profile").first()
