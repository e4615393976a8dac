"""The sitemap: an index of shards of at most 10,000 addresses, each with the day of its last change."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, ClassVar

from django.contrib.sitemaps import Sitemap
from django.contrib.sitemaps.views import index, sitemap
from django.db.models import Max, QuerySet
from django.urls import path, reverse
from django.views.decorators.cache import cache_control

from pressrun.web.api.answers import guarded
from pressrun.web.papers.models import Author, Organisation, Paper, Topic

LIMIT = 10_000


class Pages(Sitemap):  # type: ignore[type-arg]  # not generic at run time
    def items(self) -> list[str]:
        return ["home", "trending", "topics", "about", "ranking"]

    def location(self, item: str) -> str:
        return reverse(item)


class Papers(Sitemap):  # type: ignore[type-arg]  # not generic at run time
    limit = LIMIT

    def items(self) -> QuerySet[Paper]:
        return Paper.objects.visible().only("public_id", "modified").order_by("pk")

    def lastmod(self, item: Paper) -> datetime:
        return item.modified

    def get_latest_lastmod(self) -> datetime | None:
        newest: datetime | None = Paper.objects.aggregate(last=Max("modified"))["last"]
        return newest


class Days(Sitemap):  # type: ignore[type-arg]  # not generic at run time
    """Every day that has papers."""

    limit = LIMIT

    def items(self) -> QuerySet[Paper, date | None]:
        days = Paper.objects.visible().filter(day__isnull=False).order_by("-day")
        return days.values_list("day", flat=True).distinct()

    def location(self, item: date) -> str:
        return reverse("day", args=[item.isoformat()])


class Named(Sitemap):  # type: ignore[type-arg]  # not generic at run time
    """The pages of a kind of thing that papers belong to."""

    limit = LIMIT
    model: ClassVar[type[Author | Organisation | Topic]]

    def items(self) -> QuerySet[Any]:
        return self.model._default_manager.order_by("pk")


class Authors(Named):
    model = Author


class Organisations(Named):
    model = Organisation


class Topics(Named):
    model = Topic


SECTIONS: dict[str, type[Sitemap]] = {  # type: ignore[type-arg]
    "pages": Pages,
    "papers": Papers,
    "days": Days,
    "topics": Topics,
    "organisations": Organisations,
    "authors": Authors,
}

_kept = cache_control(max_age=3600)
urlpatterns = guarded(
    [
        path("sitemap.xml", _kept(index), {"sitemaps": SECTIONS, "sitemap_url_name": "sitemap"}, name="sitemap-index"),
        path("sitemap-<section>.xml", _kept(sitemap), {"sitemaps": SECTIONS}, name="sitemap"),
    ]
)
