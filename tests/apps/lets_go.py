"""Lets its client go in the way that the path names; goes on when the query's file is there."""
import os
import time

import uwsgi


def say(*what):
    print("afterwards:", *what, flush=True)


def goes_on(path, go):
    try:
        if path == "piece":
            yield b"piece"
        uwsgi.disconnect()
        while not os.path.exists(go):
            time.sleep(0.01)
        say("still here")
        yield b"too late"
        say("never")
    finally:
        say("closed")


def application(environ, start_response):
    path = environ["PATH_INFO"].rsplit("/", 1)[-1]
    headers = [("Content-Type", "text/plain")]
    if path == "short":
        headers.append(("Content-Length", "100"))
    write = start_response("200 OK", headers)
    if path in ("short", "written"):
        write(b"written")
        assert uwsgi.disconnect() is None
        try:
            write(b"more")
        except OSError as error:
            say(error)
    return goes_on(path, environ["QUERY_STRING"])
