"""A language model with and without a steering vector, side by side. The model runs in a process of its own, reached over HTTP."""

from django.apps import AppConfig


class ModelsConfig(AppConfig):
    name = "pressrun.web.models"
    label = "side_by_side"
    verbose_name = "Language models"
