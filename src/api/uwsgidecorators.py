"""The decorators that uWSGI ships. Those that need a later feature say so when they are used."""

from functools import partial
import threading

import uwsgi

postfork_chain = []


def postfork_chain_hook():
    for function in list(postfork_chain):
        function()


uwsgi.post_fork_hook = postfork_chain_hook


class postfork(object):
    """Runs the function once in each worker, after the app is there."""

    def __init__(self, f):
        if callable(f):
            self.wid = 0
            self.f = f
        else:
            self.f = None
            self.wid = f
        postfork_chain.append(self)

    def __call__(self, *args, **kwargs):
        if self.f:
            if self.wid > 0 and self.wid != uwsgi.worker_id():
                return None
            return self.f()
        self.f = args[0]
        return self


class harakiri(object):
    """Ends the request if the function takes longer than this many seconds."""

    def __init__(self, seconds):
        self.s = seconds

    def real_call(self, *args, **kwargs):
        uwsgi.set_user_harakiri(self.s)
        try:
            return self.f(*args, **kwargs)
        finally:
            uwsgi.set_user_harakiri(0)

    def __call__(self, f):
        self.f = f
        return self.real_call


class thread(object):
    """Starts the function in a daemon thread of its worker when it is called."""

    def __init__(self, f):
        self.f = f

    def __call__(self, *args):
        started = threading.Thread(target=self.f, args=args, daemon=True)
        started.start()
        return self.f


class lock(object):
    """Lets one caller at a time into the function, within one worker."""

    def __init__(self, f):
        self.f = f
        self._lock = threading.Lock()

    def __call__(self, *args, **kwargs):
        with self._lock:
            return self.f(*args, **kwargs)

    def __get__(self, instance, owner):
        return partial(self.__call__, instance)
