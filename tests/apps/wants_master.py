"""Loads only where there is a master, as uWSGI's own uwsgidecorators do."""
import uwsgi

if uwsgi.masterpid() == 0:
    raise Exception("you have to enable the master process")


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]
