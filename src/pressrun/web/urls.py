"""Every address of the site. The patterns of the Hugging Face papers site and API are kept, so that its clients and links work."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("", include("pressrun.web.api.urls")),
    path("", include("pressrun.web.people.urls")),
    path("", include("pressrun.web.runs.urls")),
    path("", include("pressrun.web.ops.urls")),
    path("", include("pressrun.web.alerts.urls")),
    path("", include("pressrun.web.models.urls")),
    path("", include("pressrun.web.community.urls")),
    path("", include("pressrun.web.papers.urls")),
]

handler400 = "pressrun.web.errors.bad_request"
handler403 = "pressrun.web.errors.forbidden"
handler404 = "pressrun.web.errors.not_found"
handler500 = "pressrun.web.errors.failed"
