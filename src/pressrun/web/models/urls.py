"""A model with and without a vector."""

from django.urls import path

from pressrun.web.models import views

urlpatterns = [
    path("models/", views.side_by_side, name="side-by-side"),
    path("models/stream", views.stream, name="side-by-side-stream"),
]
