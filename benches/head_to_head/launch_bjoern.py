"""Runs bjoern, which has no command of its own: PORT WORKERS MODULE:APP."""

import importlib
import os
import signal
import sys

import bjoern


def main():
    port, workers, target = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    module, name = target.split(":")
    sys.path.insert(0, os.getcwd())
    app = getattr(importlib.import_module(module), name)
    bjoern.listen(app, "127.0.0.1", port, listen_backlog=1024)
    if workers == 1:
        bjoern.run()
        return
    children = []
    for _ in range(workers):
        child = os.fork()
        if child == 0:
            bjoern.run()
            os._exit(0)
        children.append(child)
    signal.signal(signal.SIGTERM, lambda *_: [os.kill(child, signal.SIGTERM) for child in children])
    for child in children:
        os.waitpid(child, 0)


main()
