"""Reads the request's body in pieces and answers its length; /digest answers its SHA-256 too."""

import hashlib

PIECE_BYTES = 64 * 1024


def application(environ, start_response):
    left = int(environ.get("CONTENT_LENGTH") or 0)
    digest = hashlib.sha256() if environ["PATH_INFO"] == "/digest" else None
    count = 0
    while left > 0:
        piece = environ["wsgi.input"].read(min(PIECE_BYTES, left))
        if not piece:
            break
        left -= len(piece)
        count += len(piece)
        if digest:
            digest.update(piece)
    body = (f"{count} bytes" + (f" {digest.hexdigest()}" if digest else "")).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
