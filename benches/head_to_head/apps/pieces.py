"""A generator of 100 pieces, without a Content-Length: each should leave when it is yielded."""

PIECES = [b"%099d\n" % number for number in range(100)]


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield from PIECES
