"""Events, notifications, digests by mail, and webhooks."""

from django.apps import AppConfig


class AlertsConfig(AppConfig):
    name = "pressrun.web.alerts"
    label = "alerts"

    def ready(self) -> None:
        from pressrun.web.alerts import holdings  # noqa: F401  registers what an account's export holds
