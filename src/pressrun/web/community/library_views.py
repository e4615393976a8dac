"""A person's own shelves, the collections they share, and what others see of them."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.models import User
from django.db.models import Count, Q
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from pressrun.web.community import discussion, shelves
from pressrun.web.community.acting import named, signed_in, text_of, writer
from pressrun.web.community.models import AuthorClaim, Collection, Comment, Follow, Note
from pressrun.web.papers import lists
from pressrun.web.papers.models import Paper, PaperQuerySet

TABS = {
    "bookmarks": "Kept",
    "read": "Read",
    "votes": "Voted for",
    "notes": "Notes",
    "collections": "Collections",
    "follows": "Follows",
}
_PAPERS = {"bookmarks": "bookmarks", "read": "read_marks", "votes": "cast"}
LATEST = 20


@require_safe
def library(request: HttpRequest, tab: str = "bookmarks") -> HttpResponse:
    """One's own shelves, a tab each."""
    user = signed_in(request)
    if tab not in TABS:
        raise Http404(f"There is no shelf called {tab[:40]}.")
    number = request.GET.get("page", "1")
    context: dict[str, Any] = {"tabs": TABS, "tab": tab}
    if tab in _PAPERS:
        context["page"] = lists.page_of(_kept_by(user, _PAPERS[tab]).for_cards(), number)
    elif tab == "notes":
        context["page"] = lists.page_of(Note.objects.filter(user=user).select_related("paper").order_by("-modified"), number)
    elif tab == "collections":
        context["collections"] = Collection.objects.filter(owner=user).select_related("owner").annotate(papers=Count("items"))
    else:
        context["follows"] = Follow.objects.filter(user=user)
    return render(request, "community/library.html", context)


def _kept_by(user: User, relation: str) -> PaperQuerySet:
    """The papers of a shelf, what was put there last on top."""
    return Paper.objects.filter(**{f"{relation}__user": user}).order_by(f"-{relation}__pk")


@require_POST
def new_collection(request: HttpRequest) -> HttpResponseBase:
    user = writer(request, "write")
    title, text = text_of(request, "title", 120), text_of(request, "description", 2000, needed=False)
    made = shelves.new_collection(user, title, text, public=request.POST.get("public") == "1")
    return redirect(made)


@require_safe
def collection(request: HttpRequest, owner: str, slug: str) -> HttpResponse:
    """A collection: one's own, or one that its owner shares."""
    reader = request.user if isinstance(request.user, User) else None
    found = shelves.collection_named(reader, owner.replace("\0", ""), slug.replace("\0", ""))
    papers = Paper.objects.filter(collected__collection=found).order_by("-collected__pk")
    page = lists.page_of(papers.for_cards(), request.GET.get("page", "1"))
    return render(request, "community/collection.html", {"collection": found, "page": page, "mine": found.owner == reader})


@require_POST
def change_collection(request: HttpRequest, slug: str) -> HttpResponseBase:
    """Rename, describe, share or remove one's own collection. Its address stays."""
    user = writer(request, "write")
    found = shelves.collection_named(user, user.get_username(), slug.replace("\0", ""))
    if request.POST.get("remove") == "1":
        found.delete()
        messages.success(request, f"The collection “{found.title}” is gone; its papers are where they were.")
        return redirect(reverse("library-tab", args=["collections"]))
    found.title = text_of(request, "title", 120)
    found.description = text_of(request, "description", 2000, needed=False)
    found.public = request.POST.get("public") == "1"
    found.save(update_fields=["title", "description", "public"])
    messages.success(request, "Saved. Everybody can see it." if found.public else "Saved. Only you see it.")
    return redirect(found)


@require_safe
def person(request: HttpRequest, name: str) -> HttpResponse:
    """What everybody may know of a member: the name, papers written and submitted, what was said last, shared collections."""
    found = User.objects.filter(username=name.replace("\0", "")).select_related("profile").first()
    if found is None:
        raise Http404(f"There is nobody called {name[:100]} here.")
    written = (
        AuthorClaim.objects.filter(user=found, state=AuthorClaim.State.VERIFIED).select_related("paper").order_by("-paper__day")
    )
    said = Comment.objects.filter(author=found, state=Comment.State.SHOWN).select_related("paper").order_by("-pk")[:LATEST]
    submitted = Paper.objects.visible().filter(Q(submissions__user=found)).order_by("-pk")[:LATEST]
    context = {
        "person": found,
        "name": named(found),
        "written": written,
        "said": [(comment, discussion.excerpt(comment.text)) for comment in said],
        "submitted": submitted,
        "collections": Collection.objects.filter(owner=found, public=True)
        .select_related("owner")
        .annotate(papers=Count("items")),
    }
    return render(request, "community/person.html", context)
