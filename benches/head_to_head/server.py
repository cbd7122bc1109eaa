"""One server, from start to stop, and what its processes have used."""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

READY_SECONDS = 15
STOP_SECONDS = 3


class Failed(Exception):
    """This measurement cannot be made; the message says why."""


class Server:
    def __init__(self, command: list[str], folder: Path, port: int, log: Path):
        self.port = port
        self.log = log
        env = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTHON", "UWSGI", "UWRING", "GRANIAN", "GUNICORN"))
        }
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                command, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    def wait_until_ready(self, path: str, expected: bytes) -> None:
        deadline = time.monotonic() + READY_SECONDS
        why = "nobody listens"
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise Failed(f"it ended with {self.process.returncode}: {self.last_words()}")
            try:
                if ask(self.port, path, expected):
                    return
                why = "the answer is another"
            except OSError as error:
                why = str(error)
            time.sleep(0.02)
        raise Failed(f"not ready after {READY_SECONDS} s: {why}: {self.last_words()}")

    def last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return " | ".join(lines[-3:]) or "it said nothing"

    def pids(self) -> list[int]:
        return sorted(pid for pid, _ in self.processes())

    def processes(self) -> set[tuple[int, str]]:
        """The process tree, each with its start time: its session, and all descendants."""
        parents, started, found = {}, {}, set()
        for entry in os.listdir("/proc"):
            if entry.isdigit() and (fields := stat_of(int(entry))):
                pid = int(entry)
                parents[pid], started[pid] = int(fields[1]), fields[19]
                if self.process.pid in (pid, int(fields[3])):
                    found.add(pid)
        while more := {pid for pid, parent in parents.items() if parent in found} - found:
            found |= more
        return {(pid, started[pid]) for pid in found}

    def usage(self) -> "Usage":
        return Usage(self.pids())

    def pss_kib(self) -> int:
        total = 0
        for pid in self.pids():
            for line in read(f"/proc/{pid}/smaps_rollup").splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
        return total

    def cores(self) -> set[str]:
        """Where its threads may run, as the kernel writes it."""
        return {
            line.split()[1]
            for pid in self.pids()
            for task in tasks(pid)
            for line in read(f"/proc/{pid}/task/{task}/status").splitlines()
            if line.startswith("Cpus_allowed_list:")
        }

    def stop(self) -> None:
        seen = self.processes()
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        # Workers may outlive their parent.
        deadline = time.monotonic() + 0.5
        while (left := self.left_of(seen)) and time.monotonic() < deadline:
            time.sleep(0.02)
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def left_of(self, seen: set[tuple[int, str]]) -> list[int]:
        return [
            pid
            for pid, started in seen | self.processes()
            if (fields := stat_of(pid)) and fields[19] == started
        ]


class Usage:
    """What a set of processes has used up to now."""

    def __init__(self, pids: list[int]):
        # On-CPU ns and times switched in, by thread; and by process the user and system time,
        # which holds those of ended threads and of children that were waited for.
        self.threads: dict[tuple[int, str], tuple[int, int]] = {}
        self.ticks: dict[int, int] = {}
        for pid in pids:
            if fields := stat_of(pid):
                self.ticks[pid] = sum(int(field) for field in fields[11:15])
            for task in tasks(pid):
                words = read(f"/proc/{pid}/task/{task}/schedstat").split()
                if words:
                    self.threads[pid, task] = int(words[0]), int(words[2])

    def since(self, before: "Usage") -> tuple[int, int, str]:
        """CPU ns, times switched in, and which clock told the CPU.

        schedstat is exact, but a thread takes its own to the grave: when one has ended, the ticks
        (10 ms) of its process tell instead.
        """
        switches = sum(count for _, count in self.threads.values())
        switches -= sum(count for _, count in before.threads.values())
        if before.threads.keys() <= self.threads.keys():
            ns = sum(ns for ns, _ in self.threads.values())
            return ns - sum(ns for ns, _ in before.threads.values()), switches, "schedstat"
        ticks = sum(self.ticks.values()) - sum(before.ticks.values())
        return ticks * 1_000_000_000 // os.sysconf("SC_CLK_TCK"), switches, "ticks"


def ask(port: int, path: str, expected: bytes) -> bool:
    """Makes one request; tells whether the answer ends as it should."""
    with socket.create_connection(("127.0.0.1", port), 2) as connection:
        request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n"
        connection.sendall(request.encode())
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
            # Not every server closes when asked to.
            if answer.endswith(b"\r\n\r\n" + expected):
                return True
        return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def stat_of(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on; none for what has ended."""
    fields = read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return fields if fields and fields[0] not in "ZX" else []


def tasks(pid: int) -> list[str]:
    try:
        return os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []


def read(path: str) -> str:
    # A process may end between being listed and being read.
    try:
        with open(path, errors="replace") as file:
            return file.read()
    except OSError:
        return ""
