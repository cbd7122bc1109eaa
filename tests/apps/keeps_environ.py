"""Keeps the environ of all requests, and says their queries."""
KEPT = []


def application(environ, start_response):
    KEPT.append(environ)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [" ".join(kept["QUERY_STRING"] for kept in KEPT[-2:]).encode()]
