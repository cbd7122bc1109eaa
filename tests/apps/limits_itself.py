"""Limits its own request to a second, and lifts the limit if the query says so."""
import time

import uwsgi
from uwsgidecorators import harakiri


@harakiri(1)
def quick():
    pass


def application(environ, start_response):
    if environ["QUERY_STRING"] == "decorated":
        quick()
    else:
        uwsgi.set_user_harakiri(1)
    if environ["QUERY_STRING"] == "lifted":
        uwsgi.set_user_harakiri(0)
    end = time.monotonic() + (10 if environ["QUERY_STRING"] == "kept" else 2.5)
    while time.monotonic() < end:
        pass
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"done"]
