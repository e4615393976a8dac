"""What one person keeps: bookmarks, read marks, notes, collections, follows. All of it is theirs alone, but public collections."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import Value
from django.http import Http404
from django.utils import timezone

from pressrun.web.community.acting import fitting
from pressrun.web.community.models import Bookmark, Collection, CollectionItem, Follow, Note, ReadMark, Vote
from pressrun.web.errors import BadInput
from pressrun.web.papers.models import Author, Organisation, Paper, Topic, slug_of

__all__ = [
    "Marks",
    "collect",
    "collection_named",
    "follow",
    "mark",
    "marks_on",
    "new_collection",
    "write_note",
]

MOST_COLLECTIONS = 200
MOST_FOLLOWS = 500
LONGEST_NOTE = 10_000
LONGEST_KEY = 300
_MARKS: dict[str, type[Bookmark | ReadMark]] = {"bookmark": Bookmark, "read": ReadMark}
_FOLLOWED: dict[str, type[Author | Organisation | Topic]] = {"author": Author, "organisation": Organisation, "topic": Topic}


@dataclass(frozen=True)
class Marks:
    """Keys of the papers that somebody voted for, keeps, and has read."""

    voted: frozenset[int] = frozenset()
    kept: frozenset[int] = frozenset()
    read: frozenset[int] = frozenset()


def marks_on(user: User, papers: Sequence[Paper]) -> Marks:
    """Somebody's marks on the papers of a page, in one query."""
    keys = [paper.pk for paper in papers]
    if not keys:
        return Marks()
    of: dict[str, Any] = {"user": user, "paper__in": keys}
    kinds: tuple[tuple[str, type[Vote | Bookmark | ReadMark]], ...] = (("voted", Vote), ("kept", Bookmark), ("read", ReadMark))
    queries = [
        model._default_manager.filter(**of).order_by().annotate(what=Value(what)).values_list("what", "paper_id")
        for what, model in kinds
    ]
    found: dict[str, set[int]] = {what: set() for what, _ in kinds}
    for what, key in queries[0].union(*queries[1:], all=True):
        found[what].add(key)
    return Marks(**{what: frozenset(keys) for what, keys in found.items()})


def mark(user: User, paper: Paper, kind: str, *, on: bool) -> None:
    """Keep a paper or mark it as read, or no longer; doing either twice changes nothing."""
    model = _MARKS[kind]
    if on:
        model._default_manager.get_or_create(user=user, paper=paper)
    else:
        model._default_manager.filter(user=user, paper=paper).delete()


def write_note(user: User, paper: Paper, text: str) -> Note | None:
    """One's own note on a paper; an empty one removes it."""
    text = fitting(text.strip(), "note", LONGEST_NOTE, needed=False)
    if not text:
        Note.objects.filter(user=user, paper=paper).delete()
        return None
    return Note.objects.update_or_create(user=user, paper=paper, defaults={"text": text, "modified": timezone.now()})[0]


def new_collection(user: User, title: str, description: str = "", *, public: bool = False) -> Collection:
    """A collection of one's own. Titles that would share an address get a number behind theirs."""
    title = fitting(" ".join(title.split()), "title", 120)
    description = fitting(description.strip(), "description", 2000, needed=False)
    if Collection.objects.filter(owner=user).count() >= MOST_COLLECTIONS:
        raise BadInput(f"you have {MOST_COLLECTIONS} collections; remove one first.")
    stem = slug_of(title)[:110]
    for n in range(1, MOST_COLLECTIONS + 2):
        slug = stem if n == 1 else f"{stem}-{n}"
        try:
            with transaction.atomic():
                return Collection.objects.create(owner=user, title=title, slug=slug, description=description, public=public)
        except IntegrityError:
            continue
    raise BadInput(f"there are too many collections called {title!r}.")


def collection_named(reader: User | None, owner: str, slug: str) -> Collection:
    """A collection that the reader may see. To anybody else a private one is as if it were not there."""
    found = Collection.objects.filter(owner__username=owner, slug=slug).select_related("owner__profile").first()
    if found is None or not (found.public or found.owner == reader):
        raise Http404("There is no such collection here.")
    return found


def collect(owner: User, collection: Collection, papers: Iterable[Paper], *, on: bool) -> None:
    """Put papers into one's own collection, or take them out."""
    if collection.owner_id != owner.pk:
        raise Http404("There is no such collection here.")
    if on:
        CollectionItem.objects.bulk_create(
            (CollectionItem(collection=collection, paper=paper) for paper in papers), ignore_conflicts=True
        )
    else:
        CollectionItem.objects.filter(collection=collection, paper__in=list(papers)).delete()


def follow(user: User, kind: str, key: str, *, on: bool) -> Follow | None:
    """Follow an author, organisation or topic (by slug), or a search (by its text); or no longer.

    Raises:
        BadInput: there is no such kind or thing, or the search is empty or too long.
    """
    key = " ".join(key.split())
    if not on:
        Follow.objects.filter(user=user, kind=kind, key=key).delete()
        return None
    if Follow.objects.filter(user=user).count() >= MOST_FOLLOWS:
        raise BadInput(f"you follow {MOST_FOLLOWS} things; stop following one first.")
    label = _label(kind, key)
    return Follow.objects.get_or_create(user=user, kind=kind, key=key, defaults={"label": label})[0]


def _label(kind: str, key: str) -> str:
    if kind == "search":
        return fitting(key, "search", LONGEST_KEY)
    model = _FOLLOWED.get(kind)
    if model is None:
        raise BadInput(f"one can follow an author, an organisation, a topic or a search, got {kind[:40]!r}.")
    thing = model._default_manager.filter(slug=key.replace("\0", "")[:120]).first()
    if thing is None:
        raise BadInput(f"there is no {kind} {key[:80]!r} here.")
    return thing.name
