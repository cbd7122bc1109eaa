"""Answers with what came of child processes, of a pool of the default kind, of other interpreters."""
import multiprocessing
import os
import signal
import subprocess
import time
from concurrent import futures


def square(number):
    return number * number


def terminates():
    child = subprocess.Popen(["sleep", "1000"])
    child.terminate()
    return child.wait(10)


def ends_forked():
    child = os.fork()
    if child == 0:
        time.sleep(30)
    os.kill(child, signal.SIGTERM)
    return os.waitpid(child, 0)[1]


def pool(method=None):
    context = multiprocessing.get_context(method)
    with context.Pool(2) as workers:
        return context.get_start_method(), workers.map(abs, [-1, -4, -9])


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    try:
        return [repr(eval(environ["PATH_INFO"][1:])).encode()]
    except Exception as error:
        return [repr(error).encode()]
