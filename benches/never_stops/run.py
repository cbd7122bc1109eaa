#!/usr/bin/env python3
"""Reloads, kills, recycles and interrupts a server under steady load, and counts what clients saw.

    python3 benches/never_stops/run.py --uwring build/uwring [--python 3.13] [--scale 1.0] [--out DIR]

Clients ask all the time over TCP and a unix socket, on kept connections and on new ones, and through
nginx with uwsgi_pass over TCP and a unix socket. Each row of the table is one scenario under one
isolation: how often it happened, by the log; requests that were answered with 200, other answers,
requests without an answer, kept connections that the server closed between two requests, and memory
and descriptors of all processes near the beginning and at the end. Each request has a number, which the
app notes when it begins: of the requests that were not answered with 200, "ran" are those that the app
had, "waited" those that were accepted or queued and never reached it. --scale 0.1 does a tenth of
everything.
"""

import argparse
import collections
import csv
import os
import pathlib
import random
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
NGINX = """
daemon off; worker_processes 1; pid {dir}/nginx.pid; error_log {dir}/nginx.log;
events {{ worker_connections 512; }}
http {{
    access_log off; client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi; uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;
    keepalive_requests 1000000;
    {servers}
}}
"""
NGINX_SERVER = """    server {{
        listen unix:{dir}/nginx-{name}.sock;
        location / {{
            uwsgi_pass {to}; uwsgi_next_upstream off;
            uwsgi_param REQUEST_METHOD $request_method; uwsgi_param PATH_INFO $document_uri;
            uwsgi_param QUERY_STRING $query_string; uwsgi_param CONTENT_LENGTH $content_length;
            uwsgi_param SERVER_PROTOCOL $server_protocol; uwsgi_param REQUEST_URI $request_uri;
        }}
    }}
"""


class Client:
    """One client: what it asks for, and whether it keeps its connection."""

    def __init__(self, load, name, address, keep, pause):
        self.load, self.name, self.address, self.keep, self.pause = load, name, address, keep, pause
        connection = b"keep-alive" if keep else b"close"
        self.request = b"GET /?%d HTTP/1.1\r\nHost: x\r\nConnection: " + connection + b"\r\n\r\n"
        self.socket, self.wakes, self.number = None, 0.0, None
        self.open()

    def open(self):
        if isinstance(self.address, str):
            self.socket = socket.socket(socket.AF_UNIX)
        else:
            self.socket = socket.socket()
        # It waits for its turn in the queue of the listener, if the server is busy with its death.
        self.socket.settimeout(10)
        try:
            self.socket.connect(self.address)
        except OSError as error:
            self.number = None
            self.load.failed(self, "connect: %s" % error)
            self.wakes = time.monotonic() + 0.05
            self.socket = None
            return
        self.socket.setblocking(False)
        self.load.selector.register(self.socket, selectors.EVENT_READ, self)
        self.send()

    def send(self):
        self.buffer, self.wakes, self.since = b"", None, time.monotonic()
        self.number = self.load.next_number()
        try:
            self.socket.send(self.request % self.number)
        except OSError as error:
            self.broken("send: %s" % error)

    def shut(self):
        if self.socket:
            self.load.selector.unregister(self.socket)
            self.socket.close()
            self.socket = None

    def broken(self, why):
        if self.wakes is not None:
            self.load.closes[self.name] += 1  # Between two requests.
        else:
            self.load.failed(self, why)
        self.shut()
        self.open()

    def readable(self):
        try:
            data = self.socket.recv(65536)
        except OSError as error:
            return self.broken("receive: %s" % error)
        if not data:
            return self.broken("closed with %r" % self.buffer[:60])
        self.buffer += data
        head, blank, body = self.buffer.partition(b"\r\n\r\n")
        if not blank:
            return None
        fields = head.lower().split(b"\r\n")
        length = next(int(f.split(b":")[1]) for f in fields if f.startswith(b"content-length"))
        if len(body) < length:
            return None
        status = int(head.split()[1])
        self.load.answers[status] += 1
        if status != 200:
            self.load.lost.append(self.number)
        if status == 200 and body != b"whole":
            self.load.failed(self, "wrong body %r" % body[:60])
        if b"connection: close" in fields:
            if self.keep:
                self.load.closes[self.name] += 1
            self.shut()
            return self.open()
        self.wakes = time.monotonic() + self.pause
        if not self.pause:
            self.send()
        return None


class Load:
    def __init__(self, addresses):
        self.selector = selectors.DefaultSelector()
        self.answers, self.closes = collections.Counter(), collections.Counter()
        self.failures = collections.Counter()
        self.lost, self.numbers = [], 0
        self.longest = 0.0
        self.clients = []
        for name, address in addresses.items():
            for keep, pause in [(True, 0), (True, 0), (True, 0.2), (True, 0.5), (False, 0)]:
                self.clients.append(Client(self, name, address, keep, pause))

    def next_number(self):
        self.numbers += 1
        return self.numbers

    def failed(self, client, why):
        self.lost.append(client.number)
        self.failures["%s %s: %s" % (client.name, "kept" if client.keep else "new", why)] += 1

    def run(self, until):
        """Asks until `until()` says that it is enough."""
        while not until():
            for key, _ in self.selector.select(0.02):
                key.data.readable()
            now = time.monotonic()
            for client in self.clients:
                if client.wakes is not None and client.wakes <= now:
                    client.send() if client.socket else client.open()
                elif client.wakes is None:
                    self.longest = max(self.longest, now - client.since)

    def run_for(self, seconds):
        end = time.monotonic() + seconds
        self.run(lambda: time.monotonic() >= end)

    def close(self):
        for client in self.clients:
            client.shut()


def tree(pid):
    """The pids of a process and of all below it."""
    found = [pid]
    for path in pathlib.Path("/proc/%d/task" % pid).glob("*/children"):
        try:
            for child in path.read_text().split():
                found += tree(int(child))
        except OSError:
            pass
    return found


def usage(pid):
    """PSS in MiB and open descriptors of the whole tree."""
    pss = fds = 0
    for each in tree(pid):
        try:
            rollup = pathlib.Path("/proc/%d/smaps_rollup" % each).read_text()
            pss += int(rollup.split("Pss:")[1].split()[0])
            fds += len(os.listdir("/proc/%d/fd" % each))
        except OSError:
            pass
    return round(pss / 1024, 1), fds


class Server:
    def __init__(self, options, isolation, directory, more):
        self.log = directory / "log"
        with socket.socket() as free, socket.socket() as other:
            for each in (free, other):
                each.bind(("127.0.0.1", 0))
            self.port, uwsgi_port = free.getsockname()[1], other.getsockname()[1]
        unix = directory / "http.sock"
        self.addresses = {
            "tcp": ("127.0.0.1", self.port), "unix": str(unix),
            "nginx, tcp": str(directory / "nginx-tcp.sock"),
            "nginx, unix": str(directory / "nginx-unix.sock"),
        }
        self.ran = directory / "ran"
        self.ran.touch(0o666)
        command = [options.uwring, "--http-socket", "127.0.0.1:%d" % self.port, "--http-socket",
                   str(unix), "--socket", str(directory / "uwsgi.sock"), "--chmod-socket=666",
                   "--socket", "127.0.0.1:%d" % uwsgi_port, "--env", "RAN=%s" % self.ran,
                   "--wsgi-file", str(HERE / "app.py"), "--master", "--processes", "2",
                   "--isolation", isolation, "--disable-logging", "--reload-mercy", "20", *more]
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        self.await_starts(1)
        os.chmod(directory, 0o755)
        fronts = {"tcp": "127.0.0.1:%d" % uwsgi_port, "unix": "unix:%s/uwsgi.sock" % directory}
        servers = "".join(NGINX_SERVER.format(dir=directory, name=name, to=to)
                          for name, to in fronts.items())
        (directory / "nginx.conf").write_text(NGINX.format(dir=directory, servers=servers))
        self.nginx = subprocess.Popen(
            [shutil.which("nginx") or "/usr/sbin/nginx", "-c", str(directory / "nginx.conf")],
            stderr=subprocess.DEVNULL)
        for name in fronts:
            while not (directory / ("nginx-%s.sock" % name)).exists():
                time.sleep(0.05)
            os.chmod(directory / ("nginx-%s.sock" % name), 0o666)

    def text(self):
        return self.log.read_text(errors="replace")

    def starts(self):
        return self.text().count("uwring is ready:")

    def await_starts(self, count, limit=60):
        deadline = time.monotonic() + limit
        while self.starts() < count:
            if time.monotonic() > deadline or self.process.poll() is not None:
                sys.exit("the server did not start:\n" + self.text()[-4000:])
            time.sleep(0.02)

    def served_by(self):
        """The server processes, the newest last."""
        return [int(pid) for pid in pathlib.Path(
            "/proc/{0}/task/{0}/children".format(self.process.pid)).read_text().split()]

    def ask(self, path):
        """Asks for `path` and does not wait for the answer."""
        client = socket.create_connection(self.addresses["tcp"])
        client.send(b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % path.encode())
        return client

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(40)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = "killed"
        self.nginx.terminate()
        self.nginx.wait()
        return code


def settled(server, load):
    """Runs the load until only one server process is left."""
    deadline = time.monotonic() + 30
    load.run(lambda: len(server.served_by()) == 1 or time.monotonic() > deadline)


def reloads(server, load, count):
    early = None
    for number in range(count):
        starts = server.starts()
        server.process.send_signal(signal.SIGHUP)
        load.run(lambda: server.starts() > starts)
        load.run_for(random.uniform(0.05, 0.3))
        if number == min(4, count - 1):
            settled(server, load)
            early = usage(server.process.pid)
    settled(server, load)
    return count, early


def server_crashes(server, load, count):
    early = None
    for number in range(count):
        load.run_for(2.2)  # A process that lived shorter died of starting.
        starts = server.starts()
        pid = server.served_by()[-1]
        os.kill(pid, signal.SIGSEGV)
        load.run(lambda: pid not in server.served_by())
        load.run(lambda: server.starts() > starts)
        if number == min(4, count - 1):
            early = usage(server.process.pid)
    return server.text().count("died, killed by SIGSEGV"), early


def worker_crashes(server, load, count):
    early = None
    lost = []
    for number in range(count):
        load.run_for(2.2)
        if number == min(4, count - 1):
            early = usage(server.process.pid)
        lost.append(server.ask("/crash"))
        load.run_for(0.3)
    load.run_for(2.5)
    # Of a worker that is an interpreter the server process dies.
    text = server.text()
    return text.count("killed by signal 11") + text.count("killed by SIGSEGV"), early


def recycling(server, load, count):
    early = []
    begin = sum(load.answers.values())

    def done():
        served = sum(load.answers.values()) - begin
        if served > count / 10 and not early:
            early.append(usage(server.process.pid))
        return served >= count

    load.run(done)
    text = server.text()
    happened = max(text.count("The work of"), text.count("Respawned"), server.starts() - 1)
    return happened, early[0] if early else None


def harakiri(server, load, count):
    early = None
    for number in range(count):
        client = server.ask("/hang")
        load.run_for(2.6)
        client.close()
        if number == min(4, count - 1):
            early = usage(server.process.pid)
    return server.text().count("*** HARAKIRI ON WORKER"), early


SCENARIOS = {
    "reloads": (reloads, 100, []),
    "SEGV of the server process": (server_crashes, 20, []),
    "SEGV of a worker": (worker_crashes, 20, []),
    "recycled after 200 requests": (recycling, 100_000, ["--max-requests", "200", "--min-worker-lifetime", "0"]),
    "harakiri": (harakiri, 50, ["--harakiri", "1"]),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--uwring", default="build/uwring")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--only", help="scenarios with this word")
    parser.add_argument("--isolations", default="interpreter,process")
    parser.add_argument("--out")
    options = parser.parse_args()
    options.uwring = os.path.abspath(options.uwring)
    rows, notes = [], []
    for isolation in options.isolations.split(","):
        for name, (act, count, more) in SCENARIOS.items():
            if options.only and options.only not in name:
                continue
            with tempfile.TemporaryDirectory(prefix="never-stops-") as directory:
                server = Server(options, isolation, pathlib.Path(directory), more)
                load = Load(server.addresses)
                load.run_for(1.0)
                begin = time.monotonic()
                happened, early = act(server, load, max(1, round(count * options.scale)))
                seconds = time.monotonic() - begin
                load.run_for(0.5)
                late = usage(server.process.pid)
                load.close()
                log = server.text()
                code = server.stop()
                ran = set(map(int, server.ran.read_text().split()))
                if len(ran) < load.answers[200]:
                    sys.exit("the app's notes are not whole: %d" % len(ran))
                in_it = sum(number in ran for number in load.lost)
                row = {
                    "isolation": isolation, "scenario": name, "times": happened,
                    "seconds": round(seconds), "answered": load.answers.pop(200, 0),
                    "other answers": dict(load.answers) or "", "no answer": sum(load.failures.values()),
                    "ran": in_it, "waited": len(load.lost) - in_it,
                    "closed": sum(load.closes.values()), "longest wait s": round(load.longest, 2),
                    "MiB": "%s -> %s" % (early[0] if early else "-", late[0]),
                    "descriptors": "%s -> %s" % (early[1] if early else "-", late[1]), "exit": code,
                }
                rows.append(row)
                notes += ["%s, %s: %d x %s" % (isolation, name, n, why)
                          for why, n in load.failures.most_common()]
                print(row, dict(load.failures) or "", dict(load.closes) or "", flush=True)
                if "BUG" in log:
                    notes.append("the log has a BUG: " + log[log.index("BUG"):][:200])
    if options.out:
        out = pathlib.Path(options.out)
        out.mkdir(parents=True, exist_ok=True)
        with open(out / "raw.csv", "w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        (out / "failures.txt").write_text("\n".join(notes) + "\n")


if __name__ == "__main__":
    main()
