"""Refuses to be imported anywhere but in a process's main interpreter, as some extensions do."""
try:
    import _interpreters
    MAIN = _interpreters.get_current()[0] == _interpreters.get_main()[0]
except ImportError:
    MAIN = True

if not MAIN:
    raise ImportError("module needs_main_interpreter does not support loading in subinterpreters")


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]
