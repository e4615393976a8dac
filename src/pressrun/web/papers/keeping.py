"""Pages kept for a few seconds, for readers whom nothing tells apart."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

from django.conf import settings
from django.core.cache import caches
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers

__all__ = ["kept"]

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponseBase]
_TELLING = ("HX-Request", "HX-History-Restore-Request", "HX-Trigger-Name", "Accept")


def kept(view: View[P]) -> View[P]:
    """A view whose page may be some seconds old, but only for strangers: requests that bring no cookie and no token.

    Nobody who is signed in is a stranger, so whoever votes or writes sees it at once. A page for a stranger that is personal after
    all, because it sets a cookie or holds a form's token, is not kept.
    """

    @wraps(view)
    def answered(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        if not settings.PAGE_SECONDS or request.method != "GET" or request.COOKIES or "Authorization" in request.headers:
            return view(request, *args, **kwargs)
        key = _key(request)
        if known := caches["pages"].get(key):
            content, headers = known
            return HttpResponse(content, headers=headers)
        response = view(request, *args, **kwargs)
        if isinstance(response, HttpResponse) and response.status_code == 200 and not _is_personal(request, response):
            patch_vary_headers(response, ["Cookie"])
            caches["pages"].set(key, (response.content, dict(response.items())), settings.PAGE_SECONDS)
        return response

    return answered


def _key(request: HttpRequest) -> str:
    told = [request.build_absolute_uri(), *(request.headers.get(name, "") for name in _TELLING)]
    return hashlib.sha256("\n".join(told).encode("utf-8", "replace")).hexdigest()


def _is_personal(request: HttpRequest, response: HttpResponse) -> bool:
    return bool(response.cookies) or "CSRF_COOKIE" in request.META or request.session.modified
