"""Django's smallest view, with the middleware of a new project that needs no database."""

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path

settings.configure(
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="only for a bench",
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
    ],
)


class Hello(HttpResponse):
    """Counts what is owed: a server calls close() of each response (PEP 3333), which is how Django
    learns that a request is over (request_finished) and lets go of its database connections."""

    owed = 0

    def close(self):
        super().close()
        Hello.owed -= 1


def hello(_request):
    Hello.owed += 1
    return Hello("Hello World")


def owed(_request):
    return HttpResponse("close() is not called" if Hello.owed else "close() is called")


urlpatterns = [path("", hello), path("owed", owed)]
application = get_wsgi_application()
