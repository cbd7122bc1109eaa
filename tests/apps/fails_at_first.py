"""Fails to load the first two times that $COUNT's file sees, as an app does whose database comes late."""
import os

with open(os.environ["COUNT"], "a+") as file:
    file.write("x")
    file.seek(0)
    if len(file.read()) <= 2:
        raise RuntimeError("not yet")


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]
