"""Answers; /crash reads where nothing is mapped, /hang does not come back. Notes what it begins."""

import ctypes
import os
import time

RAN = os.open(os.environ.get("RAN", "/dev/null"), os.O_WRONLY | os.O_APPEND)


def application(environ, start_response):
    os.write(RAN, b"%s\n" % environ["QUERY_STRING"].encode())
    path = environ["PATH_INFO"]
    if path == "/crash":
        ctypes.string_at(0)
    if path == "/hang":
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            time.sleep(0.01)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"whole"]
