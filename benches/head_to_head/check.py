"""Is a server's answer the app's, byte for byte? Asked before each measurement."""

import json
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from server import Failed, Server

READY_SECONDS = 30
# A server that is starting may answer otherwise for a moment, as nginx does with 502.
WRONG_SECONDS = 1.5
PATIENCE_S = 5
# Bytes of a wrong body that are told.
SHOWN = 60


class Unfit(Failed):
    """The server does not do what the case asks: it is not timed."""


@dataclass(frozen=True)
class Expected:
    status: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @classmethod
    def read(cls, path: Path) -> "Expected":
        head = json.loads(Path(f"{path}.json").read_text())
        headers = tuple((name, value) for name, value in head["headers"])
        return cls(head["status"], headers, path.read_bytes())

    def fault_of(self, answer: "Answer") -> str:
        """What is wrong with an answer; nothing if it is the app's."""
        if answer.status != self.status.split()[0]:
            return f"the status is {answer.status}, not {self.status.split()[0]}"
        if answer.body != self.body:
            if len(answer.body) < SHOWN:
                return f"the body is {answer.body!r}, not {self.body[:SHOWN]!r}"
            return f"the body differs: {len(answer.body)} bytes for {len(self.body)}"
        for name, value in self.headers:
            got = [v for n, v in answer.headers if n == name.lower()]
            # A server may frame by chunks what the app gave a length.
            if name.lower() == "content-length" and not got:
                continue
            if value not in got:
                return f"the header {name} is {', '.join(got) or 'missing'}, not {value}"
        return ""


@dataclass(frozen=True)
class Answer:
    status: str
    headers: list[tuple[str, str]]
    body: bytes


def wait_until_right(server: Server, questions: list[tuple[bytes, Expected, int]]) -> None:
    """Waits until the server answers each of the requests as the app does, as often as it says."""
    start, first_wrong = time.monotonic(), 0.0
    why = "nobody listens"
    left = list(questions)
    while left:
        server.must_run()
        now = time.monotonic()
        if now - start > READY_SECONDS:
            raise Unfit(f"not ready after {READY_SECONDS} s: {why}: {server.last_words()}")
        if first_wrong and now - first_wrong > WRONG_SECONDS:
            raise Unfit(f"check of the answer: {why}")
        request, expected, count = left[0]
        try:
            why = fault(server.port, request, expected, count)
            if not why:
                left.pop(0)
                first_wrong = 0.0
                continue
            first_wrong = first_wrong or now
        except OSError as error:
            # It does not listen yet, or is still loading the app.
            why = f"{error}"
        time.sleep(0.02)


def fault(port: int, request: bytes, expected: Expected, count: int) -> str:
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        connection.settimeout(PATIENCE_S)
        connection.sendall(request * count)
        reader = Reader(connection)
        for number in range(1, count + 1):
            try:
                answer = reader.read()
            except TimeoutError:
                if number == 1 and not reader.rest:
                    raise
                return f"no whole answer {number} of {count} within {PATIENCE_S} s"
            except (EOFError, ValueError) as error:
                part = f"answer {number} of {count} pipelined: " if count > 1 else ""
                return f"{part}{error}"
            if why := expected.fault_of(answer):
                return why
        if reader.rest:
            return f"{len(reader.rest)} bytes after the answer"
    return ""


class Reader:
    """Takes answers from a connection, one after the other."""

    def __init__(self, connection: socket.socket):
        self.connection = connection
        self.rest = b""

    def more(self) -> None:
        piece = self.connection.recv(1 << 18)
        if not piece:
            raise EOFError("the connection ends before the answer does")
        self.rest += piece

    def take(self, count: int) -> bytes:
        while len(self.rest) < count:
            self.more()
        taken, self.rest = self.rest[:count], self.rest[count:]
        return taken

    def line(self) -> bytes:
        while b"\r\n" not in self.rest:
            self.more()
        line, _, self.rest = self.rest.partition(b"\r\n")
        return line

    def read(self) -> Answer:
        status = self.line().decode("latin-1").split(" ")[1]
        headers = []
        while line := self.line().decode("latin-1"):
            name, _, value = line.partition(":")
            headers.append((name.strip().lower(), value.strip()))
        named = dict(headers)
        if "chunked" in named.get("transfer-encoding", "").lower():
            body = b"".join(self.chunks())
        elif "content-length" in named:
            body = self.take(int(named["content-length"]))
        else:
            body = self.until_close()
        return Answer(status, headers, body)

    def chunks(self):
        while size := int(self.line().split(b";")[0], 16):
            yield self.take(size)
            self.line()
        while self.line():
            pass

    def until_close(self) -> bytes:
        try:
            while True:
                self.more()
        except EOFError:
            body, self.rest = self.rest, b""
            return body


def is_closed(connection: socket.socket) -> bool:
    """Asked of one that does not block. Bytes that wait do not count."""
    try:
        return connection.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
