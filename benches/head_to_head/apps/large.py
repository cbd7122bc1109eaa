"""Large answers that are one bytes object: /10k and /1m."""

BODIES = {"/10k": bytes(range(250)) * 41, "/1m": bytes(range(256)) * 4096}
HEADERS = {
    path: [("Content-Type", "application/octet-stream"), ("Content-Length", str(len(body)))]
    for path, body in BODIES.items()
}


def application(environ, start_response):
    path = environ["PATH_INFO"]
    start_response("200 OK", HEADERS[path])
    return [BODIES[path]]
