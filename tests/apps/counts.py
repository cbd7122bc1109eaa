"""Counts its requests in a global."""
COUNT = 0


def application(environ, start_response):
    global COUNT
    COUNT += 1
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(COUNT).encode()]
