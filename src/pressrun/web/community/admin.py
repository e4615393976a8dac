"""The owner's view of what people add: found by search, decided on in bulk. Every decision goes the way of the desk, log and all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest

from pressrun.web.community import authorship, moderation, submitting
from pressrun.web.community.models import AuditEntry, AuthorClaim, Ban, Comment, Submission
from pressrun.web.errors import BadInput

if TYPE_CHECKING:  # Django's own classes take no parameter when the program runs
    _OfAny = admin.ModelAdmin[Any]
else:
    _OfAny = admin.ModelAdmin


def actor_of(request: HttpRequest) -> User:
    if not isinstance(request.user, User):
        raise PermissionDenied("Sign in to do this.")
    return request.user


class ReadOnly(_OfAny):
    """Rows to look at; what may be done with them are actions."""

    list_per_page = 50
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002  Django gives it
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ANN401, ARG002  Django gives them
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ANN401, ARG002  Django gives them
        return False


@admin.register(Comment)
class CommentAdmin(ReadOnly):
    list_display = ("text", "author", "paper", "state", "created")
    list_filter = ("state", "created")
    search_fields = ("text", "author__username", "paper__title")
    list_select_related = ("author", "paper")
    actions = ("hide",)

    @admin.action(description="Hide, with “Hidden by an owner” as the reason")
    def hide(self, request: HttpRequest, chosen: QuerySet[Comment]) -> None:
        shown = chosen.filter(state=Comment.State.SHOWN).select_related("author", "paper")
        for comment in shown:
            moderation.hide(actor_of(request), comment, "Hidden by an owner.")
        self.message_user(request, f"{len(shown)} hidden.")


@admin.register(Submission)
class SubmissionAdmin(ReadOnly):
    list_display = ("given", "user", "state", "typed", "created")
    list_filter = ("state", "typed", "created")
    search_fields = ("given", "key", "user__username")
    list_select_related = ("user",)
    actions = ("put_on_list",)

    @admin.action(description="Put on today's list")
    def put_on_list(self, request: HttpRequest, chosen: QuerySet[Submission]) -> None:
        waiting = list(chosen.filter(state=Submission.State.WAITING))
        for row in waiting:
            submitting.decide(actor_of(request), row, listed=True)
        self.message_user(request, f"{len(waiting)} on today's list.")


@admin.register(AuthorClaim)
class AuthorClaimAdmin(ReadOnly):
    list_display = ("name", "user", "paper", "state", "how", "created")
    list_filter = ("state", "how")
    search_fields = ("name", "user__username", "paper__title")
    list_select_related = ("user", "paper")
    actions = ("verify",)

    @admin.action(description="Verify")
    def verify(self, request: HttpRequest, chosen: QuerySet[AuthorClaim]) -> None:
        done = 0
        for claim in chosen.filter(state=AuthorClaim.State.WAITING):
            try:
                authorship.decide(actor_of(request), claim, verified=True)
                done += 1
            except BadInput as problem:
                self.message_user(request, str(problem), messages.WARNING)
        self.message_user(request, f"{done} verified.")


@admin.register(Ban)
class BanAdmin(ReadOnly):
    list_display = ("user", "reason", "until", "created")
    search_fields = ("user__username", "reason")
    list_select_related = ("user",)
    actions = ("lift",)

    @admin.action(description="Lift")
    def lift(self, request: HttpRequest, chosen: QuerySet[Ban]) -> None:
        bans = list(chosen.select_related("user"))
        for ban in bans:
            moderation.unban(actor_of(request), ban.user)
        self.message_user(request, f"{len(bans)} lifted.")


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnly):
    list_display = ("created", "actor_name", "action", "subject", "reason")
    list_filter = ("action", "created")
    search_fields = ("actor_name", "subject", "reason")
