"""Prints the query to every output."""
import sys


def application(environ, start_response):
    query = environ["QUERY_STRING"]
    print(f"<out {query}>")
    print(f"<err {query}>", file=sys.stderr)
    print(f"<wsgi.errors {query}>", file=environ["wsgi.errors"])
    sys.stdout.write(f"<unfinished {query}>")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"printed"]
