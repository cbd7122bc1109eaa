"""Asks for a reload when the source of the app changes: a thread of worker 1, for development."""

import os
import sys
import threading
import time

# A cached module is taken as fresh if its source has the same size and second: two saves within a
# second would show the first one for ever.
sys.dont_write_bytecode = True


def start_autoreload(seconds, ignored, first):
    """Looks every `seconds`, but not at the modules named in `ignored`. `first` is the app's own
    file, which is no module if it could not be loaded."""
    watch = Watch(set(ignored), first)
    arguments = (watch, max(1, seconds))
    thread = threading.Thread(target=look, args=arguments, name="uwsgi autoreload", daemon=True)
    thread.start()


def look(watch, seconds):
    watch.changed()
    while True:
        time.sleep(seconds)
        try:
            path = watch.changed()
        except Exception as error:  # The app may do anything to sys.modules.
            api.log("[uwsgi-python-reloader] %r" % error)
            continue
        if path is not None:
            api.log("[uwsgi-python-reloader] %s has been modified, reloading" % path)
            api.reload()


class Watch:
    """The state of all files at the last look."""

    def __init__(self, ignored, first):
        self.ignored, self.first = ignored, first
        self.seen = {}
        # What is installed changes less, but it changes: only new files of it are not looked for.
        self.installed = tuple(
            os.path.join(prefix, "lib") for prefix in {sys.prefix, sys.base_prefix}
        )

    def files(self):
        """Modules, and what lies beside those of the app: one that a broken module did not get to
        import is not known yet."""
        found = {os.path.abspath(self.first)} if self.first else set()
        folders = {os.path.dirname(path) for path in found}
        for name, module in list(sys.modules.items()):
            path = getattr(module, "__file__", None)
            if not isinstance(path, str) or name in self.ignored:
                continue
            path = os.path.abspath(path[:-1] if path.endswith((".pyc", ".pyo")) else path)
            found.add(path)
            if not path.startswith(self.installed):
                folders.add(os.path.dirname(path))
        if not folders:
            folders.add(os.getcwd())
        for folder in folders:
            try:
                names = os.listdir(folder)
            except OSError:
                continue
            found.update(
                os.path.join(folder, name)
                for name in names
                if name.endswith(".py") and name[:-3] not in self.ignored
            )
        return found

    def changed(self):
        """A file that differs from the last look; a module that is new to it does not count, a file
        that somebody has just written does."""
        changed = None
        first_look = not self.seen
        for path in self.files():
            try:
                found = os.stat(path)
            except OSError:
                continue
            state = (found.st_mtime_ns, found.st_ino, found.st_size)
            before = self.seen.get(path)
            is_fresh = before is None and time.time() - found.st_mtime < 10
            if not first_look and before != state and (before is not None or is_fresh):
                changed = path
            self.seen[path] = state
        return changed
