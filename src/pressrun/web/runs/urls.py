"""Runs, the ledger, and what hangs on a paper. They come before the pages, whose pattern for a paper takes all."""

from django.urls import path

from pressrun.web.runs import feeds, views

urlpatterns = [
    path("owner", views.owner, name="owner"),
    path("runs", views.runs, name="runs"),
    path("runs/<str:first>/compare/<str:second>", views.compare, name="run-compare"),
    path("runs/<str:run_id>/events", views.events, name="run-events"),
    path("runs/<str:run_id>/cancel", views.cancel, name="run-cancel"),
    path("runs/<str:run_id>/again", views.again, name="run-again"),
    path("runs/<str:run_id>/bundle", views.bundle, name="run-bundle"),
    path("runs/<str:run_id>/files/<str:name>", views.file, name="run-file"),
    path("runs/<str:run_id>", views.run, name="run"),
    path("ledger", views.ledger, name="ledger"),
    path("ledger.csv", views.ledger_csv, name="ledger-csv"),
    *(path(f"ledger/feed.{kind}", feeds.changes, {"format": kind}, name=f"ledger-{kind}") for kind in feeds.TYPES),
    path("papers/<path:paper_id>/runs", views.start, name="start-run"),
    path("papers/<path:paper_id>/badge.svg", views.badge, name="badge"),
]
