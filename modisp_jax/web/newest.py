"""One thread that renders: what a newer request of the same client overtakes while it waits is never computed."""

import collections
import concurrent.futures
import threading
import time

MOST_CLIENTS = 1000
"""Whose latest number is remembered."""


class Stale(Exception):
    """A newer request of the same client has come."""


class NewestWins:
    """A queue with one thread. Each client has one request waiting at most, the newest; other work waits in order."""

    def __init__(self):
        self._waiting = collections.OrderedDict()  # key -> (work, future), in order of arrival
        self._latest = collections.OrderedDict()  # client -> its largest number
        self._ready = threading.Condition()
        self._ended = self._busy = False
        self._rests_since = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="modisp-render", daemon=True)
        self._thread.start()

    def submit(self, work):
        """Has the thread call ``work()`` in its turn; returns a future."""
        return self._put(object(), work)

    def submit_newest(self, client, number, work):
        """As :meth:`submit`, but dropped with :class:`Stale` once one of ``client`` with a larger number comes."""
        with self._ready:
            if number <= self._latest.get(client, number - 1):
                return _failed(Stale())
            self._latest[client] = number
            self._latest.move_to_end(client)
            if len(self._latest) > MOST_CLIENTS:
                self._latest.popitem(last=False)
            return self._put(("client", client), work)

    def is_overtaken(self, client, number):
        """Whether a request of ``client`` with a larger number has come."""
        return self._latest.get(client, number) > number

    def _put(self, key, work):
        future = concurrent.futures.Future()
        with self._ready:
            if self._ended:
                return _failed(ValueError("the editor is ending"))
            old = self._waiting.get(key)
            self._waiting[key] = (work, future)  # a client's newer request takes the place of its older one
            self._ready.notify_all()
        if old is not None:
            _fail(old[1], Stale())
        return future

    def _run(self):
        while True:
            with self._ready:
                self._busy, self._rests_since = False, time.monotonic()
                self._ready.notify_all()
                self._ready.wait_for(lambda: self._waiting or self._ended)
                if self._ended:
                    return
                _, (work, future) = self._waiting.popitem(last=False)
                self._busy = True
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(work())
            except BaseException as error:  # it is the asker's to say
                future.set_exception(error)
            del work, future

    def wait_until_idle(self, seconds):
        """Returns once nothing waits or is at work, or after so many seconds."""
        with self._ready:
            self._ready.wait_for(lambda: self._ended or not (self._waiting or self._busy), seconds)

    def idle_seconds(self):
        """For how long nothing has waited nor been at work; 0 while something does."""
        with self._ready:
            return 0.0 if self._waiting or self._busy else time.monotonic() - self._rests_since

    def end(self, seconds):
        """Drops what waits and waits for what is at work; returns whether the thread has ended in time."""
        with self._ready:
            self._ended = True
            dropped = [future for _, future in self._waiting.values()]
            self._waiting.clear()
            self._ready.notify_all()
        for future in dropped:
            _fail(future, ValueError("the editor is ending"))
        self._thread.join(seconds)
        return not self._thread.is_alive()


def _failed(error):
    future = concurrent.futures.Future()
    _fail(future, error)
    return future


def _fail(future, error):
    if future.set_running_or_notify_cancel():
        future.set_exception(error)
