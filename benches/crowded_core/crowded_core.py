#!/usr/bin/env python3
"""What becomes of a pinned server when another program takes its core, by `--affinity`.

Needs two cores. The server starts alone; then a loop that computes is bound to its core, and the
lockstep generator, on the other core, keeps 16 requests in flight: 4 s to settle, 6 s measured.
Prints a CSV. --quiet measures the same without the loop.
"""

import argparse
import csv
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
APP = ROOT / "benches/head_to_head/apps/hello.py"
GENERATOR = ROOT / "target/lockstep/release/lockstep"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--uwring", default=str(ROOT / "build/uwring"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quiet", action="store_true")
    args = parser.parse_args()
    manifest = ROOT / "benches/head_to_head/lockstep/Cargo.toml"
    subprocess.run(
        ["cargo", "build", "--quiet", "--release", "--manifest-path", manifest,
         "--target-dir", ROOT / "target/lockstep"],
        check=True,
    )  # fmt: skip
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(["round", "affinity", "may_run_on", "requests_per_s", "p50_us", "p99_us"])
    for number in range(1, args.rounds + 1):
        for affinity in ("auto", "shard", "none"):
            out.writerow([number, affinity, *measure(args, affinity)])
            sys.stdout.flush()


def measure(args, affinity: str) -> list:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [args.uwring, "--http-socket", f"127.0.0.1:{port}", "--wsgi-file", APP,
         "--disable-logging", "--need-app", "--affinity", affinity],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    loop = None
    try:
        wait_for(port)
        time.sleep(1)  # The socket answers before the threads are pinned.
        shard_on = cores_of_shard(server.pid)
        core = int(shard_on) if shard_on.isdigit() else 0
        other = next(c for c in sorted(os.sched_getaffinity(0)) if c != core)
        if not args.quiet:
            spin = ["taskset", "-c", str(core), sys.executable, "-c", "while True: pass"]
            loop = subprocess.Popen(spin)
        with tempfile.NamedTemporaryFile() as expected:
            expected.write(b"Hello World")
            expected.flush()
            result = load(port, other, expected.name)
        per_s = round(result["requests"] / result["seconds"])
        return [cores_of_shard(server.pid), per_s, result["p50_us"], result["p99_us"]]
    finally:
        for process in filter(None, (loop, server)):
            process.kill()
            process.wait()


def load(port: int, core: int, expected: str) -> dict:
    generator = subprocess.Popen(
        [GENERATOR, "--addr", f"127.0.0.1:{port}", "--connections", "16", "--headers", "1",
         "--path", "/", "--expect", expected, "--core", str(core), "--warmup", "4",
         "--seconds", "6", "--paced"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert generator.stdout.readline() == "warm\n"
    generator.stdin.write("\n")
    generator.stdin.flush()
    line = generator.stdout.readline()
    generator.stdin.close()
    generator.wait()
    return json.loads(line)


def cores_of_shard(pid: int) -> str:
    for task in Path(f"/proc/{pid}/task").iterdir():
        if (task / "comm").read_text().startswith("uwring s1"):
            status = (task / "status").read_text()
            return status.split("Cpus_allowed_list:")[1].split()[0]
    return "?"


def wait_for(port: int) -> None:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    sys.exit("crowded_core.py: the server does not answer")


main()
