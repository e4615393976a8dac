"""The pages. A paper's id may hold slashes (math/0309136, DOIs), so its pattern comes last."""

from django.urls import path

from pressrun.web.papers import views

urlpatterns = [
    path("", views.home, name="home"),
    path("papers", views.home, name="papers"),
    path("papers/date/<str:when>", views.period, {"kind": "date"}, name="day"),
    path("papers/week/<str:when>", views.period, {"kind": "week"}, name="week"),
    path("papers/month/<str:when>", views.period, {"kind": "month"}, name="month"),
    path("papers/trending", views.trending, name="trending"),
    path("search", views.search, name="search"),
    path("authors/<str:slug>", views.author, name="author"),
    path("organisations/<str:slug>", views.organisation, name="organisation"),
    path("topics/<str:slug>", views.topic, name="topic"),
    path("topics", views.topics, name="topics"),
    path("about", views.about, name="about"),
    path("about/ranking", views.ranking, name="ranking"),
    path("opensearch.xml", views.opensearch, name="opensearch"),
    path("robots.txt", views.robots, name="robots"),
    path("papers/<path:paper_id>", views.paper, name="paper"),
]
