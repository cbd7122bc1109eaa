"""The decorators that uWSGI ships, but for those of its spooler, mules and farms."""

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
    """Lets one caller at a time of all workers into the function."""

    def __init__(self, f):
        self.f = f

    def __call__(self, *args, **kwargs):
        uwsgi.lock()
        try:
            return self.f(*args, **kwargs)
        finally:
            uwsgi.unlock()

    def __get__(self, instance, owner):
        return partial(self.__call__, instance)


def get_free_signal():
    for number in range(256):
        if not uwsgi.signal_registered(number):
            return number
    raise Exception("all 256 signals are in use")


class signal(object):
    """Calls the function with the signal's number when it is raised."""

    def __init__(self, num, **kwargs):
        self.num = num
        self.target = kwargs.get("target", "")

    def __call__(self, f):
        uwsgi.register_signal(self.num, self.target, f)
        return f


class _raised(object):
    """A signal of its own, and somebody who raises it."""

    def __init__(self, *args, **kwargs):
        self.args = args
        self.num = kwargs["signum"] if "signum" in kwargs else get_free_signal()
        self.target = kwargs.get("target", "")

    def __call__(self, f):
        uwsgi.register_signal(self.num, self.target, f)
        self.add(self.num, *self.args)
        return f


class timer(_raised):
    """Calls the function every so many seconds."""

    add = staticmethod(uwsgi.add_timer)


class rbtimer(_raised):
    """Calls the function every so many seconds, as timer does."""

    add = staticmethod(uwsgi.add_rb_timer)


class cron(_raised):
    """Calls the function at a time: minute, hour, day, month, weekday."""

    add = staticmethod(uwsgi.add_cron)


class filemon(_raised):
    """Calls the function when the file has changed."""

    add = staticmethod(uwsgi.add_file_monitor)
