"""Raises an exception whose text takes long, when a harakiri comes."""
import time


def spins(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


class Told(Exception):
    def __str__(self):
        spins(1.6)  # Meanwhile the next exception is due.
        return "told at last"


def application(environ, start_response):
    try:
        spins(1000)
    except BaseException:
        raise Told
