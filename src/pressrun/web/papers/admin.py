"""The owner's view of the catalogue. What is typed here is kept: no import changes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.db.models import URLField
from django.forms import ModelForm
from django.http import HttpRequest

from pressrun.web.papers.models import Author, ImportRun, Organisation, Paper, Rejection, Topic

if TYPE_CHECKING:  # Django's own classes take no parameter when the program runs
    _OfPaper = admin.ModelAdmin[Paper]
    _OfRun = admin.ModelAdmin[ImportRun]
    _OfName = admin.ModelAdmin[Any]
    _InRun = admin.TabularInline[Rejection, ImportRun]
else:
    _OfPaper = _OfRun = _OfName = admin.ModelAdmin
    _InRun = admin.TabularInline

# How a form field is called in a record of the catalogue, where the two differ.
RECORD_FIELDS = {
    "code_url": "links",
    "project_url": "links",
    "pdf_url": "links",
    "comments_found": "comments",
    "upvotes_found": "upvotes",
}


@admin.register(Paper)
class PaperAdmin(_OfPaper):
    list_display = ("title", "public_id", "day", "organisation", "votes", "withdrawn")
    list_filter = ("withdrawn", "day", "topics")
    list_select_related = ("organisation",)
    search_fields = ("title", "public_id", "arxiv_id", "doi")
    date_hierarchy = "day"
    autocomplete_fields = ("organisation", "topics")
    show_full_result_count = False
    formfield_overrides: ClassVar = {URLField: {"assume_scheme": "https"}}
    fields = (
        "public_id", "arxiv_id", "doi", "title", "summary", "abstract", "authors", "author_count", "organisation", "topics",
        "categories", "published", "listed", "journal", "note", "code_url", "project_url", "pdf_url", "upvotes_found",
        "comments_found", "withdrawn", "edited",
    )  # fmt: skip
    readonly_fields = ("public_id", "arxiv_id", "doi", "authors", "author_count", "edited")

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002  Django gives it
        """Papers come in by import, which also finds out whether they are here already."""
        return False

    def save_model(self, request: HttpRequest, obj: Paper, form: ModelForm[Paper], change: bool) -> None:
        """Note which fields a person has typed, so that imports leave them alone, and bring the derived columns up to date."""
        typed = {RECORD_FIELDS.get(name, name) for name in form.changed_data}
        obj.edited = sorted({*obj.edited, *typed})
        Paper.objects.filter(pk=obj.pk).lock()
        obj.derive()
        super().save_model(request, obj, form, change)


class _Rejections(_InRun):
    model = Rejection
    fields = ("where", "why", "raw")
    readonly_fields = ("where", "why", "raw")
    extra = 0
    max_num = 0
    can_delete = False


@admin.register(ImportRun)
class ImportRunAdmin(_OfRun):
    list_display = ("started", "location", "format", "state", "read", "added", "merged", "unchanged", "rejected")
    list_filter = ("state", "format")
    search_fields = ("location",)
    inlines = (_Rejections,)

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002  Django gives it
        return False

    def has_change_permission(self, request: HttpRequest, obj: ImportRun | None = None) -> bool:  # noqa: ARG002  Django gives them
        """A report of what happened is read, not written."""
        return False


@admin.register(Organisation, Topic, Author)
class NamedAdmin(_OfName):
    list_display = ("name", "slug")
    search_fields = ("name",)
    readonly_fields = ("slug",)
