"""Yields a piece, waits for a file, yields the next: the files are in the query, by &."""
import os
import time


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"start"
    for number, path in enumerate(environ["QUERY_STRING"].split("&"), 1):
        deadline = time.monotonic() + 20
        while not os.path.exists(path) and time.monotonic() < deadline:
            time.sleep(0.002)
        yield b"step%d" % number
