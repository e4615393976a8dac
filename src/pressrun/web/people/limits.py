"""How often an account and an address may do something. The rates are in the settings, as `10/5m`: ten in five minutes.

What writes (sign in, comment, vote) is counted in the database, so that it holds over processes and restarts; what reads
(search, the APIs) is counted in each process, because a write a read would cost more than the read. Counters are kept under
keyed hashes: no address and no name is stored.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from django.conf import settings
from django.core.cache import cache
from django.db import IntegrityError, transaction
from django.db.models import F
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.crypto import salted_hmac

from pressrun.web.errors import TooMany
from pressrun.web.people.rates import SECONDS, Rate
from pressrun.web.people.roles import token_of

__all__ = ["address_of", "forget_old", "limit", "spend"]

P = ParamSpec("P")
R = TypeVar("R", bound=HttpResponseBase)
_IN_MEMORY = frozenset({"search", "api"})
_HERE = frozenset({"127.0.0.1", "::/64"})


def limit(kind: str) -> Callable[[Callable[Concatenate[HttpRequest, P], R]], Callable[Concatenate[HttpRequest, P], R]]:
    """A view that spends one of `kind` on each request that may change something; of `search` and `api` on every request."""

    def decorate(view: Callable[Concatenate[HttpRequest, P], R]) -> Callable[Concatenate[HttpRequest, P], R]:
        @wraps(view)
        def limited(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> R:
            if kind in _IN_MEMORY or request.method not in {"GET", "HEAD", "OPTIONS"}:
                spend(request, kind)
            return view(request, *args, **kwargs)

        return limited

    return decorate


def spend(request: HttpRequest, kind: str, key: str = "") -> None:
    """Count one of `kind` against the request's address, its account if it has one, and `key` if there is one.

    A kind that has no rate of its own has that of `write`. An address may spend ADDRESS_FACTOR times as much as an account or
    a key, because people share addresses. The local owner spends nothing, and programs of this machine read as they like.

    Raises:
        TooMany: when that was one too many; the site answers 429 and when to come again.
    """
    spenders = _spenders(request, kind, settings.LIMITS.get(kind, settings.LIMITS["write"]), key)
    now = time.time()
    count = _in_memory if kind in _IN_MEMORY else _in_database
    # All counters in one transaction: SQLite has one writer at a time.
    with nullcontext() if kind in _IN_MEMORY else transaction.atomic():
        for sort, who, allowed in spenders:
            name = salted_hmac("pressrun.limits", f"{kind} {sort} {who}").hexdigest()[:40]
            if count(name, int(now // allowed.seconds), allowed.seconds) > allowed.amount:
                exceeded = allowed
                break
        else:
            return
    raise TooMany(_sentence(kind, exceeded), exceeded.seconds - int(now % exceeded.seconds))


def _spenders(request: HttpRequest, kind: str, rate: Rate, key: str) -> list[tuple[str, str, Rate]]:
    """Whom the request counts against, each with what it may spend."""
    from pressrun.web.runs.access import is_owner

    address = address_of(request)
    # Without a cookie or a token there is nobody to ask for, and the answer stays one that any cache may keep.
    known = settings.SESSION_COOKIE_NAME in request.COOKIES or token_of(request) is not None
    if (kind in _IN_MEMORY and address in _HERE) or (known and is_owner(request)):
        return []
    found = [("address", address, Rate(rate.amount * settings.ADDRESS_FACTOR, rate.seconds))]
    if known and request.user.is_authenticated:
        found.append(("account", str(request.user.pk), rate))
    if key:
        found.append(("key", key.casefold(), rate))
    return found


def address_of(request: HttpRequest) -> str:
    """The address that the request came from, an IPv6 one as its /64 network: that is what one customer gets.

    It is the connection's, or the one that the proxy in front names where PRESSRUN_BEHIND_PROXY is set.
    """
    text = str(request.META.get("REMOTE_ADDR", ""))
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return "unknown"
    if isinstance(address, ipaddress.IPv6Address):
        mapped = address.ipv4_mapped
        return str(mapped or ipaddress.IPv6Network((int(address), 64), strict=False))
    return str(address)


def forget_old() -> int:
    """Remove the counters of windows that are over; gives how many."""
    from pressrun.web.people.models import Spending

    return Spending.objects.filter(until__lt=int(time.time())).delete()[0]


def _in_memory(name: str, window: int, seconds: int) -> int:
    key = f"spent:{name}:{window}"
    cache.add(key, 0, seconds)
    try:
        return int(cache.incr(key))
    except ValueError:  # it ran out between the two
        return 1


def _in_database(name: str, window: int, seconds: int) -> int:
    """The count with this one. The row's own increment decides, so of two at once each gets a number of its own."""
    from pressrun.web.people.models import Spending

    row = Spending.objects.filter(name=name, window=window)
    with transaction.atomic():
        if not row.update(count=F("count") + 1):
            try:
                with transaction.atomic():
                    Spending.objects.create(name=name, window=window, count=1, until=(window + 1) * seconds)
            except IntegrityError:
                row.update(count=F("count") + 1)
        return int(row.values_list("count", flat=True).get())


def _sentence(kind: str, rate: Rate) -> str:
    unit = next(unit for unit in ("d", "h", "m", "s") if rate.seconds % SECONDS[unit] == 0)
    count = rate.seconds // SECONDS[unit]
    name = {"d": "day", "h": "hour", "m": "minute", "s": "second"}[unit]
    span = f"{count} {name}s" if count > 1 else f"a {name}" if unit != "h" else "an hour"
    return f"Too many requests of this kind ({kind}): this site takes {rate.amount:,} in {span} from one place. Try again later."
