"""What a second shard brings, and what sharing costs: see README.md. Writes raw.csv beside it.

python3 measure.py UWRING VENV ROUNDS [FOLDER]: lockstep must have been built (make bench BENCH=--quick).
"""

import csv
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
BENCH = HERE.parents[1] / "benches" / "head_to_head"
sys.path.insert(0, str(BENCH))

import check  # noqa: E402
from server import Server, free_port  # noqa: E402

LOCKSTEP = HERE.parents[1] / "target" / "lockstep" / "release" / "lockstep"
UWRING, VENV = (Path(word).absolute() for word in sys.argv[1:3])
ROUNDS = int(sys.argv[3])
FOLDER = Path(sys.argv[4]) if len(sys.argv) > 4 else HERE
HELLO = check.Expected("200 OK", (("Content-Length", "11"),), b"Hello World")
# Name: the cores of each server; then for each generator its core, server and connections.
FORMS = {
    "one server of one shard": (["0"], [(0, 0, 64)]),
    "two servers apart": (["0", "1"], [(0, 0, 64), (1, 1, 64)]),
    "two servers crossed": (["0", "1"], [(0, 0, 32), (0, 1, 32), (1, 0, 32), (1, 1, 32)]),
    "one server of two shards": (["0,1"], [(0, 0, 32), (0, 0, 32), (1, 0, 32), (1, 0, 32)]),
}


def server(cores: str, app: str, log: Path) -> Server:
    made = Server(free_port(), log)
    count = len(cores.split(","))
    command = (
        f"taskset -c {cores} {UWRING} --http-socket 127.0.0.1:{made.port} --home {VENV}"
        f" --wsgi-file {BENCH}/apps/{app}.py --processes {count} --shards {count} --listen 1024"
        " --disable-logging --need-app --isolation interpreter --affinity shard"
    )
    made.start(command.split(), BENCH / "apps")
    request = f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{made.port}\r\n\r\n".encode()
    check.wait_until_right(made, [(request, HELLO, 1)])
    return made


def measure(form: str, app: str, folder: Path) -> dict:
    cores, generators = FORMS[form]
    body = folder / "body"
    body.write_bytes(HELLO.body)
    servers = [server(each, app, folder / f"log{n}") for n, each in enumerate(cores)]
    try:
        running = []
        for core, which, connections in generators:
            # An app that computes needs few connections to be busy.
            connections = connections if app == "hello" else connections // 8
            command = [
                LOCKSTEP, "--addr", f"127.0.0.1:{servers[which].port}", "--connections",
                str(connections), "--core", str(core), "--expect", body, "--warmup", "0.3",
                "--seconds", "1", "--paced",
            ]  # fmt: skip
            running.append(
                subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
                )
            )
        for each in running:
            assert each.stdout.readline() == "warm\n"
        before = [each.usage() for each in servers]
        for each in running:
            each.stdin.write("\n")
            each.stdin.flush()
        loads = [json.loads(each.stdout.readline()) for each in running]
        after = [each.usage() for each in servers]
        for each in running:
            each.communicate()
        assert not any(load["errors"] or load["hung"] for load in loads), loads
        cpu_ns = sum(end.since(start)[0] for end, start in zip(after, before, strict=True))
        requests = sum(load["requests"] for load in loads)
        return {
            "requests_per_second": round(sum(load["requests"] / load["seconds"] for load in loads)),
            "cpu_us_per_request": round(cpu_ns / 1000 / requests, 2),
        }
    finally:
        for each in servers:
            each.stop()


def main():
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(1, ROUNDS + 1):
            for app in ("hello", "work"):
                for form in FORMS:
                    row = {"round": number, "app": app, "form": form}
                    rows.append(row | measure(form, app, Path(folder)))
                    print(rows[-1], flush=True)
    with (FOLDER / "raw.csv").open("w") as file:
        table = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    for app in ("hello", "work"):
        for form in FORMS:
            own = [row for row in rows if row["app"] == app and row["form"] == form]
            line = f"{app:6} {form:26}"
            for name in ("requests_per_second", "cpu_us_per_request"):
                values = [row[name] for row in own]
                line += f"  {statistics.median(values):9.5g} ({min(values)}-{max(values)})"
            print(line)


if __name__ == "__main__":
    main()
