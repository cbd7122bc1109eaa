"""Puts one server under the load of a case, and what stands beside it: idle and burning ones."""

import json
import socket
import subprocess
import threading
import time
from contextlib import nullcontext
from pathlib import Path

import report
from burning import Burning
from check import Reader, is_closed
from server import Failed, Server

HERE = Path(__file__).resolve().parent
# wrk takes whole seconds.
WRK_SECONDS_MIN = 1
OPEN_SECONDS_MAX = 40


class Load:
    """The load of one case on one server."""

    def __init__(self, generator: Path, server: Server, case, args, cores: list, scratch: Path):
        self.generator, self.server, self.case, self.args = generator, server, case, args
        self.core = cores[0] if case.cores == "same" else cores[1]
        self.cores = cores
        self.scratch = scratch
        self.body = scratch / f"{case.body_bytes}.body"
        self.expected = scratch / f"{case.name}.expected"

    def lockstep(self, *more: str) -> list[str]:
        """The generator's command, for the request of the case."""
        case = self.case
        return [
            str(self.generator), "--addr", f"127.0.0.1:{self.server.port}",
            "--connections", str(case.connections), "--headers", str(case.headers),
            "--pipeline", str(case.pipeline), "--core", str(self.core),
            *(["--body", str(self.body)] if case.body_bytes else []),
            *(["--close"] if case.close else []),
            *(["--rate", str(case.rate)] if case.rate else []), *more,
        ]  # fmt: skip

    def request(self, path: str) -> bytes:
        """The bytes of the request, as the generator sends them."""
        command = self.lockstep("--path", path, "--show")
        return subprocess.run(command, capture_output=True, check=True).stdout

    def run(self) -> dict:
        """Measures; the columns that the load tells."""
        idle = Idle(self.server, self.request(self.case.path)) if self.case.idle else None
        row = {}
        try:
            if idle:
                row |= idle.open(self.case.idle, self.case.settle_s)
            with Burning(self) if self.case.burns else nullcontext():
                row |= self.wrk() if self.case.load == "wrk" else self.locked()
            if idle:
                row |= idle.survivors()
        finally:
            if idle:
                idle.close()
        return row

    def locked(self) -> dict:
        """Lockstep, or an open load: the server is sampled around the measured time only."""
        args = self.args
        command = self.lockstep(
            "--path", self.case.path, "--expect", str(self.expected), "--paced",
            "--warmup", str(args.warmup), "--seconds", str(args.seconds),
        )  # fmt: skip
        generator = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        patience = threading.Timer(args.warmup + args.seconds + 20, generator.kill)
        patience.start()
        try:
            if generator.stdout.readline() != "warm\n":
                raise Failed(f"the generator: {generator.stderr.read().strip() or 'no answer'}")
            before = self.server.usage()
            generator.stdin.write("\n")
            generator.stdin.flush()
            line = generator.stdout.readline()
            after = self.server.usage()
            if not line:
                raise Failed(f"the generator: {generator.stderr.read().strip() or 'it hung'}")
            return row_of(json.loads(line), before, after, self.server.pss_kib())
        finally:
            generator.stdin.close()
            generator.stdout.close()
            generator.stderr.close()
            generator.wait()
            patience.cancel()

    def wrk(self) -> dict:
        """wrk, after a warm-up in lockstep that checks each answer. It checks none itself but for
        the status, and its connections are opened within the measured time."""
        warmup = self.lockstep(
            "--path", self.case.path, "--expect", str(self.expected),
            "--seconds", str(self.args.warmup),
        )  # fmt: skip
        warm = json.loads(self.output_of(warmup))
        if warm["errors"] or warm["hung"]:
            raise Failed(f"while warming up: {warm['first_failure']}")
        request = self.scratch / "request"
        request.write_bytes(self.request(self.case.path))
        seconds = max(WRK_SECONDS_MIN, round(self.args.seconds))
        # Where the server has all cores, its clients have them too.
        is_free = self.case.cores == "free"
        where = ",".join(map(str, self.cores)) if is_free else str(self.core)
        command = [
            "taskset", "-c", where, "wrk",
            "--threads", str(self.case.workers if is_free else 1),
            "--connections", str(self.case.connections), "--duration", f"{seconds}s",
            "--timeout", "2s", "--script", str(HERE / "wrk.lua"),
            f"http://127.0.0.1:{self.server.port}/", "--", str(request),
        ]  # fmt: skip
        before = self.server.usage()
        output = self.output_of(command)
        after = self.server.usage()
        load = json.loads(output.splitlines()[-1])
        return row_of(load, before, after, self.server.pss_kib())

    def output_of(self, command: list[str]) -> str:
        try:
            ended = subprocess.run(
                command, capture_output=True, text=True, timeout=self.args.seconds + 30
            )
        except subprocess.TimeoutExpired:
            raise Failed(f"{Path(command[0]).name}: it hung") from None
        if ended.returncode != 0 or not ended.stdout.strip():
            raise Failed(f"the generator: {ended.stderr.strip() or 'no result'}")
        return ended.stdout


def row_of(load: dict, before, after, pss_kib: int) -> dict:
    cpu_ns, user_share, switches, source = after.since(before)
    requests = load["requests"]
    cpu_us = cpu_ns / 1000 / requests if requests else 0.0
    row = {name: load[name] for name in report.COLUMNS if name in load} | {
        "cpu_us_per_request": round(cpu_us, 3) if requests else "",
        "user_us_per_request": round(cpu_us * user_share, 3) if requests else "",
        "system_us_per_request": round(cpu_us * (1 - user_share), 3) if requests else "",
        "requests_per_second": round(requests / load["seconds"]),
        "switched_in_per_request": round(switches / requests, 3) if requests else "",
        "cpu_ns": cpu_ns,
        "cpu_source": source,
        "processes": len(after.user),
        "threads": len(after.threads),
        "pss_kib": pss_kib,
    }
    if load["errors"] or load["hung"] or not requests:
        first = load.get("first_failure") or "wrk counted errors"
        row["failure"] = f"{load['errors']} wrong, {load['hung']} late answers; first: {first}"
    return row


class Idle:
    """Connections that made one request each and are then idle."""

    def __init__(self, server: Server, request: bytes):
        self.server, self.request = server, request
        self.connections: list[socket.socket] = []

    def open(self, count: int, settle_s: float) -> dict:
        before = self.server.pss_kib()
        deadline = time.monotonic() + OPEN_SECONDS_MAX
        for number in range(count):
            self.server.must_run()
            if time.monotonic() > deadline:
                raise Failed(f"it took {number} of {count} connections in {OPEN_SECONDS_MAX} s")
            try:
                connection = socket.create_connection(("127.0.0.1", self.server.port), 5)
                self.connections.append(connection)
                connection.sendall(self.request)
                Reader(connection).read()
                # A socket with a timeout would wait for it before it tells that nothing came.
                connection.setblocking(False)
            except (OSError, EOFError) as error:
                raise Failed(f"idle connection {number + 1} of {count}: {error}") from error
        # Servers may shrink what an idle connection holds after a while.
        time.sleep(settle_s)
        grown = self.server.pss_kib() - before
        return {"idle_kib_each": round(grown / count, 3)} | self.survivors()

    def survivors(self) -> dict:
        """How many the server has not closed."""
        kept = sum(not is_closed(connection) for connection in self.connections)
        if kept < len(self.connections):
            raise Failed(f"it kept {kept} of {len(self.connections)} idle connections")
        return {"idle_kept": kept}

    def close(self) -> None:
        for connection in self.connections:
            connection.close()
