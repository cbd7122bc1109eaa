"""Gives a body of known length, and ends only when the file that the query names is there."""
import os
import sys
import time


class Body:
    def __init__(self, path):
        self.path, self.pieces = path, [b"whole"]

    def __iter__(self):
        while self.pieces:
            yield self.pieces.pop()

    def close(self):
        print("closing", self.path, file=sys.stderr, flush=True)
        deadline = time.monotonic() + 20
        while not os.path.exists(self.path) and time.monotonic() < deadline:
            time.sleep(0.005)
        print("closed", self.path, file=sys.stderr, flush=True)


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return Body(environ["QUERY_STRING"])
