from django.apps import AppConfig


class RunsConfig(AppConfig):
    name = "pressrun.web.runs"
    label = "runs"
    verbose_name = "Runs"
