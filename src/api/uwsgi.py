"""Makes the `uwsgi` module of one interpreter out of the server's facts and functions."""

import sys
import types


class Harakiri(BaseException):
    """Raised in a request that takes longer than it may, in workers that are interpreters.

    Not an Exception: an app that catches those must not go on.
    """

    __module__ = "uwsgi"


def install(facts, api, decorators):
    """`facts` become attributes as they are; `api`'s methods become functions."""
    module = types.ModuleType("uwsgi", "The server's own module, as uWSGI has it.")
    for name, value in facts.items():
        setattr(module, name, value)
    for name in dir(api):
        if not name.startswith("_"):
            setattr(module, name, getattr(api, name))

    def __getattr__(name):
        if name == "env":
            return api._environ()
        raise AttributeError("module 'uwsgi' has no attribute %r in this version" % name)

    module.__getattr__ = __getattr__
    module.Harakiri = Harakiri
    module.post_fork_hook = lambda: None
    # uWSGI: None until the app sets it.
    module.applications = None
    sys.modules["uwsgi"] = module

    class Finder:
        """Offers uwsgidecorators to `import`, so that it runs only where it is used."""

        @staticmethod
        def find_spec(fullname, path=None, target=None):
            if fullname != "uwsgidecorators":
                return None
            from importlib.machinery import ModuleSpec

            return ModuleSpec(fullname, Finder, origin="uwring")

        @staticmethod
        def create_module(spec):
            return None

        @staticmethod
        def exec_module(loaded):
            exec(compile(decorators, "uwring/uwsgidecorators.py", "exec"), loaded.__dict__)

    # Last: a uwsgidecorators of the app's own comes first.
    sys.meta_path.append(Finder)


def after_fork():
    """uWSGI calls `post_fork_hook` once in each worker."""
    hook = getattr(sys.modules.get("uwsgi"), "post_fork_hook", None)
    if callable(hook):
        hook()
