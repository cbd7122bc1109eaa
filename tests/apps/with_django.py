"""What Django apps do."""
import json
import os

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import FileResponse, HttpResponse, HttpResponseRedirect, JsonResponse, StreamingHttpResponse
from django.urls import path

settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="none", LOGGING_CONFIG=None, FILE_UPLOAD_MAX_MEMORY_SIZE=1000)
HERE = os.path.dirname(os.path.abspath(__file__))


def cookies(request):
    response = HttpResponse("set")
    response.set_cookie("a", "1")
    response.set_cookie("b", "2")
    return response


urlpatterns = [
    path("text", lambda request: HttpResponse("plain")),
    path("form", lambda request: HttpResponse(request.POST["name"])),
    path("json", lambda request: JsonResponse(json.loads(request.body))),
    path("file", lambda request: FileResponse(open(os.path.join(HERE, "hello.py"), "rb"))),
    path("redirect", lambda request: HttpResponseRedirect("/text")),
    path("raises", lambda request: HttpResponse(1 // 0)),
    path("upload", lambda request: HttpResponse(sum(map(len, request.FILES["file"].chunks())))),
    path("streamed", lambda request: StreamingHttpResponse(f"{n} " for n in range(5))),
    path("cookies", cookies),
]
application = get_wsgi_application()
