"""Asks for a reload of the server."""
import uwsgi


def application(environ, start_response):
    uwsgi.reload()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"asked"]
