"""Answers with the status of the path and a body: /status/204."""


def application(environ, start_response):
    code = environ["PATH_INFO"].split("/")[2]
    fields = [("Content-Type", "text/plain")]
    if "length" in environ["QUERY_STRING"]:
        fields.append(("Content-Length", "4"))
    start_response(code + " Because", fields)
    return [b"body"] if "generated" not in environ["QUERY_STRING"] else iter([b"bo", b"dy"])
