"""Answers with what a configuration can change."""
import json
import os
import sys
import threading

import uwsgi


def application(environ, start_response):
    shown = {
        "app": __name__ if not __name__.startswith("uwsgi_file") else "a file",
        "script": environ["SCRIPT_NAME"],
        "path": environ["PATH_INFO"],
        "cwd": os.path.relpath(os.getcwd(), os.environ["CFG_ROOT"]),
        "argv": sys.argv,
        "env": {k: v for k, v in os.environ.items() if k.startswith("CFG_")},
        "numproc": uwsgi.numproc,
        "threads": environ["wsgi.multithread"],
        "processes": environ["wsgi.multiprocess"],
        "imported": "imported" in sys.modules,
        "alias": "alias_of_it" in sys.modules,
        "optimize": sys.flags.optimize,
        "site": "site" in sys.modules,
        "user": [os.getuid(), os.getgid()],
        "umask": os.umask(0o22),
    }
    os.umask(shown["umask"])
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(shown).encode()]
