"""Makes cycles, and tells what the collector is at."""
import gc
import json
import weakref


class Node:
    pass


alive = weakref.WeakSet()


def application(environ, start_response):
    for _ in range(int(environ["QUERY_STRING"] or 0)):
        node = Node()
        node.own = node
        alive.add(node)
    start_response("200 OK", [("Content-Type", "application/json")])
    seen = {"frozen": gc.get_freeze_count(), "enabled": gc.isenabled(), "alive": len(alive)}
    return [json.dumps(seen).encode()]
