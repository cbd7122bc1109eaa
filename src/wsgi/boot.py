"""Prepares an interpreter for the app and loads it. Runs before any code of the app."""

import importlib
import importlib.machinery
import importlib.util
import io
import os
import sys


def prepare(paths):
    """Opens stdout and stderr on descriptor 2 and puts `paths` in front of sys.path.

    Both are line-buffered, so that a line is whole in the log whoever else writes to it.
    """
    for name in ("stdout", "stderr"):
        raw = io.FileIO(2, "w", closefd=False)
        stream = io.TextIOWrapper(
            io.BufferedWriter(raw),
            encoding="utf-8",
            errors="backslashreplace",
            line_buffering=True,
        )
        setattr(sys, name, stream)
        setattr(sys, "__%s__" % name, stream)
    for path in reversed(paths):
        if path in sys.path:
            sys.path.remove(path)
        sys.path.insert(0, path)


def speak_of_exits():
    """In an interpreter os._exit ends all others too: it says so, and never that all was well."""
    try:
        import _interpreters

        if _interpreters.get_current()[0] == _interpreters.get_main()[0]:
            return
    except (ImportError, AttributeError, TypeError):
        return  # Its functions are nobody's promise.
    leave = os._exit

    def _exit(status):
        caller = sys._getframe().f_back
        place = " at %s:%d" % (caller.f_code.co_filename, caller.f_lineno) if caller else ""
        message = "os._exit(%r)%s ends the whole process, with all its interpreters\n"
        os.write(2, (message % (status, place)).encode(errors="backslashreplace"))
        leave(status or 1)

    os._exit = _exit


def load_file(path, name=None):
    """Loads a .py or .wsgi file as the module that uWSGI names after it, or as `name`."""
    name = name or "uwsgi_file_" + path.removesuffix(".py").replace("/", "_").replace(".", "_")
    loader = importlib.machinery.SourceFileLoader(name, path)
    spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


def import_beside(names):
    """Imports modules, or files as modules, before the app. What fails is told and left out."""
    for name in names:
        try:
            if name.endswith(".py"):
                load_file(name, os.path.basename(name)[:-3])
            else:
                importlib.import_module(name)
        except Exception:
            import traceback

            traceback.print_exc()


def alias(name, target):
    """Makes `import name` give the module `target`, or the file where it is a path."""
    if "/" in target:
        load_file(target, name)
    else:
        sys.modules[name] = importlib.import_module(target)


def load(module, file, callable_name):
    """Returns the app: `pkg.mod`, `pkg.mod:name`, `pkg.mod:factory()`, or a file's callable."""
    name = callable_name or "application"
    if module is not None:
        module, colon, given = module.partition(":")
        if colon and given:
            name = given
        found = importlib.import_module(module)
        where = "module " + module
    else:
        found = load_file(file)
        where = "file " + file
    return find(name, found, where)


def load_paste(uri, logger):
    """Returns the app that PasteDeploy makes; the Paste file `logger` says how to log."""
    try:
        from paste.deploy import loadapp
    except ModuleNotFoundError:
        raise LookupError("paste: this Python has no PasteDeploy (pip install PasteDeploy)") from None
    if logger is not None:
        from logging.config import fileConfig

        logger = os.path.abspath(logger)
        names = {"__file__": logger, "here": os.path.dirname(logger)}
        fileConfig(logger, names, disable_existing_loggers=False)
    return loadapp(uri, relative_to=os.getcwd())


def load_code(code, callable_name):
    """Runs code as a module of its own and returns its callable."""
    import types

    module = types.ModuleType("uwsgi_eval")
    sys.modules["uwsgi_eval"] = module
    exec(compile(code, "<eval>", "exec"), module.__dict__)
    return find(callable_name or "application", module, "eval")


def find(name, found, where):
    """Returns the app `name` of a module, or what its factory `name()` makes."""
    make = name.endswith("()")
    target = found
    for part in name[:-2].split(".") if make else name.split("."):
        try:
            target = getattr(target, part)
        except AttributeError:
            raise LookupError('unable to find "%s" callable in %s' % (name, where)) from None
    app = target() if make else target
    if not callable(app):
        raise LookupError('"%s" in %s is not callable' % (name, where))
    return app


def name_thread(worker, core):
    """uWSGI: the name that logs show, in an app that can ask for one."""
    threading = sys.modules.get("threading")
    if threading is not None:
        # Not by the property, which renames the kernel's thread too (3.14).
        threading.current_thread()._name = "uWSGIWorker%dCore%d" % (worker, core)


refused = []


def watch_extensions():
    """Notes the extension modules that fail to load, also where the app swallows the error."""
    loader = importlib.machinery.ExtensionFileLoader
    create, execute = loader.create_module, loader.exec_module

    def create_module(self, spec):
        try:
            return create(self, spec)
        except ImportError as error:
            note(spec.name, error)
            raise

    def exec_module(self, module):
        try:
            return execute(self, module)
        except BaseException as error:
            note(getattr(module.__spec__, "name", module.__name__), error)
            raise

    loader.create_module, loader.exec_module = create_module, exec_module


def note(name, error):
    refused.append([name, "%s: %s" % (type(error).__name__, error)])
    if report is not None:
        report(name, refused[-1][1])


# Told of each module that fails to load while requests are served.
report = None


def report_refusals(function):
    global report
    report = function


def flush():
    """Writes out what print() left in the buffers."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            pass


def leave():
    """Runs what the app registered for its end, then flushes."""
    import atexit

    hook = getattr(sys.modules.get("uwsgi"), "atexit", None)
    if callable(hook):
        try:
            hook()
        except Exception:
            import traceback

            traceback.print_exc()
    atexit._run_exitfuncs()
    flush()


def end_child(error):
    """Says good-bye as Python does at its end; the exit code."""
    code = error.code if isinstance(error, SystemExit) else error
    if code is None:
        code = 0
    elif isinstance(code, BaseException):
        import traceback

        traceback.print_exception(type(code), code, code.__traceback__)
        code = 1
    elif not isinstance(code, int):
        print(code, file=sys.stderr)
        code = 1
    leave()
    return code & 255


# Allocations since the last collection from which on one is worth while: with nothing else to do,
# and in any case.
IDLE, BUSY = 700, 20000
collections = 0


def manage():
    """Leaves the time of collections to `tidy`."""
    import gc

    gc.disable()


def tidy():
    """Collects when it is due and nothing else is to do. Older generations each tenth time."""
    collect(IDLE)


def tidy_at_work():
    """The bound: garbage does not grow for ever while requests wait."""
    collect(BUSY)


def collect(limit):
    import gc

    global collections
    if gc.get_count()[0] < limit:
        return
    collections += 1
    gc.collect(2 if collections % 100 == 0 else 1 if collections % 10 == 0 else 0)


def freeze():
    """Moves what the app's import made out of the collector's sight: full collections need not walk
    it, and forks share its pages."""
    import gc

    gc.collect()
    gc.freeze()
