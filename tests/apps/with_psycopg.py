"""Flask with psycopg 3 alone, on the PostgreSQL that $DSN names."""
import os
import threading

import flask
import psycopg
import uwsgi
import uwsgidecorators

app = flask.Flask(__name__)
FORKED = []
local = threading.local()


@uwsgidecorators.postfork
def remember():
    FORKED.append(uwsgi.worker_id())


def connection():
    if not hasattr(local, "connection"):
        local.connection = psycopg.connect(os.environ["DSN"], autocommit=True)
    return local.connection


@app.post("/names")
def add():
    connection().execute("INSERT INTO names VALUES (%s)", [flask.request.form["name"]])
    return "added", 201


@app.get("/names")
def names():
    found = connection().execute("SELECT name, pg_backend_pid() FROM names ORDER BY name").fetchall()
    return {"names": [row[0] for row in found], "forked": FORKED, "worker": uwsgi.worker_id(),
            "backend": found[0][1], "driver": psycopg.pq.__impl__}
