"""Returns wsgi.file_wrapper around the file of the query, or around what the path names."""
import gzip
import io
import sys

CONTENT = b"0123456789" * 30000


def saying(base, name):
    class Saying(base):
        def close(self):
            if not self.closed:
                print("closed", name, file=sys.stderr)
            super().close()

    return Saying


class OnlyReads(saying(io.BytesIO, "text_only_read")):
    def fileno(self):
        return "no number"


def application(environ, start_response):
    parts, wrap = environ["PATH_INFO"].split("/")[2:], environ["wsgi.file_wrapper"]
    kind, fields = parts[0], [("Content-Type", "text/plain")]
    if kind == "length":
        fields.append(("Content-Length", parts[1]))
    start_response("200 OK", fields)
    if kind in ("bytesio", "iterated"):
        file = saying(io.BytesIO, kind)(CONTENT)
    elif kind == "text_only_read":
        file = OnlyReads(CONTENT)
    elif kind == "gzip":
        file = saying(gzip.GzipFile, kind)(fileobj=io.BytesIO(gzip.compress(CONTENT)))
    else:
        file = saying(io.FileIO, environ["QUERY_STRING"])(environ["QUERY_STRING"])
        file.seek(5 if kind == "position" else 0)
    return wrap(file) if kind != "iterated" else (piece for piece in wrap(file, 1000))
