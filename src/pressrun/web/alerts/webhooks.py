"""Events posted to addresses that people name, signed, and to the open internet only.

The signature is that of Standard Webhooks (standardwebhooks.com): HMAC-SHA256 over "id.timestamp.body" with the secret's bytes, in
base64. The body's `text` is what Slack, Mattermost and Matrix bridges (matrix-hookshot) show; `html` is an extra that hookshot reads.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from datetime import datetime
from html import escape

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from pressrun.catalog import Fetcher, FetchError
from pressrun.catalog.fetch import PrivateAddress
from pressrun.web.alerts import links, wording
from pressrun.web.alerts.models import Delivery, Event, Mail, Webhook
from pressrun.web.alerts.outbox import claim, retry_at, waiting
from pressrun.web.api.answers import one_line, site_host, utc

__all__ = ["deliver_webhooks", "fetcher", "headers", "new_secret", "payload", "sign"]

SECONDS = 10.0
GONE = 410


def new_secret() -> str:
    """192 random bits, in the form that Standard Webhooks has."""
    return f"whsec_{base64.b64encode(secrets.token_bytes(24)).decode()}"


def sign(secret: str, identity: str, timestamp: int, body: bytes) -> str:
    """The value of `webhook-signature`."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.digest(key, f"{identity}.{timestamp}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(digest).decode()}"


def headers(hook: Webhook, identity: str, body: bytes, now: datetime) -> dict[str, str]:
    timestamp = int(now.timestamp())
    return {
        "Content-Type": "application/json",
        "webhook-id": identity,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(hook.secret, identity, timestamp, body),
    }


def payload(event: Event, format: str) -> bytes:
    """The body of a post about an event. Slack reads <, > and & in `text` as its own marks, so they are escaped there."""
    sentence, url = wording.sentence(event), links.absolute(wording.path(event))
    if format == Webhook.Format.SLACK:
        return _json({"text": f"{escape(sentence, quote=False)} <{url}|{escape(one_line(settings.SITE_NAME), quote=False)}>"})
    facts = {
        "type": event.kind,
        "timestamp": utc(event.at),
        "paper": event.paper.public_id if event.paper else None,
        "url": url,
        "claims": event.data.get("claims", []),
    }
    return _json(
        {"text": f"{sentence} {url}", "html": f'{escape(sentence)} <a href="{escape(url)}">{escape(url)}</a>', "event": facts}
    )


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def fetcher() -> Fetcher:
    """What posts: to public addresses only, unless the owner said otherwise."""
    return Fetcher(
        allow_private=settings.WEBHOOKS_PRIVATE, connect_timeout=5.0, read_timeout=SECONDS, total_timeout=SECONDS, interval=0.0
    )


def deliver_webhooks(now: datetime | None = None, through: Fetcher | None = None) -> int:
    """Post what waits; gives how many posts were taken. May be run by any number of workers."""
    through, taken = through or fetcher(), 0
    rows = Delivery.objects.select_related("webhook__user", "event__paper", "event__actor__profile")
    for delivery in waiting(rows, now):
        moment = now or timezone.now()
        if claim(delivery, moment):
            taken += _attempt(delivery, moment, through)
    return taken


def _attempt(delivery: Delivery, now: datetime, through: Fetcher) -> bool:
    """Whether the post was taken; what came of it is written down."""
    hook = delivery.webhook
    if hook.paused or not hook.user.is_active:
        _finish(delivery, Mail.State.DROPPED, "the webhook is paused")
        return False
    body = payload(delivery.event, hook.format)
    try:
        status = through.post(hook.url, body, headers(hook, f"{site_host()}-{delivery.event_id}", body, now))
    except PrivateAddress:
        _failed(delivery, now, "its host is not one of the open internet, and nothing is posted there")
        return False
    except FetchError as problem:
        _failed(delivery, now, str(problem))
        return False
    if 200 <= status < 300:
        _finish(delivery, Mail.State.SENT, "")
        return True
    _failed(delivery, now, f"it answers {status}", for_good=status == GONE)
    return False


def _failed(delivery: Delivery, now: datetime, why: str, *, for_good: bool = False) -> None:
    """Again later, with all that waits for the same webhook; after the last time, or at "410 Gone", it pauses until its owner looks."""
    again = None if for_good else retry_at(delivery.attempts, now)
    others = Delivery.objects.filter(webhook=delivery.webhook_id, state=Mail.State.WAITING)
    if again:
        others.filter(next_try__lte=now).update(next_try=again)
        others.filter(pk=delivery.pk).update(next_try=again, why=why[:300])
        return
    with transaction.atomic():
        _finish(delivery, Mail.State.FAILED, why)
        Webhook.objects.filter(pk=delivery.webhook_id, paused=None).update(paused=now, why=why[:300])


def _finish(delivery: Delivery, state: str, why: str) -> None:
    Delivery.objects.filter(pk=delivery.pk).update(state=state, why=why[:300])
