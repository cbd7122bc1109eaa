import datetime
from django.http import HttpResponse, JsonResponse
from django.urls import path
from django.db import connection
from django.utils import timezone
def v(request):
    request.session["n"] = request.session.get("n", 0) + 1
    with connection.cursor() as c:
        c.execute("select 1+1"); r = c.fetchone()
    return JsonResponse({"n": request.session["n"], "r": r, "t": timezone.now().isoformat()})
urlpatterns = [path("dj/", v), path("dj/x", lambda r: HttpResponse("x" * 20000))]
