"""Ends at a broken pipe, as many a command does, and sends the file of the query."""
import signal


def application(environ, start_response):
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return environ["wsgi.file_wrapper"](open(environ["QUERY_STRING"], "rb"))
