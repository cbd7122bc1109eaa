"""With what the servers are measured: one row for each case."""

from dataclasses import dataclass

MIB = 1024 * 1024

# What the columns of raw.csv that a case may be about are called.
FIGURES = {
    "cpu_us_per_request": "server CPU, us per request",
    "p99_us": "99th percentile of the latency, us",
    "pss_kib": "memory of all processes (PSS), KiB",
    "idle_kib_each": "memory of an idle connection (PSS), KiB",
}


@dataclass(frozen=True)
class Case:
    name: str
    group: str
    # Kept connections of the load, each with one request under way.
    connections: int = 64
    headers: int = 1
    # The request's body: with one it is a POST.
    body_bytes: int = 0
    workers: int = 1
    threads: int = 1
    # A file in apps/, and the path that is asked for.
    app: str = "hello"
    path: str = "/"
    # Asked once before the case is timed, besides `path`.
    check_path: str = ""
    # A new connection for each request.
    close: bool = False
    # Requests that are sent together on a connection.
    pipeline: int = 1
    # Requests in a second, at random moments, whether earlier ones are answered or not. In lockstep
    # without.
    rate: int = 0
    # "lockstep" or "wrk", which runs on the second core.
    load: str = "lockstep"
    # "same": server and generator pinned to one core. "apart": each to its own.
    # "free": the server may run anywhere, the generator as when apart.
    cores: str = "same"
    # Idle connections beside the load, and for how long they are idle before it begins.
    idle: int = 0
    settle_s: float = 0
    # Two requests that compute all the time, on connections of one shard.
    burns: bool = False
    logged: bool = False
    # What a server must be able to do (Peer.lacks).
    needs: tuple[str, ...] = ()
    # The figure that the case is about, a column of raw.csv, and others that get a plot.
    figure: str = "cpu_us_per_request"
    also: tuple[str, ...] = ()
    # What pip installs for the app.
    requires: str = ""
    # Also part of --quick.
    quick: bool = False


def wrk(name: str, group: str, **other) -> Case:
    return Case(f"{name}-wrk", group, load="wrk", cores="apart", **other)


CASES = [
    # The smallest app: what is measured is the server.
    *(
        Case(
            f"tiny-{connections}-h{headers}", "tiny", connections=connections, headers=headers,
            quick=connections == 64,
        )
        for headers in (1, 13)
        for connections in (1, 16, 64, 256, 1000)
    ),
    *(
        wrk(
            f"tiny-{connections}-h{headers}", "tiny", connections=connections, headers=headers,
            quick=(connections, headers) == (64, 1),
        )
        for headers in (1, 13)
        for connections in (1, 16, 64, 256, 1000)
    ),
    Case("tiny-64-h1-w2", "tiny", workers=2, needs=("processes",)),
    # Two workers, and clients that have the same two cores.
    *(
        Case(
            f"tiny-{connections}-w2-wrk", "tiny", connections=connections, workers=2, load="wrk",
            cores="free", needs=("processes",), also=("p99_us",),
        )
        for connections in (16, 64, 256)
    ),
    Case("pipelined-4x16", "tiny", connections=4, pipeline=16),
    # A new connection for each request.
    Case("new-1", "new", connections=1, close=True),
    Case("new-16", "new", connections=16, close=True),
    Case("new-64", "new", close=True, quick=True),
    wrk("new-64", "new", close=True),
    Case("flask", "frameworks", app="flask_hello", requires="flask", quick=True),
    wrk("flask", "frameworks", app="flask_hello", requires="flask"),
    Case(
        "flask-w2-wrk", "frameworks", workers=2, load="wrk", cores="free", needs=("processes",),
        app="flask_hello", requires="flask", also=("p99_us",),
    ),
    # Threads that compute: what many of an app that does not wait cost.
    *(
        kind(
            "flask-t4", "frameworks", app="flask_hello", requires="flask", threads=4,
            needs=("threads",),
        )
        for kind in (Case, wrk)
    ),
    Case(
        "django", "frameworks", app="django_hello", requires="django", check_path="/owed",
    ),
    wrk(
        "django", "frameworks", app="django_hello", requires="django", check_path="/owed",
    ),
    Case(
        "django-w2-wrk", "frameworks", workers=2, load="wrk", cores="free", needs=("processes",),
        app="django_hello", requires="django", check_path="/owed", also=("p99_us",),
    ),
    # Bodies, both ways.
    Case("answer-10k", "bodies", connections=16, app="large", path="/10k"),
    wrk("answer-10k", "bodies", connections=64, app="large", path="/10k"),
    Case("answer-1m", "bodies", connections=4, app="large", path="/1m"),
    wrk("answer-1m", "bodies", connections=16, app="large", path="/1m"),
    Case("pieces-100", "bodies", connections=16, app="pieces"),
    wrk("pieces-100", "bodies", connections=16, app="pieces"),
    Case(
        "upload-64k", "bodies", connections=16, app="upload", body_bytes=64 * 1024,
        check_path="/digest", quick=True,
    ),
    wrk(
        "upload-64k", "bodies", connections=16, app="upload", body_bytes=64 * 1024,
        check_path="/digest",
    ),
    Case(
        "upload-10m", "bodies", connections=1, app="upload", body_bytes=10 * MIB,
        check_path="/digest",
    ),
    wrk(
        "upload-10m", "bodies", connections=4, app="upload", body_bytes=10 * MIB,
        check_path="/digest",
    ),
    # Files: by the app, and by the server without it.
    Case("file-64k", "files", connections=16, app="file", path="/64k.bin"),
    wrk("file-64k", "files", connections=16, app="file", path="/64k.bin"),
    Case("file-1m", "files", connections=4, app="file", path="/1m.bin"),
    wrk("file-1m", "files", connections=4, app="file", path="/1m.bin"),
    Case("static-64k", "files", connections=16, path="/static/64k.bin", needs=("static",)),
    wrk("static-64k", "files", connections=16, path="/static/64k.bin", needs=("static",)),
    Case("static-1m", "files", connections=4, path="/static/1m.bin", needs=("static",)),
    wrk("static-1m", "files", connections=4, path="/static/1m.bin", needs=("static",)),
    # Threads that wait 10 ms, as for a database: what the GIL's hand-over costs.
    *(
        Case(
            f"wait-{connections}-t8", "waiting", connections, threads=8, app="sleep10",
            cores="apart", needs=("threads",), also=("p99_us",),
        )
        for connections in (8, 64)
    ),
    # 0.5 % of the requests wait 10 ms in front of the others.
    Case(
        "slow-0.5%", "waiting", 16, workers=2, app="mixed", cores="free", needs=("processes",),
        figure="p99_us",
    ),
    Case(
        "work-1ms-w2", "computing", 16, workers=2, app="work", cores="free", needs=("processes",)
    ),
    Case(
        "burning-shard-w4", "computing", 16, workers=4, app="burn", cores="free", burns=True,
        needs=("processes",), figure="p99_us",
    ),
    # Servers that are not busy: each request finds its server asleep, or with little to do.
    *(
        Case(name, "rate", rate=rate, cores="apart", also=("p99_us",), **app)
        for name, rate, app in (
            ("rate-1000", 1000, {}),
            ("rate-10000", 10_000, {}),
            ("rate-flask-2000", 2000, {"app": "flask_hello", "requires": "flask"}),
            ("rate-django-1500", 1500, {"app": "django_hello", "requires": "django"}),
        )
    ),
    Case("log-off", "log", headers=13),
    Case("log-on", "log", headers=13, logged=True, needs=("log",)),
    Case("nginx-1", "nginx", connections=1),
    Case("nginx-64", "nginx"),
    Case("nginx-64-h13", "nginx", headers=13),
    wrk("nginx-64", "nginx"),
    # Two workers and two nginx, on both cores.
    Case(
        "nginx-64-w2-wrk", "nginx", workers=2, load="wrk", cores="free", needs=("processes",),
        also=("p99_us",),
    ),
    Case(
        "nginx-flask-w2-wrk", "nginx", workers=2, load="wrk", cores="free", needs=("processes",),
        app="flask_hello", requires="flask", also=("p99_us",),
    ),
    Case("nginx-rate-1000", "nginx", rate=1000, cores="apart", also=("p99_us",)),
    Case(
        "nginx-flask-rate-1000", "nginx", rate=1000, cores="apart", app="flask_hello",
        requires="flask", also=("p99_us",),
    ),
    wrk("nginx-64-h13", "nginx", headers=13),
    Case("nginx-upload-64k", "nginx", 16, app="upload", body_bytes=64 * 1024, check_path="/digest"),
    # Idle connections: what the load beside them costs, and what each of them takes.
    *(
        Case(
            f"idle-{idle}", "idle", 16, idle=idle, settle_s=6, needs=("keep",),
            also=("p99_us", "idle_kib_each"),
        )
        for idle in (1000, 10_000)
    ),
    Case(
        "memory-django-w10", "memory", 20, workers=10, app="django_hello", requires="django",
        cores="free", figure="pss_kib", needs=("processes",),
    ),
]
