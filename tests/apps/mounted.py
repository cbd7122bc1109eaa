"""Several apps that say who they are and what they were told of their place."""


def named(name):
    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        told = [name, environ.get("SCRIPT_NAME", ""), environ.get("PATH_INFO", "")]
        return ["|".join(told).encode("latin-1")]

    return application


one, two, deep = named("one"), named("two"), named("deep")
application = named("main")


def make():
    return named("made")
