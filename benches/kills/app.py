import time


def application(environ, start_response):
    until = time.perf_counter() + 60e-6
    while time.perf_counter() < until:
        pass
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"whole"]
