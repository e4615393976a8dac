"""What a reader does with a paper: vote, keep, note, follow, discuss, claim. Forms post, and go back to where they stood."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from pressrun.web.community import authorship, discussion, moderation, shelves, voting
from pressrun.web.community.acting import back, signed_in, text_of, writer
from pressrun.web.community.models import AuthorClaim, Comment
from pressrun.web.errors import BadInput
from pressrun.web.papers.models import Paper

form = require_http_methods(["GET", "HEAD", "POST"])


def paper_of(paper_id: str) -> Paper:
    """The paper of an address, by any of its names. Raises Http404 in a sentence."""
    found = None
    if len(paper_id) <= 500 and "\0" not in paper_id:
        papers = Paper.objects.select_related("organisation").prefetch_related("topics")
        found = papers.filter(public_id=paper_id).first() or papers.by_id(paper_id).first()
    if found is None:
        raise Http404(f"There is no paper {paper_id[:100]} on this site.")
    return found


def _on(request: HttpRequest) -> bool:
    """Whether a form switches something on: its button's value is 1 or 0."""
    value = request.POST.get("on", "")
    if value not in {"0", "1"}:
        raise BadInput("this form says neither on nor off; load the page again.")
    return value == "1"


def _after(request: HttpRequest, paper: Paper, template: str) -> HttpResponse:
    """The changed piece of the page where htmx asked, else the page again."""
    if request.headers.get("HX-Request") != "true":
        return redirect(back(request, paper.get_absolute_url()))
    user = signed_in(request)
    return render(request, template, {"paper": paper, "marks": shelves.marks_on(user, [paper]), "next": back(request)})


@require_POST
def vote(request: HttpRequest, paper_id: str) -> HttpResponse:
    user = writer(request, "vote")
    return _after(request, voting.vote(user, paper_of(paper_id), on=_on(request)), "papers/_votes.html")


@require_POST
def mark(request: HttpRequest, paper_id: str, kind: str) -> HttpResponse:
    """Keep a paper, or mark it as read."""
    user, paper = writer(request, "write"), paper_of(paper_id)
    shelves.mark(user, paper, kind, on=_on(request))
    return _after(request, paper, "papers/_votes.html" if request.POST.get("in") == "card" else "community/_marks.html")


@require_POST
def note(request: HttpRequest, paper_id: str) -> HttpResponse:
    user, paper = writer(request, "write"), paper_of(paper_id)
    kept = shelves.write_note(user, paper, text_of(request, "note", shelves.LONGEST_NOTE, needed=False))
    messages.success(request, "Your note is saved; only you see it." if kept else "Your note is gone.")
    return redirect(back(request, paper.get_absolute_url()))


@require_POST
def collect(request: HttpRequest, paper_id: str) -> HttpResponse:
    """Put a paper into a collection, which may be a new one, or take it out."""
    user, paper = writer(request, "write"), paper_of(paper_id)
    slug, on = request.POST.get("collection", ""), _on(request)
    if slug:
        chosen = shelves.collection_named(user, user.get_username(), slug.replace("\0", "")[:120])
    else:
        chosen = shelves.new_collection(user, text_of(request, "title", 120))
    shelves.collect(user, chosen, [paper], on=on)
    messages.success(request, f"{'In' if on else 'Out of'} your collection “{chosen.title}”.")
    return redirect(back(request, paper.get_absolute_url()))


@require_POST
def follow(request: HttpRequest) -> HttpResponse:
    user, on = writer(request, "write"), _on(request)
    followed = shelves.follow(user, request.POST.get("kind", ""), request.POST.get("key", "").replace("\0", ""), on=on)
    messages.success(request, f"You follow {followed.label}." if followed else "You don't follow this any more.")
    return redirect(back(request, reverse("library-tab", args=["follows"])))


@form
def talk(request: HttpRequest, paper_id: str) -> HttpResponseBase:
    """A paper's whole discussion; posted to, a new comment. `?comment=` leads to the page that holds it."""
    paper = paper_of(paper_id)
    if request.method == "POST":
        user = writer(request, "comment")
        parent = discussion.find(uid) if (uid := request.POST.get("parent", "")) else None
        claim = request.POST.get("claim", "").replace("\0", "")
        comment = discussion.post(user, paper, request.POST.get("text", ""), parent=parent, claim=claim)
        return redirect(comment.get_absolute_url())
    number: str | int = request.GET.get("page", "1")
    if uid := request.GET.get("comment", ""):
        comment = discussion.find(uid)
        if comment.paper_id != paper.pk:
            return redirect(comment.get_absolute_url())
        number = discussion.page_with(comment)
    page, said = discussion.threads(paper, number)
    return render(request, "community/discussion.html", {"paper": paper, "page": page, "said": said})


@require_safe
def history(request: HttpRequest, uid: str) -> HttpResponse:
    """What a comment said before. Of one that was removed nothing is shown."""
    comment = discussion.find(uid)
    if comment.state != Comment.State.SHOWN:
        raise Http404("This comment was removed.")
    return render(request, "community/history.html", {"comment": comment, "revisions": comment.revisions.order_by("-pk")})


@form
def edit(request: HttpRequest, uid: str) -> HttpResponseBase:
    comment = discussion.find(uid)
    if request.method == "POST":
        return redirect(discussion.edit(writer(request, "comment"), comment, request.POST.get("text", "")).get_absolute_url())
    discussion.check_mine(signed_in(request), comment)
    return render(request, "community/edit.html", {"comment": comment})


@require_POST
def delete(request: HttpRequest, uid: str) -> HttpResponse:
    comment = discussion.find(uid)
    discussion.delete(signed_in(request), comment)
    messages.success(request, "Your comment is gone, and all that it said before.")
    return redirect(reverse("discussion", args=[comment.paper.public_id]))


@form
def report(request: HttpRequest, uid: str) -> HttpResponseBase:
    comment = discussion.find(uid)
    if comment.state != Comment.State.SHOWN:
        raise Http404("This comment was removed.")
    if request.method == "POST":
        fresh = moderation.report(writer(request, "report"), comment, request.POST.get("reason", ""))
        messages.success(request, "The curators will look at it." if fresh else "You have reported this before.")
        return redirect(comment.get_absolute_url())
    signed_in(request)
    return render(request, "community/report.html", {"comment": comment})


@form
def claim(request: HttpRequest, paper_id: str) -> HttpResponseBase:
    """Say that one is an author of a paper."""
    paper = paper_of(paper_id)
    user = signed_in(request)
    if request.method == "POST":
        writer(request, "submit")
        name = request.POST.get("name", "").replace("\0", "")
        made = authorship.claim(user, paper, name, request.POST.get("why", ""))
        verified = made.state == AuthorClaim.State.VERIFIED
        messages.success(request, f"You are verified as {name}." if verified else "An owner of this site will look at it.")
        return redirect(paper)
    claims = {row.name: row for row in paper.author_claims.filter(state=AuthorClaim.State.VERIFIED)}
    mine = paper.author_claims.filter(user=user).first()
    return render(request, "community/claim.html", {"paper": paper, "taken": claims, "mine": mine})
