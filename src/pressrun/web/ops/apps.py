"""The site's own upkeep: work behind the pages, health, metrics, logs, backup and retention."""

from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class OpsConfig(AppConfig):
    name = "pressrun.web.ops"
    label = "ops"
    verbose_name = "Upkeep"

    def ready(self) -> None:
        autodiscover_modules("jobs")
        from pressrun.web.ops import chores  # noqa: F401  registers the site's own work
