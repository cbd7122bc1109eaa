"""/ is the smallest answer, /burn/MS computes for so long, /where names the worker."""

import os
import time

BODY = b"Hello World"


def application(environ, start_response):
    path = environ["PATH_INFO"]
    body = BODY
    if path == "/where":
        body = where()
    elif path.startswith("/burn/"):
        end = time.monotonic() + int(path.removeprefix("/burn/")) / 1000
        while time.monotonic() < end:
            pass
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def where() -> bytes:
    try:
        import uwsgi
    except ImportError:
        return b"process %d" % os.getpid()
    return b"worker %d" % uwsgi.worker_id()
