"""Sets uwsgi.post_fork_hook itself."""
import uwsgi

CALLED = []
uwsgi.post_fork_hook = lambda: CALLED.append(uwsgi.worker_id())


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"%r in %d" % (CALLED, uwsgi.worker_id())]
