"""As waits.py, and says its pid in the log."""
import os
import sys

import waits


def application(environ, start_response):
    print(f"pid that waits: {os.getpid()}", file=sys.stderr, flush=True)
    return waits.application(environ, start_response)
