"""How long work is asked to stop at a good place."""

import signal


class Interrupt:
    """Turns the first Ctrl-C or SIGTERM into a wish to stop after the step; a second Ctrl-C stops at once."""

    def __init__(self):
        self.asked, self._old = False, {}

    def _ask(self, number, frame):
        del frame
        if self.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.asked = True

    def __enter__(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                self._old[number] = signal.signal(number, self._ask)
            except ValueError:  # not the main thread: whoever owns it handles signals
                break
        return self

    def __exit__(self, *_):
        for number, handler in self._old.items():
            if handler is not None:  # one that C code has set, such as JAX's for several processes, is not ours to keep
                signal.signal(number, handler)
