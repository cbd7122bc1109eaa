"""Reads the body and answers with all that it was given, as JSON."""
import json


def shown(value):
    if isinstance(value, (str, int, bool)):
        return value
    return repr(value) if isinstance(value, (bytes, tuple)) else type(value).__name__


def application(environ, start_response):
    body = environ["wsgi.input"].read()
    answer = {"body": body.decode("latin-1"), "environ": {k: shown(v) for k, v in environ.items()}}
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(answer).encode()]
