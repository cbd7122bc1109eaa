"""Kills worker processes under load and counts what the clients saw.

    python3 benches/kills/kills.py --uwring PATH [--seconds 6] [--out raw.csv]

PATH is a build with the feature `faults` (src/handoff/fault.rs). One row for each dangerous point (the
worker kills itself at every 97th pass), one for kill -9 from outside at random moments, one for
SIGSTOP. Every client keeps its connection; `hung` counts clients without an answer for 5 seconds.
"""

import argparse
import csv
import os
import random
import selectors
import signal
import socket
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
POINTS = ["claimed", "running", "answered", "done, no news set", "news set, not told",
           "flag cleared, not rung", "woken", "own send, fetched", "own send, taken",
           "own send, sent"]
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class Client:
    def __init__(self, port, selector):
        self.port, self.selector = port, selector
        self.open()

    def open(self):
        self.socket = socket.create_connection(("127.0.0.1", self.port), timeout=5)
        self.socket.setblocking(False)
        self.selector.register(self.socket, selectors.EVENT_READ, self)
        self.send()

    def send(self):
        self.buffer = b""
        self.since = time.monotonic()
        self.socket.send(REQUEST)

    def close(self):
        self.selector.unregister(self.socket)
        self.socket.close()


def whole(buffer):
    """The status of a whole response, None if it is not whole, -1 if it is wrong."""
    head, blank, body = buffer.partition(b"\r\n\r\n")
    if not blank:
        return None
    status = int(head.split()[1])
    length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n")
                  if line.lower().startswith(b"content-length"))
    if len(body) < length:
        return None
    if len(body) > length or (status == 200 and body != b"whole"):
        return -1
    return status


def workers(log):
    """The pids of the living workers, from the log."""
    pids = set()
    for line in open(log):
        if "spawned uWSGI worker" in line or "Respawned" in line:
            pids.add(int(line.split("pid: ")[1].split(",")[0].rstrip(")")))
    return pids


def children(pid):
    found = []
    for task in os.listdir("/proc"):
        if task.isdigit():
            try:
                with open("/proc/%s/stat" % task) as file:
                    fields = file.read().rsplit(")", 1)[1].split()
            except OSError:
                continue
            if int(fields[1]) == pid:
                found.append(int(task))
    return found


def run(uwring, name, env, act, seconds, port):
    log = "/tmp/uwring-kills.log"
    command = [uwring, "--http-socket", "127.0.0.1:%d" % port, "--wsgi-file", "app.py", "--processes",
               "2", "--isolation", "process", "--disable-logging", "--shards", "1"]
    server = subprocess.Popen(command, cwd=HERE, env=dict(os.environ, **env),
                              stdout=open(log, "w"), stderr=subprocess.STDOUT)
    deadline = time.monotonic() + 20
    while "is ready" not in open(log).read():
        if time.monotonic() > deadline:
            sys.exit("the server did not start:\n" + open(log).read())
        time.sleep(0.05)
    spawner = children(server.pid)[0]
    selector = selectors.DefaultSelector()
    clients = [Client(port, selector) for _ in range(64)]
    counts = {"case": name, "answered": 0, "502": 0, "wrong": 0, "closed": 0, "hung": 0, "deaths": 0}
    end = time.monotonic() + seconds
    next_act = time.monotonic() + 0.5
    stopped = None
    while time.monotonic() < end:
        for key, _ in selector.select(0.05):
            client = key.data
            try:
                data = client.socket.recv(65536)
            except OSError:
                data = b""
            if not data:
                counts["closed"] += 1
                client.close()
                client.open()
                continue
            client.buffer += data
            status = whole(client.buffer)
            if status is None:
                continue
            key = {200: "answered", 502: "502"}.get(status, "wrong")
            counts[key] += 1
            if b"Connection: close" in client.buffer:
                client.close()
                client.open()
            else:
                client.send()
        if act and time.monotonic() >= next_act:
            alive = children(spawner)
            if act == "kill" and alive:
                os.kill(random.choice(alive), signal.SIGKILL)
                next_act = time.monotonic() + random.uniform(0.02, 0.06)
            elif act == "stop" and alive and stopped is None:
                stopped = alive[0]
                os.kill(stopped, signal.SIGSTOP)
    now = time.monotonic()
    waiting = sum(now - client.since > min(2.5, seconds / 2) for client in clients)
    counts["waiting at the end"] = waiting
    if stopped:
        os.kill(stopped, signal.SIGCONT)
    # Everyone must get an answer now.
    end = time.monotonic() + 5
    open_clients = {client for client in clients}
    while open_clients and time.monotonic() < end:
        for key, _ in selector.select(0.1):
            client = key.data
            data = b""
            try:
                data = client.socket.recv(65536)
            except OSError:
                pass
            client.buffer += data
            if not data or whole(client.buffer) is not None:
                open_clients.discard(client)
    counts["hung"] = len(open_clients)
    counts["deaths"] = open(log).read().count("DAMN !")
    server.send_signal(signal.SIGTERM)
    try:
        counts["exit"] = server.wait(15)
    except subprocess.TimeoutExpired:
        server.kill()
        counts["exit"] = "killed"
    for client in clients:
        client.close()
    return counts


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--uwring", required=True)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--every", type=int, default=97)
    parser.add_argument("--out")
    options = parser.parse_args()
    uwring = os.path.abspath(options.uwring)
    rows = []
    for index, point in enumerate(POINTS):
        env = {"UWRING_FAULT": "%s:%d" % (point, options.every)}
        rows.append(run(uwring, point, env, None, options.seconds, 9600 + index))
        print(rows[-1], flush=True)
    rows.append(run(uwring, "kill -9 at random moments", {}, "kill", options.seconds, 9620))
    print(rows[-1], flush=True)
    # It may be stopped between two requests: then nobody waits.
    for number in range(3):
        rows.append(run(uwring, "SIGSTOP of one worker", {}, "stop", options.seconds, 9621 + number))
        print(rows[-1], flush=True)
    if options.out:
        with open(options.out, "w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    bad = [row["case"] for row in rows if row["hung"] or row["wrong"]]
    sys.exit("hung or wrong: %s" % bad if bad else 0)


main()
