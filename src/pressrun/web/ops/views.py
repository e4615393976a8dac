"""Health for whoever watches the site, and numbers for Prometheus."""

from __future__ import annotations

import ipaddress

from django.conf import settings
from django.db import DatabaseError, connection
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST

from pressrun.web import doctor
from pressrun.web.errors import wants_json
from pressrun.web.ops import measuring
from pressrun.web.ops.models import Job
from pressrun.web.people import roles

__all__ = ["health", "metrics"]


@require_safe
@never_cache
def health(request: HttpRequest) -> HttpResponse:
    """For everybody whether the site answers from its database: 200 or 503, in one word. For the owner what `pressrun doctor` finds."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        owner = roles.role_of(request) is roles.Role.OWNER
    except DatabaseError:
        return JsonResponse({"status": "no database"}, status=503)
    if not owner:
        return JsonResponse({"status": "ok"})
    findings = doctor.examine()
    fine = all(finding.fine for finding in findings)
    if wants_json(request):
        said = [{"what": f.what, "state": f.state, "fine": f.fine, "advice": f.advice} for f in findings]
        return JsonResponse({"status": "ok" if fine else "attention", "findings": said})
    return render(request, "ops/health.html", {"findings": findings, "fine": fine, "jobs": Job.objects.all()})


@require_safe
@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus' text format. PRESSRUN_METRICS says who reads it: owners and their tokens, also this machine, or nobody."""
    if settings.METRICS == "off":
        raise Http404("This site gives no metrics; PRESSRUN_METRICS turns them on.")
    if not (settings.METRICS == "loopback" and _is_here(request)):
        roles.check(request, roles.Role.OWNER)
    return HttpResponse(measuring.as_text(), content_type=CONTENT_TYPE_LATEST)


def _is_here(request: HttpRequest) -> bool:
    """From this machine, and to it by a local name: what a proxy on this machine passes on came by another."""
    host = request.get_host().rpartition(":")[0] or request.get_host()
    if host not in {"localhost", "127.0.0.1", "[::1]"} or "X-Forwarded-For" in request.headers:
        return False
    return ipaddress.ip_address(request.META["REMOTE_ADDR"]).is_loopback
