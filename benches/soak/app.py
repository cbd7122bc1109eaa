import datetime, decimal, json, hashlib, uuid, os
from flask import Flask, request, render_template_string
import django
from django.conf import settings
settings.configure(SECRET_KEY="x", ROOT_URLCONF="urls", ALLOWED_HOSTS=["*"], DEBUG=False,
    MIDDLEWARE=["django.middleware.common.CommonMiddleware","django.contrib.sessions.middleware.SessionMiddleware"],
    INSTALLED_APPS=["django.contrib.contenttypes","django.contrib.auth","django.contrib.sessions"],
    SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
    DATABASES={"default":{"ENGINE":"django.db.backends.sqlite3","NAME":":memory:"}},
    TEMPLATES=[{"BACKEND":"django.template.backends.django.DjangoTemplates"}])
from django.core.wsgi import get_wsgi_application
dj = get_wsgi_application()
app = Flask(__name__)
@app.route("/")
def index():
    return render_template_string("<p>{{ now }} {{ items|length }}</p>", now=datetime.datetime.now(), items=list(range(100)))
@app.route("/json", methods=["GET","POST"])
def j():
    return {"d": str(decimal.Decimal("1.1")*3), "h": hashlib.sha256(request.get_data()).hexdigest(), "u": str(uuid.uuid4())}
def application(environ, start_response):
    if environ["PATH_INFO"].startswith("/dj"):
        return dj(environ, start_response)
    return app(environ, start_response)
