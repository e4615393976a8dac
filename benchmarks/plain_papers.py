"""What one would write first to serve the same papers as JSON: a Django project of three views, for `site_load.py` to compare with.

No accounts, no pages, no limits, no middleware. It reads the site's own tables, on SQLite in a copy with an FTS5 index, and gives
the same JSON as `/api/daily_papers`, `/api/papers/search` and `/api/papers/ID` do for the papers that the benchmark made.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import dj_database_url
from django.conf import settings

URL = os.environ.get("DATABASE_URL") or f"sqlite:///{os.environ['PRESSRUN_HOME']}/peer.sqlite3"
DATABASE = dict(dj_database_url.parse(URL))
if URL.startswith("postgres"):  # as the site has it: without a pool, the readers' threads take more connections than there are
    DATABASE["OPTIONS"] = {"pool": {"min_size": 0, "max_size": 20, "timeout": 20}}
settings.configure(
    DATABASES={"default": DATABASE},
    INSTALLED_APPS=["plain_papers"],
    ROOT_URLCONF="plain_papers",
    ALLOWED_HOSTS=["127.0.0.1"],
    USE_TZ=True,
)

from django.core.asgi import get_asgi_application  # noqa: E402 - Django wants its settings first

application = get_asgi_application()

from django.contrib.postgres.search import SearchQuery, SearchVector  # noqa: E402
from django.db import connection, models  # noqa: E402
from django.http import HttpRequest, JsonResponse  # noqa: E402
from django.urls import path  # noqa: E402

SITE = {
    "_id": "pressrun",
    "user": "pressrun",
    "name": "pressrun",
    "fullname": "pressrun",
    "avatarUrl": "",
    "type": "org",
    "isPro": False,
}
LIST = 50


class Organisation(models.Model):
    name = models.TextField()
    slug = models.TextField()

    class Meta:
        app_label, db_table, managed = "plain_papers", "papers_organisation", False

    def __str__(self) -> str:
        return self.name


class Topic(models.Model):
    name = models.TextField()

    class Meta:
        app_label, db_table, managed, ordering = "plain_papers", "papers_topic", False, ["name"]

    def __str__(self) -> str:
        return self.name


class Paper(models.Model):
    public_id = models.TextField()
    title = models.TextField()
    abstract = models.TextField()
    authors = models.JSONField()
    organisation = models.ForeignKey(Organisation, models.CASCADE)
    topics = models.ManyToManyField(Topic, db_table="papers_paper_topics")
    published = models.DateField()
    day = models.DateField()
    code_url = models.TextField()
    votes = models.IntegerField()
    comments = models.IntegerField()

    class Meta:
        app_label, db_table, managed = "plain_papers", "papers_paper", False

    def __str__(self) -> str:
        return self.title


PAPERS = Paper.objects.select_related("organisation").prefetch_related("topics")


def whole(paper: Paper) -> dict[str, Any]:
    people = enumerate(paper.authors, start=1)
    facts: dict[str, Any] = {
        "id": paper.public_id,
        "authors": [{"_id": f"{paper.public_id}#{n}", "name": person["name"], "hidden": False} for n, person in people],
        "title": paper.title,
        "summary": paper.abstract,
        "upvotes": paper.votes,
        "discussionId": paper.public_id,
        "mediaUrls": [],
        "publishedAt": f"{paper.published}T00:00:00.000Z",
        "submittedOnDailyAt": f"{paper.day}T00:00:00.000Z",
        "submittedOnDailyBy": SITE,
    }
    return facts | known(paper)


def known(paper: Paper) -> dict[str, Any]:
    house = paper.organisation
    facts: dict[str, Any] = {
        "ai_keywords": [topic.name for topic in paper.topics.all()],
        "organization": {"_id": house.slug, "name": house.slug, "fullname": house.name, "avatarUrl": ""},
    }
    return facts | ({"githubRepo": paper.code_url} if paper.code_url else {})


def items(papers: Iterable[Paper]) -> JsonResponse:
    found = [
        {
            "paper": whole(paper),
            "title": paper.title,
            "summary": paper.abstract,
            "thumbnail": "",
            "upvotes": paper.votes,
            "numComments": paper.comments,
            "publishedAt": f"{paper.day}T00:00:00.000Z",
            "submittedOnDailyAt": f"{paper.day}T00:00:00.000Z",
            "submittedBy": SITE,
            "isAuthorParticipating": False,
            "replication": None,
        }
        | known(paper)
        for paper in papers
    ]
    return JsonResponse(found, safe=False)


def of_day(request: HttpRequest) -> JsonResponse:
    return items(PAPERS.filter(day=request.GET["day"]).order_by("-day", "-published", "-pk")[:LIST])


def search(request: HttpRequest) -> JsonResponse:
    words = request.GET["q"].split()
    if connection.vendor == "postgresql":
        query = SearchQuery(" or ".join(words), search_type="websearch", config="english")
        # As the index is made, so that it is used.
        return items(PAPERS.annotate(words=SearchVector("title", "abstract", config="english")).filter(words=query)[:20])
    with connection.cursor() as cursor:
        any_word = " OR ".join(f'"{word}"' for word in words)
        cursor.execute("SELECT rowid FROM found WHERE found MATCH %s ORDER BY rank LIMIT 20", [any_word])
        keys = [key for (key,) in cursor.fetchall()]
    by_key = PAPERS.in_bulk(keys)
    return items(by_key[key] for key in keys)


def one(request: HttpRequest) -> JsonResponse:
    paper = PAPERS.get(public_id=request.GET["id"])
    empty = {"linkedModels": [], "linkedDatasets": [], "linkedSpaces": [], "numTotalModels": 0, "numTotalDatasets": 0}
    return JsonResponse(whole(paper) | {"numComments": paper.comments, "replication": None} | empty)


urlpatterns = [path("list", of_day), path("search", search), path("paper", one)]
