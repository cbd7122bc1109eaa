"""What chunked_read gives, as JSON: /reads_chunks/TIMES, or /reads_chunks/TIMES/SECONDS or /now."""

import json
import time

import uwsgi


def application(environ, start_response):
    _, _, times, *how = environ["PATH_INFO"].split("/")
    pieces = []
    for _ in range(int(times)):
        try:
            if how == ["now"]:
                piece = uwsgi.chunked_read_nb()
                time.sleep(0.02 if piece is None else 0)
            else:
                piece = uwsgi.chunked_read(*map(int, how))
            pieces.append(piece if piece is None else piece.decode())
        except OSError as error:
            pieces.append(repr(error))
    print("pieces:", pieces)
    body = json.dumps(pieces).encode()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [body]
