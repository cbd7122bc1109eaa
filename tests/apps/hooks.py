"""Uses the hooks of the modules uwsgi and uwsgidecorators."""
import atexit
import os
import sys

import uwsgi
import uwsgidecorators

CALLED = []


@uwsgidecorators.postfork
def after_fork():
    CALLED.append(f"postfork in {os.getpid()} for worker {uwsgi.worker_id()}")


@uwsgidecorators.postfork(2)
def in_the_second_alone():
    CALLED.append("second")


def at_end():
    print("uwsgi.atexit called", file=sys.stderr, flush=True)


uwsgi.atexit = at_end
atexit.register(lambda: print("atexit called", file=sys.stderr, flush=True))


def application(environ, start_response):
    uwsgi.log("said by uwsgi.log")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return ["; ".join(CALLED).encode()]
