"""How many shards serve best behind nginx: see README.md. Writes raw.csv beside it.

python3 measure.py UWRING VENV ROUNDS [SECONDS]: VENV has uwsgi and flask (make bench makes one). nginx has two
workers and wrk two threads; they and the server share both cores.
"""

import csv
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
BENCH = HERE.parents[1] / "benches" / "head_to_head"
sys.path.insert(0, str(BENCH))

import nginx  # noqa: E402
from server import Server, free_port  # noqa: E402

UWRING, VENV = (Path(word).absolute() for word in sys.argv[1:3])
ROUNDS = int(sys.argv[3])
SECONDS = sys.argv[4] if len(sys.argv) > 4 else "1"
COMMON = (
    "--socket {socket} --chmod-socket=666 --home {venv} --wsgi-file {bench}/apps/{app}.py --processes 2"
    " --listen 1024 --disable-logging --need-app"
)
FORMS = {
    "uwsgi": f"{VENV}/bin/uwsgi {COMMON} --master --die-on-term",
    "uwring, 2 shards": f"{UWRING} {COMMON} --isolation interpreter --shards 2",
    "uwring, 1 shard": f"{UWRING} {COMMON} --isolation interpreter --shards 1",
    "uwring, 1 shard, processes": f"{UWRING} {COMMON} --isolation process --shards 1",
}
LOADS = [
    ("unix", "hello", 1),
    ("unix", "hello", 8),
    ("unix", "hello", 64),
    ("unix", "flask_hello", 8),
    ("unix", "flask_hello", 64),
    ("tcp", "hello", 64),
    ("tcp", "flask_hello", 64),
]


def wrk(port: int, connections: int, seconds: str) -> tuple[int, float, str]:
    threads = min(2, connections)
    command = ["wrk", f"-t{threads}", f"-c{connections}", f"-d{seconds}", "--latency"]
    text = subprocess.check_output([*command, f"http://127.0.0.1:{port}/"], text=True)
    assert "Non-2xx" not in text and "Socket errors" not in text, text
    requests = int(re.search(r"(\d+) requests in", text)[1])
    rate = float(re.search(r"Requests/sec: +([\d.]+)", text)[1])
    return requests, rate, re.search(r"99% +(\S+)", text)[1]


def measure(form: str, kind: str, app: str, connections: int) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        folder.chmod(0o755)
        port = free_port()
        socket = folder / "s" if kind == "unix" else f"127.0.0.1:{port}"
        server = Server(free_port(), folder / "log")
        names = {"socket": socket, "venv": VENV, "bench": BENCH, "app": app}
        try:
            server.start(FORMS[form].format(**names).split(), BENCH / "apps")
            upstream = f"unix:{socket}" if kind == "unix" else socket
            passes = f"uwsgi_pass {upstream};"
            server.start(nginx.command(folder, server.port, upstream, passes, 2), folder)
            for _ in range(100):
                asked = ["curl", "-sf", f"http://127.0.0.1:{server.port}/"]
                if subprocess.run(asked, capture_output=True).returncode == 0:
                    break
                subprocess.run(["sleep", "0.05"])
            wrk(server.port, connections, "1")
            before = server.usage()
            requests, rate, p99 = wrk(server.port, connections, SECONDS)
            cpu_ns = server.usage().since(before)[0]
        finally:
            server.stop()
    return {
        "requests_per_second": round(rate),
        "cpu_us_per_request": round(cpu_ns / 1000 / requests, 2),
        "p99": p99,
    }


def main():
    rows = []
    for number in range(1, ROUNDS + 1):
        for kind, app, connections in LOADS:
            for form in FORMS:
                row = {"round": number, "socket": kind, "app": app, "connections": connections}
                row |= {"form": form} | measure(form, kind, app, connections)
                rows.append(row)
                print(row, flush=True)
    with (HERE / "raw.csv").open("w") as file:
        table = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    print("| socket, app, connections |", " | ".join(FORMS), "|")
    print("|---|", "--:|" * len(FORMS))
    for load in LOADS:
        line = f"| {load[0]}, {load[1]}, {load[2]} |"
        for form in FORMS:
            own = [
                row
                for row in rows
                if (row["socket"], row["app"], row["connections"], row["form"]) == (*load, form)
            ]
            cpu = [row["cpu_us_per_request"] for row in own]
            rate = statistics.median(row["requests_per_second"] for row in own)
            line += f" {min(cpu):.1f}, {statistics.median(cpu):.1f}, {rate:.0f}/s |"
        print(line)


if __name__ == "__main__":
    main()
