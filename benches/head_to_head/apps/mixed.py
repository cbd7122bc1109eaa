"""The smallest answer, but each 200th request of a worker waits 10 ms first: 0.5 %."""

import itertools
import time

BODY = b"Hello World"
HEADERS = [("Content-Type", "text/plain"), ("Content-Length", str(len(BODY)))]
numbers = itertools.count(1)


def application(environ, start_response):
    if next(numbers) % 200 == 0:
        time.sleep(0.01)
    start_response("200 OK", HEADERS)
    return [BODY]
