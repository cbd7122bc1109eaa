"""Notes, while the app is tried, what is being imported and what the verdict rests on."""

import importlib.machinery
import os
import sys

PLACE = 256  # Bytes at the start of the report's file: the module that is being imported.

running = []
opened = set()


def watch(report):
    """Writes the innermost module that runs its import to the file `report`, always.

    Whoever waits can then say where it hung or crashed.
    """

    def note():
        name = running[-1] if running else ""
        os.pwrite(report, name.encode("utf-8", "replace")[:PLACE].ljust(PLACE, b"\0"), 0)

    def surround(loader, method):
        original = getattr(loader, method)

        def surrounded(self, subject):
            # A spec when it is created, a module when it runs, which may have a `name` of its own.
            is_spec = isinstance(subject, importlib.machinery.ModuleSpec)
            running.append(subject.name if is_spec else subject.__name__)
            note()
            try:
                return original(self, subject)
            finally:
                running.pop()
                note()

        setattr(loader, method, surrounded)

    surround(importlib.machinery.SourceFileLoader, "exec_module")
    surround(importlib.machinery.SourcelessFileLoader, "exec_module")
    surround(importlib.machinery.ExtensionFileLoader, "create_module")
    surround(importlib.machinery.ExtensionFileLoader, "exec_module")
    sys.addaudithook(heard)


def heard(event, args):
    """Notes the files that are read, also those that are not there: one may come."""
    if event != "open":
        return
    path, _, flags = args
    if isinstance(flags, int) and flags & os.O_ACCMODE != os.O_RDONLY:
        return
    if isinstance(path, (str, bytes)):
        opened.add(os.fsencode(path))


def evidence():
    """The files that decided what was imported, and the folders where modules were looked for.

    Two bytes objects of absolute paths with a NUL after each.
    """
    files, folders = set(), {os.fsencode(entry) for entry in sys.path if isinstance(entry, str)}
    for path in opened:
        # A .pyc is made anew from its source, which is here too.
        if not path.endswith(b".pyc") and not path.startswith((b"/proc/", b"/sys/", b"/dev/")):
            files.add(path)
    for module in list(sys.modules.values()):
        try:
            names = vars(module)
            spec = names.get("__spec__")
            if spec is not None and spec.has_location:
                files.add(os.fsencode(spec.origin))
            if "__path__" in names:
                folders.update(os.fsencode(entry) for entry in names["__path__"])
        except Exception:
            pass  # Not a module, or a lazy one that fails when it is looked at.
    return [b"".join(os.path.abspath(p) + b"\0" for p in paths) for paths in (files, folders)]
