"""Says in the log that it runs, then answers when the file that the query names is there."""
import os
import sys
import time


def application(environ, start_response):
    path = environ["QUERY_STRING"]
    print("waiting for", path, file=sys.stderr, flush=True)
    deadline = time.monotonic() + 20
    while not os.path.exists(path) and time.monotonic() < deadline:
        time.sleep(0.005)
    print("waited for", path, file=sys.stderr, flush=True)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"waited"]
