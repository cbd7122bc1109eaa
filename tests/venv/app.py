import sys

import flask

app = flask.Flask(__name__)


@app.route("/")
def where():
    return "%d.%d %s %s" % (sys.version_info[0], sys.version_info[1], sys.prefix,
                            flask.__file__.startswith(sys.prefix))
