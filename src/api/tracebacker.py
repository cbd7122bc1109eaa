"""Shows the Python stacks of a worker to whoever connects to its socket: `py-tracebacker`."""

import linecache
import os
import socket
import stat
import sys
import threading
import time

TITLE = "*** uWSGI Python tracebacker output ***\n\n"
# Connections that wait while one is served.
WAITING_MAX = 8
# A reader that takes nothing for so long is left.
TIMEOUT_S = 5


def start_tracebacker(prefix):
    """Listens on `prefix` and the worker's number, in a thread of this worker."""
    path = "%s%d" % (prefix, api.worker_id())
    listener = socket.socket(socket.AF_UNIX)
    try:
        # A worker before this one may have left its own.
        if os.path.lexists(path) and stat.S_ISSOCK(os.lstat(path).st_mode):
            os.unlink(path)
        listener.bind(path)
        listener.listen(WAITING_MAX)
    except OSError as error:
        listener.close()
        api.log("python tracebacker: %s: %s" % (path, error))
        return
    thread = threading.Thread(
        target=answer, args=(listener,), name="uwsgi tracebacker", daemon=True
    )
    thread.start()
    api.log("python tracebacker for worker %d available on %s" % (api.worker_id(), path))


def answer(listener):
    own = threading.get_ident()
    while True:
        try:
            client, _ = listener.accept()
            with client:
                client.settimeout(TIMEOUT_S)
                client.sendall((TITLE + stacks(own)).encode("utf-8", "backslashreplace"))
        except OSError as error:
            api.log("python tracebacker: %s" % error)
            time.sleep(1)  # Without descriptors accept fails at once and for ever.


def stacks(but):
    """A line for each frame of all threads `but` that one, the outermost frame first."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    text = ""
    for ident, frame in sys._current_frames().items():
        if ident == but:
            continue
        lines = []
        while frame is not None:
            code, number = frame.f_code, frame.f_lineno
            lines.append(
                "thread_id = %s filename = %s lineno = %s function = %s line = %s\n"
                % (
                    names.get(ident, ident),
                    code.co_filename,
                    number,
                    code.co_name,
                    linecache.getline(code.co_filename, number or 0).strip(),
                )
            )
            frame = frame.f_back
        text += "".join(reversed(lines)) + "\n"
    return text
