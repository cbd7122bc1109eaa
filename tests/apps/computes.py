"""Burns CPU for as many seconds as the query says."""
import sys
import time


def application(environ, start_response):
    print("computing", file=sys.stderr, flush=True)
    end = time.monotonic() + float(environ["QUERY_STRING"])
    while time.monotonic() < end:
        sum(range(1000))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"computed"]
