"""Answers with the environment variable that the query names."""
import os


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [os.environ.get(environ["QUERY_STRING"], "unset").encode()]
