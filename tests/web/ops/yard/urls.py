"""The site's addresses, and one that writes two rows that belong together."""

import time

from django.contrib.auth.models import Group
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from pressrun.web import urls


@csrf_exempt
@transaction.atomic
def write(request: HttpRequest, name: str) -> HttpResponse:
    Group.objects.create(name=f"{name} begun")
    time.sleep(0.01)  # the writer's place is taken for a while
    Group.objects.create(name=f"{name} ended")
    return HttpResponse("written")


urlpatterns = [path("yard/<str:name>", write), *urls.urlpatterns]
handler500 = urls.handler500
