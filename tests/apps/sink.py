"""Reads the body in pieces and says how long it was, with its checksum."""
import hashlib


def application(environ, start_response):
    size = int(environ["QUERY_STRING"] or 65536)
    length, digest = 0, hashlib.sha1()
    while piece := environ["wsgi.input"].read(size):
        length += len(piece)
        digest.update(piece)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{length} {digest.hexdigest()}".encode()]
