"""uWSGI's signals, timers and cron in one interpreter: a thread that hears and a table of who
hears what. Every worker has loaded the app, so every worker has the same table; timers, cron and
watched files belong to the thread of worker 1."""

import os
import sys
import time
import traceback
from _thread import get_ident

handlers = {}
timers = []
crons = []
files = []
state = {"entered": False, "running": False, "turn": None, "last": 0, "received": {}}
# What `signal_wait` waits for: how often each signal was heard, and any (None).
heard = {}
# How often the time and the watched files are looked at.
LOOK_MS = 1000


class Timer:
    def __init__(self, number, seconds, times):
        self.number, self.seconds, self.times = number, max(seconds, 0.001), times
        self.due = time.monotonic() + self.seconds


def checked(number):
    number = int(number)
    if not 0 <= number <= 255:
        raise ValueError("signals have numbers from 0 to 255, not %r" % number)
    return number


def register_signal(number, who, handler):
    """`who` hears it: "" or "worker" the worker that raises it, "workers" and "active-workers" all,
    "workerN" that one; mules and spoolers are worker 1 here."""
    number = checked(number)
    if not callable(handler):
        raise ValueError("the handler of signal %d cannot be called" % number)
    handlers[number] = (who, handler)
    start_thread()


def signal_registered(number):
    return True if checked(number) in handlers else None


def targets(who):
    if who in ("", "worker", "worker0"):
        return [api.worker_id() or 1]
    if who in ("workers", "active-workers"):
        return range(1, numproc() + 1)
    if who.startswith("worker") and who[6:].isdigit():
        return [int(who[6:])]
    return [1]


def numproc():
    return sys.modules["uwsgi"].numproc


def signal(number, remote=None):
    number = checked(number)
    who = handlers[number][0] if number in handlers else ""
    for worker in targets(who):
        api._raise(worker, number)


def signal_wait(number=None):
    """Waits until this worker has heard the signal, or any, and its handler is through."""
    wanted = None if number is None else checked(number)
    turn = start_thread(is_awaited=True)
    with turn:
        before = heard.get(wanted, 0)
        turn.wait_for(lambda: heard.get(wanted, 0) != before)
        state["received"][get_ident()] = state["last"] if wanted is None else wanted


def signal_received():
    """The signal that this thread's `signal_wait` has ended with; 0 without one."""
    return state["received"].get(get_ident(), 0)


def add_timer(number, seconds):
    timers.append(Timer(checked(number), seconds, None))
    start_thread()


def add_rb_timer(number, seconds, times=0):
    timers.append(Timer(checked(number), seconds, times or None))
    start_thread()


def add_cron(number, minute, hour, day, month, weekday):
    crons.append((checked(number), (minute, hour, day, month, weekday)))
    start_thread()
    return True


def add_file_monitor(number, path):
    files.append([checked(number), path, seen(path)])
    start_thread()


def seen(path):
    try:
        found = os.stat(path)
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_ino)


def fits(wanted, now):
    """uWSGI: -1 is every, -N every N, and day and weekday are either-or when both are given."""

    def one(want, have):
        if want == -1:
            return True
        return have % -want == 0 if want < -1 else have == want

    minute, hour, day, month, weekday = wanted
    given_both = day != -1 and weekday != -1
    # uWSGI: 7 is Sunday, as 0 is.
    is_day = one(day, now.tm_mday)
    is_weekday = one(0 if weekday == 7 else weekday, (now.tm_wday + 1) % 7)
    days = (is_day or is_weekday) if given_both else (is_day and is_weekday)
    return one(minute, now.tm_min) and one(hour, now.tm_hour) and one(month, now.tm_mon) and days


def start_thread(is_awaited=False):
    """Once the fork is over; threads of before it would stay behind."""
    if not (is_awaited or handlers or timers or crons or files):
        return None
    import threading

    state["turn"] = state["turn"] or threading.Condition()
    if not state["entered"] or state["running"]:
        return state["turn"]
    state["running"] = True
    threading.Thread(target=run, name="uwsgi signals", daemon=True).start()
    return state["turn"]


def run():
    minute = int(time.time()) // 60
    begin = time.monotonic()
    for timer in timers:
        timer.due = begin + timer.seconds
    while True:
        wait = LOOK_MS
        if api.worker_id() == 1:
            now = time.monotonic()
            for timer in list(timers):
                if timer.due <= now:
                    # One that is late does not catch up.
                    timer.due = max(timer.due + timer.seconds, now)
                    run_quietly(signal, timer.number)
                    if timer.times is not None:
                        timer.times -= 1
                        if timer.times <= 0:
                            timers.remove(timer)
                wait = min(wait, max(0, int((timer.due - now) * 1000) + 1))
            if int(time.time()) // 60 != minute:
                minute = int(time.time()) // 60
                when = time.localtime(minute * 60)
                for number, wanted in crons:
                    if fits(wanted, when):
                        run_quietly(signal, number)
            for entry in files:
                found = seen(entry[1])
                if found is not None and found != entry[2]:
                    run_quietly(signal, entry[0])
                entry[2] = found
        for number in api._hear(wait):
            if number in handlers:
                run_quietly(handlers[number][1], number)
            else:
                api.log("worker %d has no handler for signal %d" % (api.worker_id(), number))
            with state["turn"]:
                for key in (number, None):
                    heard[key] = heard.get(key, 0) + 1
                state["last"] = number
                state["turn"].notify_all()


def run_quietly(function, number):
    """What one handler raises must not end the others."""
    try:
        function(number)
    except BaseException:
        traceback.print_exc()
