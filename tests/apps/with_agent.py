"""Starts the monitoring agent that AGENT names, as its manual says for uWSGI."""
import os
from contextlib import suppress

import uwsgi

AGENT = os.environ["AGENT"]
COUNTS = []
SHOW = {"/": AGENT.encode}


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    for counter in COUNTS:
        counter.inc()
    return [SHOW[environ["PATH_INFO"]]()]


if AGENT == "newrelic":
    import newrelic.agent
    newrelic.agent.global_settings().developer_mode = True
    newrelic.agent.register_application(timeout=0)
    application = newrelic.agent.WSGIApplicationWrapper(application)
elif AGENT == "ddtrace":
    from ddtrace.internal import uwsgi as checks
    with suppress(checks.uWSGIMasterProcess):  # It goes on in the workers, after the fork.
        checks.check_uwsgi(lambda: None)
elif AGENT == "sentry_sdk":
    import sentry_sdk
    sentry_sdk.init(dsn="http://key@127.0.0.1:9/1")
else:
    import prometheus_client
    from prometheus_client import multiprocess, values
    values.ValueClass = values.MultiProcessValue(process_identifier=uwsgi.worker_id)
    COUNTS.append(prometheus_client.Counter("requests", "All."))
    registry = prometheus_client.CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)
    SHOW["/metrics"] = lambda: prometheus_client.generate_latest(registry)
