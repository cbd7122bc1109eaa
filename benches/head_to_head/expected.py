"""Calls an app once, without a server: what each server must answer. Run by the Python of the
peers: FOLDER MODULE PATH BODY-FILE OUT writes OUT.json (status, headers) and OUT (the body)."""

import importlib
import io
import json
import sys
from pathlib import Path
from wsgiref.util import setup_testing_defaults


def main():
    folder, module, path, body_file, out = sys.argv[1:]
    sys.path.insert(0, folder)
    application = importlib.import_module(module).application
    environ = {"PATH_INFO": path, "HTTP_HOST": "127.0.0.1:8000"}
    if body_file != "-":
        body = Path(body_file).read_bytes()
        environ |= {
            "REQUEST_METHOD": "POST", "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": io.BytesIO(body),
        }  # fmt: skip
    setup_testing_defaults(environ)
    head = {}

    def start_response(status, headers, exc_info=None):
        head.update(status=status, headers=headers)

    pieces = application(environ, start_response)
    Path(out).write_bytes(b"".join(pieces))
    Path(f"{out}.json").write_text(json.dumps(head))


main()
