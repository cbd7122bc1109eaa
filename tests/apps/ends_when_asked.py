"""Spins until SIGUSR2 comes, and says so."""
import signal
import sys


def asked(number, frame):
    print("asked by signal", number, file=sys.stderr, flush=True)
    raise SystemExit


signal.signal(signal.SIGUSR2, asked)


def application(environ, start_response):
    while environ["PATH_INFO"] == "/spins":
        pass
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]
