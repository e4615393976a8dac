"""The outbox for the owner: what waits, what failed, and where no mail server is named, every mail itself."""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import UTC, datetime
from email import message_from_bytes
from email import policy as policies
from email.message import EmailMessage
from pathlib import Path

from csp.constants import NONE
from django.conf import settings
from django.db.models import Count
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from pressrun.web.alerts.models import Mail
from pressrun.web.alerts.transports import folder
from pressrun.web.people.roles import Role, needs

SHOWN = 100
_NAME = re.compile(r"\d{8}T\d{6}-[0-9a-f]{16}\.eml")
_STYLE = re.compile(r"<style[^>]*>(.*?)</style>", re.DOTALL | re.IGNORECASE)


@never_cache
@require_safe
@needs(Role.OWNER)
def outbox(request: HttpRequest) -> HttpResponse:
    """Mails by state, the last ones that failed or wait, and the files."""
    files = sorted(folder().glob("*.eml"), reverse=True)[:SHOWN]
    context = {
        "server": settings.MAIL_SERVER,
        "counts": dict(Mail.objects.order_by().values_list("state").annotate(count=Count("pk"))),
        "waiting": Mail.objects.filter(state=Mail.State.WAITING).order_by("next_try")[:SHOWN],
        "failed": Mail.objects.filter(state=Mail.State.FAILED)[:SHOWN],
        "files": [(path.name, _written(path), _read(path)) for path in files],
    }
    return render(request, "alerts/outbox.html", context)


def _written(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)


def _read(path: Path) -> EmailMessage:
    return message_from_bytes(path.read_bytes(), policy=policies.default)


def _named(name: str) -> Path:
    path = folder() / name
    if not _NAME.fullmatch(name) or not path.is_file():
        raise Http404("There is no such mail in the folder.")
    return path


def _part(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    return str(part.get_content()).replace("\r\n", "\n") if part else ""


@never_cache
@require_safe
@needs(Role.OWNER)
def one_mail(request: HttpRequest, name: str) -> HttpResponse:
    """A mail as its reader gets it: headers and text, and the way to its HTML part."""
    message = _read(_named(name))
    context = {
        "name": name,
        "mail": message,
        "headers": message.items(),
        "text": _part(message, "plain"),
        "html": _part(message, "html"),
    }
    return render(request, "alerts/mail.html", context)


@never_cache
@require_safe
@needs(Role.OWNER)
def html_part(request: HttpRequest, name: str) -> HttpResponse:
    """The HTML part alone. Its one style sheet may apply, by its hash; nothing may run or be loaded."""
    html = _part(_read(_named(name)), "html")
    if not html:
        raise Http404("This mail has no HTML part.")
    styles = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()}'" for style in _STYLE.findall(html)
    )
    policy = (
        f"default-src 'none'; style-src {styles or NONE}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox"
    )
    return HttpResponse(html, headers={"Content-Security-Policy": policy})


@never_cache
@require_safe
@needs(Role.OWNER)
def mail_file(request: HttpRequest, name: str) -> FileResponse:
    """The file as it was written."""
    return FileResponse(_named(name).open("rb"), as_attachment=True, filename=name, content_type="message/rfc822")
