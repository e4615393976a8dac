"""The owner's view of the work behind the pages, and of the admin as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from django.conf import settings
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django_tasks import TaskResultStatus
from django_tasks_db.models import DBTaskResult, get_date_max

from pressrun.web.ops import alive, worker
from pressrun.web.ops.jobs import enqueue
from pressrun.web.ops.models import Job, JobRun, Process

if TYPE_CHECKING:  # Django's own classes take no parameter when the program runs
    _OfJob = admin.ModelAdmin[Job]
    _OfRun = admin.ModelAdmin[JobRun]
    _OfProcess = admin.ModelAdmin[Process]
else:
    _OfJob = _OfRun = _OfProcess = admin.ModelAdmin

admin.site.site_header = admin.site.site_title = f"{settings.SITE_NAME}: for the owner"
admin.site.index_title = "Everything that is kept"
admin.site.unregister(DBTaskResult)  # in its place `JobRun`, which says what the work is and lets the owner repeat it


@admin.register(Job)
class JobAdmin(_OfJob):
    list_display = ("name", "says", "every", "due", "paused")
    list_filter = ("paused",)
    search_fields = ("name",)
    fields = ("name", "says", "every", "period", "due", "paused")
    readonly_fields = ("name", "says", "every")
    actions = ("do_now", "pause", "go_on")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Job]:
        """Also before the first worker has run, the list is whole."""
        worker.know_jobs()
        return super().get_queryset(request)

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002  Django gives it
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Job | None = None) -> bool:  # noqa: ARG002  Django gives them
        """Work is registered by the program; what the owner does not want is paused."""
        return False

    @admin.action(description="Do now")
    def do_now(self, request: HttpRequest, chosen: QuerySet[Job]) -> None:
        names = [job.name for job in chosen if job.every]
        for name in names:
            enqueue(name)
        if left := [job.name for job in chosen if not job.every]:
            self.message_user(request, f"Left out, as they need to be told what to do: {', '.join(left)}.", messages.WARNING)
        self.message_user(request, f"Asked for: {', '.join(names) or 'nothing'}.")

    @admin.action(description="Pause")
    def pause(self, request: HttpRequest, chosen: QuerySet[Job]) -> None:
        self.message_user(request, f"{chosen.update(paused=True)} paused. What is in hand comes to its end.")

    @admin.action(description="Go on")
    def go_on(self, request: HttpRequest, chosen: QuerySet[Job]) -> None:
        self.message_user(request, f"{chosen.update(paused=False)} go on.")


@admin.register(JobRun)
class JobRunAdmin(_OfRun):
    list_display = ("queue_name", "status", "enqueued_at", "started_at", "finished_at", "tries", "return_value")
    list_filter = ("status", "queue_name")
    search_fields = ("queue_name", "traceback")
    date_hierarchy = "enqueued_at"
    ordering = ("-enqueued_at",)
    show_full_result_count = False
    fields: ClassVar = [
        "queue_name", "args_kwargs", "status", "enqueued_at", "run_after", "started_at", "finished_at", "worker_ids",
        "return_value", "exception_class_path", "traceback",
    ]  # fmt: skip
    actions = ("again",)

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002  Django gives it
        return False

    def has_change_permission(self, request: HttpRequest, obj: JobRun | None = None) -> bool:  # noqa: ARG002  Django gives them
        """What was done is read; what waits may be deleted, what failed asked for again."""
        return False

    @admin.display(description="tries")
    def tries(self, row: JobRun) -> int:
        return len(row.worker_ids)

    @admin.action(description="Do again what failed")
    def again(self, request: HttpRequest, chosen: QuerySet[JobRun]) -> None:
        failed = chosen.filter(status=TaskResultStatus.FAILED)
        count = failed.update(status=TaskResultStatus.READY, run_after=get_date_max(), worker_ids=[], finished_at=None)
        self.message_user(request, f"{count} asked for again.")


@admin.register(Process)
class ProcessAdmin(_OfProcess):
    list_display = ("kind", "host", "pid", "started")
    list_filter = ("kind",)
    search_fields = ("host",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Process]:
        alive.living()  # sweeps out those that are gone
        return super().get_queryset(request)

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002  Django gives it
        return False

    def has_change_permission(self, request: HttpRequest, obj: Process | None = None) -> bool:  # noqa: ARG002  Django gives them
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Process | None = None) -> bool:  # noqa: ARG002  Django gives them
        return False
