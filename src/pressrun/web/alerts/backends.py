"""Django's mail goes through the outbox, so that no page waits for a mail server and no mail is lost when that is down."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from django.db import transaction

from pressrun.web.alerts.outbox import queue
from pressrun.web.ops.jobs import enqueue

__all__ = ["Outbox"]


class Outbox(BaseEmailBackend):
    """Queues a mail for each recipient; they are sent once the transaction is over."""

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        with transaction.atomic():
            for message in email_messages:
                for recipient in message.recipients():
                    queue(message, recipient, f"site-{uuid.uuid4()}")
            enqueue("deliver-mail")
        return len(email_messages)
