"""Ends its own process in the middle of a request: at once, after a piece (?later), or by exit."""
import os
import signal


def pieces():
    yield b"x" * 100000
    os.kill(os.getpid(), signal.SIGKILL)
    yield b"never"


def application(environ, start_response):
    if environ["QUERY_STRING"] == "later":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return pieces()
    if environ["QUERY_STRING"] == "exit":
        os._exit(3)
    os.kill(os.getpid(), signal.SIGKILL)
