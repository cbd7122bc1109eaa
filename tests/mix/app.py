"""One route for each way in which an app can touch the server (tests/mix/mix.py)."""
import gc
import io
import json
import os
import signal
import sys
import threading

kept = []
BIG = b"0123456789abcdef" * 20000
FIELDS = [("Content-Type", "text/plain")]


def totals(environ, start):
    """References and memory blocks of this interpreter; one process measures one interpreter."""
    kept.clear()
    gc.collect()
    start("200 OK", FIELDS)
    refs = getattr(sys, "gettotalrefcount", lambda: 0)()
    return [json.dumps({"refs": refs, "blocks": sys.getallocatedblocks()}).encode()]


def small(environ, start):
    start("200 OK", FIELDS)
    return [b"small"]


def pieces(environ, start):
    start("200", [("X-A", "1"), ("Content-Length", "9")])
    return (b"abc", b"", b"def", b"ghi")


def text(environ, start):
    start("200 OK", FIELDS)
    return ["a str, which PEP 3333 forbids", None]


def large(environ, start):
    start("200 OK", FIELDS)
    return [BIG + environ["QUERY_STRING"].encode()]


def several_large(environ, start):
    start("200 OK", FIELDS)
    return [BIG[at:] for at in range(4)]


def generator(environ, start):
    start("200 OK", FIELDS)
    for size in (0, 1, 100, 40000, 300000):
        yield BIG[:size]


def writes(environ, start):
    write = start("200 OK", FIELDS)
    for size in (1, 20000, 300000):
        write(BIG[:size])
    return [b"end"]


def raises(environ, start):
    raise ValueError("on purpose")


def raises_late(environ, start):
    start("200 OK", FIELDS)
    yield BIG
    raise ValueError("on purpose, late")


def exc_info(environ, start):
    start("200 OK", FIELDS)
    try:
        raise KeyError("handled")
    except KeyError:
        start("500 Sorry", [("X-B", "2")], sys.exc_info())
    return [b"sorry"]


def exc_info_late(environ, start):
    start("200 OK", FIELDS)(b"begun")
    try:
        raise KeyError("too late")
    except KeyError:
        start("500 Sorry", [], sys.exc_info())


def exc_info_odd(environ, start):
    start("200 OK", FIELDS)(b"begun")
    start("500 Sorry", [], (None, None, None))


def wrong(environ, start):
    """Arguments that are refused, each in its own way."""
    for args in ((), (1, []), ("x", []), ("200 \u20ac", []), ("200 OK", {}), ("200 OK", [1]),
                 ("200 OK", [("a", "b", "c")]), ("200 OK", [("a b", "c")]),
                 ("200 OK", [("a", "\n")]), ("200 OK", [("\u20ac", "c")]),
                 ("200 OK", [(b"a", "b")]), ("200 OK", [], None, 1),
                 ("200 OK", [("Content-Length", "-1")]), ("200 OK", [("Transfer-Encoding", "x")]),
                 ("200 OK", [("a", "b" * 70000)]), ("\ud800", [])):
        try:
            start(*args)
            raise SystemError("accepted: %r" % (args,))
        except (AssertionError, TypeError, ValueError):
            pass
    for names in ({"status": "200 OK"}, {"nothing": 1}, {"\udc80": 1}):
        try:
            start(**names)
        except TypeError:
            pass
    write = start(status="200 OK", response_headers=FIELDS)
    for args in ((), ("str",), (b"a", b"b"), (None,)):
        try:
            write(*args)
        except TypeError:
            pass
    return [b"refused"]


def never_starts(environ, start):
    return [b"no start_response"]


def not_bytes(environ, start):
    start("200 OK", FIELDS)
    return iter([1])


def file(environ, start):
    start("200 OK", FIELDS)
    return environ["wsgi.file_wrapper"](open(__file__, "rb"), 4096)


def file_missing(environ, start):
    start("200 OK", FIELDS)
    return environ["wsgi.file_wrapper"](io.BytesIO(BIG), 4096)


def file_after_write(environ, start):
    start("200 OK", FIELDS)(b"before")
    return environ["wsgi.file_wrapper"](open(__file__, "rb"))


def reads(environ, start):
    body = environ["wsgi.input"].read()
    start("200 OK", FIELDS)
    return [b"%d" % len(body)]


def reads_pieces(environ, start):
    source, total = environ["wsgi.input"], 0
    while piece := source.read(7000):
        total += len(piece)
    start("200 OK", FIELDS)
    return [b"%d" % total]


def reads_lines(environ, start):
    source = environ["wsgi.input"]
    total = len(source.readline()) + len(source.readline(5)) + sum(map(len, source.readlines(99)))
    total += sum(len(line) for line in source)
    for call in (lambda: source.seek(0), lambda: source.read("x"), lambda: source.read(1, 2)):
        try:
            call()
        except (OSError, TypeError):
            pass
    start("200 OK", FIELDS)
    return [b"%d" % (total + len(source.read(0)) + 0 * source.tell())]


class Closing:
    def __init__(self, fails):
        self.fails, self.left = fails, 2

    def __iter__(self):
        return self

    def __next__(self):
        self.left -= 1
        if self.left < 0:
            raise StopIteration
        return b"piece"

    def close(self):
        if self.fails:
            raise OSError("close fails on purpose")


def closes(environ, start):
    start("200 OK", FIELDS)
    return Closing(False)


def close_raises(environ, start):
    start("200 OK", FIELDS)
    return Closing(True)


def keeps(environ, start):
    """Keeps everything, and uses it after its request: `totals` lets go of it."""
    for old_start, old_write, old_environ in kept[-1:]:
        for call in (lambda: old_start("200 OK", []), lambda: old_write(b"late"),
                     lambda: old_environ["wsgi.input"].read(1)):
            try:
                call()
            except (OSError, RuntimeError, ValueError):
                pass
    del kept[:-8]
    kept.append((start, start("200 OK", FIELDS), environ))
    return [b"kept"]


def in_thread(environ, start):
    """Another thread of the interpreter reads, and answers by write()."""
    def run():
        body = environ["wsgi.input"].read()
        start("200 OK", FIELDS)(b"%d" % len(body))
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return []


def cycle(environ, start):
    """Garbage that only the collector finds, with the server's objects in it."""
    loop = [environ, start, start("200 OK", FIELDS)]
    loop.append(loop)
    environ["loop"] = loop
    return [b"cycle"]


def api(environ, start):
    import uwsgi
    uwsgi.log("a line")
    start("200 OK", FIELDS)
    return [b"%d %d" % (uwsgi.worker_id(), uwsgi.request_id())]


def endless(environ, start):
    start("200 OK", FIELDS)
    while True:
        yield BIG[:50000]


def short(environ, start):
    start("200 OK", [("Content-Length", "100")])
    return [b"short"]


def surplus(environ, start):
    start("200 OK", [("Content-Length", "3")])
    return [BIG]


def nothing(environ, start):
    start("204 No Content", [])
    return []


def dies(environ, start):
    os.kill(os.getpid(), signal.SIGKILL)


def application(environ, start_response):
    return globals()[environ["PATH_INFO"][1:]](environ, start_response)
