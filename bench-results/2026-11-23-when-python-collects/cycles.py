KEEP = [{"a": [i], "b": (i, str(i))} for i in range(200000)]


class Node:
    pass


def application(environ, start_response):
    for _ in range(40):
        one, other = Node(), Node()
        one.other, other.other = other, one
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
