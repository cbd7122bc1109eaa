"""Real files by wsgi.file_wrapper, read by hand where a server has none: /64k.bin and /1m.bin."""

import os
from pathlib import Path

# Written by install.py.
FILES = Path(__file__).resolve().parents[3] / ".cache" / "head_to_head" / "files"
PIECE_BYTES = 64 * 1024


def application(environ, start_response):
    file = (FILES / environ["PATH_INFO"].lstrip("/")).open("rb")
    length = os.fstat(file.fileno()).st_size
    headers = [("Content-Type", "application/octet-stream"), ("Content-Length", str(length))]
    start_response("200 OK", headers)
    wrapper = environ.get("wsgi.file_wrapper")
    return wrapper(file, PIECE_BYTES) if wrapper else read(file)


def read(file):
    with file:
        while piece := file.read(PIECE_BYTES):
            yield piece
