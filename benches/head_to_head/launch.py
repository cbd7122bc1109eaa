"""Runs servers that have no command of their own, or none that sets all: SERVER ADDRESS WORKERS
THREADS MODULE:APP. ADDRESS is a port of 127.0.0.1 or unix:PATH."""

import importlib
import os
import signal
import sys

BACKLOG = 1024
CONNECTIONS_MAX = 20_000
IDLE_S = 120


def bjoern(app, address, workers, _threads):
    import bjoern

    if address.startswith("unix:"):
        bjoern.listen(app, address, listen_backlog=BACKLOG)
    else:
        bjoern.listen(app, "127.0.0.1", int(address), listen_backlog=BACKLOG)
    if workers == 1:
        return bjoern.run()
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


def fastwsgi(app, address, workers, _threads):
    import fastwsgi

    fastwsgi.server.backlog = BACKLOG
    # Else its answers of two packets wait for the client's delayed ACK.
    fastwsgi.server.tcp_nodelay = 1
    fastwsgi.run(app, "127.0.0.1", int(address), workers=workers)


def fastpysgi(app, address, workers, _threads):
    import fastpysgi

    fastpysgi.server.backlog = BACKLOG
    fastpysgi.server.tcp_nodelay = 1
    # By default it refuses bodies from 10,000,000 bytes on.
    fastpysgi.server.max_content_length = 1 << 30
    fastpysgi.run(app, "127.0.0.1", int(address), workers=workers)


def cheroot(app, address, _workers, threads):
    from cheroot import wsgi

    server = wsgi.Server(
        ("127.0.0.1", int(address)), app, numthreads=threads, request_queue_size=BACKLOG,
        timeout=IDLE_S,
    )  # fmt: skip
    # By default it closes all kept connections beyond ten.
    server.keep_alive_conn_limit = CONNECTIONS_MAX
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    server.start()


def waitress(app, address, _workers, threads):
    import logging

    import waitress

    # It warns of each request that has to wait for a thread.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    waitress.serve(
        app, listen=f"127.0.0.1:{address}", threads=threads, backlog=BACKLOG,
        connection_limit=CONNECTIONS_MAX, channel_timeout=IDLE_S, asyncore_use_poll=True,
    )  # fmt: skip


def main():
    server, address, workers, threads, target = sys.argv[1:]
    module, name = target.split(":")
    sys.path.insert(0, os.getcwd())
    app = getattr(importlib.import_module(module), name)
    # This folder would hide the server's own module.
    servers = {each.__name__: each for each in (bjoern, fastwsgi, fastpysgi, cheroot, waitress)}
    servers[server](app, address, int(workers), int(threads))


main()
