"""Raises at the place that the path names, with the query as its message."""

TEXT = [("Content-Type", "text/plain")]


def pieces(count, message):
    for _ in range(count):
        yield b"piece"
    raise RuntimeError(message)


def application(environ, start_response):
    place, message = environ["PATH_INFO"].rsplit("/", 1)[1], environ["QUERY_STRING"]
    if place == "call":
        raise RuntimeError(message)
    length = [("Content-Length", "1000")] if message.endswith("length") else []
    start_response("200 OK", TEXT + length)
    if place == "first":
        return pieces(0, message)
    if place == "later":
        return pieces(2, message)
    raise RuntimeError(message)
