"""Opens files until no more may be open, and keeps them."""
import os

KEPT = []


def application(environ, start_response):
    try:
        while True:
            KEPT.append(os.open("/dev/null", os.O_RDONLY))
    except OSError as error:
        text = os.strerror(error.errno)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [text.encode()]
