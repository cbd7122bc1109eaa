"""Says how many blocks of memory its interpreter uses."""
import gc
import sys


def application(environ, start_response):
    gc.collect()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"%d" % sys.getallocatedblocks()]
