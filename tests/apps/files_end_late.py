"""Sends the file of the query; its close() ends when FILE.go is there."""
import io
import os
import sys
import time


class Late(io.FileIO):
    def close(self):
        if not self.closed:
            print("closing", file=sys.stderr, flush=True)
            deadline = time.monotonic() + 20
            while not os.path.exists(self.name + ".go") and time.monotonic() < deadline:
                time.sleep(0.01)
            print("closed", file=sys.stderr, flush=True)
        super().close()


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return environ["wsgi.file_wrapper"](Late(environ["QUERY_STRING"]))
