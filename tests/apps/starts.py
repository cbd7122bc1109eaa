"""Calls start_response in unusual ways, by the last part of the path."""
import sys

TEXT = [("Content-Type", "text/plain")]


def twice_after(start_response):
    start_response("200 OK", TEXT)
    yield b"first"
    for exc_info in ([], [(None, None, None)]):  # sys.exc_info() outside of an except clause
        try:
            start_response("500 No", TEXT, *exc_info)
        except Exception as error:
            yield b" " + type(error).__name__.encode()


def exc_info_after(start_response):
    start_response("200 OK", TEXT)
    yield b"some"
    try:
        raise ValueError("after the head")
    except ValueError:
        start_response("500 No", TEXT, sys.exc_info())
    yield b"never"


def application(environ, start_response):
    way = environ["PATH_INFO"].rsplit("/", 1)[1]
    if way == "twice":
        start_response("200 OK", TEXT + [("X-First", "1"), ("Content-Length", "99")])
        start_response("201 Created", TEXT)
        return [b"twice"]
    if way == "exc_info_before":
        start_response("200 OK", TEXT)
        start_response("503 Sorry", TEXT, (ValueError, ValueError("before"), None))
        return [b"sorry"]
    if way.startswith("never"):
        return [] if way.endswith("no_body") else [b"body"]
    return {"twice_after": twice_after, "exc_info_after": exc_info_after}.get(way, lambda _: None)(start_response)
