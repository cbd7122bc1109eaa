"""Says what the module uwsgi offers: kinds of values, as JSON."""
import json

import uwsgi

NAMES = ["version", "version_info", "opt", "numproc", "worker_id", "masterpid", "applications", "log", "env"]


def application(environ, start_response):
    answer = {name: type(getattr(uwsgi, name, None)).__name__ for name in NAMES}
    answer["log"] = callable(uwsgi.log)
    answer["worker_id_value"] = uwsgi.worker_id()
    answer["numproc_value"] = uwsgi.numproc
    answer["colour"] = repr(uwsgi.opt.get("colour"))
    answer["version_parts"] = len(uwsgi.version_info)
    answer["env_is_environ"] = uwsgi.env is environ
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(answer).encode()]
