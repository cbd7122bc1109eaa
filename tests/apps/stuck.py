"""Takes long in the way that the path names; the query is a file that ends it."""
import os
import sys
import time


def spins(path):
    while not os.path.exists(path):
        pass


def naps(path):
    time.sleep(0.3)


def sleeps_in_c(path):
    os.open(path, os.O_RDONLY)  # A FIFO: blocks until somebody writes.


def swallows(path):
    for _ in range(2):
        try:
            spins(path)
        except BaseException as error:
            print("swallowed", type(error).__name__, file=sys.stderr, flush=True)


def application(environ, start_response):
    way = environ["PATH_INFO"].rsplit("/", 1)[-1]
    path = environ["QUERY_STRING"]
    if way == "begins":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return (item or spins(path) for item in (b"begun", b""))
    if way == "c_iterator":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return map(time.sleep, [2.5])  # No bytecode follows it.
    globals()[way](path)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"done"]
