"""Flask with SQLAlchemy and psycopg2, on the PostgreSQL that $DSN names."""
import os

import flask
import psycopg2
import uwsgi
import uwsgidecorators
from sqlalchemy import create_engine, text

app = flask.Flask(__name__)
engine = create_engine("postgresql+psycopg2://", creator=lambda: psycopg2.connect(os.environ["DSN"]))
FORKED = []

# As apps do that connect at import, which a pool must not pass on to workers.
with engine.begin() as connection:
    connection.execute(text("DELETE FROM names"))


@uwsgidecorators.postfork
def leave_the_pool():
    engine.dispose(close=False)
    FORKED.append(uwsgi.worker_id())


@app.post("/names")
def add():
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO names VALUES (:name)"), flask.request.form)
    return "added", 201


@app.get("/names")
def names():
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT name, pg_backend_pid() FROM names ORDER BY name"))
        found = rows.all()
    return {"names": [row[0] for row in found], "forked": FORKED, "worker": uwsgi.worker_id(),
            "backend": found[0][1], "driver": psycopg2.__name__}
