"""What people do. The verb comes first, because a paper's id may hold slashes and end in any word."""

from django.urls import path

from pressrun.web.community import desk_views, library_views, submit_views, views

urlpatterns = [
    path("vote/<path:paper_id>", views.vote, name="vote"),
    path("bookmark/<path:paper_id>", views.mark, {"kind": "bookmark"}, name="bookmark"),
    path("read/<path:paper_id>", views.mark, {"kind": "read"}, name="mark-read"),
    path("note/<path:paper_id>", views.note, name="note"),
    path("collect/<path:paper_id>", views.collect, name="collect"),
    path("follow", views.follow, name="follow"),
    path("discussion/<path:paper_id>", views.talk, name="discussion"),
    path("comments/<str:uid>/history", views.history, name="comment-history"),
    path("comments/<str:uid>/edit", views.edit, name="comment-edit"),
    path("comments/<str:uid>/delete", views.delete, name="comment-delete"),
    path("comments/<str:uid>/report", views.report, name="comment-report"),
    path("claim/<path:paper_id>", views.claim, name="claim"),
    path("library", library_views.library, name="library"),
    path("library/collections/new", library_views.new_collection, name="new-collection"),
    path("library/collections/<str:slug>", library_views.change_collection, name="change-collection"),
    path("library/<str:tab>", library_views.library, name="library-tab"),
    path("collections/<str:owner>/<str:slug>", library_views.collection, name="collection"),
    path("members/<str:name>", library_views.person, name="person"),
    path("submit", submit_views.submit, name="submit"),
    path("submissions", submit_views.submissions, name="submissions"),
    path("desk", desk_views.desk, name="desk"),
    path("desk/list", desk_views.day_list, name="desk-list"),
    path("desk/list/change", desk_views.change_day, name="desk-list-change"),
    path("desk/log", desk_views.audit_log, name="desk-log"),
    path("desk/submissions/<str:uid>", desk_views.submission, name="desk-submission"),
    path("desk/reports/<int:pk>", desk_views.report, name="desk-report"),
    path("desk/comments/<str:uid>", desk_views.comment, name="desk-comment"),
    path("desk/discussions/<path:paper_id>", desk_views.lock, name="desk-lock"),
    path("desk/members/<str:name>", desk_views.ban, name="desk-ban"),
    path("desk/claims/<int:pk>", desk_views.author_claim, name="desk-claim"),
    path("desk/domains", desk_views.mail_domain, name="desk-domain"),
]
