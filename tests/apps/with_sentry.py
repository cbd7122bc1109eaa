"""Flask with Sentry's SDK, whose daemon thread sends what is raised to $COLLECTOR."""
import os
import threading

import flask
import sentry_sdk
from sentry_sdk.integrations.flask import FlaskIntegration

sentry_sdk.init(dsn="http://key@%s/1" % os.environ["COLLECTOR"], auto_enabling_integrations=False,
                integrations=[FlaskIntegration()], traces_sample_rate=1.0,
                _experiments={"transport_compression_level": 0})
app = flask.Flask(__name__)


@app.get("/raises")
def raises():
    raise KeyError("seen by Sentry")


@app.get("/threads")
def threads():
    return " ".join(sorted(t.name for t in threading.enumerate() if t.daemon))
