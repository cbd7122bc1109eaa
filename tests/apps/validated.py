"""An app inside wsgiref's validator, which raises when the server or the app is wrong."""
from wsgiref.validate import validator


@validator
def application(environ, start_response):
    source = environ["wsgi.input"]
    got = source.read(1) + source.readline() + b"".join(source.readlines(1)) + b"".join(source)
    environ["wsgi.errors"].write("")
    environ["wsgi.errors"].writelines([""])
    environ["wsgi.errors"].flush()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"got ", got]
