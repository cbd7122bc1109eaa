"""Has a thread that counts in the background, and says how far it is."""
import threading
import time

COUNT = 0


def count():
    global COUNT
    while True:
        COUNT += 1
        time.sleep(0.01)


threading.Thread(target=count, daemon=True).start()


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(COUNT).encode()]
