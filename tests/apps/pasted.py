"""An app as PasteDeploy makes it: it tells its settings, and writes to the log."""

import json
import logging


def make(global_conf, **settings):
    def application(environ, start_response):
        logging.getLogger("pasted").warning("asked for %s", environ["PATH_INFO"])
        told = {"global": sorted(global_conf), "settings": settings}
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(told).encode()]

    return application


def pyramid(global_conf, **settings):
    from pyramid.config import Configurator
    from pyramid.response import Response

    with Configurator(settings=settings) as config:
        config.add_route("hello", "/hello/{name}")
        greeting = settings["greeting"]
        config.add_view(
            lambda request: Response("%s %s" % (greeting, request.matchdict["name"])),
            route_name="hello",
        )
        return config.make_wsgi_app()
