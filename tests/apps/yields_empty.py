"""Yields empty pieces among others."""


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return iter([b"", b"a", b"", b"b", b""])
