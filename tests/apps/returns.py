"""Returns iterables of many kinds, by the path."""
import sys


class Iterator:
    def __init__(self):
        self.left = [b"lo", b"hel"]

    def __iter__(self):
        return self

    def __next__(self):
        if self.left:
            return self.left.pop()
        raise StopIteration


class Indexed:
    def __getitem__(self, index):
        return [b"he", b"llo"][index]


class Closing(list):
    def close(self):
        print("list subclass closed", file=sys.stderr)


KINDS = {
    "bytes": lambda: b"hello", "list": lambda: [b"hel", b"lo"], "tuple": lambda: (b"hello",),
    "generator": lambda: (piece for piece in (b"hel", b"lo")), "iterator_class": Iterator,
    "getitem_class": Indexed, "list_subclass": lambda: Closing([b"hel", b"lo"]),
    "bytearray_no": lambda: [bytearray(b"hello")], "empty_list": list,
    "none_in_list": lambda: [None, b"hello"], "str_in_list": lambda: ["h\u00e9llo"],
}


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    return KINDS[environ["PATH_INFO"].rsplit("/", 1)[1]]()
