"""Keeps as many MiB more as the query says."""

kept = []


def application(environ, start_response):
    count = environ["QUERY_STRING"]
    kept.append(bytearray(b"x") * (int(count) << 20))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [count.encode() + b" more"]
