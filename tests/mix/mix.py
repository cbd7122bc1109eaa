"""Sends one server every kind of request and says what grew.

    python3 tests/mix/mix.py --uwring PATH [--rounds N] [--seconds S] -- [options of uwring]

First come `--rounds` requests of each kind: written is how many references (of a Python that counts
them, `--with-pydebug`) and memory blocks each left behind. Then, for `--seconds`, eight clients
take kinds at random. `--deaths N` kills N workers on the way (isolation process). `--under` is a
command that runs the server, such as valgrind. The end is a graceful stop. The exit code is 1 if an
answer was wrong, something grew with each request, or the server did not end with 0.
"""
import argparse
import http.client
import json
import os
import random
import re
import shlex
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
BIG = b"0123456789abcdef\n" * 40000
# Kind: status, and the body that is sent.
GETS = {
    "small": 200, "pieces": 200, "text": 200, "large": 200, "several_large": 200, "generator": 200,
    "writes": 200, "raises": 500, "raises_late": "cut", "exc_info": 500, "exc_info_late": "cut",
    "exc_info_odd": "cut", "wrong": 200, "never_starts": 500, "not_bytes": 500, "file": 200,
    "file_missing": 200, "file_after_write": 200, "closes": 200, "close_raises": 200, "keeps": 200,
    "in_thread": 200, "cycle": 200, "api": 200, "short": "cut", "surplus": 200, "nothing": 204,
}
BODIES = {
    "small": b"small", "pieces": b"abcdefghi", "keeps": b"kept", "cycle": b"cycle",
    "closes": b"piecepiece", "surplus": b"012", "wrong": b"refused", "nothing": b"",
}
POSTS = ["reads", "reads_pieces", "reads_lines", "in_thread", "small"]


class Wrong(Exception):
    pass


class Client:
    """A client of both sockets; its HTTP connection is kept."""

    def __init__(self, http_port, uwsgi_port):
        self.ports = (http_port, uwsgi_port)
        self.connection = None

    def ask(self, method, path, body=None, headers={}, **more):
        for _ in range(3):
            if self.connection is None:
                port = self.ports[0]
                self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
            try:
                self.connection.request(method, path, body, headers, **more)
                answer = self.connection.getresponse()
                break
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                self.close()
        else:
            raise Wrong("%s %s: closed three times" % (method, path))
        try:
            return answer.status, answer.read()
        except (http.client.IncompleteRead, ConnectionResetError):
            self.close()
            return "cut", b""
        finally:
            if answer.will_close:
                self.close()

    def close(self):
        if self.connection is not None:
            self.connection.close()
        self.connection = None

    def raw(self, port, data, linger=None):
        """Sends bytes and reads the answer, or leaves at once with a reset."""
        with socket.create_connection(("127.0.0.1", port), timeout=120) as peer:
            try:
                peer.sendall(data)
                if linger is not None:
                    peer.recv(linger)
                    reset = struct.pack("ii", 1, 0)
                    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
                    return b""
                peer.shutdown(socket.SHUT_WR)
                answer = b""
                while part := peer.recv(65536):
                    answer += part
                return answer
            except (BrokenPipeError, ConnectionResetError):
                return b""


def packet(**fields):
    data = b""
    for name, value in fields.items():
        name, value = name.encode(), value.encode()
        data += struct.pack("<H", len(name)) + name + struct.pack("<H", len(value)) + value
    return struct.pack("<BHB", 0, len(data), 0) + data


def expect(wanted, found, what):
    if found != wanted:
        raise Wrong("%s: expected %r, found %r" % (what, wanted, found))


def get(kind):
    def run(client):
        query = "%d" % (random.random() * 1e9)
        status, body = client.ask("GET", "/%s?%s" % (kind, query))
        expect((GETS[kind], BODIES.get(kind, body)), (status, body), kind)
        expect(True, kind != "large" or body.endswith(b"def" + query.encode()), kind)
    return run


def post(kind, size):
    def run(client):
        body = BIG[:size]
        status, answer = client.ask("POST", "/" + kind, body)
        expect((200, b"small" if kind == "small" else b"%d" % size), (status, answer), kind)
    return run


def chunked(client):
    size = random.choice((0, 10, 5000, 600000))
    parts = [BIG[at:min(size, at + 9000)] for at in range(0, size, 9000)]
    headers = {"Transfer-Encoding": "chunked"}
    kind = random.choice(POSTS[:4])
    answer = client.ask("POST", "/" + kind, iter(parts), headers, encode_chunked=True)
    expect((200, b"%d" % size), answer, "chunked " + kind)


def head(client):
    kind = random.choice(("small", "large", "generator", "endless", "file", "nothing"))
    expect(204 if kind == "nothing" else 200, client.ask("HEAD", "/" + kind)[0], "HEAD " + kind)


def fields(client):
    """Names that no request had before, more than the tables keep, and repeated ones."""
    headers = {"X-%x" % random.getrandbits(40): "v" * random.randrange(50) for _ in range(60)}
    expect(200, client.ask("GET", "/small?%d" % random.random(), None, headers)[0], "fields")
    lines = "".join("A: %d\r\nCookie: c\r\n" % number for number in range(9))
    data = ("GET /small HTTP/1.0\r\n" + lines + "\r\n").encode()
    expect(True, client.raw(client.ports[0], data).endswith(b"small"), "repeated fields")


def uwsgi(client):
    kind = random.choice(("small", "large", "pieces", "file"))
    data = packet(REQUEST_METHOD="GET", PATH_INFO="/" + kind, QUERY_STRING="a=b", SCRIPT_NAME="",
                  HTTP_X=str(random.random()), SERVER_PROTOCOL="HTTP/1.1", UWSGI_SCHEME="https")
    expect(True, b" 200" in client.raw(client.ports[1], data)[:15], "uwsgi " + kind)


def refused(client):
    wrong = (b"\0\xff\xff\0", b"GET\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nA\r\n\r\n")
    client.raw(random.choice(client.ports), random.choice(wrong))


def leaves(client):
    data = random.choice((
        b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /reads HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
        b"Content-Length: 999999\r\n\r\nab",
        b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n" * 3, b"GET /gen"))
    if data != b"GET /gen":
        client.raw(client.ports[0], data, linger=random.choice((1, 70000)))
    else:
        client.raw(client.ports[0], data)


def kinds():
    found = {kind: get(kind) for kind in GETS}
    for kind in POSTS:
        found.update({"%s of %d" % (kind, size): post(kind, size) for size in (9, 30000, 650000)})
    return found | {"chunked": chunked, "HEAD": head, "fields": fields, "uwsgi": uwsgi,
                    "refused": refused, "leaves": leaves}


def measure(client, rounds):
    """What each kind leaves behind, for each of its requests: the smaller of two measurements,
    since the first requests fill caches. More than a half is a leak."""
    def totals():
        time.sleep(0.05)
        for _ in range(2):
            state = json.loads(client.ask("GET", "/totals")[1])
        return state

    def growth(kind):
        before = totals()
        for _ in range(rounds):
            kind(client)
        after = totals()
        return [(after[what] - before[what]) / rounds for what in ("refs", "blocks")]

    grown = {}
    for name, kind in kinds().items():
        growth(kind)
        smaller = [min(figures) for figures in zip(growth(kind), growth(kind))]
        print("%-20s %8.3f references %8.3f blocks" % (name, *smaller), flush=True)
        if max(smaller) > 0.5:
            grown[name] = smaller
    return grown


def load(ports, until, deaths, counts):
    client, table = Client(*ports), kinds()
    while time.monotonic() < until:
        name = random.choice(list(table))
        try:
            table[name](client)
            counts["answered"] += 1
        except (Wrong, OSError, http.client.HTTPException) as error:
            client.close()
            counts["lost" if deaths else "wrong"] += 1
            if not deaths:
                print("%s: %s: %s" % (name, type(error).__name__, error), flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--uwring", required=True)
    parser.add_argument("--under", default="")
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=0)
    parser.add_argument("--deaths", type=int, default=0)
    parser.add_argument("--log", default=tempfile.mktemp(".log"))
    parser.add_argument("options", nargs="*")
    args = parser.parse_args()
    command = shlex.split(args.under) + [os.path.abspath(args.uwring), *args.options]
    command += ["--http-socket", "127.0.0.1:0", "--socket", "127.0.0.1:0", "--wsgi-file", "app.py"]
    log = open(args.log, "wb+")
    server = subprocess.Popen(command, cwd=HERE, stdout=log, stderr=log)
    ready, deadline = None, time.monotonic() + 300
    while ready is None and time.monotonic() < deadline and server.poll() is None:
        time.sleep(0.2)
        with open(args.log, "rb") as text:
            ready = re.search(rb"uwring is ready:.*, on \S+:(\d+) \S+:(\d+)", text.read())
    if ready is None:
        server.kill()
        sys.exit("the server did not start: see --log")
    ports = [int(port) for port in ready.groups()]
    grown = measure(Client(*ports), args.rounds) if args.rounds else {}
    counts = {"answered": 0, "wrong": 0, "lost": 0}
    until = time.monotonic() + args.seconds
    threads = [threading.Thread(target=load, args=(ports, until, args.deaths, counts))
               for _ in range(8 if args.seconds else 0)]
    for thread in threads:
        thread.start()
    for number in range(args.deaths):
        time.sleep(args.seconds / (args.deaths + 1))
        Client(*ports).raw(ports[0], b"GET /dies HTTP/1.1\r\nHost: a\r\n\r\n")
    for thread in threads:
        thread.join()
    server.send_signal(signal.SIGTERM)
    try:
        code = server.wait(120)
    except subprocess.TimeoutExpired:
        server.kill()
        code = "killed"
    print(json.dumps(dict(counts, grown=grown, exit=code)))
    sys.exit(1 if grown or counts["wrong"] or code != 0 else 0)


main()
