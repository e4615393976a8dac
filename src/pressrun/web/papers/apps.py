from django.apps import AppConfig


class PapersConfig(AppConfig):
    name = "pressrun.web.papers"
    label = "papers"
    verbose_name = "Papers"
