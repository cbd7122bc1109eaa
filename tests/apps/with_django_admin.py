"""Django with its admin, on the PostgreSQL or the SQLite file that $DSN names; a manage.py too."""
import os
import sys

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application

DSN = os.environ["DSN"]
NAMES = dict(part.split("=") for part in DSN.split()) if "=" in DSN else {}
DATABASE = {"ENGINE": "django.db.backends.sqlite3", "NAME": DSN, "OPTIONS": {"timeout": 20}}
if NAMES:
    DATABASE = {"ENGINE": "django.db.backends.postgresql", "NAME": NAMES["dbname"],
                "USER": NAMES["user"], "HOST": NAMES["host"], "CONN_MAX_AGE": 60}
BEFORE = "django.contrib.%s"
settings.configure(
    ALLOWED_HOSTS=["*"], ROOT_URLCONF="django_admin_urls", SECRET_KEY="none", DATABASES={"default": DATABASE},
    INSTALLED_APPS=[BEFORE % n for n in ("admin", "auth", "contenttypes", "sessions", "messages")],
    MIDDLEWARE=[BEFORE % "sessions.middleware.SessionMiddleware", "django.middleware.csrf.CsrfViewMiddleware",
                BEFORE % "auth.middleware.AuthenticationMiddleware",
                BEFORE % "messages.middleware.MessageMiddleware"],
    PASSWORD_HASHERS=[BEFORE % "auth.hashers.MD5PasswordHasher"], DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True,
                "OPTIONS": {"context_processors": [
                    "django.template.context_processors.request",
                    BEFORE % "auth.context_processors.auth",
                    BEFORE % "messages.context_processors.messages"]}}])
if __name__ == "__main__":
    from django.core.management import execute_from_command_line
    execute_from_command_line(sys.argv)
else:
    application = get_wsgi_application()
