"""Makes the `uwsgi` module of one interpreter out of the server's facts and functions."""

import sys
import types


class Harakiri(BaseException):
    """Raised in a request that takes longer than it may, in workers that are interpreters.

    Not an Exception: an app that catches those must not go on.
    """

    __module__ = "uwsgi"


def install(facts, functions, decorators):
    """`facts` become attributes as they are; the methods of `functions`, too."""
    global api
    api = functions
    module = types.ModuleType("uwsgi", "The server's own module, as uWSGI has it.")
    for name, value in facts.items():
        setattr(module, name, value)
    for name in dir(api):
        if not name.startswith("_"):
            setattr(module, name, getattr(api, name))
    for function in (
        register_signal,
        signal_registered,
        signal,
        signal_wait,
        signal_received,
        add_timer,
        add_rb_timer,
        add_cron,
        add_file_monitor,
        accepting,
        ready,
        i_am_the_spooler,
        suspend,
        logsize,
    ):
        setattr(module, function.__name__, function)

    def __getattr__(name):
        if name == "env":
            return api._environ()
        if name == "magic_table":
            module.magic_table = magic_table(module)
            return module.magic_table
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


def stay_at_home():
    """Keeps what looks at all threads of the process to those of this interpreter: profilers and
    agents ask for their frames, and CPython's own functions reach into other interpreters, which
    breaks the process."""
    from _thread import get_ident

    def _current_exceptions():
        """The exception that this thread handles, and None for each other thread."""
        found = dict.fromkeys(api._current_frames())
        found[get_ident()] = sys.exc_info()[1]
        return found

    sys._current_frames = api._current_frames
    sys._current_exceptions = _current_exceptions


def after_fork():
    """uWSGI calls `post_fork_hook` once in each worker."""
    state["entered"] = True
    try:
        hook = getattr(sys.modules.get("uwsgi"), "post_fork_hook", None)
        if callable(hook):
            hook()
    finally:
        start_thread()


def accepting():
    """uWSGI: says that a worker serves from here on. Here the server knows by itself."""


def ready():
    """Whether all workers have loaded the app."""
    return all(worker["status"] != b"cheap" for worker in api.workers())


def i_am_the_spooler():
    """Only a spooler's process is one."""
    return None


def suspend(*_):
    """uWSGI: gives way to the other requests of an async core. A thread has none."""
    return True


def logsize():
    """Bytes of the log, if it is a file; else 0."""
    import os
    import stat

    opt = sys.modules["uwsgi"].opt
    log = next((opt[name] for name in ("logto2", "logto", "daemonize") if name in opt), 2)
    try:
        found = os.stat(log)
    except OSError:
        return 0
    return found.st_size if stat.S_ISREG(found.st_mode) else 0


def magic_table(module):
    """The variables of configuration files (uWSGI: `%h` and its like) that say something here."""
    import grp
    import os
    import pwd
    import time

    def name(find, number):
        try:
            return find(number)[0]
        except KeyError:
            return str(number)

    uid, gid, now = os.getuid(), os.getgid(), time.time()
    table = {
        "%": "%",
        "(": "%(",
        "[": "\x1b",
        "G": name(grp.getgrgid, gid),
        "T": "%d" % (now * 1000000),
        "U": name(pwd.getpwuid, uid),
        "V": module.version.decode(),
        "g": "%d" % gid,
        "h": module.hostname.decode(),
        "k": "%d" % os.cpu_count(),
        "t": "%d" % now,
        "u": "%d" % uid,
        "v": os.getcwd(),
    }
    return {os.fsencode(key): os.fsencode(value) for key, value in table.items()}
