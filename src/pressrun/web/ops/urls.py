"""The addresses of upkeep."""

from django.urls import path

from pressrun.web.ops import views

urlpatterns = [
    path("health", views.health, name="health"),
    path("metrics", views.metrics, name="metrics"),
]
