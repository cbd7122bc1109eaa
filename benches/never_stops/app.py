"""Answers; /crash reads where nothing is mapped, /hang does not come back."""

import ctypes
import time


def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/crash":
        ctypes.string_at(0)
    if path == "/hang":
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            time.sleep(0.01)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"whole"]
