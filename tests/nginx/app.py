"""Answers with what it saw of the request."""

import json

KEYS = [
    "CONTENT_LENGTH", "HTTP_HOST", "HTTP_X_FORWARDED_FOR", "PATH_INFO", "QUERY_STRING",
    "REMOTE_ADDR", "REMOTE_PORT", "REQUEST_METHOD", "REQUEST_URI", "SCRIPT_NAME",
    "SERVER_PROTOCOL", "wsgi.url_scheme",
]


def application(environ, start_response):
    if environ["PATH_INFO"] == "/stream":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return (b"%04d" % number for number in range(1000))
    seen = {key: environ.get(key) for key in KEYS}
    seen["body"] = len(environ["wsgi.input"].read())
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(seen).encode()]
