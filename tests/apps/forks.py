"""Forks, and lets the child leave the app's call in the way that the path names."""
import atexit
import os


def leaves_forked(code):
    child = os.fork()
    if child == 0:
        atexit.register(os.write, 2, b"atexit of the child\n")
        raise SystemExit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def returns_forked():
    child = os.fork()
    return child and os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [repr(eval(environ["PATH_INFO"][1:])).encode()]
