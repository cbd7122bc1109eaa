"""Raises the built-in exception that the path names, with "watched"; /pid says the process."""
import builtins
import os


def application(environ, start_response):
    name = environ["PATH_INFO"].strip("/")
    if name != "pid":
        raise getattr(builtins, name)("watched")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
