"""What else an export carries beside papers. An app registers a kind here, and export and import take it along."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pressrun.catalog import Extra
from pressrun.web.papers import models

__all__ = ["Kind", "extras", "register", "restore"]


@dataclass(frozen=True)
class Kind:
    """One kind of record: how to write all of them, and how to take one back.

    `put` returns "" or a sentence saying why the record was not taken; taking the same record twice changes nothing.
    """

    name: str
    all: Callable[[], Iterator[Mapping[str, Any]]]
    put: Callable[[Mapping[str, Any]], str]


_kinds: dict[str, Kind] = {}


def register(kind: Kind) -> None:
    if kind.name in _kinds:
        raise ValueError(f"the export kind {kind.name!r} is registered twice")
    _kinds[kind.name] = kind


def extras() -> Iterator[Extra]:
    """Every record of every registered kind, in the order of registration."""
    for kind in _kinds.values():
        for data in kind.all():
            yield Extra(kind.name, data)


def restore(extra: Extra) -> str:
    """Take one record back; "" or why it was not taken."""
    kind = _kinds.get(extra.kind)
    return kind.put(extra.data) if kind else f"nothing here knows records of the kind {extra.kind!r}"


def _edits() -> Iterator[Mapping[str, Any]]:
    for public_id, edited in models.Paper.objects.exclude(edited=[]).values_list("public_id", "edited").iterator():
        yield {"paper": public_id, "fields": edited}


def _put_edit(data: Mapping[str, Any]) -> str:
    fields = data.get("fields")
    if not isinstance(fields, list) or not all(isinstance(name, str) for name in fields):
        return "an edit needs the list `fields` with the names of the edited fields"
    row = models.Paper.objects.filter(public_id=str(data.get("paper", ""))).first()
    if row is None:
        return f"there is no paper {data.get('paper')!r} to mark as edited"
    row.edited = sorted({*row.edited, *fields})
    row.save(update_fields=["edited"])
    return ""


def _put_deleted(data: Mapping[str, Any]) -> str:
    """A repository says that a paper is gone: it leaves the lists, its page stays and says so."""
    row = models.Paper.objects.by_id(str(data.get("id", ""))).first()
    if row is not None and not row.withdrawn:
        row.withdrawn = True
        models.Paper.objects.filter(pk=row.pk).lock()
        row.derive()
        row.save()
    return ""


register(Kind("edit", _edits, _put_edit))
register(Kind("deleted", lambda: iter(()), _put_deleted))
