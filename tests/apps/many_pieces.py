"""A list of pieces with bytes that tell where they stand: /many_pieces/COUNT/BYTES."""


def application(environ, start_response):
    _, _, count, size = environ["PATH_INFO"].split("/")
    mark = environ["QUERY_STRING"].encode()
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return [(b"%s.%d." % (mark, number)).ljust(int(size), b"-") for number in range(int(count))]
