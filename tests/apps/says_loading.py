"""Says in the log that it is loaded."""
import os
import sys

print("loaded by", os.getpid(), file=sys.stderr, flush=True)


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"loaded"]
