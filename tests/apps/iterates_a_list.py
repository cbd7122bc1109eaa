"""Gives an object whose iterator is a list's or a tuple's own, and whose close() says so."""
import sys


class Body:
    def __init__(self, pieces):
        self.pieces = pieces

    def __iter__(self):
        return iter(self.pieces)

    def close(self):
        print("closed", len(self.pieces), file=sys.stderr, flush=True)


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    count = int(environ["QUERY_STRING"] or 0)
    pieces = [b"piece %d," % number for number in range(count)]
    return Body(tuple(pieces) if count % 2 else pieces)
