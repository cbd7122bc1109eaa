"""Asks for compression; the path chooses the body, the query adds `name=value` as a field."""
import os
from urllib.parse import unquote

TEXT = b"compressible " * 400


def application(environ, start_response):
    kind = environ["PATH_INFO"].strip("/")
    headers = [("Content-Type", "text/plain"), ("uWSGI-Encoding", "gzip")]
    if environ["QUERY_STRING"]:
        headers.append(tuple(unquote(environ["QUERY_STRING"]).split("=", 1)))
    status = kind if kind[:3].isdigit() else "200 OK"
    write = start_response(status.replace("-", " "), headers)
    if kind == "write":
        write(TEXT)
        return [b"end"]
    if kind == "empty" or status != "200 OK":
        return []
    if kind == "file":
        return environ["wsgi.file_wrapper"](open(__file__, "rb"))
    if kind == "large":
        return [os.urandom(1 << 20).hex().encode()] * 2
    if kind == "raises":
        return raises()
    if kind == "pieces":
        return iter([b"one ", b"", b"two"])
    return [TEXT]


def raises():
    yield TEXT
    raise ValueError("in the middle")
