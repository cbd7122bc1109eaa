"""Imports the modules that $IMPORTS names; the failure of one with a ? behind it is swallowed."""
import importlib
import os
import sys

for name in os.environ.get("IMPORTS", "").split():
    try:
        importlib.import_module(name.rstrip("?"))
    except ImportError:
        if not name.endswith("?"):
            raise


def application(environ, start_response):
    """Imports what the path names, if any, and says which of all are there."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    late = environ["PATH_INFO"].strip("/")
    if late:
        try:
            importlib.import_module(late)
        except ImportError as error:
            return [str(error).encode()]
    names = os.environ.get("IMPORTS", "").replace("?", "").split() + [late]
    return [" ".join(name for name in names if name in sys.modules).encode()]
