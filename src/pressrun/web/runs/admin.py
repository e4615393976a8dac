"""The owner's view of runs and verdicts. The record on disk is the truth, so nothing is typed here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest

from pressrun.web.runs.models import Outcome, Run

if TYPE_CHECKING:  # Django's own class takes no parameter when the program runs
    _Mirror = admin.ModelAdmin[Any]
else:
    _Mirror = admin.ModelAdmin


class MirrorAdmin(_Mirror):
    """Rows to search and read, made by `sync` and by nobody else."""

    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002  Django gives it
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:  # noqa: ARG002  Django gives them
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:  # noqa: ARG002  Django gives them
        return False


@admin.register(Run)
class RunAdmin(MirrorAdmin):
    list_display = ("run_id", "replication", "preset", "state", "created", "seconds", "requester", "imported", "problem")
    list_filter = ("state", "preset", "imported", "changed")
    list_select_related = ("paper",)
    search_fields = ("run_id", "replication", "paper_ref", "requester")
    date_hierarchy = "created"


@admin.register(Outcome)
class OutcomeAdmin(MirrorAdmin):
    list_display = ("replication", "claim_id", "verdict", "scale", "preset", "judged", "latest")
    list_filter = ("verdict", "scale", "preset", "latest")
    list_select_related = ("run", "paper")
    search_fields = ("replication", "claim_id", "paper_ref")
    date_hierarchy = "judged"
