"""What people added, as records of an export, and back again. Taking the same record twice changes nothing.

People go by their user names. Where an import names somebody who has no account here, one is made that nobody can sign in to, so
that votes stay one a person and words stay with who said them. No address and no password is ever in an export.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime
from itertools import groupby
from typing import Annotated, Any, Literal, TypeVar

from django.contrib.auth.models import User
from django.contrib.auth.validators import UnicodeUsernameValidator
from django.core.exceptions import ValidationError as BadName
from django.db import IntegrityError, transaction
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pressrun.web.community import markdown, voting
from pressrun.web.community.models import (
    AuthorClaim,
    Bookmark,
    Collection,
    CollectionItem,
    Comment,
    Day,
    Follow,
    Lock,
    MailDomain,
    Note,
    Placement,
    ReadMark,
    Revision,
    Submission,
    Vote,
)
from pressrun.web.papers.exchange import Kind, register
from pressrun.web.papers.models import Paper
from pressrun.web.people.own_data import exports

__all__ = ["register_kinds", "register_own_data"]

_AT_ONCE = 1000
Name = Annotated[str, Field(min_length=1, max_length=150)]
Text = Annotated[str, Field(max_length=markdown.LONGEST)]
Record = Mapping[str, Any]


class _Unknown(ValueError):
    """A record speaks of something that is not here; the message is a sentence."""


class Row(BaseModel):
    """Records are read strictly: a wrong type is refused with a sentence, an unknown field is passed over."""

    model_config = ConfigDict(extra="ignore")


class VoteRow(Row):
    user: Name
    at: datetime


class VotesRow(Row):
    """The votes for one paper: how many, and whose."""

    paper: str
    count: int
    by: list[VoteRow]


class MarkRow(Row):
    user: Name
    paper: str
    at: datetime


class NoteRow(MarkRow):
    text: Text
    modified: datetime


class ItemRow(Row):
    paper: str
    at: datetime


class CollectionRow(Row):
    owner: Name
    slug: Annotated[str, Field(min_length=1, max_length=120)]
    title: Annotated[str, Field(min_length=1, max_length=120)]
    description: Annotated[str, Field(max_length=2000)] = ""
    public: bool = False
    at: datetime
    papers: list[ItemRow]


class FollowRow(Row):
    user: Name
    kind: Follow.Kind
    key: Annotated[str, Field(min_length=1, max_length=300)]
    label: Annotated[str, Field(min_length=1, max_length=300)]
    at: datetime


class RevisionRow(Row):
    text: Text
    until: datetime


class CommentRow(Row):
    uid: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    paper: str
    author: Annotated[str, Field(max_length=150)] = ""
    parent: Annotated[str, Field(max_length=32)] = ""
    text: Text
    claim: Annotated[str, Field(max_length=120)] = ""
    state: Comment.State
    reason: Annotated[str, Field(max_length=300)] = ""
    at: datetime
    edited: datetime | None = None
    mentions: list[Name] = []
    revisions: list[RevisionRow] = []


class LockRow(Row):
    paper: str
    reason: Annotated[str, Field(max_length=300)] = ""
    at: datetime


class ClaimRow(Row):
    user: Name
    paper: str
    name: Annotated[str, Field(min_length=1, max_length=200)]
    state: AuthorClaim.State
    how: Literal["", "mail", "owner"] = ""
    why: Annotated[str, Field(max_length=500)] = ""
    at: datetime
    decided: datetime | None = None


class DomainRow(Row):
    domain: Annotated[str, Field(min_length=3, max_length=200)]
    organisation: Annotated[str, Field(min_length=1, max_length=200)]


class SubmissionRow(Row):
    uid: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    user: Annotated[str, Field(max_length=150)] = ""
    given: Annotated[str, Field(max_length=500)]
    key: Annotated[str, Field(max_length=320)]
    record: dict[str, Any]
    typed: bool = False
    state: Submission.State
    why: Annotated[str, Field(max_length=500)] = ""
    paper: str = ""
    at: datetime
    decided: datetime | None = None


class DayRow(Row):
    day: date
    complete: datetime | None = None
    by: Annotated[str, Field(max_length=150)] = ""


class PlacementRow(Row):
    paper: str
    place: Annotated[int, Field(ge=1, le=100_000)] | None = None
    off: bool = False


def register_kinds() -> None:
    """In the order in which an import must meet them: a claim before the author's replies, a comment before its answers."""
    register(Kind("votes", _votes, _taking(VotesRow, _put_votes)))
    for name, model in (("bookmark", Bookmark), ("read", ReadMark)):
        register(Kind(name, _marks_of(model), _taking(MarkRow, _marker(model))))
    register(Kind("note", _notes, _taking(NoteRow, _put_note)))
    register(Kind("collection", _collections, _taking(CollectionRow, _put_collection)))
    register(Kind("follow", _follows, _taking(FollowRow, _put_follow)))
    register(Kind("mail-domain", _domains, _taking(DomainRow, _put_domain)))
    register(Kind("author-claim", _claims, _taking(ClaimRow, _put_claim)))
    register(Kind("comment", _comments, _taking(CommentRow, _put_comment)))
    register(Kind("discussion-lock", _locks, _taking(LockRow, _put_lock)))
    register(Kind("submission", _submissions, _taking(SubmissionRow, _put_submission)))
    register(Kind("placement", _placements, _taking(PlacementRow, _put_placement)))
    register(Kind("day", _days, _taking(DayRow, _put_day)))


def register_own_data() -> None:
    """What one person may take along before their account ends: records of the same form."""
    exports("votes")(_votes_of)
    exports("bookmarks")(lambda user: _marks(Bookmark, user))
    exports("read")(lambda user: _marks(ReadMark, user))
    for name, records in (("notes", _notes), ("collections", _collections), ("follows", _follows)):
        exports(name)(records)
    for name, records in (("comments", _comments), ("author_claims", _claims), ("submissions", _submissions)):
        exports(name)(records)


def _votes_of(user: User) -> Iterator[Record]:
    for row in user.votes.order_by("pk").select_related("paper").iterator(chunk_size=_AT_ONCE):
        yield {"paper": row.paper.public_id, "at": _moment(row.created)}


R = TypeVar("R", bound=Row)


def _taking(form: type[R], put: Callable[[R], None]) -> Callable[[Record], str]:
    """`put` for plain records: what does not fit the form, or speaks of what is not here, is refused in a sentence."""

    def take(data: Record) -> str:
        try:
            with transaction.atomic():
                put(form.model_validate(dict(data)))
        except ValidationError as problem:
            first = problem.errors()[0]
            return f"{'.'.join(map(str, first['loc'])) or 'the record'} does not fit: {first['msg'].lower()}"
        except _Unknown as problem:
            return str(problem)
        except IntegrityError:
            return "it contradicts what is here already"
        return ""

    return take


def _moment(moment: datetime) -> str:
    return moment.isoformat()


def _maybe(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _name(user: User | None) -> str:
    return user.get_username() if user else ""


def _paper(public_id: str) -> Paper:
    found = Paper.objects.by_id(public_id).first() if public_id and "\0" not in public_id else None
    if found is None:
        raise _Unknown(f"there is no paper {public_id[:80]!r} here")
    return found


def _person(name: str) -> User:
    """The user of a name; made, without a way to sign in, where there is none."""
    found = User.objects.filter(username=name).first()
    if found is None:
        try:
            UnicodeUsernameValidator()(name)
        except BadName:
            raise _Unknown(f"{name[:40]!r} can't be the name of a user") from None
        found = User(username=name, is_active=False)
        found.set_unusable_password()
        found.save()
    return found


def _votes() -> Iterator[Record]:
    rows = Vote.objects.order_by("paper_id", "pk").values_list("paper__public_id", "user__username", "created")
    for paper, group in groupby(rows.iterator(chunk_size=_AT_ONCE), key=lambda row: row[0]):
        by = [{"user": user, "at": _moment(at)} for _, user, at in group]
        yield {"paper": paper, "count": len(by), "by": by}


def _put_votes(row: VotesRow) -> None:
    if row.count != len({vote.user for vote in row.by}):
        raise _Unknown(f"{row.count} votes are said, {len(row.by)} people are named")
    paper = _paper(row.paper)
    Paper.objects.filter(pk=paper.pk).lock()
    names = [vote.user for vote in row.by]
    known = {user.get_username(): user for at in range(0, len(names), _AT_ONCE) for user in _named(names[at : at + _AT_ONCE])}
    cast = (Vote(user=known.get(vote.user) or _person(vote.user), paper=paper, created=vote.at) for vote in row.by)
    Vote.objects.bulk_create(cast, batch_size=_AT_ONCE, ignore_conflicts=True)
    voting.recount(paper.pk)


def _named(names: list[str]) -> Iterator[User]:
    return User.objects.filter(username__in=names).iterator()


def _marks(model: type[Bookmark | ReadMark], user: User | None = None) -> Iterator[Record]:
    rows = model._default_manager.order_by("pk").select_related("user", "paper")
    for row in _only(rows, user=user):
        yield {"user": _name(row.user), "paper": row.paper.public_id, "at": _moment(row.created)}


def _only(rows: Any, **whose: User | None) -> Iterator[Any]:  # noqa: ANN401  a query set of any of these models
    """The rows of one person, or of all."""
    return iter(rows.filter(**{name: user for name, user in whose.items() if user is not None}).iterator(chunk_size=_AT_ONCE))


def _marks_of(model: type[Bookmark | ReadMark]) -> Callable[[], Iterator[Record]]:
    return lambda: _marks(model)


def _marker(model: type[Bookmark | ReadMark]) -> Callable[[MarkRow], None]:
    def put(row: MarkRow) -> None:
        model._default_manager.get_or_create(user=_person(row.user), paper=_paper(row.paper), defaults={"created": row.at})

    return put


def _notes(user: User | None = None) -> Iterator[Record]:
    for row in _only(Note.objects.order_by("pk").select_related("user", "paper"), user=user):
        facts = {"user": _name(row.user), "paper": row.paper.public_id, "at": _moment(row.created)}
        yield facts | {"text": row.text, "modified": _moment(row.modified)}


def _put_note(row: NoteRow) -> None:
    facts = {"text": row.text, "created": row.at, "modified": row.modified}
    note, fresh = Note.objects.get_or_create(user=_person(row.user), paper=_paper(row.paper), defaults=facts)
    if not fresh and note.modified < row.modified:
        note.text, note.modified = row.text, row.modified
        note.save(update_fields=["text", "modified"])


def _collections(user: User | None = None) -> Iterator[Record]:
    rows = Collection.objects.order_by("pk").select_related("owner").prefetch_related("items__paper")
    for row in _only(rows, owner=user):
        papers = [{"paper": item.paper.public_id, "at": _moment(item.added)} for item in reversed(row.items.all())]
        facts = {"owner": _name(row.owner), "slug": row.slug, "title": row.title, "description": row.description}
        yield facts | {"public": row.public, "at": _moment(row.created), "papers": papers}


def _put_collection(row: CollectionRow) -> None:
    facts = {"title": row.title, "description": row.description, "public": row.public, "created": row.at}
    made, _ = Collection.objects.get_or_create(owner=_person(row.owner), slug=row.slug, defaults=facts)
    for item in row.papers:
        CollectionItem.objects.get_or_create(collection=made, paper=_paper(item.paper), defaults={"added": item.at})


def _follows(user: User | None = None) -> Iterator[Record]:
    for row in _only(Follow.objects.order_by("pk").select_related("user"), user=user):
        yield {"user": _name(row.user), "kind": row.kind, "key": row.key, "label": row.label, "at": _moment(row.created)}


def _put_follow(row: FollowRow) -> None:
    facts = {"label": row.label, "created": row.at}
    Follow.objects.get_or_create(user=_person(row.user), kind=row.kind, key=row.key, defaults=facts)


def _comments(user: User | None = None) -> Iterator[Record]:
    rows = Comment.objects.order_by("pk").select_related("paper", "author", "parent").prefetch_related("mentions", "revisions")
    for row in _only(rows, author=user):
        yield {
            "uid": row.uid,
            "paper": row.paper.public_id,
            "author": _name(row.author),
            "parent": row.parent.uid if row.parent else "",
            "text": row.text,
            "claim": row.claim,
            "state": row.state,
            "reason": row.reason,
            "at": _moment(row.created),
            "edited": _maybe(row.edited),
            "mentions": [_name(person) for person in row.mentions.all()],
            "revisions": [{"text": old.text, "until": _moment(old.until)} for old in row.revisions.all()],
        }


def _put_comment(row: CommentRow) -> None:
    if Comment.objects.filter(uid=row.uid).exists():
        return
    parent = Comment.objects.select_related("thread").filter(uid=row.parent).first() if row.parent else None
    if row.parent and parent is None:
        raise _Unknown(f"the comment {row.parent[:40]!r} that this answers is not here")
    paper = parent.paper if parent else _paper(row.paper)
    made = Comment.objects.create(
        uid=row.uid,
        paper=paper,
        author=_person(row.author) if row.author else None,
        parent=parent,
        thread=(parent.thread or parent) if parent else None,
        text=row.text,
        claim=row.claim,
        state=row.state,
        reason=row.reason,
        created=row.at,
        edited=row.edited,
    )
    made.mentions.set([_person(name) for name in row.mentions])
    Revision.objects.bulk_create(Revision(comment=made, text=old.text, until=old.until) for old in row.revisions)
    voting.recount(paper.pk)


def _locks() -> Iterator[Record]:
    for row in Lock.objects.order_by("pk").select_related("paper").iterator():
        yield {"paper": row.paper.public_id, "reason": row.reason, "at": _moment(row.created)}


def _put_lock(row: LockRow) -> None:
    Lock.objects.get_or_create(paper=_paper(row.paper), defaults={"reason": row.reason, "created": row.at})


def _domains() -> Iterator[Record]:
    yield from MailDomain.objects.order_by("pk").values("domain", "organisation").iterator()


def _put_domain(row: DomainRow) -> None:
    MailDomain.objects.get_or_create(domain=row.domain, organisation=row.organisation)


def _claims(user: User | None = None) -> Iterator[Record]:
    for row in _only(AuthorClaim.objects.order_by("pk").select_related("user", "paper"), user=user):
        facts = {"user": _name(row.user), "paper": row.paper.public_id, "name": row.name, "state": row.state, "how": row.how}
        yield facts | {"why": row.why, "at": _moment(row.created), "decided": _maybe(row.decided)}


def _put_claim(row: ClaimRow) -> None:
    facts = {"name": row.name, "state": row.state, "how": row.how, "why": row.why, "created": row.at, "decided": row.decided}
    AuthorClaim.objects.get_or_create(user=_person(row.user), paper=_paper(row.paper), defaults=facts)


def _submissions(user: User | None = None) -> Iterator[Record]:
    for row in _only(Submission.objects.order_by("pk").select_related("user", "paper"), user=user):
        facts = {"uid": row.uid, "user": _name(row.user), "given": row.given, "key": row.key, "record": row.record}
        facts |= {"typed": row.typed, "state": row.state, "why": row.why, "paper": row.paper.public_id if row.paper else ""}
        yield facts | {"at": _moment(row.created), "decided": _maybe(row.decided)}


def _put_submission(row: SubmissionRow) -> None:
    facts = row.model_dump(exclude={"uid", "user", "paper", "at"})
    facts |= {"user": _person(row.user) if row.user else None, "created": row.at}
    facts["paper"] = _paper(row.paper) if row.paper else None
    Submission.objects.get_or_create(uid=row.uid, defaults=facts)


def _placements() -> Iterator[Record]:
    for row in Placement.objects.order_by("pk").select_related("paper").iterator():
        yield {"paper": row.paper.public_id, "place": row.place, "off": row.off}


def _put_placement(row: PlacementRow) -> None:
    paper = _paper(row.paper)
    _, fresh = Placement.objects.get_or_create(paper=paper, defaults={"place": row.place, "off": row.off})
    if fresh:
        voting.recount(paper.pk)


def _days() -> Iterator[Record]:
    for row in Day.objects.order_by("pk").select_related("by").iterator():
        yield {"day": row.day.isoformat(), "complete": _maybe(row.complete), "by": _name(row.by)}


def _put_day(row: DayRow) -> None:
    facts = {"complete": row.complete, "by": _person(row.by) if row.by else None}
    Day.objects.get_or_create(day=row.day, defaults=facts)
