"""Answers without reading the request body."""


def application(environ, start_response):
    start_response("403 Forbidden", [("Content-Type", "text/plain")])
    return [b"not read"]
