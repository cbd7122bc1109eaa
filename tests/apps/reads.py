"""Reads the body in the way that the path names, and says its length and checksum."""
import hashlib
from functools import partial


def mixed(source):
    yield from (source.read(10), source.readline(), source.readline(5), next(iter(source)))
    yield from (source.read(100000), *source)


WAYS = {
    "read": lambda source: [source.read()],
    "read_n": lambda source: iter(partial(source.read, 1000), b""),
    "read_none": lambda source: [source.read(None), source.read(-1)],
    "readline": lambda source: iter(source.readline, b""),
    "readline_hint": lambda source: iter(partial(source.readline, 30), b""),
    "readlines": lambda source: source.readlines(),
    "readlines_hint": lambda source: sum(iter(partial(source.readlines, 5000), []), []),
    "iterate": lambda source: source,
    "mixed": mixed,
}


def application(environ, start_response):
    source, way = environ["wsgi.input"], environ["PATH_INFO"].rsplit("/", 1)[1]
    if way == "past_end":
        answer = f"{source.read(10)} {source.read()} {source.readline()} {source.readlines()} {list(source)}"
    elif way == "seek":
        size = len(source.read())
        end = source.tell()
        source.seek(0)
        begin = source.read(3).decode()
        source.seek(10)
        answer = f"{size} {end} {begin} {source.read(3).decode()}"
    else:
        body = b"".join(WAYS[way](source))
        answer = f"{len(body)} {hashlib.sha1(body).hexdigest()}"
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [answer.encode()]
