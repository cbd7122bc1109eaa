"""Sends as many bytes as the path says, in pieces of the second number: /large/1000000/65536."""


def application(environ, start_response):
    parts = environ["PATH_INFO"].split("/")
    total, piece = int(parts[2]), int(parts[3])
    fields = [("Content-Type", "text/plain")]
    if "length" in environ["QUERY_STRING"]:
        fields.append(("Content-Length", str(total)))
    start_response("200 OK", fields)
    if piece == 0:
        return [b"x" * total]
    whole = b"x" * piece
    return (whole[: total - at] for at in range(0, total, piece))
