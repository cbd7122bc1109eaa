"""The two tables: who is measured, and with what. A new peer or a new case is one row."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Peer:
    name: str
    # The command, split at spaces before the names are filled in: {port} {workers} {threads}
    # {app} (path of the app's file) {module} (its name without .py; the server starts in its
    # folder) {venv} {bin} (of the venv) {here} (this folder) {uwring}.
    command: str
    # What pip installs; none for uwring, which is built from this repository.
    install: str = ""
    # A header that building it needs, and the Debian package that has it.
    header: str = ""
    debian: str = ""
    # Whether it keeps a connection for a second request; if it does not, the generator connects
    # anew each time, which is what its users pay.
    keeps: bool = True
    note: str = ""


PEERS = [
    Peer(
        "uwring-interpreter",
        "{uwring} --http-socket 127.0.0.1:{port} --home {venv} --wsgi-file {app}"
        " --processes {workers} --threads {threads} --listen 1024 --disable-logging --need-app"
        " --isolation interpreter --affinity auto",
        note="Workers are sub-interpreters in one process.",
    ),
    Peer(
        "uwring-process",
        "{uwring} --http-socket 127.0.0.1:{port} --home {venv} --wsgi-file {app}"
        " --processes {workers} --threads {threads} --listen 1024 --disable-logging --need-app"
        " --isolation process --affinity auto",
        note="Workers are processes.",
    ),
    Peer(
        "uwsgi-http-socket",
        "{bin}/uwsgi --http-socket 127.0.0.1:{port} --home {venv} --wsgi-file {app}"
        " --master --processes {workers} --threads {threads} --listen 1024 --disable-logging"
        " --need-app --die-on-term",
        install="uwsgi",
        keeps=False,
        note="Closes after each answer, whatever the client asks: it pays accept and close in"
        " each request of the cases with kept connections too.",
    ),
    Peer(
        "uwsgi-http-router",
        "{bin}/uwsgi --http 127.0.0.1:{port} --http-keepalive=30 --home {venv} --wsgi-file {app}"
        " --master --processes {workers} --threads {threads} --listen 1024 --disable-logging"
        " --need-app --die-on-term",
        install="uwsgi",
        note="A router process before the workers: the form that keeps connections.",
    ),
    Peer(
        "gunicorn-gthread",
        "{bin}/gunicorn --bind 127.0.0.1:{port} --worker-class gthread --workers {workers}"
        " --threads {threads} --backlog 1024 --keep-alive 30 --log-level warning"
        " {module}:application",
        install="gunicorn",
    ),
    Peer(
        "granian",
        "{bin}/granian --interface wsgi --http 1 --no-ws --host 127.0.0.1 --port {port}"
        " --workers {workers} --blocking-threads {threads} --backlog 1024 --log-level warning"
        " {module}:application",
        install="granian",
    ),
    Peer(
        "bjoern",
        "{bin}/python {here}/launch_bjoern.py {port} {workers} {module}:application",
        install="bjoern",
        header="ev.h",
        debian="libev-dev",
        note="Has no threads. Its workers are forks that share one listening socket.",
    ),
]

# No server for apps: what the I/O alone costs, as a measure for the rows above. Only the cases of
# the app `hello` make sense for it.
FLOOR = Peer(
    "io-floor",
    "{here}/../../target/io_floor/release/io_floor 127.0.0.1:{port} ring",
    note="Accept, read, parse, answer on one monoio thread: no Python, no app.",
)
PEERS.append(FLOOR)

# The rows that the others are compared with.
BASELINES = ["bjoern", "uwsgi-http-socket"]
OWN = "uwring-"


@dataclass(frozen=True)
class Case:
    name: str
    connections: int
    headers: int = 1
    workers: int = 1
    threads: int = 1
    app: str = "hello"
    path: str = "/"
    # A new connection for each request.
    close: bool = False
    # "same": server and generator pinned to one core. "apart": each to its own.
    # "free": the server may run anywhere, the generator as when apart.
    cores: str = "same"
    # Also part of --quick.
    quick: bool = False


CASES = [
    *(
        Case(
            f"keep-{connections}-h{headers}-w{workers}",
            connections,
            headers=headers,
            workers=workers,
            quick=(connections, headers, workers) in {(1, 1, 1), (64, 1, 1), (64, 13, 1)},
        )
        for workers in (1, 2)
        for headers in (1, 13)
        for connections in (1, 16, 64, 256)
    ),
    Case("keep-64-h1-w1-apart", 64, cores="apart", quick=True),
    # Threads that wait: what the GIL's hand-over costs.
    Case("wait-8-t8", 8, threads=8, app="sleep10", cores="apart"),
    Case("wait-64-t8", 64, threads=8, app="sleep10", cores="apart"),
    Case("close-1-h1-w1", 1, close=True),
    Case("close-16-h1-w1", 16, close=True),
    Case("close-64-h1-w1", 64, close=True, quick=True),
]
