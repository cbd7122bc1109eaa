"""Two long requests that compute beside the load of a case."""

import socket
import time

from check import Answer, Reader
from server import Failed

TRIES = 60
# How long it is watched whether both compute, and how much of two cores that must show.
WATCHED_S = 0.2
SHARE = 0.7
# What starting the load may take beside them.
SPARE_S = 3


class Burning:
    """They compute from `with` on, until after the end of the measurement.

    On uwring they are on connections of one shard. The app names the worker that answered: worker w
    belongs to shard (w - 1) mod shards, and there are as many shards as cores, at most one for each
    worker. Other servers that keep connections get them in two processes, since each connection
    belongs to one; those that close are asked anew, and a worker that is free takes it.
    """

    def __init__(self, load):
        self.load = load
        self.connections: list[socket.socket] = []

    def __enter__(self):
        port, args = self.load.server.port, self.load.args
        try:
            self.connections = self.two()
            ms = round((args.warmup + args.seconds + SPARE_S) * 1000)
            for connection in self.connections:
                connection.sendall(question(port, f"/burn/{ms}"))
            self.must_compute()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind, *_):
        try:
            for connection in self.connections if kind is None else []:
                connection.setblocking(False)
                if has_answer(connection):
                    # As where a connection of the load belongs to a process that computes.
                    raise Failed("a long request ended first: the load waited for it")
        finally:
            self.close()

    def close(self) -> None:
        for connection in self.connections:
            connection.close()

    def two(self) -> list[socket.socket]:
        port = self.load.server.port
        shards = min(len(self.load.cores), self.load.case.workers)
        by_shard: dict[int, list[socket.socket]] = {}
        by_process: dict[bytes, socket.socket] = {}
        opened, found = [], []
        try:
            for _ in range(TRIES):
                connection = socket.create_connection(("127.0.0.1", port), 5)
                opened.append(connection)
                answer = ask(connection, port, "/where")
                if closes(connection):
                    found = [socket.create_connection(("127.0.0.1", port), 5) for _ in range(2)]
                    return found
                word, _, number = answer.body.partition(b" ")
                if word == b"worker":
                    of_shard = by_shard.setdefault((int(number) - 1) % shards, [])
                    of_shard.append(connection)
                    found = of_shard
                else:
                    by_process.setdefault(number, connection)
                    found = list(by_process.values())
                if len(found) == 2:
                    return found
            raise Failed(f"none of {TRIES} connections were such a pair")
        finally:
            for connection in opened:
                if len(found) != 2 or connection not in found:
                    connection.close()

    def must_compute(self) -> None:
        time.sleep(0.05)
        before, start = self.load.server.usage(), time.monotonic()
        time.sleep(WATCHED_S)
        ns = self.load.server.usage().since(before)[0]
        share = ns / 1e9 / (time.monotonic() - start) / 2
        if share < SHARE:
            raise Failed(f"the long requests take {share:.0%} of two cores")


def closes(connection: socket.socket) -> bool:
    """Whether the server closes the connection behind its answer."""
    connection.settimeout(0.05)
    try:
        return connection.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:
        return True
    finally:
        connection.settimeout(5)


def has_answer(connection: socket.socket) -> bool:
    try:
        connection.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def question(port: int, path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()


def ask(connection: socket.socket, port: int, path: str) -> Answer:
    connection.sendall(question(port, path))
    try:
        return Reader(connection).read()
    except (OSError, EOFError) as error:
        raise Failed(f"{path}: {error}") from error
