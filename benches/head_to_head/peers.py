"""Who is measured: one row for each server, in each form in which it is run."""

from dataclasses import dataclass, field

# Cases come in groups (cases.py). A row that says nothing is measured in all of these.
DIRECT = (
    "tiny", "new", "bodies", "files", "frameworks", "waiting", "computing", "rate", "log", "idle",
    "memory",
)  # fmt: skip
DRIVERS = ("tiny", "new", "bodies", "idle")


@dataclass(frozen=True)
class Peer:
    name: str
    # The command, split at spaces before the names are filled in: {port} {socket} (a path for a
    # unix socket) {workers} {threads} {app} (path of the app's file) {module} (its name without
    # .py; the server starts in its folder) {venv} {bin} (of the venv) {here} (this folder)
    # {uwring} {before} (--before) {files} (the folder of the static files). {log} and {static} stand for the fields
    # below.
    command: str
    # What pip installs, the server first; none for uwring, which is built from this repository.
    install: tuple[str, ...] = ()
    # A header that building it needs, and the Debian package that has it.
    header: str = ""
    debian: str = ""
    # The words of {log}: when requests are logged (standard output goes to a file), and when not.
    logged: str = ""
    quiet: str = ""
    # The words of {static}, which serve {files} below /static in the static cases.
    static: str = ""
    # nginx before it: the directive that passes a request on, with {port} and {socket}. {port} is
    # then not the port that clients use.
    nginx: str = ""
    # Whether it keeps a connection for a second request; if it does not, the generator connects
    # anew each time, which is what its users pay.
    keeps: bool = True
    # What it cannot do, with the reason: "keep" (a connection for each client without a worker for
    # each), "threads", "processes", "log", "static".
    lacks: dict[str, str] = field(default_factory=dict)
    groups: tuple[str, ...] = DIRECT
    note: str = ""


UWRING = (
    "{uwring} --http-socket 127.0.0.1:{port} --home {venv} --wsgi-file {app}"
    " --processes {workers} --threads {threads} --listen 1024 {log} {static} --need-app"
    " --http-keepalive=120 --affinity auto"
)
UWRING_SOCKET = UWRING.replace("--http-socket 127.0.0.1:{port}", "--socket {socket}")
UWSGI = (
    "{bin}/uwsgi --http-socket 127.0.0.1:{port} --home {venv} --wsgi-file {app}"
    " --master --processes {workers} --threads {threads} --listen 1024 {log} {static} --need-app"
    " --die-on-term"
)
UWSGI_SOCKET = UWSGI.replace("--http-socket 127.0.0.1:{port}", "--socket {socket}")
TCP = ("--socket {socket}", "--socket 127.0.0.1:{port}")
BEHIND = "nginx before it, with as many processes; its CPU and memory are counted too."
LAUNCHED = "{bin}/python {here}/launch.py SERVER {port} {workers} {threads} {module}:application"

NO_STATIC = {"static": "it serves no files by itself"}
NO_THREADS = {"threads": "it has no threads", "log": "it logs no requests"} | NO_STATIC
ONE_PROCESS = {"processes": "it is one process", "log": "it logs no requests"} | NO_STATIC


def uwring(name: str, command: str, note: str, **other) -> Peer:
    return Peer(
        name, command, quiet="--disable-logging", static="--static-map /static={files}",
        note=note, **other,
    )  # fmt: skip


def uwsgi(name: str, command: str, note: str, **other) -> Peer:
    return Peer(
        name, command, install=("uwsgi",), quiet="--disable-logging",
        static="--static-map /static={files}", note=note, **other,
    )  # fmt: skip


PEERS = [
    uwring(
        "uwring-interpreter", f"{UWRING} --isolation interpreter --io uring",
        "Workers are sub-interpreters in one process.",
    ),
    uwring(
        "uwring-before",
        f"{UWRING} --isolation interpreter --io uring".replace("{uwring}", "{before}"),
        "Another build, the one before a change: only with --before.",
    ),
    uwring(
        "uwring-process", f"{UWRING} --isolation process --io uring",
        "Workers are processes, forked after the app was loaded.",
    ),
    uwring(
        "uwring-coalescing", f"{UWRING} --isolation interpreter --io uring --coalesce-answers",
        "Not the default: while all workers compute, answers wait up to 1 ms for each other.",
        groups=("frameworks",),
    ),
    uwring(
        "uwring-usual-scheduling",
        f"{UWRING} --isolation interpreter --io uring --scheduling none",
        "Not the default: shards run in front of who wakes them.",
        groups=("tiny", "new", "frameworks", "computing"),
    ),
    uwring(
        "uwring-interpreter-epoll", f"{UWRING} --isolation interpreter --io epoll",
        "The other I/O driver.", groups=DRIVERS,
    ),
    uwring(
        "uwring-process-epoll", f"{UWRING} --isolation process --io epoll",
        "The other I/O driver.", groups=DRIVERS,
    ),
    uwring(
        "uwring-process-lazy", f"{UWRING} --isolation process --io uring --lazy-apps",
        "Each worker process loads the app for itself.", groups=("memory",),
    ),
    uwsgi(
        "uwsgi-http-socket", UWSGI,
        "Closes after each answer, whatever the client asks: it pays accept and close in each"
        " request of the cases with kept connections too.",
        keeps=False, lacks={"keep": "it keeps no connection"},
    ),
    uwsgi(
        "uwsgi-http-router",
        UWSGI.replace("--http-socket", "--http-keepalive=120 --http-auto-chunked --http"),
        "A router process before the workers: the form that keeps connections.",
    ),
    uwsgi(
        "uwsgi-http11-socket", UWSGI.replace("--http-socket", "--http11-socket"),
        "A kept connection keeps its worker: it serves as many connections as it has threads.",
        groups=("tiny", "bodies", "files", "frameworks"),
        lacks={"keep": "a kept connection keeps its worker"},
    ),
    uwsgi(
        "uwsgi-lazy", f"{UWSGI} --lazy-apps", "Each worker process loads the app for itself.",
        keeps=False, groups=("memory",),
    ),
    Peer(
        "gunicorn-sync",
        "{bin}/gunicorn --bind 127.0.0.1:{port} --worker-class sync --workers {workers}"
        " --backlog 1024 --log-level warning {log} {module}:application",
        install=("gunicorn",),
        logged="--access-logfile -",
        keeps=False,
        lacks={"threads": "its sync workers have no threads", "keep": "it keeps no connection"}
        | NO_STATIC,
    ),
    Peer(
        "gunicorn-gthread",
        "{bin}/gunicorn --bind 127.0.0.1:{port} --worker-class gthread --workers {workers}"
        " --threads {threads} --backlog 1024 --keep-alive 120 --worker-connections 20000"
        " --log-level warning {log} {module}:application",
        install=("gunicorn",),
        logged="--access-logfile -",
        lacks=NO_STATIC,
    ),
    Peer(
        "granian",
        "{bin}/granian --interface wsgi --http 1 --no-ws --host 127.0.0.1 --port {port}"
        " --workers {workers} --blocking-threads {threads} --backlog 1024 --backpressure 20000"
        " --log-level {log} {static} {module}:application",
        install=("granian",),
        logged="info --access-log",
        quiet="warning",
        static="--static-path-route /static --static-path-mount {files}",
    ),
    Peer(
        "bjoern", LAUNCHED.replace("SERVER", "bjoern"), install=("bjoern",),
        header="ev.h", debian="libev-dev", lacks=NO_THREADS,
        note="Its workers are forks that share one listening socket.",
    ),
    Peer(
        "fastwsgi", LAUNCHED.replace("SERVER", "fastwsgi"),
        # It imports pkg_resources, which newer setuptools do not have.
        install=("fastwsgi", "setuptools<80"), lacks=NO_THREADS,
        note="Sends nothing before it has the whole answer. Calls close() of an iterator only, so"
        " that Django never learns that a request is over.",
    ),
    Peer(
        "fastpysgi", LAUNCHED.replace("SERVER", "fastpysgi"), install=("fastpysgi",),
        lacks=NO_THREADS, note="FastWSGI's successor. As it.",
    ),
    Peer(
        "cheroot", LAUNCHED.replace("SERVER", "cheroot"), install=("cheroot",),
        lacks=ONE_PROCESS,
    ),
    Peer(
        "waitress", LAUNCHED.replace("SERVER", "waitress"), install=("waitress",),
        lacks=ONE_PROCESS,
        note="Its main thread spins while the app's thread works: its rows are noise.",
    ),
    uwring(
        "uwring-nginx-tcp", f"{UWRING_SOCKET} --isolation interpreter --io uring".replace(*TCP),
        BEHIND, nginx="uwsgi_pass 127.0.0.1:{port};", groups=("nginx",),
    ),
    uwring(
        "uwring-nginx-unix", f"{UWRING_SOCKET} --isolation interpreter --io uring",
        BEHIND, nginx="uwsgi_pass unix:{socket};", groups=("nginx",),
    ),
    uwsgi(
        "uwsgi-nginx-tcp", UWSGI_SOCKET.replace(*TCP),
        BEHIND, nginx="uwsgi_pass 127.0.0.1:{port};", groups=("nginx",),
    ),
    uwsgi(
        "uwsgi-nginx-unix", UWSGI_SOCKET,
        BEHIND, nginx="uwsgi_pass unix:{socket};", groups=("nginx",),
    ),
    Peer(
        "bjoern-nginx-tcp", LAUNCHED.replace("SERVER", "bjoern"), install=("bjoern",),
        header="ev.h", debian="libev-dev", lacks=NO_THREADS, groups=("nginx",),
        nginx="proxy_pass http://upstream;", note=BEHIND,
    ),
    Peer(
        "bjoern-nginx-unix", LAUNCHED.replace("SERVER {port}", "bjoern unix:{socket}"),
        install=("bjoern",), header="ev.h", debian="libev-dev", lacks=NO_THREADS,
        groups=("nginx",), nginx="proxy_pass http://upstream;", note=BEHIND,
    ),
]

# No server for apps: what the I/O alone costs, as a measure for the rows above.
FLOOR = Peer(
    "io-floor", "{here}/../../target/io_floor/release/io_floor 127.0.0.1:{port} ring",
    lacks={"processes": "it is one thread"}, groups=("tiny", "new"),
    note="Accept, read, parse, answer on one monoio thread: no Python, no app.",
)
PEERS.append(FLOOR)

# The rows that the others are compared with, where both were measured.
BASELINES = ["bjoern", "uwsgi-http-socket"]
OWN = "uwring-"
