#!/usr/bin/env python3
"""Compares uwring with its peers in one interleaved run: see README.md beside this file."""

import argparse
import csv
import datetime
import fnmatch
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import check
import install
import nginx
import report
from cases import CASES, Case
from load import Load
from peers import PEERS, Peer
from server import Failed, Server, free_port

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
# A cell that failed so often, and never succeeded, is not tried again.
FAILURES_MAX = 2


def main() -> int:
    args = arguments()
    cores = sorted(os.sched_getaffinity(0))
    cases = chosen(args.cases, CASES, lambda case: case.quick or not args.quick)
    wanted = chosen(args.peers, PEERS, lambda _: True)
    if not args.before:
        wanted = [peer for peer in wanted if "{before}" not in peer.command]
    # Servers are stopped and what was measured is written, as with Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # Idle connections, and the servers that inherit it, need many descriptors.
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    generator = install.build_generator()
    pythons = install.Pythons(args.python)
    peers, left_out = prepare(wanted, args, pythons)
    if not peers or not cases:
        sys.exit("run.py: nothing to measure")
    folder = report.new_folder(args.out, args.question)
    about = report.About(args, sys.argv, peers, left_out)
    # The sampling stays off the server's core.
    os.sched_setaffinity(0, cores[1:] or cores)

    with tempfile.TemporaryDirectory() as scratch, (folder / "raw.csv").open("w") as file:
        raw = csv.DictWriter(file, report.COLUMNS, lineterminator="\n")
        raw.writeheader()
        run = Run(args, generator, pythons, cores, Path(scratch))
        for case in cases:
            for name, why in left_out.items():
                run.untimed[case.name, name] = f"not installed: {why}"
        interrupted = run.all(cases, peers, raw, file)
    if not report.write(folder, about, cases):
        sys.exit(f"run.py: nothing was measured; {folder}/raw.csv says why")
    print(f"\n{(folder / 'summary.md').read_text()}\n{folder}/README.md")
    for name, why in left_out.items():
        install.say_loudly(f"NOT MEASURED: {name}: {why}")
    if run.failures:
        install.say_loudly(f"{run.failures} measurements failed: see {folder}/raw.csv")
    return 130 if interrupted else int(run.failures > 0)


def arguments() -> argparse.Namespace:
    names = ", ".join(peer.name for peer in PEERS)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--uwring", type=Path, default=ROOT / "build" / "uwring", metavar="PATH")
    parser.add_argument("--before", type=Path, help="another build, for uwring-before", metavar="PATH")
    parser.add_argument("--peers", default="*", help=f"comma-separated, with wildcards: {names}")
    parser.add_argument("--cases", default="*", help="the same, or @group; see --list")
    parser.add_argument("--list", action="store_true", help="list the cases and end")
    parser.add_argument("--rounds", type=int, help="7 unless told (2 with --quick)")
    parser.add_argument("--seconds", type=float, help="measured each; 0.8 unless told (0.3)")
    parser.add_argument("--warmup", type=float, help="seconds of load before; 0.3 (0.1)")
    parser.add_argument("--quick", action="store_true", help="a few cases, 2 short rounds")
    parser.add_argument("--python", default="3.13", help="the Python of all servers")
    parser.add_argument("--question", help="what the run is to answer; names the folder")
    parser.add_argument("--out", type=Path, default=ROOT / "bench-results", metavar="FOLDER")
    args = parser.parse_args()
    if args.list:
        print("\n".join(f"@{case.group:12} {case.name}" for case in CASES))
        sys.exit()
    args.rounds = args.rounds or (2 if args.quick else 7)
    args.seconds = args.seconds or (0.3 if args.quick else 0.8)
    args.warmup = args.warmup or (0.1 if args.quick else 0.3)
    args.question = args.question or ("quick look" if args.quick else "head to head")
    args.uwring = args.uwring.absolute()
    args.before = args.before and args.before.absolute()
    return args


def chosen(patterns: str, table: list, by_default) -> list:
    if patterns == "*":
        return [row for row in table if by_default(row)]
    wanted = patterns.split(",")

    def fits(row, pattern: str) -> bool:
        if pattern.startswith("@"):
            return getattr(row, "group", "") == pattern[1:]
        return fnmatch.fnmatch(row.name, pattern)

    for pattern in wanted:
        if not any(fits(row, pattern) for row in table):
            names = ", ".join(row.name for row in table)
            sys.exit(f"run.py: nothing is called {pattern}; there are {names}")
    return [row for row in table if any(fits(row, pattern) for pattern in wanted)]


def prepare(wanted: list[Peer], args, pythons) -> tuple[list["report.Measured"], dict[str, str]]:
    """Installs what is missing; says loudly what cannot be had, and goes on without it."""
    peers, left_out = [], {}
    for peer in wanted:
        try:
            build = args.before if "{before}" in peer.command else args.uwring
            if not peer.install and not os.access(build, os.X_OK):
                raise RuntimeError(f"there is no command {build}: build it, or give its path")
            minor, venv = pythons.install(peer)
        except RuntimeError as why:
            left_out[peer.name] = report.scrubbed(str(why))
            install.say_loudly(f"NOT MEASURED: {peer.name}: {why}")
            continue
        if peer.install:
            version = f"{peer.install[0]} {pythons.version(venv, peer.install[0])}"
        else:
            version = report.first_line([build, "--version"])
        peers.append(report.Measured(peer, venv, minor, version))
    return peers, left_out


class Run:
    """All measurements of a run."""

    def __init__(self, args, generator: Path, pythons, cores: list[int], scratch: Path):
        self.args, self.generator, self.pythons = args, generator, pythons
        self.cores, self.scratch = cores, scratch
        self.files = install.make_files()
        # Why a cell is not timed.
        self.untimed: dict[tuple[str, str], str] = {}
        self.failed: dict[tuple[str, str], int] = {}
        self.succeeded: set[tuple[str, str]] = set()
        self.failures = 0

    def all(self, cases, peers, raw, file) -> bool:
        """Round by round; true if it was interrupted."""
        cells = [(case, peer) for case in cases for peer in peers]
        for case, peer in cells:
            if why := self.reason_against(case, peer):
                self.untimed[case.name, peer.row.name] = why
        begin, interrupted = time.monotonic(), False
        try:
            for number in range(1, self.args.rounds + 1):
                for case, peer in cells:
                    if (case.name, peer.row.name) in self.untimed:
                        continue
                    row = {"round": number, "case": case.name, "peer": peer.row.name}
                    row |= self.measure(case, peer)
                    self.judge(row)
                    if not row.get("untimed"):
                        raw.writerow(row)
                        file.flush()
                    tell(row)
                if number == 1 and self.args.rounds > 1:
                    left = (time.monotonic() - begin) * (self.args.rounds - 1) / 60
                    print(f"about {left:.0f} minutes are left", flush=True)
        except KeyboardInterrupt:
            interrupted = True
            install.say_loudly("interrupted: the report is of what was measured so far")
        for (case_name, peer_name), why in self.untimed.items():
            raw.writerow({"round": 0, "case": case_name, "peer": peer_name, "untimed": why})
        return interrupted

    def reason_against(self, case: Case, peer) -> str:
        """Why a cell makes no sense, as far as the tables tell."""
        row = peer.row
        if case.group not in row.groups:
            return f"its row is for the groups {', '.join(row.groups)}"
        if case.cores != "same" and len(self.cores) < 2:
            return "the case needs two cores"
        for need in case.needs:
            if why := row.lacks.get(need):
                return why
        # A server that keeps connections, each with a worker of its own.
        if "keep" in row.lacks and row.keeps and case.connections > case.workers * case.threads:
            return row.lacks["keep"]
        try:
            if case.load == "wrk":
                install.need_tool("wrk", "wrk")
            if case.requires:
                self.pythons.require(peer.minor, case.requires)
        except RuntimeError as why:
            return report.scrubbed(str(why))
        return ""

    def judge(self, row: dict) -> None:
        cell = row["case"], row["peer"]
        if row.get("untimed"):
            self.untimed[cell] = row["untimed"]
        elif not row.get("failure"):
            self.succeeded.add(cell)
        else:
            self.failures += 1
            self.failed[cell] = self.failed.get(cell, 0) + 1
            if self.failed[cell] >= FAILURES_MAX and cell not in self.succeeded:
                self.untimed[cell] = f"failed in {FAILURES_MAX} rounds: {row['failure']}"

    def measure(self, case: Case, peer) -> dict:
        row = {
            "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "load_average": os.getloadavg()[0],
        }
        # unix sockets have short names.
        with tempfile.TemporaryDirectory(dir=self.scratch) as folder:
            server = Server(free_port(), self.scratch / "server.log")
            try:
                self.start(server, case, peer, Path(folder))
                load = Load(self.generator, server, case, self.args, self.cores, self.scratch)
                check.wait_until_right(server, self.questions(load, peer))
                row |= load.run()
                self.examine(row, server, load, peer.row)
            except check.Unfit as why:
                row["untimed"] = report.scrubbed(str(why))
            except Failed as why:
                row["failure"] = report.scrubbed(str(why))
            except (OSError, ValueError, subprocess.SubprocessError) as error:
                # One measurement less is better than none of a run of hours.
                row["failure"] = report.scrubbed(repr(error))
            finally:
                server.stop()
        return row

    def start(self, server: Server, case: Case, peer, folder: Path) -> None:
        cores = self.cores if case.cores == "free" else self.cores[:1]
        pin = ["taskset", "-c", ",".join(map(str, cores))]
        app = HERE / "apps" / f"{case.app}.py"
        row, port = peer.row, free_port() if peer.row.nginx else server.port
        names = {
            "port": port, "socket": folder / "s", "workers": case.workers,
            "threads": case.threads, "app": app, "module": app.stem, "venv": peer.venv,
            "bin": peer.venv / "bin", "here": HERE, "uwring": self.args.uwring,
            "before": self.args.before, "files": self.files,
        }  # fmt: skip
        words = row.command.replace("{log}", row.logged if case.logged else row.quiet)
        words = words.replace("{static}", row.static if "static" in case.needs else "")
        server.start([*pin, *(word.format(**names) for word in words.split())], app.parent)
        if row.nginx:
            upstream = f"unix:{folder / 's'}" if "{socket}" in row.command else f"127.0.0.1:{port}"
            passes = row.nginx.format(**names)
            words = nginx.command(folder, server.port, upstream, passes, case.workers)
            server.start([*pin, *words], folder)

    def questions(self, load: Load, peer) -> list[tuple[bytes, check.Expected, int]]:
        """What the server is asked before it is timed, and what it must answer."""
        case = load.case
        if case.body_bytes and not load.body.exists():
            load.body.write_bytes(random.Random(case.body_bytes).randbytes(case.body_bytes))
        if not load.expected.exists():
            self.expect(case, case.path, load.body, load.expected, peer)
        asked = [(load.request(case.path), check.Expected.read(load.expected), case.pipeline)]
        if case.check_path:
            out = self.scratch / f"{case.name}.checked"
            if not out.exists():
                self.expect(case, case.check_path, load.body, out, peer)
            asked.append((load.request(case.check_path), check.Expected.read(out), case.pipeline))
        return asked

    def expect(self, case: Case, path: str, body: Path, out: Path, peer) -> None:
        if path.startswith("/static/"):
            out.write_bytes((self.files / path.removeprefix("/static/")).read_bytes())
            Path(f"{out}.json").write_text('{"status": "200 OK", "headers": []}')
            return
        command = [
            peer.venv / "bin" / "python", HERE / "expected.py", HERE / "apps", case.app, path,
            body if case.body_bytes else "-", out,
        ]  # fmt: skip
        ended = subprocess.run(command, capture_output=True, text=True)
        if ended.returncode != 0:
            raise SystemExit(f"run.py: the app {case.app} fails by itself:\n{ended.stderr}")

    def examine(self, row: dict, server: Server, load: Load, peer: Peer) -> None:
        """Was it measured as it was meant to be?"""
        case, reconnects = load.case, row["reconnects"]
        headers = check.Expected.read(load.expected).headers
        # Without a length some servers end the answer by closing, as they may.
        must_keep = peer.keeps and any(name.lower() == "content-length" for name, _ in headers)
        if must_keep and not case.close and reconnects * 100 > row["requests"]:
            row["failure"] = f"it closed {reconnects} connections that it should keep"
        if case.cores != "free" and (seen := server.cores()) != {str(self.cores[0])}:
            row["failure"] = f"it may run on cores {', '.join(sorted(seen))}, not on one alone"


def tell(row: dict) -> None:
    figure = row.get("failure") or row.get("untimed")
    if not figure:
        figure = f"{row['cpu_us_per_request']:9.2f} us  p99 {row['p99_us']:9.0f} us"
    print(f"round {row['round']}  {row['case']:18} {row['peer']:24} {figure}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
