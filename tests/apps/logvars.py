"""Gives the query to its log line as `mine`, and prints it."""
import sys

import uwsgi


def application(environ, start_response):
    query = environ["QUERY_STRING"]
    uwsgi.set_logvar("mine", "other")
    uwsgi.set_logvar("mine", query.replace("%22", '"').replace("%0A", "\n"))
    uwsgi.set_logvar("second", b"\xff2")
    print(f"app says {query}", file=sys.stderr, flush=True)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    return [b"ok"]
