"""Apps of every kind of callable."""

TEXT = [("Content-Type", "text/plain")]


class AsClass:
    def __init__(self, environ, start_response):
        start_response("200 OK", TEXT)

    def __iter__(self):
        yield b"AsClass"


class Instance:
    def __call__(self, environ, start_response):
        start_response("200 OK", TEXT)
        return [b"instance"]


instance = Instance()


def function(environ, start_response):
    start_response("200 OK", TEXT)
    return [b"function"]
