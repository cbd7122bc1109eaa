"""Sends the header or the status of the query: /header?Name&value, /header/status?200%20OK."""
from urllib.parse import unquote

TEXT = [("Content-Type", "text/plain")]


def refused(start_response):
    for headers in (None, {"a": "b"}, [["a", "b"]], [("a", b"b")]):
        try:
            start_response("200 OK", headers)
            yield "accepted"
        except Exception as error:
            yield type(error).__name__


def application(environ, start_response):
    parts = [unquote(part, "latin-1") if "%E9" in part else unquote(part) for part in environ["QUERY_STRING"].split("&")]
    if environ["PATH_INFO"].endswith("status"):
        start_response(parts[0], TEXT)
    elif environ["PATH_INFO"].endswith("types"):
        names = " ".join(refused(start_response))
        start_response("200 OK", TEXT)
        return [names.encode()]
    else:
        start_response("200 OK", TEXT + [(parts[0], parts[1])])
    return [b"sent"]
