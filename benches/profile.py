#!/usr/bin/env python3
"""Records where the server spends its CPU time under load, and draws it (docs/profiling.md).

Writes perf.data, stacks.folded and flame.svg to target/profile/. The load is the lockstep
generator of head_to_head/.
"""

import argparse
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(HERE / "head_to_head"))

from cases import CASES  # noqa: E402
from install import ROOT, build  # noqa: E402

TARGET = ROOT / "target" / "profile"
# Samples a second and CPU; not a round number, so that nothing periodic is always or never hit.
FREQUENCY = "999"
# Seen on a virtual machine, three times of five within a minute and then not again in twenty: perf
# recorded for the whole time and got no sample of threads that were busy.
TRIES = 3
# Bytes of the stack that each sample takes along with --python.
STACK_BYTES = 16384
PERF = "install linux-perf (Debian), linux-tools-generic (Ubuntu) or perf (Fedora)"
INFERNO = "run `cargo install inferno`, and have ~/.cargo/bin in PATH"


def main() -> None:
    args = arguments()
    need("perf", PERF)
    need("inferno-collapse-perf", INFERNO)
    need("inferno-flamegraph", INFERNO)
    generator = build(HERE / "head_to_head" / "lockstep", "lockstep")
    TARGET.mkdir(parents=True, exist_ok=True)
    server = Server(build_server(), args)
    try:
        for _ in range(TRIES):
            record(server, generator, args)
            if run(["perf", "script", "--fields", "comm", "--input", TARGET / "perf.data"]):
                break
            print("perf took no sample", flush=True)
        else:
            fail(f"perf took no sample in {TRIES} recordings of a server under load")
    finally:
        server.stop()
    draw(server, args)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", default="tiny-64-h1", help="a case of head_to_head/cases.py")
    parser.add_argument("--app", help="another app: a file with an `application`")
    parser.add_argument("--python", action="store_true", help="with the app's Python functions")
    parser.add_argument("--isolation", default="auto", help="auto, interpreter or process")
    parser.add_argument("--seconds", type=int, default=5, help="how long to record")
    parser.add_argument("--options", default="", help="more options for uwring, one text")
    args = parser.parse_args()
    fit = {
        case.name: case
        for case in CASES
        if case.load == "lockstep" and not (case.requires or case.idle or case.burns)
        # Those need what only head_to_head/run.py makes.
        and case.group not in ("files", "log", "nginx")
    }
    if args.case not in fit:
        fail(f"--case {args.case}: there are {', '.join(fit)}")
    args.case = fit[args.case]
    args.app = args.app or HERE / "head_to_head" / "apps" / f"{args.case.app}.py"
    if args.python:
        if sys.version_info < (3, 13):
            fail("--python needs Python 3.13 or newer")
        if args.isolation == "interpreter":
            fail("--python needs --isolation process: CPython does it in its main interpreter only")
        args.isolation = "process"
    return args


def build_server() -> Path:
    """uwring for the Python that runs this, with frame pointers."""
    target = TARGET / f"py3.{sys.version_info.minor}"
    flags = f"{os.environ.get('RUSTFLAGS', '')} -C force-frame-pointers=yes".strip()
    # A virtual environment's Python has no headers: the one that it is made of.
    python = getattr(sys, "_base_executable", sys.executable)
    more = {"PYO3_PYTHON": python, "CARGO_TARGET_DIR": str(target), "RUSTFLAGS": flags}
    command = ["cargo", "build", "--locked", "--profile", "profiling"]
    subprocess.run(command, cwd=ROOT, check=True, env=os.environ | more)
    return target / "profiling" / "uwring"


class Server:
    """A running server and where its output goes."""

    def __init__(self, uwring: Path, args: argparse.Namespace):
        command = [
            uwring, "--http-socket", "127.0.0.1:0", "--wsgi-file", args.app, "--need-app",
            "--processes", str(args.case.workers), "--threads", str(args.case.threads),
            "--isolation", args.isolation, "--disable-logging", *shlex.split(args.options),
        ]  # fmt: skip
        # CPython then writes /tmp/jit-PID.dump, in which `perf inject` finds its functions.
        more = {"PYTHON_PERF_JIT_SUPPORT": "1"} if args.python else {}
        self.log = TARGET / "server.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, stderr=log, stdout=log, env=os.environ | more)
        self.port = self.await_ready()
        self.pids = processes(self.process.pid)

    def await_ready(self) -> int:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and self.process.poll() is None:
            if found := re.search(r"uwring is ready:.* on 127\.0\.0\.1:(\d+)", self.read()):
                return int(found[1])
            time.sleep(0.05)
        self.process.kill()
        fail(f"the server did not start:\n{self.read()}")

    def read(self) -> str:
        return self.log.read_text(errors="replace")

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()


def processes(pid: int) -> list[int]:
    """A process and all its descendants."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid] + [each for child in children for each in processes(int(child))]


def record(server: Server, generator: Path, args: argparse.Namespace) -> None:
    case = args.case
    cores = sorted(os.sched_getaffinity(0))
    load = [
        generator, "--addr", f"127.0.0.1:{server.port}", "--connections", str(case.connections),
        "--headers", str(case.headers), "--pipeline", str(case.pipeline), "--path", case.path,
        "--core", str(cores[-1]), "--warmup", "1", "--seconds", str(args.seconds + 1),
        *(["--close"] if case.close else []),
    ]  # fmt: skip
    if case.body_bytes:
        body = TARGET / "body"
        body.write_bytes(bytes(case.body_bytes))
        load += ["--body", body]
    graph = f"dwarf,{STACK_BYTES}" if args.python else "fp"
    perf = [
        "perf", "record", "--event", event(), "--freq", FREQUENCY, "--call-graph", graph,
        "--clockid", "mono", "--no-buildid-cache", "--pid", ",".join(map(str, server.pids)),
        "--output", TARGET / "perf.data", "--", "sleep", str(args.seconds),
    ]  # fmt: skip
    loading = subprocess.Popen(load, stdout=subprocess.PIPE, text=True)
    # The generator warms up for a second.
    time.sleep(1.2)
    recorded = subprocess.run(perf, capture_output=True, text=True)
    output, _ = loading.communicate()
    if recorded.returncode != 0:
        fail(f"perf record:\n{recorded.stderr}")
    result = json.loads(output)
    if result["errors"] or result["hung"]:
        fail(f"the load: {result['first_failure']}")
    rate = result["requests"] / result["seconds"]
    print(f"{result['requests']} requests, {rate:.0f} a second while recorded")


def event() -> str:
    """Cycles where the machine counts them; a clock in most virtual ones."""
    command = ["perf", "stat", "--event", "cycles", "true"]
    counted = subprocess.run(command, capture_output=True, text=True)
    return "cpu-clock" if "<not" in counted.stderr or counted.returncode != 0 else "cycles"


def draw(server: Server, args: argparse.Namespace) -> None:
    data, folded, svg = TARGET / "perf.data", TARGET / "stacks.folded", TARGET / "flame.svg"
    if args.python:
        injected = TARGET / "perf.jit.data"
        run(["perf", "inject", "--jit", "--input", data, "--output", injected])
        injected.replace(data)
    script = run(["perf", "script", "--input", data])
    folded.write_bytes(run(["inferno-collapse-perf"], script))
    title = f"uwring, {Path(args.app).name}, {args.case.connections} connections"
    svg.write_bytes(run(["inferno-flamegraph", "--title", title], folded.read_bytes()))
    report = ["perf", "report", "--input", data, "--stdio", "--no-children", "--call-graph", "none"]
    rows = run([*report, "--sort", "comm,dso"]).decode(errors="replace").splitlines()
    print(*(row for row in rows if row.strip() and not row.startswith("#")), sep="\n")
    print(f"{svg.relative_to(ROOT)} for a browser, {folded.relative_to(ROOT)} for grep")
    # CPython's dumps, and what `perf inject` made of them for `perf script`.
    for pid in server.pids if args.python else []:
        for left in Path("/tmp").glob(f"jit*-{pid}[.-]*"):
            left.unlink()


def run(command: list, given: bytes | None = None) -> bytes:
    done = subprocess.run(command, input=given, capture_output=True)
    if done.returncode != 0:
        fail(f"{shlex.join(map(str, command))}:\n{done.stderr.decode(errors='replace')}")
    return done.stdout


def need(tool: str, cure: str) -> None:
    if not shutil.which(tool):
        fail(f"{tool} is missing: {cure}")


def fail(text: str) -> None:
    sys.exit(f"profile: {text}")


if __name__ == "__main__":
    main()
