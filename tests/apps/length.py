"""Promises another length than its body has: /length/too_small/list."""


def application(environ, start_response):
    _, _, promise, kind = environ["PATH_INFO"].split("/")
    length = "5" if promise == "too_small" else "1000"
    write = start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", length)])
    if kind == "list":
        return [b"1234", b"567", b"890"]
    if kind == "generator":
        return (b"%d" % digit for digit in range(1, 9))
    if kind == "large":
        return [b"12345" + b"x" * 100000]
    if kind == "write":
        write(b"123")
        write(b"4567")
    return []
