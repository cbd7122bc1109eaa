"""Behaves in a sub-interpreter as $DIFFERS says, and well in a process."""
import os
import signal
import time

try:
    import _interpreters
    MAIN = _interpreters.get_current()[0] == _interpreters.get_main()[0]
except ImportError:
    MAIN = True

DIFFERS = os.environ["DIFFERS"]
if DIFFERS == "signal":
    signal.signal(signal.SIGUSR1, lambda *_: None)
elif not MAIN and DIFFERS == "abort":
    os.abort()
elif not MAIN and DIFFERS == "exit":
    os._exit(0)
elif not MAIN and DIFFERS == "sleep":
    time.sleep(1000)


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]
