"""Loads one server for a long time and says whether it lived.

    python3 benches/soak/soak.py --seconds 3600 -- build/uwring -H VENV --isolation interpreter --processes 2

The app is Flask and Django in one (app.py here). Written: one JSON line with the requests that were
answered, the wrong answers, the connections that broke, the server's memory at the start and the end,
and how it ended.
"""

import argparse
import http.client
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
PATHS = [("GET", "/", None), ("GET", "/json", None), ("POST", "/json", b"x" * 3000),
         ("GET", "/dj/", None), ("GET", "/dj/x", None)]


def load(port, until, pause, counts):
    connection = None
    while time.time() < until:
        method, path, body = random.choice(PATHS)
        try:
            if connection is None:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            connection.request(method, path, body)
            answer = connection.getresponse()
            data = answer.read()
            counts["wrong" if answer.status != 200 or not data else "answered"] += 1
            if random.random() < 0.01:
                connection.close()
                connection = None
        except OSError:
            counts["broken"] += 1
            connection = None
            time.sleep(0.1)
        time.sleep(pause)


def rss_mib(pid):
    with open("/proc/%d/smaps_rollup" % pid) as file:
        lines = file.read().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--port", type=int, default=9393)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--pause", type=float, default=0.005)
    parser.add_argument("--log", default="/dev/null")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    command = options.command + [
        "--http-socket", "127.0.0.1:%d" % options.port, "--wsgi-file", "app.py",
        "--disable-logging"]
    command[0] = os.path.abspath(command[0])
    with open(options.log, "wb") as log:
        server = subprocess.Popen(command, cwd=HERE, stdout=log, stderr=log)
    deadline = time.time() + 60
    while True:
        try:
            http.client.HTTPConnection("127.0.0.1", options.port, timeout=5).connect()
            break
        except OSError:
            if time.time() > deadline or server.poll() is not None:
                sys.exit("the server did not start: see --log")
            time.sleep(0.2)
    until = time.time() + options.seconds
    counts = {"answered": 0, "wrong": 0, "broken": 0}
    threads = [threading.Thread(target=load, args=(options.port, until, options.pause, counts))
               for _ in range(options.clients)]
    for thread in threads:
        thread.start()
    time.sleep(min(30, options.seconds / 4))
    memory = [round(rss_mib(server.pid), 1)]
    started = time.time()
    while time.time() < until and server.poll() is None:
        time.sleep(1)
    died = server.poll()
    if died is None:
        memory.append(round(rss_mib(server.pid), 1))
        server.send_signal(signal.SIGTERM)
        server.wait(30)
    for thread in threads:
        thread.join(30)
    counts.update(seconds=round(time.time() - started), pss_mib=memory,
                  exit=server.returncode, died_under_load=died)
    print(json.dumps(counts))


main()
