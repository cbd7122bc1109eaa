"""One server, from start to stop, and what its processes have used."""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

STOP_SECONDS = 3


class Failed(Exception):
    """This measurement cannot be made; the message says why."""


class Server:
    """A server and, if there is one, the nginx before it. Clients use `port`."""

    def __init__(self, port: int, log: Path):
        self.port = port
        self.log = log
        self.log.write_bytes(b"")
        self.started: list[subprocess.Popen] = []

    def start(self, command: list[str], folder: Path) -> None:
        env = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTHON", "UWSGI", "UWRING", "GRANIAN", "GUNICORN"))
        }
        with self.log.open("ab") as output:
            self.started.append(
                subprocess.Popen(
                    command, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=output,
                    stderr=subprocess.STDOUT, start_new_session=True,
                )  # fmt: skip
            )

    def must_run(self) -> None:
        for process in self.started:
            if process.poll() is not None:
                raise Failed(f"it ended with {process.returncode}: {self.last_words()}")

    def last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return " | ".join(lines[-3:]) or "it said nothing"

    def pids(self) -> list[int]:
        return sorted(pid for pid, _ in self.processes())

    def processes(self) -> set[tuple[int, str]]:
        """The process tree, each with its start time: its session, and all descendants."""
        roots = {process.pid for process in self.started}
        parents, started, found = {}, {}, set()
        for entry in os.listdir("/proc"):
            if entry.isdigit() and (fields := stat_of(int(entry))):
                pid = int(entry)
                parents[pid], started[pid] = int(fields[1]), fields[19]
                if roots & {pid, int(fields[3])}:
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
        # nginx first: nobody is left to ask the server for more.
        for process in reversed(self.started):
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
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
        self.user: dict[int, int] = {}
        self.system: dict[int, int] = {}
        for pid in pids:
            if fields := stat_of(pid):
                self.user[pid] = int(fields[11]) + int(fields[13])
                self.system[pid] = int(fields[12]) + int(fields[14])
            for task in tasks(pid):
                words = read(f"/proc/{pid}/task/{task}/schedstat").split()
                if words:
                    self.threads[pid, task] = int(words[0]), int(words[2])

    def since(self, before: "Usage") -> tuple[int, float, int, str]:
        """CPU ns, the user's share of it, times switched in, and which clock told the CPU.

        schedstat is exact, but a thread takes its own to the grave: when one has ended, the ticks
        (10 ms) of its process tell instead, or those of the process that waited for it. Only the
        ticks tell user from system time.
        """
        switches = sum(count for _, count in self.threads.values())
        switches -= sum(count for _, count in before.threads.values())
        user = sum(self.user.values()) - sum(before.user.values())
        system = sum(self.system.values()) - sum(before.system.values())
        share = user / (user + system) if user + system > 0 else 0.0
        if before.threads.keys() <= self.threads.keys():
            ns = sum(ns for ns, _ in self.threads.values())
            ns -= sum(ns for ns, _ in before.threads.values())
            return ns, share, switches, "schedstat"
        ns = (user + system) * 1_000_000_000 // os.sysconf("SC_CLK_TCK")
        return ns, share, switches, "ticks"


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
