"""Answers with the value of the query as Python, with uwsgi and environ; uses the decorators."""
import json
import os
import threading
import time
from urllib.parse import unquote

import uwsgi
from uwsgidecorators import lock, postfork, signal, thread, timer

HEARD = []


@signal(17, target="workers")
def by_all(number):
    HEARD.append(number)


@timer(1)
def each_second(number):
    print("timer", number, "in worker", uwsgi.worker_id(), flush=True)


@lock
def alone(work):
    return work()


def shown(value):
    return value.decode() if isinstance(value, bytes) else str(value)


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    try:
        value = eval(unquote(environ["QUERY_STRING"]), dict(globals(), environ=environ))
    except Exception as error:
        value = repr(error)
    return [json.dumps(value, default=shown).encode()]
