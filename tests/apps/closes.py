"""Returns an iterable whose close() says so in the log; it ends as the path says."""
import sys


class Body:
    def __init__(self, end, mark):
        self.end, self.mark, self.count = end, mark, 0

    def __iter__(self):
        return self

    def __next__(self):
        self.count += 1
        if self.end == "raises" and self.count == 2 or self.end == "raises_first":
            raise RuntimeError(self.mark)
        if self.end != "endless" and self.count == 3:
            raise StopIteration
        return b"part%d" % self.count if self.end != "endless" else b"x" * 10000

    def close(self):
        print("closed", self.mark, file=sys.stderr)
        if self.end == "close_raises":
            raise RuntimeError("in close " + self.mark)


def application(environ, start_response):
    end = environ["PATH_INFO"].rsplit("/", 1)[1]
    length = [("Content-Length", "3")] if end == "length_small" else []
    start_response("200 OK", [("Content-Type", "text/plain")] + length)
    return Body(end, environ["QUERY_STRING"])
