#!/usr/bin/env python3
"""Serves examples/nginx with a real nginx in front of uwring, and says what holds.

    tests/nginx/check.py build/uwring

Needs nginx. As root its workers run as www-data, and the refused socket is tried too.
"""

import contextlib
import http.client
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
EXAMPLES = HERE.parent.parent / "examples" / "nginx"
PATIENCE_S = 20


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(what, done, process):
    deadline = time.monotonic() + PATIENCE_S
    while not done():
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"{what} did not start")
        time.sleep(0.02)


@contextlib.contextmanager
def running(what, command, log, is_ready):
    with open(log, "wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, cwd=HERE)
    try:
        until(what, lambda: is_ready(log.read_text(errors="replace")), process)
        yield process
    except SystemExit:
        print(log.read_text(errors="replace"), file=sys.stderr)
        raise
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def uwring(place, name, *options):
    command = [UWRING, "--wsgi-file", "app.py", "--processes", "2", *options]
    ready = "uwring is ready"
    return running("uwring", command, place / f"{name}.log", lambda log: ready in log)


@contextlib.contextmanager
def nginx(place, site, **replaced):
    """nginx with one of the examples; yields its port."""
    port = free_port()
    text = (EXAMPLES / f"{site}.conf").read_text()
    text = text.replace("listen 80;", f"listen 127.0.0.1:{port};")
    text = text.replace("include uwsgi_params;", "include /etc/nginx/uwsgi_params;")
    for old, new in replaced.values():
        assert old in text, f"{site}.conf has no {old}"
        text = text.replace(old, new)
    (place / "site.conf").write_text(text)
    shutil.copy(HERE / "nginx.conf", place / "nginx.conf")
    command = ["nginx", "-p", str(place), "-c", "nginx.conf", "-e", "error.log"]
    (place / "error.log").write_text("")

    def answers(_):
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            return True

    with running("nginx", command, place / "nginx.log", answers) as process:
        yield port, process


def ask(port, path="/", body=None, headers=()):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    connection.request("POST" if body else "GET", path, body, dict(headers))
    answer = connection.getresponse()
    return answer.status, answer.read()


def check_site(port):
    status, body = ask(port, "/a%20b?c=%20d", b"x" * 3_000_000, [("Host", "example.org")])
    assert status == 200, status
    seen = json.loads(body)
    assert seen["body"] == 3_000_000, seen
    assert (seen["PATH_INFO"], seen["QUERY_STRING"]) == ("/a b", "c=%20d"), seen
    assert (seen["HTTP_HOST"], seen["SCRIPT_NAME"]) == ("example.org", ""), seen
    status, body = ask(port, "/stream")
    assert (status, body) == (200, b"".join(b"%04d" % n for n in range(1000)))
    assert json.loads(ask(port)[1])["wsgi.url_scheme"] == "http"


def uwsgi_tcp(place):
    own = free_port()
    with uwring(place, "tcp", "--socket", f"127.0.0.1:{own}"):
        with nginx(place, "uwsgi_tcp", port=("3031", str(own))) as (port, _):
            check_site(port)


def unix_with(place, *options):
    path = place / "my_app.sock"
    site = ("/run/my_app/my_app.sock", str(path))
    with uwring(place, "unix", "--socket", str(path), "--vacuum", *options):
        with nginx(place, "uwsgi_unix", path=site) as (port, process):
            if os.geteuid() == 0:
                assert worker_users(process.pid) == {"www-data"}, worker_users(process.pid)
            status = ask(port)[0]
            if status == 200:
                check_site(port)
            return status, (place / "error.log").read_text()


def worker_users(master):
    found = subprocess.run(
        ["ps", "-o", "user=", "--ppid", str(master)], capture_output=True, text=True, check=True
    )
    return set(found.stdout.split())


def uwsgi_unix(place):
    assert unix_with(place, "--chmod-socket=666")[0] == 200
    if os.geteuid() == 0:
        owned = ("--chmod-socket=660", "--chown-socket=root:www-data")
        assert unix_with(place, *owned)[0] == 200


def uwsgi_unix_refused(place):
    if os.geteuid() != 0:
        return "skipped, not root"
    status, errors = unix_with(place, "--chmod-socket=660")
    assert status == 502, status
    assert "my_app.sock failed (13: Permission denied)" in errors, errors


def proxy(place):
    own = free_port()
    with uwring(place, "proxy", "--http-socket", f"127.0.0.1:{own}"):
        with nginx(place, "proxy", port=("8080", str(own))) as (port, process):
            check_site(port)
            seen = [json.loads(ask(port)[1]) for _ in range(20)]
            assert all(s["HTTP_X_FORWARDED_FOR"] == "127.0.0.1" for s in seen)
            # One connection upstream for each worker of nginx, as often as it is used.
            assert len({s["REMOTE_PORT"] for s in seen}) <= 2, seen


def two_servers(place):
    ports = [free_port(), free_port()]
    site = {"one": ("3031", str(ports[0])), "two": ("3032", str(ports[1]))}
    with uwring(place, "one", "--socket", f"127.0.0.1:{ports[0]}") as one:
        with uwring(place, "two", "--socket", f"127.0.0.1:{ports[1]}"):
            with nginx(place, "two_servers", **site) as (port, _):
                assert all(ask(port)[0] == 200 for _ in range(20))
                served = [(place / f"{n}.log").read_text().count("GET /") for n in ("one", "two")]
                assert min(served) > 0, served
                one.terminate()
                assert all(ask(port)[0] == 200 for _ in range(20))
                one.wait(PATIENCE_S)
                assert all(ask(port)[0] == 200 for _ in range(20))


def main():
    for case in (uwsgi_tcp, uwsgi_unix, uwsgi_unix_refused, proxy, two_servers):
        with tempfile.TemporaryDirectory() as place:
            os.chmod(place, 0o755)
            print(f"{case.__name__}: {case(pathlib.Path(place)) or 'ok'}", flush=True)


if len(sys.argv) != 2:
    raise SystemExit(__doc__)
UWRING = str(pathlib.Path(sys.argv[1]).resolve())
main()
