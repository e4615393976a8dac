from django.apps import AppConfig


class ApiConfig(AppConfig):
    name = "pressrun.web.api"
    label = "api"
    verbose_name = "API"
