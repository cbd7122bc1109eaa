"""Raises the builtin exception that the path names."""
import builtins


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    raise getattr(builtins, environ["PATH_INFO"].rsplit("/", 1)[1])("on purpose")
