"""About 1 ms of Python for each request: always the same work, however long it takes."""

BODY = b"Hello World"
HEADERS = [("Content-Type", "text/plain"), ("Content-Length", str(len(BODY)))]
STEPS = 16_000


def application(environ, start_response):
    total = 0
    for step in range(STEPS):
        total += step & 7
    start_response("200 OK", HEADERS)
    return [BODY if total else b""]
