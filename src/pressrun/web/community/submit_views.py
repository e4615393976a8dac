"""Submitting a paper: paste what names it; where no source can be asked, write it down."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from pressrun.web.community import metadata, submitting
from pressrun.web.community.acting import signed_in, text_of, writer
from pressrun.web.community.models import Submission
from pressrun.web.errors import BadInput
from pressrun.web.papers import lists
from pressrun.web.papers.models import Paper

__all__ = ["submissions", "submit"]


@require_http_methods(["GET", "HEAD", "POST"])
def submit(request: HttpRequest) -> HttpResponseBase:
    """The form with one field; with all of them, once a source could not say what the paper is or where one wants to type."""
    if request.method != "POST":
        user = signed_in(request)
        submitting.check_open(user)
        given = request.GET.get("paper", "").replace("\0", "")[:500]
        return _form(request, typed=request.GET.get("typed") == "1", fields={"paper": given})
    user = writer(request, "submit")
    submitting.check_open(user)
    typed = request.POST.get("typed") == "1"
    try:
        given = text_of(request, "paper", 500, needed=not typed)
        if typed:
            record = submitting.typed_record(request.POST.dict())
        elif found := Paper.objects.by_id(given).first():  # found without asking anybody
            raise submitting.AlreadyHere(found)
        else:
            record = metadata.fetch_record(given)
        made = submitting.submit(user, given or record.id, record, typed=typed)
    except metadata.NotFetched as problem:
        return _form(request, typed=True, fields=_fields_of(given), problem=str(problem))
    except BadInput as problem:
        return _form(request, typed=typed, fields=request.POST.dict(), problem=str(problem).capitalize(), status=400)
    except submitting.AlreadyHere as known:
        messages.info(request, str(known))
        return redirect(known.paper or reverse("submissions"))
    if made.paper:
        messages.success(request, "It is on the list.")
        return redirect(made.paper)
    messages.success(request, "Thank you. A curator will look at it.")
    return redirect(reverse("submissions"))


def _fields_of(given: str) -> dict[str, str]:
    """What a pasted text fills in of the long form."""
    arxiv_id, doi, address = metadata.named_in(given)
    return {"paper": given, "arxiv_id": arxiv_id, "doi": doi, "link": "" if arxiv_id or doi else address}


def _form(request: HttpRequest, *, typed: bool, fields: dict[str, str], problem: str = "", status: int = 200) -> HttpResponseBase:
    context: dict[str, Any] = {"typed": typed, "fields": fields, "problem": problem}
    return render(request, "community/submit.html", context, status=status)


@require_safe
def submissions(request: HttpRequest) -> HttpResponseBase:
    """One's own submissions, and what became of them."""
    user = signed_in(request)
    rows = Submission.objects.filter(user=user).select_related("paper").order_by("-pk")
    return render(request, "community/submissions.html", {"page": lists.page_of(rows, request.GET.get("page", "1"))})
