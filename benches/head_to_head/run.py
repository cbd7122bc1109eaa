#!/usr/bin/env python3
"""Compares uwring with its peers in one interleaved run: see README.md beside this file."""

import argparse
import csv
import datetime
import fnmatch
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import install
import report
from server import Failed, Server, free_port
from tables import CASES, PEERS, Case, Peer

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent


def main() -> int:
    args = arguments()
    cores = sorted(os.sched_getaffinity(0))
    cases = chosen(args.cases, CASES, lambda case: case.quick or not args.quick)
    cases = [case for case in cases if fits(case, cores)]
    wanted = chosen(args.peers, PEERS, lambda _: True)
    # A server gets a signal from us also when we get one.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("run.py: terminated"))

    generator = install.build_generator()
    peers, left_out = prepare(wanted, args)
    if not peers or not cases:
        sys.exit("run.py: nothing to measure")
    folder = report.new_folder(args.out, args.question)
    about = report.About(args, sys.argv, peers, left_out)
    # The sampling stays off the server's core.
    os.sched_setaffinity(0, cores[1:] or cores)

    failures, interrupted = 0, False
    with tempfile.TemporaryDirectory() as scratch, (folder / "raw.csv").open("w") as file:
        raw = csv.DictWriter(file, report.COLUMNS, lineterminator="\n")
        raw.writeheader()
        try:
            for number in range(1, args.rounds + 1):
                for case in cases:
                    for peer in peers:
                        row = {"round": number, "case": case.name, "peer": peer.row.name}
                        row |= measure(peer, case, args, generator, cores, Path(scratch))
                        failures += bool(row.get("failure"))
                        raw.writerow(row)
                        file.flush()
                        tell(row)
        except KeyboardInterrupt:
            interrupted = True
            install.say_loudly("interrupted: the report is of what was measured so far")
    if not report.write(folder, about, cases):
        sys.exit("run.py: interrupted before the first measurement")
    print(f"\n{(folder / 'summary.md').read_text()}\n{folder}/README.md")
    for name, why in left_out.items():
        install.say_loudly(f"NOT MEASURED: {name}: {why}")
    if failures:
        install.say_loudly(f"{failures} measurements failed: see {folder}/raw.csv")
    return 130 if interrupted else int(failures > 0)


def arguments() -> argparse.Namespace:
    names = ", ".join(peer.name for peer in PEERS)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--uwring", type=Path, default=ROOT / "build" / "uwring", metavar="PATH")
    parser.add_argument("--peers", default="*", help=f"comma-separated, with wildcards: {names}")
    parser.add_argument("--cases", default="*", help="comma-separated, with wildcards; --list")
    parser.add_argument("--list", action="store_true", help="list the cases and end")
    parser.add_argument("--rounds", type=int, help="5 unless told (2 with --quick)")
    parser.add_argument("--seconds", type=float, help="measured each; 0.8 unless told (0.4)")
    parser.add_argument("--warmup", type=float, default=0.3, help="seconds of load before")
    parser.add_argument("--quick", action="store_true", help="a few cases, 2 short rounds")
    parser.add_argument("--python", default="3.13", help="the Python of all servers")
    parser.add_argument("--question", help="what the run is to answer; names the folder")
    parser.add_argument("--out", type=Path, default=ROOT / "bench-results", metavar="FOLDER")
    args = parser.parse_args()
    if args.list:
        print("\n".join(case.name for case in CASES))
        sys.exit()
    args.rounds = args.rounds or (2 if args.quick else 5)
    args.seconds = args.seconds or (0.4 if args.quick else 0.8)
    args.question = args.question or ("quick look" if args.quick else "head to head")
    args.uwring = args.uwring.absolute()
    return args


def chosen(patterns: str, table: list, by_default) -> list:
    if patterns == "*":
        return [row for row in table if by_default(row)]
    names = [row.name for row in table]
    for pattern in patterns.split(","):
        if not fnmatch.filter(names, pattern):
            sys.exit(f"run.py: nothing is called {pattern}; there are {', '.join(names)}")
    return [row for row in table if any(fnmatch.fnmatch(row.name, p) for p in patterns.split(","))]


def fits(case: Case, cores: list[int]) -> bool:
    if case.cores == "same" or len(cores) > 1:
        return True
    install.say_loudly(f"NOT MEASURED: {case.name}: it needs two cores")
    return False


def prepare(wanted: list[Peer], args) -> tuple[list["report.Measured"], dict[str, str]]:
    """Installs what is missing; says loudly what cannot be had, and goes on without it."""
    pythons = install.Pythons(args.python)
    peers, left_out = [], {}
    for peer in wanted:
        try:
            if "{uwring}" in peer.command and not os.access(args.uwring, os.X_OK):
                raise RuntimeError("there is no such command: build it, or give --uwring PATH")
            minor, venv = pythons.install(peer)
        except RuntimeError as why:
            left_out[peer.name] = report.scrubbed(str(why))
            install.say_loudly(f"NOT MEASURED: {peer.name}: {why}")
            continue
        if peer.install:
            version = f"{peer.install} {pythons.version(venv, peer.install)}"
        else:
            version = report.first_line([args.uwring, "--version"])
        peers.append(report.Measured(peer, venv, minor, version))
    return peers, left_out


def measure(peer, case: Case, args, generator: Path, cores: list[int], scratch: Path) -> dict:
    app = HERE / "apps" / f"{case.app}.py"
    expected = scratch / f"{case.name}.expected"
    if not expected.exists():
        expected.write_bytes(answer_of(app, case.path))
    here, there = cores[0], cores[0] if case.cores == "same" else cores[1]
    port = free_port()
    command = server_command(peer, case, args, port, app)
    if case.cores != "free":
        command = ["taskset", "-c", str(here), *command]
    row = {
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "load_average": os.getloadavg()[0],
    }
    server = Server(command, app.parent, port, scratch / "server.log")
    try:
        server.wait_until_ready(case.path, expected.read_bytes())
        load = [
            generator, "--addr", f"127.0.0.1:{port}", "--connections", str(case.connections),
            "--headers", str(case.headers), "--path", case.path, "--expect", expected,
            "--core", str(there), "--warmup", str(args.warmup), "--seconds", str(args.seconds),
            "--paced", *(["--close"] if case.close else []),
        ]  # fmt: skip
        row |= put_under_load(server, load, args)
        reconnects = row["reconnects"]
        if peer.row.keeps and not case.close and reconnects * 100 > row["requests"]:
            row["failure"] = f"it closed {reconnects} connections that it should keep"
        if case.cores != "free" and (seen := server.cores()) != {str(here)}:
            row["failure"] = f"it may run on cores {', '.join(sorted(seen))}, not on {here} alone"
    except Failed as why:
        row["failure"] = report.scrubbed(str(why))
    finally:
        server.stop()
    return row


def server_command(peer, case: Case, args, port: int, app: Path) -> list[str]:
    names = {
        "port": port, "workers": case.workers, "threads": case.threads, "app": app,
        "module": app.stem, "venv": peer.venv, "bin": peer.venv / "bin", "here": HERE,
        "uwring": args.uwring,
    }  # fmt: skip
    return [word.format(**names) for word in peer.row.command.split()]


def put_under_load(server: Server, command: list, args) -> dict:
    """Samples the server around the generator's measured time: connections are open in both."""
    generator = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    patience = threading.Timer(args.warmup + args.seconds + 20, generator.kill)
    patience.start()
    try:
        if generator.stdout.readline() != "warm\n":
            raise Failed(f"the generator: {generator.stderr.read().strip() or 'no answer'}")
        before = server.usage()
        generator.stdin.write("\n")
        generator.stdin.flush()
        line = generator.stdout.readline()
        after = server.usage()
        if not line:
            raise Failed(f"the generator: {generator.stderr.read().strip() or 'it hung'}")
        load = json.loads(line)
        pss_kib = server.pss_kib()
    finally:
        generator.stdin.close()
        generator.stdout.close()
        generator.stderr.close()
        generator.wait()
        patience.cancel()
    return row_of(load, before, after, pss_kib)


def row_of(load: dict, before, after, pss_kib: int) -> dict:
    cpu_ns, switches, source = after.since(before)
    requests = load["requests"]
    row = {name: load[name] for name in report.COLUMNS if name in load} | {
        "cpu_us_per_request": round(cpu_ns / 1000 / requests, 3) if requests else "",
        "requests_per_second": round(requests / load["seconds"]),
        "switched_in_per_request": round(switches / requests, 3) if requests else "",
        "cpu_ns": cpu_ns,
        "cpu_source": source,
        "processes": len(after.ticks),
        "threads": len(after.threads),
        "pss_kib": pss_kib,
    }
    if load["errors"] or load["hung"]:
        row["failure"] = load["first_failure"]
    elif before.ticks.keys() != after.ticks.keys():
        row["failure"] = "a process of it came or went while measured"
    return row


def answer_of(app: Path, path: str) -> bytes:
    """What the app itself answers: each server has to give the same bytes."""
    spec = importlib.util.spec_from_file_location(app.stem, app)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return b"".join(module.application({"PATH_INFO": path}, lambda *_: None))


def tell(row: dict) -> None:
    figure = row.get("failure") or f"{row['cpu_us_per_request']:8.2f} us"
    print(f"round {row['round']}  {row['case']:22} {row['peer']:20} {figure}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
